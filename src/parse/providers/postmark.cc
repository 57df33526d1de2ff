// Postmark: one PascalCase object per post.
// Source: postmarkapp.com/developer/webhooks, bounce types of its API (reference/webhooks.md).
#include "base/text.h"
#include "parse/providers/row.h"
#include "parse/providers/texts.h"

namespace bounced::parse::providers {
namespace {

enum Slot : std::uint8_t {
  kRecordType,
  kId,
  kType,
  kTypeCode,
  kName,
  kTag,
  kMessageId,
  kServerId,
  kStream,
  kDescription,
  kDetails,
  kEmail,
  kRecipient,
  kFrom,
  kBouncedAt,
  kDeliveredAt,
  kChangedAt,
  kSuppress,
  kSuppressReason,
  kOrigin,
  kCampaign,
};

constexpr Field kMetadata[] = {{"campaign", kCampaign}, {"campaign_id", kCampaign}};
constexpr Field kFields[] = {
    {"RecordType", kRecordType},
    {"ID", kId},
    {"Type", kType},
    {"TypeCode", kTypeCode},
    {"Name", kName},
    {"Tag", kTag},
    {"Metadata", Field::kNone, kMetadata},
    {"MessageID", kMessageId},
    {"ServerID", kServerId},
    {"MessageStream", kStream},
    {"Description", kDescription},
    {"Details", kDetails},
    {"Email", kEmail},
    {"Recipient", kRecipient},
    {"From", kFrom},
    {"BouncedAt", kBouncedAt},
    {"DeliveredAt", kDeliveredAt},
    {"ChangedAt", kChangedAt},
    {"SuppressSending", kSuppress},
    {"SuppressionReason", kSuppressReason},
    {"Origin", kOrigin},
};
constexpr Shape kShape = {{}, kFields};

/// Bounce types, which come with a number and a name.
struct Type {
  std::uint64_t code;
  std::string_view name;
  EventKind kind;
  ProviderHint hint = ProviderHint::none;
};
constexpr Type kTypes[] = {
    {1, "HardBounce", EventKind::bounced, ProviderHint::no_mailbox},
    {2, "Transient", EventKind::deferred, ProviderHint::transient},
    {16, "Unsubscribe", EventKind::unsubscribed},
    {32, "Subscribe", EventKind::resubscribed},
    {64, "AutoResponder", EventKind::autoreplied, ProviderHint::autoreply},
    {128, "AddressChange", EventKind::autoreplied, ProviderHint::autoreply},
    {256, "DnsError", EventKind::bounced, ProviderHint::dns},
    {512, "SpamNotification", EventKind::bounced, ProviderHint::spam},
    {1024, "OpenRelayTest", EventKind::none},
    {2048, "Unknown", EventKind::bounced, ProviderHint::soft},
    {4096, "SoftBounce", EventKind::bounced, ProviderHint::soft},
    {8192, "VirusNotification", EventKind::bounced, ProviderHint::content},
    {16384, "ChallengeVerification", EventKind::autoreplied, ProviderHint::challenge},
    {100000, "BadEmailAddress", EventKind::bounced, ProviderHint::no_mailbox},
    {100001, "SpamComplaint", EventKind::complained},
    {100002, "ManuallyDeactivated", EventKind::suppressed, ProviderHint::hard},
    {100003, "Unconfirmed", EventKind::discarded},
    {100006, "Blocked", EventKind::bounced, ProviderHint::blocked},  // by the ISP
    {100007, "SMTPApiError", EventKind::discarded},
    {100008, "InboundError", EventKind::none},
    {100009, "DMARCPolicy", EventKind::bounced, ProviderHint::blocked},
    {100010, "TemplateRenderingFailed", EventKind::discarded},
};

const Type* find_type(const Record& r) {
  const std::uint64_t code = read_number(r[kTypeCode]);
  for (const Type& type : kTypes) {
    if (type.code == code || (code == 0 && iequals(type.name, r[kType]))) return &type;
  }
  return nullptr;
}

Item common(const Record& r) {
  Item item;
  item.recipient = r[kEmail].empty() ? r[kRecipient] : r[kEmail];
  item.sender = r[kFrom];
  item.provider_id = r[kMessageId];
  item.campaign = r[kCampaign].empty() ? r[kTag] : r[kCampaign];
  item.stream = r[kStream];
  item.tenant = r[kServerId];
  return item;
}

void map_bounce(Job& job, const Record& r) {
  Item item = common(r);
  const Type* type = find_type(r);
  item.kind = type == nullptr ? EventKind::bounced : type->kind;
  item.hint = type == nullptr ? ProviderHint::soft : type->hint;
  if (item.kind == EventKind::none) return job.sink.ignore();
  item.words = item.failing() ? r[kDetails] : std::string_view{};
  item.label = r[kType].empty() ? r[kName] : r[kType];
  item.time_us = read_time(r[kBouncedAt]);
  item.id = r[kId];
  job.sink.add(item);
}

/// A suppression of Postmark's streams, or its end.
void map_subscription(Job& job, const Record& r) {
  Item item = common(r);
  item.time_us = read_time(r[kChangedAt]);
  item.label = r[kSuppressReason];
  const bool by_recipient = iequals(r[kOrigin], "Recipient");
  if (!read_bool(r[kSuppress])) {
    item.kind = EventKind::resubscribed;
  } else if (iequals(r[kSuppressReason], "SpamComplaint")) {
    item.kind = EventKind::complained;
  } else if (iequals(r[kSuppressReason], "HardBounce") || !by_recipient) {
    item.kind = EventKind::suppressed;
  } else {
    item.kind = EventKind::unsubscribed;
  }
  job.sink.add(item);
}

void map(Job& job, const Record& r) {
  const std::string_view type = r[kRecordType];
  if (iequals(type, "Bounce") || (type.empty() && !r[kTypeCode].empty())) {
    return map_bounce(job, r);
  }
  if (iequals(type, "SubscriptionChange")) return map_subscription(job, r);
  Item item = common(r);
  if (iequals(type, "Delivery")) {
    item.kind = EventKind::delivered;
    item.words = r[kDetails];
    item.time_us = read_time(r[kDeliveredAt]);
  } else if (iequals(type, "SpamComplaint")) {
    item.kind = EventKind::complained;
    item.time_us = read_time(r[kBouncedAt]);
    item.id = r[kId];
  } else {
    return type.empty() ? job.sink.unparsed() : job.sink.ignore();
  }
  job.sink.add(item);
}

void parse(Job& job) {
  parse_json(job, kShape, map);
}

}  // namespace

const Row kPostmark = {
    .face =
        {"postmark",
         "Postmark",
         {200, 503, 401, 400},
         24 * kHoursUs,
         "1. Server > Message Stream > Webhooks: add this URL with user and password in it\n"
         "   (https://user:password@host/...), or a custom header; choose Delivery, Bounce,\n"
         "   Spam complaint and Subscription change. Repeat for each stream.\n"
         "2. Here: basic_auth = \"user:password\", or auth_header and auth_value; networks = the\n"
         "   addresses that Postmark publishes for webhooks.\n"
         "Tells: the server's words, Postmark's type of bounce, stream, tag, metadata.\n"
         "Does not tell: the answering host. Posts are not signed. Type 100006 is a refusal by\n"
         "the ISP, not a suppression."},
    .parse = parse,
};

}  // namespace bounced::parse::providers
