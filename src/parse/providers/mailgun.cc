// Mailgun: webhooks as JSON {signature, event-data}, the events API's objects, and the legacy form.
// Source: documentation.mailgun.com "Webhooks", "Event Structure" (reference/webhooks.md).
#include "base/text.h"
#include "parse/providers/row.h"
#include "parse/providers/texts.h"

namespace bounced::parse::providers {
namespace {

enum Slot : std::uint8_t {
  kEvent,
  kSeverity,
  kReason,
  kTimestamp,
  kId,
  kRecipient,
  kTag,
  kCampaign,
  kCode,
  kEnhanced,
  kMessage,
  kDescription,
  kHost,
  kMessageId,
  kTo,
  kFrom,
  kSender,
  kSendingIp,
  kDomain,
  kAccount,
  kRejectReason,
  kSignedStamp,
  kToken,
  kSignature,
};

enum List : std::uint8_t { kRecipients };

constexpr Field kCampaignFields[] = {{"name", kCampaign}, {"id", kCampaign}};
constexpr Field kVariables[] = {{"campaign", kCampaign}, {"campaign_id", kCampaign}};
constexpr Field kStatus[] = {
    {"code", kCode},       {"enhanced-code", kEnhanced},  {"bounce-code", kEnhanced},
    {"message", kMessage}, {"description", kDescription}, {"mx-host", kHost},
};
constexpr Field kHeaders[] = {{"message-id", kMessageId}, {"to", kTo}, {"from", kFrom}};
constexpr Field kMessageFields[] = {
    {"headers", Field::kNone, kHeaders},
    {"recipients", Field::kNone, {}, kRecipients},
};
constexpr Field kEnvelope[] = {{"sender", kSender}, {"sending-ip", kSendingIp}};
constexpr Field kReject[] = {{"reason", kRejectReason}, {"description", kDescription}};
constexpr Field kDomainFields[] = {{"name", kDomain}};
constexpr Field kAccountFields[] = {{"id", kAccount}};
constexpr Field kEventFields[] = {
    {"event", kEvent},
    {"severity", kSeverity},
    {"reason", kReason},
    {"timestamp", kTimestamp},
    {"id", kId},
    {"recipient", kRecipient},
    {"tags", kTag},
    {"campaigns", kCampaign, kCampaignFields},
    {"user-variables", Field::kNone, kVariables},
    {"delivery-status", Field::kNone, kStatus},
    {"message", Field::kNone, kMessageFields},
    {"envelope", Field::kNone, kEnvelope},
    {"reject", Field::kNone, kReject},
    {"domain", kDomain, kDomainFields},
    {"account", kAccount, kAccountFields},
};
constexpr Field kFields[] = {
    {"event-data", Field::kNone, kEventFields},
    {"event", kEvent},
    {"severity", kSeverity},
    {"reason", kReason},
    {"timestamp", kTimestamp},
    {"id", kId},
    {"recipient", kRecipient},
    {"tags", kTag},
    {"campaigns", kCampaign, kCampaignFields},
    {"user-variables", Field::kNone, kVariables},
    {"delivery-status", Field::kNone, kStatus},
    {"message", Field::kNone, kMessageFields},
    {"envelope", Field::kNone, kEnvelope},
    {"reject", Field::kNone, kReject},
};
constexpr std::string_view kItemsPath[] = {"items"};  // a page of the events API
constexpr Shape kShape = {kItemsPath, kFields};

constexpr Field kSignatureFields[] = {
    {"timestamp", kSignedStamp},
    {"token", kToken},
    {"signature", kSignature},
};
constexpr Field kSignedFields[] = {{"signature", Field::kNone, kSignatureFields}};
constexpr Shape kSignedShape = {{}, kSignedFields};

/// The legacy form's names of the same.
struct FormName {
  std::string_view name;
  Slot slot;
};
constexpr FormName kFormNames[] = {
    {"event", kEvent},
    {"severity", kSeverity},
    {"reason", kReason},
    {"timestamp", kTimestamp},
    {"recipient", kRecipient},
    {"tag", kTag},
    {"X-Mailgun-Tag", kTag},
    {"campaign-name", kCampaign},
    {"campaign-id", kCampaign},
    {"code", kCode},
    {"error", kMessage},
    {"notification", kDescription},
    {"description", kDescription},
    {"Message-Id", kMessageId},
    {"message-id", kMessageId},
    {"domain", kDomain},
    {"signature", kSignature},
    {"token", kToken},
};

constexpr Word kEvents[] = {
    {"delivered", EventKind::delivered},
    {"failed", EventKind::bounced, ProviderHint::hard},
    {"bounced", EventKind::bounced, ProviderHint::hard},  // legacy
    {"dropped", EventKind::bounced, ProviderHint::hard},  // legacy
    {"permanent_fail", EventKind::bounced, ProviderHint::hard},
    {"temporary_fail", EventKind::deferred, ProviderHint::transient},
    {"rejected", EventKind::discarded},
    {"complained", EventKind::complained},
    {"unsubscribed", EventKind::unsubscribed},
};

/// Codes of Mailgun's own, in no RFC: 602 too old, 605 bounced before, 606 unsubscribed, 607
/// complained, 625 list quality; 498 no MX, 499 no connection.
constexpr std::uint64_t kTooOld = 602, kNoMx = 498, kNoConnection = 499;

bool listed(const Record& r, std::uint64_t code) {
  constexpr std::string_view kSuppress = "suppress-";
  return iequals(r[kReason].substr(0, kSuppress.size()), kSuppress) || code == 605 || code == 606 ||
         code == 607 || code == 625;
}

/// "permanent" says that Mailgun will not try again, which may have many reasons.
void judge_failure(const Record& r, Item& item) {
  const std::uint64_t code = read_number(r[kCode]);
  const std::string_view reason = r[kReason];
  if (listed(r, code)) {
    item.kind = EventKind::suppressed;
  } else if (code == kTooOld || iequals(reason, "old")) {
    item.kind = EventKind::expired;
    item.hint = ProviderHint::transient;
  } else if (iequals(r[kSeverity], "temporary") || iequals(reason, "greylisted")) {
    item.kind = EventKind::deferred;
    item.hint = ProviderHint::transient;
  } else if (iequals(reason, "espblock")) {
    item.hint = ProviderHint::blocked;
  }
  if (code == kNoMx) item.hint = ProviderHint::dns;
  if (code == kNoConnection) item.hint = ProviderHint::network;
  if (code != kNoMx && code != kNoConnection) item.smtp_code = code;
}

void add_rejected(Job& job, const Record& r, Item& item) {
  const std::string_view reason = r[kRejectReason].empty() ? r[kReason] : r[kRejectReason];
  const std::string low = ascii_lower(reason);
  if (low.find("suppress") != std::string::npos) item.kind = EventKind::suppressed;
  item.label = reason;
  bool any = false;
  for (const Part& part : r.parts) {
    if (part.list != kRecipients || !item.recipient.empty()) continue;
    Item one = item;
    one.recipient = part.at[0];
    job.sink.add(one);
    any = true;
  }
  if (any) return;
  if (item.recipient.empty()) item.recipient = r[kTo];
  job.sink.add(item);
}

void map(Job& job, const Record& r) {
  Item item;
  if (!begin_item(job, kEvents, r[kEvent], item)) return;
  item.recipient = r[kRecipient];
  item.sender = r[kSender].empty() ? r[kFrom] : r[kSender];
  item.message_id = r[kMessageId];
  item.provider_id = r[kMessageId];
  item.campaign = r[kCampaign].empty() ? r[kTag] : r[kCampaign];
  item.stream = r[kDomain];
  item.tenant = r[kAccount];
  item.mta_host = r[kHost];
  item.sending_ip = r[kSendingIp];
  item.time_us = read_time(r[kTimestamp]);
  item.id = r[kId];
  if (item.kind == EventKind::discarded) return add_rejected(job, r, item);
  if (item.kind != EventKind::complained && item.kind != EventKind::unsubscribed) {
    item.words = r[kMessage].empty() ? r[kDescription] : r[kMessage];
    item.label = r[kReason];
    item.status = r[kEnhanced];
  }
  if (item.kind == EventKind::delivered) item.smtp_code = read_number(r[kCode]);
  item.vague = true;
  if (item.failing()) judge_failure(r, item);
  job.sink.add(item);
}

Record from_form(const std::vector<FormField>& fields) {
  Record record;
  for (const FormName& known : kFormNames) {
    if (record.at[known.slot].empty()) record.at[known.slot] = form_value(fields, known.name);
  }
  return record;
}

/// Legacy posts: urlencoded, or in parts where the bounce itself is attached.
std::vector<FormField> form_of(const Request& request) {
  auto fields = read_multipart(request.header("content-type"), request.body);
  return fields.empty() ? read_form(request.body) : fields;
}

void parse(Job& job) {
  if (has_json_body(job.request)) return parse_json(job, kShape, map);
  const auto fields = form_of(job.request);
  const Record record = from_form(fields);
  if (record[kEvent].empty()) return refuse(job, "neither JSON nor a form with an event");
  map(job, record);
}

/// The signature covers the token alone: one token is good for one body.
Check verify(Keys& keys, const Request& request, std::string& why) {
  std::string stamp, token, signature, told;
  if (has_json_body(request)) {
    thread_local JsonReader reader;
    JsonReader::Counts counts;
    reader.read(request.body, kSignedShape, counts, [&](const Record& r) {
      if (!signature.empty()) return;
      stamp = r[kSignedStamp];
      token = r[kToken];
      signature = r[kSignature];
    });
  } else {
    const auto fields = form_of(request);
    stamp = form_value(fields, "timestamp");
    token = form_value(fields, "token");
    signature = form_value(fields, "signature");
    // Told again in parts, the same fields stand between other boundaries.
    for (const FormField& field : fields) told.append(field.name).append(field.value);
  }
  if (stamp.empty() || token.empty() || signature.empty()) {
    why = "no signature in the body";
    return Check::missing;
  }
  std::string mac;
  if (!from_hex(signature, mac) || !any_hmac(keys, Digest::sha256, stamp + token, mac)) {
    why = "the signature is not by one of the secrets";
    return Check::bad;
  }
  if (!in_window(keys, request, read_time(stamp))) {
    why = "signed at " + printable(stamp) + ", outside the window";
    return Check::stale;
  }
  if (keys.tokens.accept(token, told.empty() ? request.body : std::string_view(told)))
    return Check::ok;
  why = "this token has signed another body";
  return Check::bad;
}

Result<Signed> sign(std::string_view secret, const Request& request) {
  const std::string stamp = std::to_string(request.now_us / 1'000'000);
  const std::string token = to_hex(hash_of(Digest::sha256, stamp + std::string(request.body)));
  const std::string mac = to_hex(hmac(Digest::sha256, secret, stamp + token));
  const auto brace = request.body.find('{');
  if (brace == std::string_view::npos) {
    return fail(ErrorCode::data, "webhook send", "mailgun", "the body is no JSON object");
  }
  Signed made;
  made.body = R"({"signature":{"timestamp":")" + stamp + R"(","token":")" + token +
              R"(","signature":")" + mac + "\"},";
  made.body.append(request.body.substr(brace + 1));
  return made;
}

}  // namespace

const Row kMailgun = {
    .face =
        {"mailgun",
         "Mailgun",
         {200, 503, 401, 406},
         8 * kHoursUs,
         "1. Send > Webhooks: add this URL for delivered, permanent_fail, temporary_fail,\n"
         "   complained and unsubscribed.\n"
         "2. Account > API security: copy the HTTP webhook signing key.\n"
         "3. Here: secrets = that key.\n"
         "Tells: the server's words, codes and host, the sending IP, tags.\n"
         "Does not tell: a delivery twice; those are not sent again when this end is down. The\n"
         "signature does not cover the body: a token is good for one body, for a day.\n"
         "permanent_fail is also said of mail that was too old, and of full mailboxes."},
    .secret = SecretForm::text,
    .window_us = 24 * kHoursUs,
    .parse = parse,
    .verify = verify,
    .sign = sign,
};

}  // namespace bounced::parse::providers
