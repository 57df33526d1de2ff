// Twilio SendGrid: Event Webhook. Arrays of flat objects, in which the sender's own unique
// arguments lie beside SendGrid's fields.
// Source: docs.sendgrid.com "Event Webhook Reference", "Security Features" (reference/webhooks.md).
#include "base/text.h"
#include "parse/providers/row.h"
#include "parse/providers/texts.h"

namespace bounced::parse::providers {
namespace {

enum Slot : std::uint8_t {
  kEvent,
  kEmail,
  kTimestamp,
  kMessageId,
  kSmtpId,
  kReason,
  kResponse,
  kStatus,
  kType,
  kClass,
  kIp,
  kPool,
  kGroup,
  kUser,
  kCampaign,
  kCampaignName,
  kCampaignId,
  kSend,
  kCategory,
};

constexpr Field kPoolFields[] = {{"name", kPool}};
constexpr Field kFields[] = {
    {"event", kEvent},
    {"email", kEmail},
    {"timestamp", kTimestamp},
    {"sg_message_id", kMessageId},
    {"smtp-id", kSmtpId},
    {"reason", kReason},
    {"response", kResponse},
    {"status", kStatus},
    {"type", kType},
    {"bounce_classification", kClass},
    {"ip", kIp},
    {"pool", Field::kNone, kPoolFields},
    {"asm_group_id", kGroup},
    {"sg_user_id", kUser},
    {"campaign", kCampaign},
    {"marketing_campaign_name", kCampaignName},
    {"marketing_campaign_id", kCampaignId},
    {"singlesend_name", kSend},
    {"category", kCategory},
};
constexpr Shape kShape = {{}, kFields};

constexpr Word kEvents[] = {
    {"delivered", EventKind::delivered},
    {"deferred", EventKind::deferred, ProviderHint::transient},
    {"bounce", EventKind::bounced, ProviderHint::hard},
    {"dropped", EventKind::suppressed, ProviderHint::hard},
    {"spamreport", EventKind::complained},
    {"unsubscribe", EventKind::unsubscribed},
    {"group_unsubscribe", EventKind::unsubscribed},
    {"group_resubscribe", EventKind::resubscribed},
    {"resubscribe", EventKind::resubscribed},
    {"processed"},
    {"open"},
    {"click"},
};

constexpr Word kClasses[] = {
    {"Invalid Address", EventKind::bounced, ProviderHint::no_mailbox},
    {"Mailbox Unavailable", EventKind::bounced, ProviderHint::soft},
    {"Content", EventKind::bounced, ProviderHint::content},
    {"Reputation", EventKind::bounced, ProviderHint::blocked},
    {"Frequency or Volume Too High", EventKind::bounced, ProviderHint::transient},
    {"Technical Failure", EventKind::bounced, ProviderHint::network},
};

/// Dropped for the message's or the account's sake: nobody's address is on a list.
bool dropped_message(std::string_view reason) {
  for (const std::string_view known :
       {"Invalid SMTPAPI header", "Spam Content", "Recipient List over Package Quota"}) {
    if (iequals(reason.substr(0, known.size()), known)) return true;
  }
  return false;
}

/// "LRzXl_NHStOG.filterdrecv-p3mdw1-756b.1.0" -> "LRzXl_NHStOG": what the API and SMTP answered.
std::string_view short_id(std::string_view id) {
  for (auto dot = id.find('.'); dot != std::string_view::npos; dot = id.find('.', dot + 1)) {
    const std::string_view rest = id.substr(dot + 1);
    if (rest.substr(0, 6) == "filter" || rest.substr(0, 5) == "recvd") return id.substr(0, dot);
  }
  return id;
}

std::string_view campaign_of(const Record& r) {
  for (const Slot slot : {kCampaign, kCampaignName, kSend, kCampaignId, kCategory}) {
    if (!r[slot].empty()) return r[slot];
  }
  return {};
}

void judge_bounce(const Record& r, Item& item) {
  if (iequals(r[kType], "blocked")) item.hint = ProviderHint::blocked;
  if (const Word* word = find_word(kClasses, r[kClass])) item.hint = word->hint;
  item.label = r[kClass].empty() ? r[kType] : r[kClass];
}

void map(Job& job, const Record& r) {
  const Word* word = find_word(kEvents, r[kEvent]);
  if (r[kEvent].empty()) return job.sink.unparsed();
  if (word == nullptr || word->kind == EventKind::none) return job.sink.ignore();
  Item item;
  item.kind = word->kind;
  item.hint = word->hint;
  item.recipient = r[kEmail];
  item.time_us = read_time(r[kTimestamp]);
  item.message_id = r[kSmtpId];
  item.provider_id = short_id(r[kMessageId]);
  item.known_by_id = true;
  item.status = r[kStatus];
  item.campaign = campaign_of(r);
  item.stream = r[kPool];
  item.tenant = r[kUser];
  if (item.kind == EventKind::delivered || item.failing()) {
    item.words = r[kReason].empty() ? r[kResponse] : r[kReason];
    item.sending_ip = r[kIp];
  } else {
    item.label = r[kReason];
    item.status = {};
  }
  if (item.kind == EventKind::bounced) judge_bounce(r, item);
  if (item.kind == EventKind::suppressed && dropped_message(r[kReason])) {
    item.kind = EventKind::discarded;
  }
  if (item.stream.empty() && !r[kGroup].empty()) item.stream = r[kGroup];
  job.sink.add(item);
}

void parse(Job& job) {
  parse_json(job, kShape, map);
}

constexpr std::string_view kSignatureHeader = "x-twilio-email-event-webhook-signature";
constexpr std::string_view kStampHeader = "x-twilio-email-event-webhook-timestamp";

Check verify(Keys& keys, const Request& request, std::string& why) {
  const std::string_view stamp = request.header(kStampHeader);
  std::string signature;
  if (stamp.empty() || request.header(kSignatureHeader).empty()) {
    why = "no header " + std::string(kSignatureHeader) + " or its timestamp";
    return Check::missing;
  }
  if (from_base64(trim(request.header(kSignatureHeader)), signature)) {
    std::string data(stamp);
    data.append(request.body);
    for (const Key& key : keys.public_keys) {
      if (!key.verify(Digest::sha256, data, signature)) continue;
      if (in_window(keys, request, read_time(stamp))) return Check::ok;
      why = "signed at " + printable(stamp) + ", outside the window";
      return Check::stale;
    }
  }
  why = "the signature is not by one of the public keys";
  return Check::bad;
}

Result<Signed> sign(std::string_view secret, const Request& request) {
  auto key = Key::private_key(secret);
  if (!key) return tl::unexpected(key.error());
  std::string data = std::to_string(request.now_us / 1'000'000);
  Signed made;
  made.headers.emplace_back(kStampHeader, data);
  data.append(request.body);
  made.headers.emplace_back(kSignatureHeader, to_base64(key->sign(Digest::sha256, data)));
  made.body = request.body;
  return made;
}

}  // namespace

const Row kSendgrid = {
    .face =
        {"sendgrid",
         "Twilio SendGrid",
         {200, 503, 401, 400},
         24 * kHoursUs,
         "1. Settings > Mail Settings > Event Webhooks: add this URL as Post URL; choose\n"
         "   Delivered, Deferred, Bounced, Dropped, Spam Reports, Unsubscribes and the groups'.\n"
         "2. Turn on Signature Verification; copy the Verification Key.\n"
         "3. Here: secrets = that key (base64, or the same as PEM).\n"
         "Tells: the server's words and codes, the sending IP, categories, campaigns.\n"
         "Does not tell: the answering host. Ids of events change on retries; events are known\n"
         "again by what they say. Dropped events become a block of kind provider."},
    .secret = SecretForm::public_key,
    .parse = parse,
    .verify = verify,
    .sign = sign,
};

}  // namespace bounced::parse::providers
