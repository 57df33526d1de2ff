// Resend: {type, created_at, data}, signed as Standard Webhooks (Svix).
// Source: resend.com/docs "Webhooks", "Event Types" (reference/webhooks.md).
#include <algorithm>

#include "base/text.h"
#include "parse/providers/row.h"
#include "parse/providers/texts.h"

namespace bounced::parse::providers {
namespace {

enum Slot : std::uint8_t {
  kType,
  kCreated,
  kEmailId,
  kMessageId,
  kFrom,
  kSent,
  kBroadcast,
  kTag,
  kMessage,
  kBounceType,
  kSubType,
  kReason,
  kEmail,
  kOrigin,
};
enum List : std::uint8_t { kTo };

constexpr Field kTags[] = {{"campaign", kTag}, {"value", kTag}, {"name"}, {"", kTag}};
constexpr Field kBounce[] = {{"message", kMessage}, {"type", kBounceType}, {"subType", kSubType}};
constexpr Field kFailed[] = {{"reason", kReason}};
constexpr Field kData[] = {
    {"email_id", kEmailId},
    {"message_id", kMessageId},
    {"from", kFrom},
    {"to", Field::kNone, {}, kTo},
    {"created_at", kSent},
    {"broadcast_id", kBroadcast},
    {"tags", kTag, kTags},
    {"bounce", Field::kNone, kBounce},
    {"suppressed", Field::kNone, kBounce},
    {"failed", Field::kNone, kFailed},
    {"email", kEmail},
    {"origin", kOrigin},
};
constexpr Field kFields[] = {
    {"type", kType}, {"created_at", kCreated}, {"data", Field::kNone, kData}};
constexpr Shape kShape = {{}, kFields};

constexpr Word kEvents[] = {
    {"email.delivered", EventKind::delivered},
    {"email.delivery_delayed", EventKind::deferred, ProviderHint::transient},
    {"email.bounced", EventKind::bounced, ProviderHint::soft},
    {"email.complained", EventKind::complained},
    {"email.suppressed", EventKind::suppressed, ProviderHint::hard},
    {"email.failed", EventKind::discarded},
    {"suppression.added", EventKind::suppressed, ProviderHint::hard},
};

/// SES's vocabulary, as Resend sends through it.
void judge_bounce(const Record& r, Item& item) {
  const std::string_view sub = r[kSubType];
  item.words = r[kMessage];
  item.label = sub.empty() ? r[kBounceType] : sub;
  if (iequals(sub, "Suppressed") || iequals(sub, "OnAccountSuppressionList")) {
    item.kind = EventKind::suppressed;
  } else if (iequals(sub, "NoEmail")) {
    item.hint = ProviderHint::no_mailbox;
  } else if (iequals(sub, "MailboxFull")) {
    item.hint = ProviderHint::full;
  } else if (iequals(sub, "MessageTooLarge")) {
    item.hint = ProviderHint::too_big;
  } else if (iequals(sub, "ContentRejected") || iequals(sub, "AttachmentRejected")) {
    item.hint = ProviderHint::content;
  } else if (iequals(r[kBounceType], "Permanent")) {
    item.hint = ProviderHint::hard;
  } else if (iequals(r[kBounceType], "Transient")) {
    item.hint = ProviderHint::transient;
  }
}

std::size_t recipients(const Record& r) {
  return static_cast<std::size_t>(std::count_if(r.parts.begin(), r.parts.end(),
                                                [](const Part& part) { return part.list == kTo; }));
}

/// Which of several recipients an event is about is not told: a failure then stops nobody, and a
/// complaint is every candidate's, as with SES.
void map(Job& job, const Record& r) {
  Item item;
  if (!begin_item(job, kEvents, r[kType], item)) return;
  item.sender = r[kFrom];
  item.message_id = r[kMessageId];
  item.provider_id = r[kEmailId];
  item.campaign = r[kTag].empty() ? r[kBroadcast] : r[kTag];
  item.time_us = read_time(r[kCreated]);
  item.sent_us = read_time(r[kSent]);
  item.label = r[kReason].empty() ? r[kOrigin] : r[kReason];
  if (item.kind == EventKind::bounced) judge_bounce(r, item);
  if (item.kind == EventKind::suppressed && item.label.empty()) item.label = r[kMessage];
  if (!r[kEmail].empty()) {
    item.recipient = r[kEmail];
    return job.sink.add(item);
  }
  const std::size_t count = recipients(r);
  if (count == 0) return job.sink.unparsed();
  if (count > 1 && item.kind == EventKind::suppressed) return job.sink.unparsed();
  if (count > 1 && item.kind == EventKind::bounced) {
    item.kind = EventKind::deferred;
    item.hint = ProviderHint::transient;
  }
  for (const Part& part : r.parts) {
    if (part.list != kTo) continue;
    item.recipient = part.at[0];
    job.sink.add(item);
  }
}

void parse(Job& job) {
  parse_json(job, kShape, map);
}

}  // namespace

const Row kResend = {
    .face =
        {"resend",
         "Resend",
         {200, 503, 401, 400},
         28 * kHoursUs,
         "1. Webhooks > Add webhook: this URL; email.delivered, .delivery_delayed, .bounced,\n"
         "   .complained, .suppressed, suppression.added.\n"
         "2. Copy the signing secret (whsec_...). Here: secrets = that.\n"
         "Tells: type and words of bounces in SES's terms, tags, broadcast.\n"
         "Does not tell: codes, hosts, and which of several recipients a bounce is about: send to\n"
         "one recipient per message, or such bounces are kept as deferrals that stop nobody."},
    .secret = SecretForm::standard,
    .window_us = 5 * kMinutesUs,
    .parse = parse,
    .verify = verify_standard,
    .sign = sign_standard,
};

}  // namespace bounced::parse::providers
