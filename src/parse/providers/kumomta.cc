// KumoMTA log hooks: its log records, one per post, in arrays or as lines.
// Source: docs.kumomta.com "Log Record", "log_hooks" (reference/webhooks.md).
#include "base/text.h"
#include "parse/providers/row.h"
#include "parse/providers/texts.h"

namespace bounced::parse::providers {
namespace {

enum Slot : std::uint8_t {
  kType,
  kId,
  kSender,
  kQueue,
  kCode,
  kClass,
  kSubject,
  kDetail,
  kContent,
  kCommand,
  kHost,
  kIp,
  kTimestamp,
  kEventTime,
  kCreated,
  kCreatedTime,
  kPool,
  kSource,
  kClassification,
  kFeedback,
  kMessageId,
  kCampaign,
  kTenant,
};
enum List : std::uint8_t { kRecipients, kOriginal };

constexpr Field kEnhanced[] = {{"class", kClass}, {"subject", kSubject}, {"detail", kDetail}};
constexpr Field kResponse[] = {
    {"code", kCode},
    {"enhanced_code", Field::kNone, kEnhanced},
    {"content", kContent},
    {"command", kCommand},
};
constexpr Field kPeer[] = {{"name", kHost}, {"addr", kIp}};
constexpr Field kSourceAddress[] = {{"address", kSource}};
constexpr Field kReport[] = {
    {"feedback_type", kFeedback},
    {"original_rcpto_to", Field::kNone, {}, kOriginal},  // sic
    {"original_rcpt_to", Field::kNone, {}, kOriginal},
};
constexpr Field kMeta[] = {{"campaign", kCampaign}, {"tenant", kTenant}};
constexpr Field kHeaders[] = {
    {"Message-ID", kMessageId},
    {"Message-Id", kMessageId},
    {"message-id", kMessageId},
};
constexpr Field kFields[] = {
    {"type", kType},
    {"id", kId},
    {"sender", kSender},
    {"recipient", Field::kNone, {}, kRecipients},
    {"queue", kQueue},
    {"response", Field::kNone, kResponse},
    {"peer_address", Field::kNone, kPeer},
    {"timestamp", kTimestamp},
    {"event_time", kEventTime},
    {"created", kCreated},
    {"created_time", kCreatedTime},
    {"egress_pool", kPool},
    {"source_address", Field::kNone, kSourceAddress},
    {"bounce_classification", kClassification},
    {"feedback_report", Field::kNone, kReport},
    {"meta", Field::kNone, kMeta},
    {"headers", Field::kNone, kHeaders},
};
constexpr Shape kShape = {{}, kFields};

constexpr Word kTypes[] = {
    {"Delivery", EventKind::delivered},
    {"Bounce", EventKind::bounced, ProviderHint::hard},
    {"TransientFailure", EventKind::deferred, ProviderHint::transient},
    {"Expiration", EventKind::expired, ProviderHint::transient},
    {"OOB", EventKind::bounced, ProviderHint::hard},
    {"Feedback", EventKind::complained},
    {"AdminBounce", EventKind::discarded},  // by the operator's own hand
};

/// "campaign:tenant@domain", both optional.
void read_queue(std::string_view queue, Item& item) {
  const auto at = queue.rfind('@');
  if (at == std::string_view::npos) return;
  const std::string_view names = queue.substr(0, at);
  const auto colon = names.find(':');
  const bool both = colon != std::string_view::npos;
  if (both && item.campaign.empty()) item.campaign = names.substr(0, colon);
  if (item.tenant.empty()) item.tenant = both ? names.substr(colon + 1) : names;
}

std::string_view without_port(std::string_view address) {
  const auto colon = address.rfind(':');
  if (colon == std::string_view::npos) return address;
  address = address.substr(0, colon);
  if (address.size() > 1 && address.front() == '[' && address.back() == ']') {
    address = address.substr(1, address.size() - 2);
  }
  return address;
}

Phase phase_of(std::string_view command) {
  const std::string low = ascii_lower(command);
  if (low.rfind("rcpt to", 0) == 0) return Phase::rcpt;
  if (low.rfind("mail from", 0) == 0) return Phase::mail;
  if (low.rfind("ehlo", 0) == 0 || low.rfind("helo", 0) == 0) return Phase::helo;
  if (low.rfind("data", 0) == 0) return Phase::data;
  return low == "." ? Phase::eod : Phase::none;
}

/// Codes stand apart from the words; Kumo's own troubles have a code and no host that said it.
void read_answer(const Record& r, Item& item) {
  item.words = r[kContent];
  item.smtp_code = read_number(r[kCode]);
  const std::uint64_t klass = read_number(r[kClass]);
  const std::uint64_t subject = read_number(r[kSubject]), detail = read_number(r[kDetail]);
  if ((klass == 2 || klass == 4 || klass == 5) && subject < 1000 && detail < 1000) {
    item.enhanced = {static_cast<std::uint16_t>(subject), static_cast<std::uint16_t>(detail),
                     static_cast<std::uint8_t>(klass)};
  }
  item.phase = phase_of(r[kCommand]);
  item.label = r[kClassification];
  item.mta_host = r[kHost];
  if (!item.mta_host.empty() && item.mta_host.back() == '.') item.mta_host.remove_suffix(1);
  item.mta_ip = r[kIp];
  item.sending_ip = without_port(r[kSource]);
}

void add_each(Job& job, const Record& r, Item& item, List list) {
  bool any = false;
  for (const Part& part : r.parts) {
    if (part.list != list) continue;
    item.recipient = part.at[0];
    job.sink.add(item);
    any = true;
  }
  if (!any) job.sink.unparsed();
}

void map(Job& job, const Record& r) {
  if (r[kType].empty()) return job.sink.unparsed();
  const Word* word = find_word(kTypes, r[kType]);
  if (word == nullptr || iequals(r[kFeedback], "not-spam")) return job.sink.ignore();
  Item item;
  item.kind = word->kind;
  item.hint = word->hint;
  item.vague = true;
  item.sender = r[kSender];
  item.message_id = r[kMessageId];
  item.provider_id = r[kId];
  item.campaign = r[kCampaign];
  item.tenant = r[kTenant];
  item.stream = r[kPool];
  item.time_us = read_time(r[kEventTime]);
  if (item.time_us == 0) item.time_us = read_time(r[kTimestamp]);
  item.sent_us = read_time(r[kCreatedTime]);
  if (item.sent_us == 0) item.sent_us = read_time(r[kCreated]);
  read_queue(r[kQueue], item);
  if (item.kind == EventKind::complained) {
    item.label = r[kFeedback];
    return add_each(job, r, item, kOriginal);
  }
  read_answer(r, item);
  if (item.kind == EventKind::bounced && item.smtp_code / 100 == 4) item.hint = ProviderHint::soft;
  add_each(job, r, item, kRecipients);
}

void parse(Job& job) {
  parse_lines_or_json(job, kShape, map);
}

}  // namespace

const Row kKumomta = {
    .face =
        {"kumomta",
         "KumoMTA log hook",
         {200, 503, 401, 400},
         kHoursUs,
         "1. policy/init.lua: log_hooks:new_json { name = \"bounced\", url = \"<this URL>\",\n"
         "   log_parameters = { headers = { \"Message-ID\" } } }.\n"
         "2. The stock hook has no password: bind this end to loopback and set networks here, or\n"
         "   send a header with a hook of your own (bearer, auth_header and auth_value).\n"
         "Tells: everything: answers, hosts, addresses of both ends, tenant, campaign, expiry.\n"
         "The stock hook throws a record away when this end does not answer 2xx: use a hook that\n"
         "asks for a retry, or read KumoMTA's log files instead."},
    .parse = parse,
};

}  // namespace bounced::parse::providers
