// Brevo (Sendinblue): one flat object per event, or arrays of them where batching is on.
// Source: developers.brevo.com "Transactional webhooks" (reference/webhooks.md).
#include "base/text.h"
#include "parse/providers/row.h"
#include "parse/providers/texts.h"

namespace bounced::parse::providers {
namespace {

enum Slot : std::uint8_t {
  kEvent,
  kEmail,
  kEpoch,
  kEventTime,
  kStamp,
  kMessageId,
  kReason,
  kTags,
  kTag,
  kSendingIp,
  kSender,
  kTemplate,
};

constexpr Field kFields[] = {
    {"event", kEvent},
    {"email", kEmail},
    {"ts_epoch", kEpoch},
    {"ts_event", kEventTime},
    {"ts", kStamp},
    {"message-id", kMessageId},
    {"reason", kReason},
    {"tags", kTags},
    {"tag", kTag},
    {"sending_ip", kSendingIp},
    {"sender_email", kSender},
    {"template_id", kTemplate},
};
constexpr std::string_view kPath[] = {"events"};  // the wrapper of batches is not documented
constexpr Shape kShape = {kPath, kFields};

constexpr Word kEvents[] = {
    {"delivered", EventKind::delivered},
    {"deferred", EventKind::deferred, ProviderHint::transient},
    {"soft_bounce", EventKind::bounced, ProviderHint::soft},
    {"softBounce", EventKind::bounced, ProviderHint::soft},
    {"hard_bounce", EventKind::bounced, ProviderHint::no_mailbox},
    {"hardBounce", EventKind::bounced, ProviderHint::no_mailbox},
    {"invalid_email", EventKind::bounced, ProviderHint::no_mailbox},
    {"invalid", EventKind::bounced, ProviderHint::no_mailbox},
    {"blocked", EventKind::suppressed, ProviderHint::hard},
    {"error", EventKind::bounced, ProviderHint::transient},
    {"spam", EventKind::complained},
    {"complaint", EventKind::complained},
    {"unsubscribe", EventKind::unsubscribed},
    {"unsubscribed", EventKind::unsubscribed},
};

/// `tag` is a text, or JSON of a list in a text: "[\"spring\"]".
std::string_view tag_of(const Record& r) {
  if (!r[kTags].empty()) return r[kTags];
  std::string_view tag = r[kTag];
  if (tag.size() > 1 && tag.front() == '[') {
    const auto open = tag.find('"');
    if (open == std::string_view::npos) return {};
    tag.remove_prefix(open + 1);
    return tag.substr(0, tag.find('"'));
  }
  return tag;
}

void map(Job& job, const Record& r) {
  Item item;
  if (!begin_item(job, kEvents, r[kEvent], item)) return;
  item.recipient = r[kEmail];
  item.sender = r[kSender];
  item.message_id = r[kMessageId];
  item.campaign = tag_of(r);
  item.sending_ip = r[kSendingIp];
  for (const Slot slot : {kEpoch, kEventTime, kStamp}) {  // `date` has the account's zone
    if (item.time_us == 0) item.time_us = read_time(r[slot]);
  }
  if (item.failing() || item.kind == EventKind::delivered) item.words = r[kReason];
  if (item.kind != EventKind::delivered) item.label = r[kReason].empty() ? r[kEvent] : r[kReason];
  if (item.kind == EventKind::delivered && r[kReason] == "sent") item.words = {};
  job.sink.add(item);
}

void parse(Job& job) {
  parse_json(job, kShape, map);
}

}  // namespace

const Row kBrevo = {
    .face =
        {"brevo",
         "Brevo",
         {200, 429, 401, 400},
         12 * kHoursUs,
         "1. Transactional > Settings > Webhooks: add this URL for delivered, deferred, soft and\n"
         "   hard bounce, invalid email, blocked, error, spam and unsubscribed.\n"
         "2. Authentication: token, or headers; enter the same here as bearer, or auth_header and\n"
         "   auth_value; networks = the ranges that Brevo publishes for webhooks.\n"
         "Tells: the server's words, the sending IP, tags.\n"
         "Does not tell: the answering host, codes, an id of the event. Posts are not signed. Any\n"
         "answer but 2xx and 429 makes Brevo throw the event away."},
    .parse = parse,
};

}  // namespace bounced::parse::providers
