// Amazon SES: feedback notifications and published events, through SNS (signed), SNS raw delivery
// and Lambda's form of it, or EventBridge.
// Sources: Amazon SES developer guide, "Contents of event data" and "Notification contents"; Amazon
// SNS developer guide, "Verifying the signatures of Amazon SNS messages" (reference/webhooks.md).
#include <algorithm>

#include "base/text.h"
#include "base/time.h"
#include "parse/providers/row.h"
#include "parse/providers/texts.h"

namespace bounced::parse::providers {
namespace {

// --- SES objects --------------------------------------------------------------------------------

enum Slot : std::uint8_t {
  kEvent,
  kBounceType,
  kBounceSubType,
  kFeedbackId,
  kTime,
  kRemoteIp,
  kComplaintSubType,
  kFeedbackType,
  kMillis,
  kResponse,
  kDelayType,
  kMailTime,
  kSource,
  kAccount,
  kMessageId,
  kHeaderId,
  kConfigurationSet,
  kCampaign,
  kTag,
  kOutgoingIp,
  kReason,
  kUnsubscribeAll,
  kUnsubscribedAll,
  kTopicStatus,
  kContactList,
  kHolder,  ///< a recipient's own object, as in examples: address
  kHolderStatus,
  kHolderWords,
  kHolderAction,
};

enum List : std::uint8_t { kBounced, kComplained, kDelivered, kDelayed, kDestination };

enum PartSlot : std::uint8_t { kAddress, kStatus, kWords, kAction };

constexpr Field kRecipient[] = {
    {"emailAddress", kAddress},
    {"status", kStatus},
    {"diagnosticCode", kWords},
    {"action", kAction},
};

constexpr Field kBounceFields[] = {
    {"bounceType", kBounceType}, {"bounceSubType", kBounceSubType},
    {"timestamp", kTime},        {"feedbackId", kFeedbackId},
    {"remoteMtaIp", kRemoteIp},  {"bouncedRecipients", Field::kNone, kRecipient, kBounced},
};

constexpr Field kComplaintFields[] = {
    {"complaintSubType", kComplaintSubType},
    {"complaintFeedbackType", kFeedbackType},
    {"timestamp", kTime},
    {"feedbackId", kFeedbackId},
    {"complainedRecipients", Field::kNone, kRecipient, kComplained},
};

constexpr Field kDeliveryFields[] = {
    {"timestamp", kTime},
    {"processingTimeMillis", kMillis},
    {"smtpResponse", kResponse},
    {"remoteMtaIp", kRemoteIp},
    {"recipients", Field::kNone, kRecipient, kDelivered},
};

constexpr Field kDelayFields[] = {
    {"timestamp", kTime},
    {"delayType", kDelayType},
    {"delayedRecipients", Field::kNone, kRecipient, kDelayed},
};

constexpr Field kReasonField[] = {{"reason", kReason}, {"errorMessage", kReason}};

constexpr Field kTopics[] = {{"subscriptionStatus", kTopicStatus}};
constexpr Field kNewPreferences[] = {
    {"unsubscribeAll", kUnsubscribeAll},
    {"topicSubscriptionStatus", Field::kNone, kTopics},
};
constexpr Field kOldPreferences[] = {{"unsubscribeAll", kUnsubscribedAll}};
constexpr Field kSubscriptionFields[] = {
    {"timestamp", kTime},
    {"contactList", kContactList},
    {"newTopicPreferences", Field::kNone, kNewPreferences},
    {"oldTopicPreferences", Field::kNone, kOldPreferences},
};

constexpr Field kTags[] = {
    {"ses:configuration-set", kConfigurationSet},
    {"ses:outgoing-ip", kOutgoingIp},
    {"campaign", kCampaign},
    {"campaign_id", kCampaign},
    {"Campaign", kCampaign},
    {"ses:*"},
    {"", kTag},
};
constexpr Field kCommonHeaders[] = {{"messageId", kHeaderId}};
constexpr Field kMailFields[] = {
    {"timestamp", kMailTime},
    {"source", kSource},
    {"sendingAccountId", kAccount},
    {"messageId", kMessageId},
    {"commonHeaders", Field::kNone, kCommonHeaders},
    {"tags", Field::kNone, kTags},
    {"destination", Field::kNone, kRecipient, kDestination},
};

// Behind `mail` and the named objects: the same objects alone.
constexpr Field kFields[] = {
    {"eventType", kEvent},
    {"notificationType", kEvent},
    {"mail", Field::kNone, kMailFields},
    {"bounce", Field::kNone, kBounceFields},
    {"complaint", Field::kNone, kComplaintFields},
    {"delivery", Field::kNone, kDeliveryFields},
    {"deliveryDelay", Field::kNone, kDelayFields},
    {"reject", Field::kNone, kReasonField},
    {"failure", Field::kNone, kReasonField},
    {"subscription", Field::kNone, kSubscriptionFields},
    {"bounceType", kBounceType},
    {"bounceSubType", kBounceSubType},
    {"timestamp", kTime},
    {"feedbackId", kFeedbackId},
    {"remoteMtaIp", kRemoteIp},
    {"complaintSubType", kComplaintSubType},
    {"complaintFeedbackType", kFeedbackType},
    {"processingTimeMillis", kMillis},
    {"smtpResponse", kResponse},
    {"delayType", kDelayType},
    {"bouncedRecipients", Field::kNone, kRecipient, kBounced},
    {"complainedRecipients", Field::kNone, kRecipient, kComplained},
    {"delayedRecipients", Field::kNone, kRecipient, kDelayed},
    {"recipients", Field::kNone, kRecipient, kDelivered},
    {"emailAddress", kHolder},
    {"status", kHolderStatus},
    {"diagnosticCode", kHolderWords},
    {"action", kHolderAction},
};

/// bounceType/bounceSubType. A Transient one comes when SES has given up, so it is final; General
/// may be an out-of-office reply, and counts as no failure unless its text says one.
constexpr Word kBounceClasses[] = {
    {"Permanent/NoEmail", EventKind::bounced, ProviderHint::no_mailbox},
    {"Permanent/Suppressed", EventKind::suppressed, ProviderHint::hard},
    {"Permanent/OnAccountSuppressionList", EventKind::suppressed, ProviderHint::hard},
    {"Permanent/UnsubscribedRecipient", EventKind::suppressed, ProviderHint::hard},
    {"Transient/MailboxFull", EventKind::bounced, ProviderHint::full},
    {"Transient/MessageTooLarge", EventKind::bounced, ProviderHint::too_big},
    {"Transient/ContentRejected", EventKind::bounced, ProviderHint::content},
    {"Transient/AttachmentRejected", EventKind::bounced, ProviderHint::content},
    {"Transient/CustomTimeoutExceeded", EventKind::expired, ProviderHint::network},
    {"Transient/General", EventKind::bounced, ProviderHint::transient},
};

Word bounce_class(const Record& r, std::string& label) {
  label.assign(r[kBounceType]).append(1, '/').append(r[kBounceSubType]);
  if (const Word* found = find_word(kBounceClasses, label)) return *found;
  const bool permanent = iequals(r[kBounceType], "Permanent");
  return {{}, EventKind::bounced, permanent ? ProviderHint::hard : ProviderHint::soft};
}

/// What all events of a message share.
Item common(const Record& r) {
  Item item;
  item.sender = r[kSource];
  item.message_id = r[kHeaderId];
  item.provider_id = r[kMessageId];
  item.known_by_id = true;
  item.campaign = r[kCampaign].empty() ? r[kTag] : r[kCampaign];
  item.stream = r[kConfigurationSet];
  item.tenant = r[kAccount];
  item.sending_ip = r[kOutgoingIp];
  item.mta_ip = r[kRemoteIp];
  item.time_us = read_time(r[kTime]);
  item.sent_us = read_time(r[kMailTime]);
  return item;
}

/// One event per recipient of that list; the message's destinations are more than it concerns.
/// None at all is an item that could not be read.
template <class F>
void each(Job& job, const Record& r, List list, F&& fill) {
  bool any = false;
  Item item = common(r);
  for (const Part& part : r.parts) {
    if (part.list != list) continue;
    any = true;
    item.recipient = part.at[kAddress];
    item.words = part.at[kWords];
    item.status = part.at[kStatus];
    fill(item, part);
    job.sink.add(item);
  }
  if (!any) job.sink.unparsed();
}

void map_bounce(Job& job, const Record& r) {
  std::string label;
  const Word word = bounce_class(r, label);
  each(job, r, kBounced, [&](Item& item, const Part& part) {
    const bool waits = iequals(part.at[kAction], "delayed");
    item.kind = waits ? EventKind::deferred : word.kind;
    item.hint = waits ? ProviderHint::soft : word.hint;
    item.label = label;
    item.id = r[kFeedbackId];
  });
}

void map_complaint(Job& job, const Record& r) {
  if (iequals(r[kFeedbackType], "not-spam")) return job.sink.ignore();
  const bool listed = iequals(r[kComplaintSubType], "OnAccountSuppressionList");
  each(job, r, kComplained, [&](Item& item, const Part&) {
    item.kind = listed ? EventKind::suppressed : EventKind::complained;
    item.label = listed ? r[kComplaintSubType] : r[kFeedbackType];
    item.id = r[kFeedbackId];
  });
}

void map_delivery(Job& job, const Record& r) {
  each(job, r, kDelivered, [&](Item& item, const Part&) {
    item.kind = EventKind::delivered;
    item.words = r[kResponse];
    item.delay_ms = read_number(r[kMillis]);
  });
}

void map_delay(Job& job, const Record& r) {
  each(job, r, kDelayed, [&](Item& item, const Part&) {
    item.kind = EventKind::deferred;
    item.label = r[kDelayType];
    item.hint =
        iequals(r[kDelayType], "MailboxFull") ? ProviderHint::full : ProviderHint::transient;
  });
}

/// SES found a virus and sent nothing: no recipient's trouble.
void map_reject(Job& job, const Record& r) {
  each(job, r, kDestination, [&](Item& item, const Part&) {
    item.kind = EventKind::discarded;
    item.label = r[kReason];
    if (item.time_us == 0) item.time_us = item.sent_us;
  });
}

void map_subscription(Job& job, const Record& r) {
  const bool all = read_bool(r[kUnsubscribeAll]), all_before = read_bool(r[kUnsubscribedAll]);
  const bool back = !all && (all_before || !iequals(r[kTopicStatus], "OptOut"));
  each(job, r, kDestination, [&](Item& item, const Part&) {
    item.kind = back ? EventKind::resubscribed : EventKind::unsubscribed;
    item.label = r[kContactList];
  });
}

/// A bouncedRecipients entry alone.
void map_recipient(Job& job, const Record& r) {
  Item item = common(r);
  item.recipient = r[kHolder];
  item.words = r[kHolderWords];
  item.status = r[kHolderStatus];
  const bool failed = iequals(r[kHolderAction], "failed");
  item.kind = failed ? EventKind::bounced : EventKind::deferred;
  item.hint = failed ? ProviderHint::hard : ProviderHint::soft;
  job.sink.add(item);
}

bool has(const Record& r, List list) {
  for (const Part& part : r.parts) {
    if (part.list == list) return true;
  }
  return false;
}

/// Objects without a name of their event tell it by what they hold.
void map_nameless(Job& job, const Record& r) {
  if (!r[kBounceType].empty() || has(r, kBounced)) return map_bounce(job, r);
  if (has(r, kComplained)) return map_complaint(job, r);
  if (has(r, kDelayed)) return map_delay(job, r);
  if (has(r, kDelivered)) return map_delivery(job, r);
  if (!r[kHolder].empty() && !r[kHolderAction].empty()) return map_recipient(job, r);
  if (!r[kMessageId].empty() || !r[kHolder].empty()) return job.sink.ignore();
  job.sink.unparsed();
}

}  // namespace

const Shape kSesShape = {{}, kFields};

void map_ses(Job& job, const Record& r) {
  const std::string_view event = r[kEvent];
  if (event.empty()) return map_nameless(job, r);
  if (iequals(event, "Bounce")) return map_bounce(job, r);
  if (iequals(event, "Complaint")) return map_complaint(job, r);
  if (iequals(event, "Delivery")) return map_delivery(job, r);
  if (iequals(event, "DeliveryDelay")) return map_delay(job, r);
  if (iequals(event, "Reject")) return map_reject(job, r);
  if (iequals(event, "Subscription")) return map_subscription(job, r);
  // Send, Open, Click, Rendering Failure, AmazonSnsSubscriptionSucceeded, and what may come.
  job.sink.ignore();
}

// --- SNS ----------------------------------------------------------------------------------------

namespace {

enum SnsSlot : std::uint8_t {
  kType,
  kSnsMessageId,
  kTopicArn,
  kSubject,
  kMessage,
  kTimestamp,
  kSignatureVersion,
  kSignature,
  kSubscribeUrl,
  kToken,
};

// Lambda spells the URLs in its own way.
constexpr Field kEnvelopeFields[] = {
    {"Type", kType},
    {"MessageId", kSnsMessageId},
    {"TopicArn", kTopicArn},
    {"Subject", kSubject},
    {"Message", kMessage},
    {"Timestamp", kTimestamp},
    {"SignatureVersion", kSignatureVersion},
    {"Signature", kSignature},
    {"SubscribeURL", kSubscribeUrl},
    {"SubscribeUrl", kSubscribeUrl},
    {"Token", kToken},
};
constexpr Field kLambdaFields[] = {
    {"Sns", Field::kNone, kEnvelopeFields},
    {"Type", kType},
    {"MessageId", kSnsMessageId},
    {"TopicArn", kTopicArn},
    {"Subject", kSubject},
    {"Message", kMessage},
    {"Timestamp", kTimestamp},
    {"SignatureVersion", kSignatureVersion},
    {"Signature", kSignature},
    {"SubscribeURL", kSubscribeUrl},
    {"SubscribeUrl", kSubscribeUrl},
    {"Token", kToken},
};
constexpr std::string_view kRecordsPath[] = {"Records"};
constexpr Shape kEnvelopes = {kRecordsPath, kLambdaFields};

/// In byte order of the keys; Subject only where there is one, the URL and the token only where a
/// subscription is to be confirmed.
std::string text_to_sign(const Record& r) {
  std::string text;
  const auto line = [&](std::string_view key, std::string_view value) {
    text.append(key).append(1, '\n').append(value).append(1, '\n');
  };
  const bool confirmation = r[kType] != "Notification";
  line("Message", r[kMessage]);
  line("MessageId", r[kSnsMessageId]);
  if (!confirmation && !r[kSubject].empty()) line("Subject", r[kSubject]);
  if (confirmation) line("SubscribeURL", r[kSubscribeUrl]);
  line("Timestamp", r[kTimestamp]);
  if (confirmation) line("Token", r[kToken]);
  line("TopicArn", r[kTopicArn]);
  line("Type", r[kType]);
  return text;
}

/// By any pinned certificate that is valid now: the URL in the message is never looked at.
bool signed_by_pinned(const Keys& keys, const Record& r, std::int64_t now_us) {
  std::string signature;
  if (!from_base64(r[kSignature], signature)) return false;
  if (r[kSignatureVersion] != "1" && r[kSignatureVersion] != "2") return false;
  const Digest digest = r[kSignatureVersion] == "1" ? Digest::sha1 : Digest::sha256;
  const std::string text = text_to_sign(r);
  for (const Certificate& certificate : keys.certificates) {
    if (now_us < certificate.from_us || now_us > certificate.until_us) continue;
    if (certificate.key.verify(digest, text, signature)) return true;
  }
  return false;
}

Check verify_envelope(const Keys& keys, const Request& request, const Record& r, std::string& why) {
  if (!keys.certificates.empty()) {
    if (r[kType].empty() || r[kSignature].empty()) {
      why = "not a signed SNS message (raw delivery cannot be verified)";
      return Check::missing;
    }
    if (!signed_by_pinned(keys, r, request.now_us)) {
      why = "not signed by a pinned certificate that is valid now";
      return Check::bad;
    }
    if (!in_window(keys, request, read_time(r[kTimestamp]))) {
      why = "published outside the window";
      return Check::stale;
    }
  }
  const auto& topics = keys.config.topics;
  const std::string_view topic =
      r[kTopicArn].empty() ? request.header("x-amz-sns-topic-arn") : r[kTopicArn];
  if (topics.empty() || std::find(topics.begin(), topics.end(), topic) != topics.end()) {
    return Check::ok;
  }
  why = "topic " + printable(topic.substr(0, 256)) + " is not one of ours";
  return Check::not_ours;
}

/// Every record of the body must be good.
Check verify_sns(Keys& keys, const Request& request, std::string& why) {
  thread_local JsonReader reader;
  JsonReader::Counts counts;
  Check check = Check::ok;
  const auto outcome = reader.read(request.body, kEnvelopes, counts, [&](const Record& r) {
    if (check == Check::ok) check = verify_envelope(keys, request, r, why);
  });
  if (outcome == JsonReader::Outcome::read && counts.items > 0) return check;
  why = "not an SNS message";
  return Check::missing;
}

void map_envelope(Job& job, const Record& r) {
  if (r[kType] == "SubscriptionConfirmation") {
    job.parsed.kind = Parsed::Kind::confirmation;
    job.parsed.detail = r[kSubscribeUrl];
    return;
  }
  if (r[kType] == "UnsubscribeConfirmation") {
    job.parsed.kind = Parsed::Kind::ping;
    job.parsed.detail = "the subscription to " + std::string(r[kTopicArn]) + " has ended";
    return;
  }
  if (r[kType] != "Notification") return job.sink.unparsed();
  const std::string_view message = trim(r[kMessage]);
  if (message.empty() || (message.front() != '{' && message.front() != '[')) {
    return job.sink.ignore();  // "Successfully validated SNS topic ..."
  }
  parse_json_text(job, message, kSesShape, map_ses);
}

void parse_ses(Job& job) {
  bool raw = job.request.header("x-amz-sns-rawdelivery") == "true";
  if (!raw) {
    JsonReader::Counts counts;
    const auto outcome =
        job.reader.read(job.request.body, kEnvelopes, counts, [&](const Record& r) {
          if (r[kType].empty()) {
            raw = true;
          } else {
            map_envelope(job, r);
          }
        });
    if (outcome != JsonReader::Outcome::read || counts.items == 0) {
      return refuse(job, "neither an SNS message nor an SES event");
    }
  }
  if (raw) parse_json(job, kSesShape, map_ses);
}

std::string json_text(std::string_view text) {
  std::string out;
  append_json(out, text);
  return out;
}

/// Wraps the body into a Notification of a topic, signed with SHA-256.
Result<Signed> sign_sns(std::string_view secret, const Request& request) {
  auto key = Key::private_key(secret);
  if (!key) return tl::unexpected(key.error());
  const std::string id = to_hex(hash_of(Digest::sha256, request.body)).substr(0, 32);
  const std::string stamp = format_time(request.now_us);
  Record r;
  r.at[kType] = "Notification";
  r.at[kSnsMessageId] = id;
  r.at[kTopicArn] = request.header("x-amz-sns-topic-arn");
  if (r[kTopicArn].empty()) r.at[kTopicArn] = "arn:aws:sns:us-east-1:000000000000:bounced";
  r.at[kMessage] = request.body;
  r.at[kTimestamp] = stamp;
  Signed made;
  made.body = R"({"Type":"Notification","MessageId":")" + id + R"(","TopicArn":)" +
              json_text(r[kTopicArn]) + R"(,"Message":)" + json_text(request.body) +
              R"(,"Timestamp":")" + stamp + R"(","SignatureVersion":"2","Signature":")" +
              to_base64(key->sign(Digest::sha256, text_to_sign(r))) + "\"}";
  made.headers = {{"x-amz-sns-message-type", "Notification"},
                  {"x-amz-sns-topic-arn", std::string(r[kTopicArn])}};
  return made;
}

// --- EventBridge --------------------------------------------------------------------------------

constexpr std::string_view kDetailPath[] = {"detail"};
constexpr Shape kEventbridgeShape = {kDetailPath, kFields};

void parse_eventbridge(Job& job) {
  parse_json(job, kEventbridgeShape, map_ses);
}

}  // namespace

