// SparkPost (Bird): arrays of {"msys":{"message_event":{...}}}.
// Source: developers.sparkpost.com "Webhooks", support.sparkpost.com "Bounce Classification Codes"
// (reference/webhooks.md).
#include "base/text.h"
#include "parse/providers/row.h"
#include "parse/providers/texts.h"

namespace bounced::parse::providers {
namespace {

enum Slot : std::uint8_t {
  kType,
  kTimestamp,
  kEventId,
  kMessageId,
  kRcpt,
  kRawRcpt,
  kErrorCode,
  kReason,
  kRawReason,
  kClass,
  kCampaign,
  kTag,
  kSubaccount,
  kPool,
  kIp,
  kSendingIp,
  kSender,
  kQueueMillis,
  kFeedback,
  kRoutingDomain,
};

constexpr Field kMeta[] = {{"campaign", kCampaign}};
constexpr Field kEventFields[] = {
    {"type", kType},
    {"timestamp", kTimestamp},
    {"event_id", kEventId},
    {"message_id", kMessageId},
    {"rcpt_to", kRcpt},
    {"raw_rcpt_to", kRawRcpt},
    {"error_code", kErrorCode},
    {"reason", kReason},
    {"raw_reason", kRawReason},
    {"bounce_class", kClass},
    {"campaign_id", kCampaign},
    {"rcpt_tags", kTag},
    {"rcpt_meta", Field::kNone, kMeta},
    {"subaccount_id", kSubaccount},
    {"ip_pool", kPool},
    {"ip_address", kIp},
    {"sending_ip", kSendingIp},
    {"msg_from", kSender},
    {"friendly_from", kSender},
    {"queue_time", kQueueMillis},
    {"fbtype", kFeedback},
    {"routing_domain", kRoutingDomain},
};
constexpr Field kAnyEvent[] = {{"", Field::kNone, kEventFields}};
constexpr Field kFields[] = {{"msys", Field::kNone, kAnyEvent}};
constexpr Shape kShape = {{}, kFields};

constexpr Word kEvents[] = {
    {"delivery", EventKind::delivered},
    {"delay", EventKind::deferred, ProviderHint::transient},
    {"bounce", EventKind::bounced},
    {"out_of_band", EventKind::bounced},
    {"spam_complaint", EventKind::complained},
    {"list_unsubscribe", EventKind::unsubscribed},
    {"link_unsubscribe", EventKind::unsubscribed},
    {"policy_rejection", EventKind::suppressed, ProviderHint::hard},
    {"generation_rejection", EventKind::suppressed, ProviderHint::hard},
    {"generation_failure", EventKind::discarded},
};

/// Bounce classes; a kind other than bounced stands for the event's.
struct Class {
  std::uint64_t number;
  ProviderHint hint;
  EventKind kind = EventKind::bounced;
};
constexpr Class kClasses[] = {
    {1, ProviderHint::soft},
    {10, ProviderHint::no_mailbox},
    {20, ProviderHint::soft},
    {21, ProviderHint::dns},
    {22, ProviderHint::full},
    {23, ProviderHint::too_big},
    {24, ProviderHint::network},
    {25, ProviderHint::soft},  // the sending account's own configuration
    {30, ProviderHint::no_mailbox},
    {40, ProviderHint::soft},
    {50, ProviderHint::blocked},
    {51, ProviderHint::blocked},
    {52, ProviderHint::spam},
    {53, ProviderHint::content},
    {54, ProviderHint::blocked},
    {60, ProviderHint::autoreply, EventKind::autoreplied},
    {70, ProviderHint::transient},
    {80, ProviderHint::autoreply, EventKind::autoreplied},
    {90, ProviderHint::none, EventKind::unsubscribed},
    {100, ProviderHint::challenge, EventKind::autoreplied},
};

/// An unknown class is as undetermined as class 1.
void judge_failure(const Record& r, Item& item) {
  const std::uint64_t number = read_number(r[kClass]);
  item.hint = ProviderHint::soft;
  for (const Class& known : kClasses) {
    if (known.number != number) continue;
    item.hint = known.hint;
    if (item.kind == EventKind::bounced) item.kind = known.kind;
  }
}

/// Rejections tell whether a list or the message was the reason; without a word it was a list.
bool by_list(std::string_view reason) {
  const std::string low = ascii_lower(reason);
  return low.empty() || low.find("suppress") != std::string::npos ||
         low.find("exclusion") != std::string::npos || low.find("unsubscribe") != std::string::npos;
}

void map(Job& job, const Record& r) {
  if (r[kType].empty()) {  // {"msys":{}}: a ping
    if (!r[kRcpt].empty()) job.sink.unparsed();
    return;
  }
  const Word* word = find_word(kEvents, r[kType]);
  if (word == nullptr || iequals(r[kFeedback], "not-spam")) return job.sink.ignore();
  Item item;
  item.kind = word->kind;
  item.hint = word->hint;
  item.recipient = r[kRawRcpt].empty() ? r[kRcpt] : r[kRawRcpt];
  item.sender = r[kSender];
  item.provider_id = r[kMessageId];
  item.campaign = r[kCampaign].empty() ? r[kTag] : r[kCampaign];
  item.stream = r[kPool];
  item.tenant = r[kSubaccount];
  item.sending_ip = r[kSendingIp];
  item.time_us = read_time(r[kTimestamp]);
  item.id = r[kEventId];
  const std::string_view reason = r[kRawReason].empty() ? r[kReason] : r[kRawReason];
  if (item.failing()) judge_failure(r, item);
  if (item.failing() || item.kind == EventKind::delivered) {
    item.words = reason;
    item.mta_ip = r[kIp];
    item.smtp_code = read_number(r[kErrorCode]);
    item.delay_ms = read_number(r[kQueueMillis]);
  }
  item.label = item.failing() ? r[kClass] : reason;
  if (item.kind == EventKind::suppressed && !by_list(reason)) item.kind = EventKind::discarded;
  job.sink.add(item);
}

void parse(Job& job) {
  const std::size_t before = job.batch.events.size();
  parse_json(job, kShape, map);
  const Parsed& parsed = job.parsed;
  if (parsed.kind == Parsed::Kind::events && job.batch.events.size() == before &&
      parsed.ignored + parsed.unparsed == 0) {
    job.parsed.kind = Parsed::Kind::ping;
  }
}

}  // namespace

const Row kSparkpost = {
    .face =
        {"sparkpost",
         "SparkPost (Bird)",
         {200, 503, 401, 400},
         8 * kHoursUs,
         "1. Webhooks: create one with this URL (ports 80 and 443 only) and the events Delivery,\n"
         "   Delay, Bounce, Out of Band, Spam Complaint, Policy Rejection, Unsubscribe.\n"
         "2. Choose basic auth, or OAuth 2, or a custom header; enter the same here as "
         "basic_auth,\n"
         "   bearer, or auth_header and auth_value (X-MessageSystems-Webhook-Token).\n"
         "Tells: the server's words and code, SparkPost's bounce class, campaign, subaccount,\n"
         "addresses of both ends. Posts are not signed.\n"
         "Does not tell: the answering host's name. Class 60 is an out-of-office reply."},
    .parse = parse,
};

}  // namespace bounced::parse::providers
