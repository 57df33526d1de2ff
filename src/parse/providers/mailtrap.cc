// Mailtrap: {"events":[...]}, signed with an HMAC of the body where a secret is set.
// Source: docs.mailtrap.io "Webhooks" (reference/webhooks.md); its client libraries verify
// Mailtrap-Signature as hex HMAC-SHA256 of the raw body.
#include "base/text.h"
#include "parse/providers/row.h"
#include "parse/providers/texts.h"

namespace bounced::parse::providers {
namespace {

enum Slot : std::uint8_t {
  kEvent,
  kEmail,
  kTime,
  kEventId,
  kMessageId,
  kResponse,
  kCode,
  kBounceCategory,
  kReason,
  kCategory,
  kCampaign,
  kStream,
  kDomain,
};

constexpr Field kVariables[] = {{"campaign", kCampaign}, {"campaign_id", kCampaign}};
constexpr Field kFields[] = {
    {"event", kEvent},
    {"email", kEmail},
    {"timestamp", kTime},
    {"event_id", kEventId},
    {"message_id", kMessageId},
    {"response", kResponse},
    {"response_code", kCode},
    {"bounce_category", kBounceCategory},
    {"reason", kReason},
    {"category", kCategory},
    {"custom_variables", Field::kNone, kVariables},
    {"sending_stream", kStream},
    {"sending_domain_name", kDomain},
};
constexpr std::string_view kPath[] = {"events"};
constexpr Shape kShape = {kPath, kFields};

constexpr Word kEvents[] = {
    {"delivery", EventKind::delivered},
    {"soft bounce", EventKind::deferred, ProviderHint::transient},
    {"soft_bounce", EventKind::deferred, ProviderHint::transient},
    {"bounce", EventKind::bounced, ProviderHint::hard},
    {"suspension", EventKind::discarded},
    {"reject", EventKind::suppressed, ProviderHint::hard},
    {"spam", EventKind::complained},
    {"spam_complaint", EventKind::complained},
    {"unsubscribe", EventKind::unsubscribed},
};

void map(Job& job, const Record& r) {
  Item item;
  if (!begin_item(job, kEvents, r[kEvent], item)) return;
  item.vague = true;
  item.recipient = r[kEmail];
  item.provider_id = r[kMessageId];
  item.campaign = r[kCampaign].empty() ? r[kCategory] : r[kCampaign];
  item.stream = r[kStream];
  item.tenant = r[kDomain];
  item.time_us = read_time(r[kTime]);
  item.id = r[kEventId];
  if (item.failing() || item.kind == EventKind::delivered) {
    item.words = r[kResponse];
    item.smtp_code = read_number(r[kCode]);
  }
  item.label = r[kReason].empty() ? r[kBounceCategory] : r[kReason];
  job.sink.add(item);
}

void parse(Job& job) {
  parse_json(job, kShape, map);
}

Check verify(Keys& keys, const Request& request, std::string& why) {
  return verify_body_hmac(keys, request, "mailtrap-signature", why);
}

Result<Signed> sign(std::string_view secret, const Request& request) {
  return sign_body_hmac(secret, request, "mailtrap-signature");
}

}  // namespace

const Row kMailtrap = {
    .face = {"mailtrap",
             "Mailtrap",
             {200, 503, 401, 400},
             24 * kHoursUs,
             "1. Settings > Webhooks: this URL, JSON; delivery, soft bounce, bounce, suspension,\n"
             "   reject, spam, unsubscribe.\n"
             "2. Here: secrets = the signing secret (header Mailtrap-Signature), or basic_auth.\n"
             "Tells: the server's words and code, its class, category (as campaign), stream.\n"
             "Does not tell: hosts."},
    .secret = SecretForm::text,
    .parse = parse,
    .verify = verify,
    .sign = sign,
};

}  // namespace bounced::parse::providers
