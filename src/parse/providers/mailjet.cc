// Mailjet Event API: an array (grouped) or one bare object.
// Source: dev.mailjet.com "Event API" (reference/webhooks.md).
#include "base/text.h"
#include "parse/providers/row.h"
#include "parse/providers/texts.h"

namespace bounced::parse::providers {
namespace {

enum Slot : std::uint8_t {
  kEvent,
  kTime,
  kMessageId,
  kGuid,
  kEmail,
  kCampaignName,
  kCampaignId,
  kCustomId,
  kReply,
  kHard,
  kBlocked,
  kRelated,
  kError,
  kComment,
  kSource,
};

constexpr Field kFields[] = {
    {"event", kEvent},
    {"time", kTime},
    {"MessageID", kMessageId},
    {"Message_GUID", kGuid},
    {"email", kEmail},
    {"customcampaign", kCampaignName},
    {"mj_campaign_id", kCampaignId},
    {"CustomID", kCustomId},
    {"smtp_reply", kReply},
    {"hard_bounce", kHard},
    {"blocked", kBlocked},
    {"error_related_to", kRelated},
    {"error", kError},
    {"comment", kComment},
    {"source", kSource},
};
constexpr Shape kShape = {{}, kFields};

constexpr Word kEvents[] = {
    {"sent", EventKind::delivered},
    {"bounce", EventKind::bounced, ProviderHint::soft},
    {"blocked", EventKind::suppressed, ProviderHint::hard},
    {"spam", EventKind::complained},
    {"unsub", EventKind::unsubscribed},
};

constexpr Word kErrors[] = {
    {"user unknown", EventKind::bounced, ProviderHint::no_mailbox},
    {"mailbox inactive", EventKind::bounced, ProviderHint::hard},
    {"quota exceeded", EventKind::bounced, ProviderHint::full},
    {"blacklisted", EventKind::suppressed, ProviderHint::hard},
    {"spam reporter", EventKind::suppressed, ProviderHint::hard},
    {"invalid domain", EventKind::bounced, ProviderHint::dns},
    {"no mail host", EventKind::bounced, ProviderHint::dns},
    {"relay/access denied", EventKind::bounced, ProviderHint::blocked},
    {"greylisted", EventKind::deferred, ProviderHint::transient},
    {"typofix", EventKind::bounced, ProviderHint::dns},
    {"sender blocked", EventKind::bounced, ProviderHint::blocked},
    {"content blocked", EventKind::bounced, ProviderHint::content},
    {"policy issue", EventKind::bounced, ProviderHint::blocked},
    {"system issue", EventKind::bounced, ProviderHint::network},
    {"protocol issue", EventKind::bounced, ProviderHint::network},
    {"connection issue", EventKind::bounced, ProviderHint::network},
    {"preblocked", EventKind::suppressed, ProviderHint::hard},
    {"duplicate in campaign", EventKind::discarded},
};

/// The error's name may stand in either field.
const Word* error_of(const Record& r) {
  const Word* word = find_word(kErrors, r[kError]);
  return word != nullptr ? word : find_word(kErrors, r[kRelated]);
}

/// A bounce whose error is one of Mailjet's own lists was none; a blocked message whose error lies
/// in the message, not in the address, blocks nobody.
void judge(const Record& r, Item& item) {
  const Word* error = error_of(r);
  const bool about_message = iequals(r[kRelated], "content") || iequals(r[kRelated], "spam");
  item.label = r[kError].empty() ? r[kRelated] : r[kError];
  if (item.kind == EventKind::suppressed) {
    if (about_message || (error != nullptr && error->kind == EventKind::discarded)) {
      item.kind = EventKind::discarded;
    }
    return;
  }
  item.words = r[kComment];
  if (read_bool(r[kHard])) item.hint = ProviderHint::hard;
  if (read_bool(r[kBlocked]) && !read_bool(r[kHard])) item.hint = ProviderHint::blocked;
  if (error == nullptr) return;
  item.kind = error->kind;
  item.hint = error->hint;
}

void map(Job& job, const Record& r) {
  Item item;
  if (!begin_item(job, kEvents, r[kEvent], item)) return;
  item.recipient = r[kEmail];
  item.provider_id = r[kMessageId].empty() ? r[kGuid] : r[kMessageId];
  item.campaign = r[kCampaignName];
  if (item.campaign.empty() && r[kCampaignId] != "0") item.campaign = r[kCampaignId];
  item.time_us = read_time(r[kTime]);
  if (item.kind == EventKind::delivered) {
    item.words = r[kReply];
  } else if (item.kind == EventKind::bounced || item.kind == EventKind::suppressed) {
    judge(r, item);
  } else {
    item.label = r[kSource];
  }
  job.sink.add(item);
}

void parse(Job& job) {
  parse_json(job, kShape, map);
}

}  // namespace

const Row kMailjet = {
    .face =
        {"mailjet",
         "Mailjet",
         {200, 503, 401, 400},
         24 * kHoursUs,
         "1. Account > Event notifications (webhooks): this URL with user and password in it\n"
         "   (https://user:password@host/...) for Sent, Bounce, Blocked, Spam and Unsub; \"group\n"
         "   events\" makes fewer posts.\n"
         "2. Here: basic_auth = \"user:password\".\n"
         "Tells: the server's words of bounces, Mailjet's error, campaigns. Posts are not signed.\n"
         "Does not tell: codes, hosts, an id of the event. \"hard\" bounces stop an address at\n"
         "once only where the error says \"user unknown\" and nothing else is told."},
    .parse = parse,
};

}  // namespace bounced::parse::providers
