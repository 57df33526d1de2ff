// Postal: {event, timestamp, uuid, payload}, signed with the installation's RSA key.
// Source: docs.postalserver.io "Webhooks"; signature headers of its source (reference/webhooks.md).
#include "base/text.h"
#include "parse/providers/row.h"
#include "parse/providers/texts.h"

namespace bounced::parse::providers {
namespace {

enum Slot : std::uint8_t {
  kEvent,
  kTime,
  kUuid,
  kStatus,
  kDetails,
  kOutput,
  kPayloadTime,
  kTo,
  kFrom,
  kMessageId,
  kId,
  kTag,
  kMessageTime,
  kOriginalTo,
  kOriginalFrom,
  kOriginalMessageId,
  kOriginalId,
  kOriginalTag,
};

constexpr Field kMessage[] = {
    {"to", kTo}, {"from", kFrom}, {"message_id", kMessageId},
    {"id", kId}, {"tag", kTag},   {"timestamp", kMessageTime},
};
constexpr Field kOriginal[] = {
    {"to", kOriginalTo}, {"from", kOriginalFrom}, {"message_id", kOriginalMessageId},
    {"id", kOriginalId}, {"tag", kOriginalTag},
};
constexpr Field kBounce[] = {{"timestamp", kPayloadTime}};
constexpr Field kPayload[] = {
    {"status", kStatus},
    {"details", kDetails},
    {"output", kOutput},
    {"timestamp", kPayloadTime},
    {"message", Field::kNone, kMessage},
    {"original_message", Field::kNone, kOriginal},
    {"bounce", Field::kNone, kBounce},
};
// Behind `payload`: its fields alone, as in the manual.
constexpr Field kFields[] = {
    {"event", kEvent},
    {"payload", Field::kNone, kPayload},
    {"uuid", kUuid},
    {"status", kStatus},
    {"details", kDetails},
    {"output", kOutput},
    {"message", Field::kNone, kMessage},
    {"original_message", Field::kNone, kOriginal},
    {"bounce", Field::kNone, kBounce},
    {"timestamp", kTime},
};
constexpr Shape kShape = {{}, kFields};

/// Held mail is Postal's own doing: a suppression, a limit, or no credits.
constexpr Word kEvents[] = {
    {"MessageSent", EventKind::delivered},
    {"Sent", EventKind::delivered},
    {"MessageDelayed", EventKind::deferred, ProviderHint::transient},
    {"SoftFail", EventKind::deferred, ProviderHint::transient},
    {"MessageDeliveryFailed", EventKind::bounced, ProviderHint::hard},
    {"HardFail", EventKind::bounced, ProviderHint::hard},
    {"MessageHeld", EventKind::discarded},
    {"Held", EventKind::discarded},
    {"MessageBounced", EventKind::bounced, ProviderHint::hard},
};

bool holds_listed(std::string_view details) {
  return ascii_lower(details).find("suppression list") != std::string::npos;
}

Item common(const Record& r) {
  const bool bounce = !r[kOriginalTo].empty();
  Item item;
  item.recipient = r[bounce ? kOriginalTo : kTo];
  item.sender = r[bounce ? kOriginalFrom : kFrom];
  item.message_id = r[bounce ? kOriginalMessageId : kMessageId];
  item.provider_id = r[bounce ? kOriginalId : kId];
  item.campaign = r[bounce ? kOriginalTag : kTag];
  for (const Slot slot : {kPayloadTime, kTime, kMessageTime}) {
    if (item.time_us == 0) item.time_us = read_time(r[slot]);
  }
  item.sent_us = read_time(r[kMessageTime]);
  item.id = r[kUuid];
  return item;
}

void map(Job& job, const Record& r) {
  const bool bounce = !r[kOriginalTo].empty();
  const std::string_view name =
      !r[kEvent].empty() ? r[kEvent] : (bounce ? "MessageBounced" : r[kStatus]);
  const Word* word = find_word(kEvents, name);
  if (name.empty() && r[kTo].empty()) return job.sink.ignore();  // a click, a domain's DNS
  if (word == nullptr) return job.sink.ignore();
  Item item = common(r);
  item.kind = word->kind;
  item.hint = word->hint;
  item.vague = true;
  if (holds_listed(r[kDetails]) && item.kind != EventKind::delivered) {
    item.kind = EventKind::suppressed;
  }
  if (item.failing() || item.kind == EventKind::delivered) {
    item.words = r[kOutput].empty() ? r[kDetails] : r[kOutput];
  }
  item.label = r[kDetails];
  job.sink.add(item);
}

void parse(Job& job) {
  parse_json(job, kShape, map);
}

constexpr std::string_view kOldHeader = "x-postal-signature";
constexpr std::string_view kHeader = "x-postal-signature-256";

/// The stronger of the two decides where both are there.
Check verify(Keys& keys, const Request& request, std::string& why) {
  const bool strong = !request.header(kHeader).empty();
  const std::string_view given = trim(request.header(strong ? kHeader : kOldHeader));
  if (given.empty()) {
    why = "no header " + std::string(kHeader);
    return Check::missing;
  }
  std::string signature;
  if (from_base64(given, signature)) {
    const Digest digest = strong ? Digest::sha256 : Digest::sha1;
    for (const Key& key : keys.public_keys) {
      if (key.verify(digest, request.body, signature)) return Check::ok;
    }
  }
  why = "the signature is not by one of the public keys";
  return Check::bad;
}

Result<Signed> sign(std::string_view secret, const Request& request) {
  auto key = Key::private_key(secret);
  if (!key) return tl::unexpected(key.error());
  Signed made;
  made.headers = {
      {std::string(kOldHeader), to_base64(key->sign(Digest::sha1, request.body))},
      {std::string(kHeader), to_base64(key->sign(Digest::sha256, request.body))},
  };
  made.body = request.body;
  return made;
}

}  // namespace

const Row kPostal = {
    .face =
        {"postal",
         "Postal",
         {200, 503, 401, 400},
         kHoursUs,
         "1. Mail server > Webhooks: this URL; MessageSent, MessageDelayed,\n"
         "   MessageDeliveryFailed, MessageHeld, MessageBounced.\n"
         "2. Here: secrets = the public half of the installation's signing key (PEM, or what\n"
         "   `postal default-dkim-record` shows behind p=).\n"
         "Tells: the server's words, tag. MessageBounced has no reason: it needs a second one.\n"
         "Does not tell: codes of their own. Five tries within 40 minutes, 5 s for an answer."},
    .secret = SecretForm::public_key,
    .parse = parse,
    .verify = verify,
    .sign = sign,
};

}  // namespace bounced::parse::providers