const Row kSes = {
    .face =
        {"ses",
         "Amazon SES through SNS",
         // To SNS a 4xx is the end of a message. One that cannot be proven may be ours all the
         // same: AWS has a new certificate, a topic is missing in the configuration, a clock is
         // wrong. It comes again until its policy ends, and goes to the dead-letter queue then. 401
         // is the challenge without which SNS sends no password.
         {200, 503, 401, 400, 503},
         kHoursUs,
         "1. SNS: create a topic; subscribe this URL with protocol HTTPS, raw delivery off.\n"
         "2. SES: let the identity (Notifications) or a configuration set (Event destinations)\n"
         "   publish Bounce, Complaint, Delivery and DeliveryDelay to that topic.\n"
         "3. Here: topics = the topic's ARN; certificates = the PEM that SigningCertURL of the\n"
         "   first message names (fetch it yourself, from sns.<region>.amazonaws.com only).\n"
         "4. Open the SubscribeURL that is shown once the confirmation has come.\n"
         "Tells: deliveries, delays, bounces with the server's words, complaints, suppressions.\n"
         "Does not tell: the answering host. SNS takes any 4xx for success: only 5xx is\n"
         "retried, by default 3 times in a minute; give the subscription a longer policy."},
    .secret = SecretForm::certificate,
    .parse = parse_ses,
    .verify = verify_sns,
    .sign = sign_sns,
};

const Row kEventbridge = {
    .face =
        {"eventbridge",
         "Amazon SES through EventBridge",
         {200, 503, 401, 400},
         24 * kHoursUs,
         "1. EventBridge: a rule on source aws.ses, with an API destination of this URL.\n"
         "2. Its connection authenticates: basic, or an API key header; enter the same here as\n"
         "   basic_auth, bearer, or auth_header and auth_value.\n"
         "Tells what SES tells. Events may come late, twice and in any order."},
    .parse = parse_eventbridge,
};

}  // namespace bounced::parse::providers
