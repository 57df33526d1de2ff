// MailerSend: {type, data}, signed with an HMAC of the body.
// Source: developers.mailersend.com "Webhooks" (reference/webhooks.md).
#include "base/text.h"
#include "parse/providers/row.h"
#include "parse/providers/texts.h"

namespace bounced::parse::providers {
namespace {

enum Slot : std::uint8_t {
  kType,
  kCreated,
  kDomain,
  kDataId,
  kDataType,
  kDataCreated,
  kEmailId,
  kFrom,
  kTag,
  kMessage,
  kRecipient,
  kReason,
  kReadable,
};

constexpr Field kMessageFields[] = {{"id", kMessage}};
constexpr Field kRecipientFields[] = {{"email", kRecipient}};
constexpr Field kEmail[] = {
    {"id", kEmailId},
    {"from", kFrom},
    {"tags", kTag},
    {"message", Field::kNone, kMessageFields},
    {"recipient", kRecipient, kRecipientFields},
};
constexpr Field kMorph[] = {{"reason", kReason}, {"readable_reason", kReadable}};
constexpr Field kData[] = {
    {"id", kDataId},
    {"type", kDataType},
    {"created_at", kDataCreated},
    {"email", Field::kNone, kEmail},
    {"morph", Field::kNone, kMorph},
};
constexpr Field kFields[] = {
    {"type", kType},
    {"created_at", kCreated},
    {"domain_id", kDomain},
    {"data", Field::kNone, kData},
};
constexpr Shape kShape = {{}, kFields};

constexpr Word kEvents[] = {
    {"delivered", EventKind::delivered},
    {"deferred", EventKind::deferred, ProviderHint::transient},
    {"soft_bounced", EventKind::bounced, ProviderHint::soft},
    {"hard_bounced", EventKind::bounced, ProviderHint::hard},
    {"unsubscribed", EventKind::unsubscribed},
    {"spam_complaint", EventKind::complained},
};

void map(Job& job, const Record& r) {
  constexpr std::string_view kPrefix = "activity.";
  std::string_view type = r[kType].empty() ? r[kDataType] : r[kType];
  if (type.empty()) return job.sink.unparsed();
  if (type.substr(0, kPrefix.size()) == kPrefix) type.remove_prefix(kPrefix.size());
  const Word* word = find_word(kEvents, type);
  if (word == nullptr) return job.sink.ignore();
  Item item;
  item.kind = word->kind;
  item.hint = word->hint;
  item.recipient = r[kRecipient];
  item.sender = r[kFrom];
  item.provider_id = r[kMessage].empty() ? r[kEmailId] : r[kMessage];
  item.campaign = r[kTag];
  item.stream = r[kDomain];
  item.time_us = read_time(r[kDataCreated].empty() ? r[kCreated] : r[kDataCreated]);
  item.id = r[kDataId];
  if (item.failing()) item.words = r[kReason];
  item.label = r[kReadable].empty() ? r[kReason] : r[kReadable];
  job.sink.add(item);
}

void parse(Job& job) {
  parse_json(job, kShape, map);
}

Check verify(Keys& keys, const Request& request, std::string& why) {
  return verify_body_hmac(keys, request, "signature", why);
}

Result<Signed> sign(std::string_view secret, const Request& request) {
  return sign_body_hmac(secret, request, "signature");
}

}  // namespace

const Row kMailersend = {
    .face = {"mailersend",
             "MailerSend",
             {200, 503, 401, 400},
             24 * kHoursUs,
             "1. Domain > Webhooks: this URL; activity.delivered, .soft_bounced, .hard_bounced,\n"
             "   .spam_complaint, .unsubscribed.\n"
             "2. Copy the signing secret. Here: secrets = that.\n"
             "Tells: words of bounces, tags, the domain's id (as stream).\n"
             "Does not tell: codes, hosts. 20 failed posts in a day pause the webhook."},
    .secret = SecretForm::text,
    .parse = parse,
    .verify = verify,
    .sign = sign,
};

}  // namespace bounced::parse::providers
