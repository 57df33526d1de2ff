// Zoho ZeptoMail: {event_name, event_message}, as JSON or in a form field.
// Source: zoho.com/zeptomail/help/webhooks.html and public clients (reference/webhooks.md).
#include "base/text.h"
#include "parse/providers/row.h"
#include "parse/providers/texts.h"

namespace bounced::parse::providers {
namespace {

enum Slot : std::uint8_t {
  kRequestId,
  kReference,
  kClientReference,
  kFrom,
  kProcessed,
  kAgent,
};
enum List : std::uint8_t { kTo, kDetails };
enum PartSlot : std::uint8_t { kAddress, kReason, kWords, kTime };

constexpr Field kNamed[] = {{"address", kAddress}};
constexpr Field kRecipient[] = {{"email_address", kAddress, kNamed}, {"address", kAddress}};
constexpr Field kFromName[] = {{"address", kFrom}};
constexpr Field kInfo[] = {
    {"to", Field::kNone, kRecipient, kTo},  {"cc", Field::kNone, kRecipient, kTo},
    {"bcc", Field::kNone, kRecipient, kTo}, {"from", kFrom, kFromName},
    {"email_reference", kReference},        {"client_reference", kClientReference},
    {"processed_time", kProcessed},
};
constexpr Field kDetailFields[] = {
    {"bounced_recipient", kAddress},
    {"reason", kReason},
    {"diagnostic_message", kWords},
    {"time", kTime},
};
constexpr Field kData[] = {{"details", Field::kNone, kDetailFields, kDetails}};
constexpr Field kFields[] = {
    {"request_id", kRequestId},
    {"email_info", Field::kNone, kInfo},
    {"event_data", Field::kNone, kData},
    {"mailagent_key", kAgent},
};
constexpr std::string_view kPath[] = {"event_message"};
constexpr Shape kShape = {kPath, kFields};

constexpr Field kNameFields[] = {{"event_name", 0}};
constexpr Shape kNameShape = {{}, kNameFields};

constexpr Word kEvents[] = {
    {"hardbounce", EventKind::bounced, ProviderHint::no_mailbox},
    {"softbounce", EventKind::bounced, ProviderHint::soft},
    {"delivered", EventKind::delivered},
    {"feedback_loop", EventKind::complained},
    {"unsubscribe", EventKind::unsubscribed},
};

Item common(const Record& r, const Word& word) {
  Item item;
  item.kind = word.kind;
  item.hint = word.hint;
  item.sender = r[kFrom];
  item.provider_id = r[kReference].empty() ? r[kRequestId] : r[kReference];
  item.campaign = r[kClientReference];
  item.stream = r[kAgent];
  item.sent_us = read_time(r[kProcessed]);
  return item;
}

/// Bounces name their recipients one by one; other events are about all that were sent to.
void map(Job& job, const Record& r) {
  const Word* word = find_word(kEvents, job.event);
  if (word == nullptr) {
    return job.event.empty() ? job.sink.unparsed() : job.sink.ignore();
  }
  Item item = common(r, *word);
  bool named = false;
  for (const Part& part : r.parts) {
    if (part.list != kDetails) continue;
    item.words = part.at[kWords];
    item.label = part.at[kReason];
    item.time_us = read_time(part.at[kTime]);
    if (part.at[kAddress].empty()) continue;
    item.recipient = part.at[kAddress];
    job.sink.add(item);
    named = true;
  }
  if (named) return;
  bool any = false;
  if (item.time_us == 0) item.time_us = item.sent_us;
  for (const Part& part : r.parts) {
    if (part.list != kTo) continue;
    item.recipient = part.at[kAddress];
    job.sink.add(item);
    any = true;
  }
  if (!any) job.sink.unparsed();
}

/// The event's JSON: the body, or the value of its only form field.
std::string event_json(const Request& request) {
  if (has_json_body(request)) return std::string(request.body);
  const auto equal = request.body.find('=');
  if (equal == std::string_view::npos) return {};
  const std::string_view value = request.body.substr(equal + 1);
  return url_decode(value.substr(0, value.find('&')));
}

void parse(Job& job) {
  const std::string json = event_json(job.request);
  if (json.empty()) return refuse(job, "neither JSON nor a form field with JSON");
  JsonReader::Counts counts;
  job.inner.read_copy(json, kNameShape, counts, [&](const Record& r) { job.event = r[0]; });
  parse_json_text(job, json, kShape, map);
}

/// "ts=1700000000000;s=<base64, escaped>;s-algorithm=HmacSHA256".
std::string_view part_of(std::string_view header, std::string_view name) {
  while (!header.empty()) {
    const auto end = header.find(';');
    const std::string_view part = trim(header.substr(0, end));
    header = end == std::string_view::npos ? std::string_view{} : header.substr(end + 1);
    const auto equal = part.find('=');
    if (equal != std::string_view::npos && iequals(part.substr(0, equal), name)) {
      return part.substr(equal + 1);
    }
  }
  return {};
}

/// Implementations differ in whether the stamp is signed: both are only made with the secret.
Check verify(Keys& keys, const Request& request, std::string& why) {
  const std::string_view header = request.header("producer-signature");
  const std::string_view stamp = part_of(header, "ts");
  const std::string signature = url_decode(part_of(header, "s"), false);
  if (stamp.empty() || signature.empty()) {
    why = "no header producer-signature";
    return Check::missing;
  }
  std::string mac;
  const std::string json = event_json(request);
  const bool good = from_base64(signature, mac) &&
                    (any_hmac(keys, Digest::sha256, json, mac) ||
                     any_hmac(keys, Digest::sha256, std::string(stamp) + json, mac));
  if (!good) {
    why = "the signature is not by one of the secrets";
    return Check::bad;
  }
  if (in_window(keys, request, read_time(stamp))) return Check::ok;
  why = "signed at " + printable(stamp) + ", outside the window";
  return Check::stale;
}

Result<Signed> sign(std::string_view secret, const Request& request) {
  std::string escaped;
  for (const char c : to_base64(hmac(Digest::sha256, secret, event_json(request)))) {
    if (c == '+') {
      escaped += "%2B";
    } else if (c == '/') {
      escaped += "%2F";
    } else if (c == '=') {
      escaped += "%3D";
    } else {
      escaped += c;
    }
  }
  return Signed{{{"producer-signature", "ts=" + std::to_string(request.now_us / 1000) +
                                            ";s=" + escaped + ";s-algorithm=HmacSHA256"}},
                std::string(request.body)};
}

}  // namespace

const Row kZeptomail = {
    .face =
        {"zeptomail",
         "Zoho ZeptoMail",
         {200, 503, 401, 400},
         24 * kHoursUs,
         "1. Mail agent > Webhooks: add this URL for Hard bounces, Soft bounces, Delivered and\n"
         "   Feedback loop.\n"
         "2. Turn authentication on and copy the authorization key.\n"
         "3. Here: secrets = that key; or a custom header as auth_header and auth_value.\n"
         "Tells: the server's words, the agent, the client reference (as campaign).\n"
         "Does not tell: codes of their own, the answering host, suppressions."},
    .secret = SecretForm::text,
    .window_us = 24 * kHoursUs,
    .parse = parse,
    .verify = verify,
    .sign = sign,
};

}  // namespace bounced::parse::providers
