// Our own schema, for whoever can write JSON: one object, an array, or lines; and CloudEvents
// around it. The names are those of `bounced parse`; others that are widely used are understood.
#include "base/text.h"
#include "parse/providers/row.h"
#include "parse/providers/texts.h"

namespace bounced::parse::providers {
namespace {

enum Slot : std::uint8_t {
  kId,
  kKind,
  kTime,
  kRecipient,
  kSender,
  kDiagnostic,
  kSmtpCode,
  kEnhanced,
  kMessageId,
  kQueueId,
  kMtaHost,
  kMtaIp,
  kSendingIp,
  kCampaign,
  kStream,
  kTenant,
  kHint,
  kPhase,
  kDelay,
  kFeedback,
  kStatus,
  // CloudEvents' own attributes
  kEventId,
  kEventType,
  kEventTime,
  kEventSource,
};

constexpr Field kMta[] = {{"host", kMtaHost}, {"ip", kMtaIp}};
constexpr Field kDetails[] = {{"statusMessage", kDiagnostic}};  // Azure Communication Services

constexpr Field kFields[] = {
    {"id", kId},
    {"event_id", kId},
    {"kind", kKind},
    {"event", kKind},
    {"type", kKind},
    {"time", kTime},
    {"timestamp", kTime},
    {"recipient", kRecipient},
    {"email", kRecipient},
    {"to", kRecipient},
    {"sender", kSender},
    {"from", kSender},
    {"diagnostic", kDiagnostic},
    {"reason", kDiagnostic},
    {"response", kDiagnostic},
    {"smtp_code", kSmtpCode},
    {"code", kSmtpCode},
    {"enhanced", kEnhanced},
    {"status", kStatus},
    {"message_id", kMessageId},
    {"queue_id", kQueueId},
    {"mta", kMtaHost, kMta},
    {"mta_host", kMtaHost},
    {"mta_ip", kMtaIp},
    {"sending_ip", kSendingIp},
    {"campaign", kCampaign},
    {"stream", kStream},
    {"tenant", kTenant},
    {"hint", kHint},
    {"class", kHint},
    {"phase", kPhase},
    {"delay_ms", kDelay},
    {"feedback_type", kFeedback},
    {"messageId", kMessageId},
    {"deliveryStatusDetails", Field::kNone, kDetails},
    {"deliveryAttemptTimeStamp", kTime},
};

constexpr Field kEventFields[] = {
    {"id", kEventId},
    {"type", kEventType},
    {"time", kEventTime},
    {"source", kEventSource},
    {"data", Field::kNone, kFields},
};
constexpr Shape kEventShape = {{}, kEventFields};

constexpr Word kKinds[] = {
    {"delivered", EventKind::delivered},
    {"delivery", EventKind::delivered},
    {"deferred", EventKind::deferred, ProviderHint::transient},
    {"delayed", EventKind::deferred, ProviderHint::transient},
    {"bounced", EventKind::bounced, ProviderHint::hard},
    {"bounce", EventKind::bounced, ProviderHint::hard},
    {"hard_bounce", EventKind::bounced, ProviderHint::hard},
    {"soft_bounce", EventKind::bounced, ProviderHint::soft},
    {"failed", EventKind::bounced, ProviderHint::soft},
    {"expired", EventKind::expired, ProviderHint::transient},
    {"complained", EventKind::complained},
    {"complaint", EventKind::complained},
    {"spam", EventKind::complained},
    {"unsubscribed", EventKind::unsubscribed},
    {"unsubscribe", EventKind::unsubscribed},
    {"resubscribed", EventKind::resubscribed},
    {"resubscribe", EventKind::resubscribed},
    {"suppressed", EventKind::suppressed, ProviderHint::hard},
    {"dropped", EventKind::suppressed, ProviderHint::hard},
    {"autoreplied", EventKind::autoreplied, ProviderHint::autoreply},
    {"discarded", EventKind::discarded},
    {"quarantined", EventKind::discarded},
    {"filteredspam", EventKind::bounced, ProviderHint::spam},
    {"relayed"},
    {"probed"},
    {"opened"},
    {"clicked"},
    {"expanded"},
    {"outfordelivery"},
};

struct HintWord {
  std::string_view word;
  ProviderHint hint;
};
constexpr HintWord kHints[] = {
    {"hard", ProviderHint::hard},
    {"permanent", ProviderHint::hard},
    {"soft", ProviderHint::soft},
    {"temporary", ProviderHint::soft},
    {"blocked", ProviderHint::blocked},
    {"full", ProviderHint::full},
    {"dns", ProviderHint::dns},
    {"transient", ProviderHint::transient},
    {"autoreply", ProviderHint::autoreply},
    {"challenge", ProviderHint::challenge},
    {"no_mailbox", ProviderHint::no_mailbox},
    {"bad_mailbox", ProviderHint::bad_mailbox},
    {"spam", ProviderHint::spam},
    {"content", ProviderHint::content},
    {"too_big", ProviderHint::too_big},
    {"network", ProviderHint::network},
};

ProviderHint hint_of(std::string_view word, ProviderHint otherwise) {
  for (const HintWord& known : kHints) {
    if (iequals(known.word, word)) return known.hint;
  }
  return otherwise;
}

/// A kind that nobody knows is the sender's mistake, and no event to pass over in silence.
void add(Job& job, const Record& r, std::string_view kind, std::string_view id,
         std::string_view time) {
  const Word* word = find_word(kKinds, kind);
  if (word == nullptr) return job.sink.unparsed();
  if (word->kind == EventKind::none || iequals(r[kFeedback], "not-spam")) {
    return job.sink.ignore();
  }
  Item item;
  item.kind = word->kind;
  item.hint = hint_of(r[kHint], word->hint);
  item.vague = r[kHint].empty();
  from_string(r[kPhase], item.phase);
  item.recipient = r[kRecipient];
  item.sender = r[kSender];
  item.message_id = r[kMessageId];
  item.provider_id = r[kQueueId];
  item.mta_host = r[kMtaHost];
  item.mta_ip = r[kMtaIp];
  item.sending_ip = r[kSendingIp];
  item.words = r[kDiagnostic];
  item.smtp_code = read_number(r[kSmtpCode]);
  item.enhanced = read_enhanced(r[kEnhanced]);
  item.status = r[kStatus];
  item.label = r[kFeedback];
  item.campaign = r[kCampaign];
  item.stream = r[kStream];
  item.tenant = r[kTenant];
  item.time_us = read_time(time);
  item.delay_ms = read_number(r[kDelay]);
  item.id = id;
  job.sink.add(item);
}

/// The first of the two that says something.
std::string_view either(std::string_view a, std::string_view b) {
  return a.empty() ? b : a;
}

/// "org.example.mail.bounced" -> "bounced".
std::string_view last_segment(std::string_view type) {
  const auto dot = type.rfind('.');
  return dot == std::string_view::npos ? type : type.substr(dot + 1);
}

void map_cloudevent(Job& job, const Record& r) {
  if (r[kEventType].empty()) return job.sink.unparsed();
  const bool azure = r[kEventType] == "Microsoft.Communication.EmailDeliveryReportReceived";
  const std::string_view kind = either(r[kKind], azure ? r[kStatus] : last_segment(r[kEventType]));
  std::string id(r[kEventSource]);  // an id is unique within its source
  id.append(1, ' ').append(either(r[kEventId], r[kId]));
  add(job, r, kind, id, either(r[kTime], r[kEventTime]));
}

/// Binary mode: the attributes are headers, the body is the data.
void map_binary(Job& job, const Record& data) {
  Record r = data;
  r.at[kEventId] = job.request.header("ce-id");
  r.at[kEventType] = job.request.header("ce-type");
  r.at[kEventTime] = job.request.header("ce-time");
  r.at[kEventSource] = job.request.header("ce-source");
  map_cloudevent(job, r);
}

void parse_generic(Job& job) {
  parse_lines_or_json(job, kGenericShape, map_generic);
}

void parse_cloudevents(Job& job) {
  if (!job.request.header("ce-type").empty()) return parse_json(job, kGenericShape, map_binary);
  parse_json(job, kEventShape, map_cloudevent);
}

constexpr std::string_view kSignatureHeader = "x-webhook-signature";

Check verify_generic(Keys& keys, const Request& request, std::string& why) {
  if (!request.header(kSignatureHeader).empty()) {
    return verify_body_hmac(keys, request, kSignatureHeader, why);
  }
  const Check check = verify_standard(keys, request, why);
  if (check == Check::missing) why = "neither x-webhook-signature nor webhook-signature";
  return check;
}

Result<Signed> sign_generic(std::string_view secret, const Request& request) {
  return sign_body_hmac(secret, request, std::string(kSignatureHeader));
}

}  // namespace

const Shape kGenericShape = {{}, kFields};

void map_generic(Job& job, const Record& r) {
  add(job, r, r[kKind], r[kId], r[kTime]);
}

const Row kGeneric = {
    .face =
        {"generic",
         "Our own JSON",
         {200, 503, 401, 400},
         24 * kHoursUs,
         "POST one JSON object, an array, or one object per line:\n"
         "  kind       delivered deferred bounced expired complained unsubscribed resubscribed\n"
         "             suppressed autoreplied                            (required)\n"
         "  recipient  the address                                       (required)\n"
         "  time       RFC 3339 or Unix time; without: when it came\n"
         "  diagnostic smtp_code enhanced phase    what the server said\n"
         "  hint       hard soft blocked full dns transient autoreply challenge no_mailbox spam\n"
         "             content too_big network: your own class, where the server said nothing\n"
         "  id         of the event: told again, it counts once; without: by what it says\n"
         "  message_id queue_id sender mta{host,ip} sending_ip campaign stream tenant delay_ms\n"
         "  feedback_type   not-spam does not block\n"
         "Sign with secrets: x-webhook-signature = hex HMAC-SHA256 of the body, or Standard\n"
         "Webhooks; or use basic_auth, bearer, auth_header, networks."},
    .secret = SecretForm::text,
    .window_us = 5 * kMinutesUs,
    .parse = parse_generic,
    .verify = verify_generic,
    .sign = sign_generic,
};

const Row kCloudevents = {
    .face =
        {"cloudevents",
         "CloudEvents 1.0",
         {200, 429, 401, 400},
         24 * kHoursUs,
         "POST structured (application/cloudevents+json), batched or binary (ce-* headers).\n"
         "`data` has the fields of provider generic; its kind may be the last part of `type`\n"
         "(org.example.mail.bounced). The OPTIONS handshake is answered.\n"
         "Here: bearer = the token (also taken from ?access_token=), or basic_auth, auth_header.\n"
         "Understands the e-mail delivery reports of Azure Communication Services in this form."},
    .parse = parse_cloudevents,
};

}  // namespace bounced::parse::providers
