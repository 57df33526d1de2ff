// Mailchimp Transactional (Mandrill): a form whose field mandrill_events is a JSON array.
// Source: mailchimp.com/developer/transactional/docs/webhooks (reference/webhooks.md).
#include <algorithm>

#include "base/text.h"
#include "parse/providers/row.h"
#include "parse/providers/texts.h"

namespace bounced::parse::providers {
namespace {

enum Slot : std::uint8_t {
  kEvent,
  kTime,
  kId,
  kEmail,
  kSender,
  kSentTime,
  kTag,
  kDiagnostic,
  kDescription,
  kSubaccount,
  kTemplate,
  kCampaign,
  kSyncType,
  kAction,
  kListed,
  kListReason,
  kListDetail,
  kIp,
  kServer,
};

constexpr Field kMetadata[] = {{"campaign", kCampaign}, {"campaign_id", kCampaign}};
constexpr Field kSmtpEvents[] = {
    {"diag", kDiagnostic}, {"source_ip", kIp}, {"destination_ip", kServer}};
constexpr Field kMessage[] = {
    {"_id", kId},
    {"email", kEmail},
    {"ts", kSentTime},
    {"sender", kSender},
    {"tags", kTag},
    {"metadata", Field::kNone, kMetadata},
    {"diag", kDiagnostic},
    {"bounce_description", kDescription},
    {"subaccount", kSubaccount},
    {"template", kTemplate},
    {"smtp_events", Field::kNone, kSmtpEvents},
};
constexpr Field kReject[] = {{"email", kListed}, {"reason", kListReason}, {"detail", kListDetail}};
constexpr Field kFields[] = {
    {"event", kEvent},
    {"ts", kTime},
    {"_id", kId},
    {"msg", Field::kNone, kMessage},
    {"type", kSyncType},
    {"action", kAction},
    {"reject", Field::kNone, kReject},
};
constexpr Shape kShape = {{}, kFields};

constexpr Word kEvents[] = {
    {"delivered", EventKind::delivered},
    {"deferral", EventKind::deferred, ProviderHint::transient},
    {"hard_bounce", EventKind::bounced, ProviderHint::hard},
    {"soft_bounce", EventKind::bounced, ProviderHint::soft},
    {"spam", EventKind::complained},
    {"unsub", EventKind::unsubscribed},
    {"reject", EventKind::suppressed, ProviderHint::hard},
};

constexpr Word kDescriptions[] = {
    {"bad_mailbox", EventKind::bounced, ProviderHint::no_mailbox},
    {"invalid_domain", EventKind::bounced, ProviderHint::dns},
    {"mailbox_full", EventKind::bounced, ProviderHint::full},
};

/// The denylist as it changes: an address comes, or goes.
void map_sync(Job& job, const Record& r) {
  const bool denied = iequals(r[kSyncType], "blacklist") || iequals(r[kSyncType], "denylist");
  if (!denied) return job.sink.ignore();
  Item item;
  const bool gone = iequals(r[kAction], "remove");
  if (gone) return job.sink.ignore();  // says nothing of what the recipient wants
  item.kind = EventKind::suppressed;
  item.recipient = r[kListed];
  item.label = r[kListDetail].empty() ? r[kListReason] : r[kListDetail];
  item.time_us = read_time(r[kTime]);
  job.sink.add(item);
}

void map(Job& job, const Record& r) {
  if (r[kEvent].empty()) {
    return r[kSyncType].empty() ? job.sink.unparsed() : map_sync(job, r);
  }
  Item item;
  if (!begin_item(job, kEvents, r[kEvent], item)) return;
  item.recipient = r[kEmail];
  item.sender = r[kSender];
  item.provider_id = r[kId];
  item.campaign = r[kCampaign].empty() ? r[kTag] : r[kCampaign];
  item.stream = r[kTemplate];
  item.tenant = r[kSubaccount];
  item.sending_ip = r[kIp];
  item.mta_ip = r[kServer];
  item.time_us = read_time(r[kTime]);
  item.sent_us = read_time(r[kSentTime]);
  if (item.failing() || item.kind == EventKind::delivered) item.words = r[kDiagnostic];
  item.label = r[kDescription];
  if (const Word* said = find_word(kDescriptions, r[kDescription]); item.failing() && said) {
    item.hint = said->hint;
  }
  job.sink.add(item);
}

std::string events_of(const Request& request) {
  if (has_json_body(request)) return std::string(request.body);
  return std::string(form_value(read_form(request.body), "mandrill_events"));
}

void parse(Job& job) {
  const std::string events = events_of(job.request);
  if (events.empty()) return refuse(job, "no field mandrill_events");
  parse_json_text(job, events, kShape, map);
}

std::string text_to_sign(const Request& request) {
  auto fields = read_form(request.body);
  std::stable_sort(fields.begin(), fields.end(),
                   [](const FormField& a, const FormField& b) { return a.name < b.name; });
  std::string text(request.url);
  for (const FormField& field : fields) text.append(field.name).append(field.value);
  return text;
}

/// Before a webhook exists its URL is tried with an empty list, signed with a key that all know.
bool is_test(const Request& request) {
  return request.method == "POST" && trim(events_of(request)) == "[]";
}

Check verify(Keys& keys, const Request& request, std::string& why) {
  const std::string_view given = trim(request.header("x-mandrill-signature"));
  if (given.empty()) {
    why = "no header x-mandrill-signature";
    return Check::missing;
  }
  std::string mac;
  if (from_base64(given, mac) && any_hmac(keys, Digest::sha1, text_to_sign(request), mac)) {
    return Check::ok;
  }
  why = "the signature is not by one of the secrets, or not for " + printable(request.url);
  return Check::bad;
}

Result<Signed> sign(std::string_view secret, const Request& request) {
  return Signed{
      {{"x-mandrill-signature", to_base64(hmac(Digest::sha1, secret, text_to_sign(request)))}},
      std::string(request.body)};
}

}  // namespace

const Row kMandrill = {
    .face =
        {"mandrill",
         "Mailchimp Transactional (Mandrill)",
         {200, 503, 401, 400},
         24 * kHoursUs,
         "1. Webhooks > Add a Webhook: this URL; Message Is Delayed, Bounced, Soft-Bounced,\n"
         "   Delivered, Marked As Spam, Unsubscribed, Rejected. It is tried at once, and "
         "answered.\n"
         "2. Copy the webhook's key. Here: secrets = that key. The URL is signed, too: set the\n"
         "   public URL exactly as it was entered there.\n"
         "Tells: the server's words, tags, metadata, subaccount, template (as stream).\n"
         "Does not tell: an id of the event, the answering host."},
    .secret = SecretForm::text,
    .parse = parse,
    .verify = verify,
    .sign = sign,
    .is_test = is_test,
};

}  // namespace bounced::parse::providers
