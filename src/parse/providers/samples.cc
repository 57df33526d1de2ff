// One delivery as each provider would tell it, to try a set-up out. Texts of our own, by the pages
// that each provider's file names.
#include <array>
#include <string>

#include "base/time.h"
#include "parse/providers/providers.h"

namespace bounced::parse::providers {
namespace {

constexpr std::string_view kJson = "application/json";

struct Template {
  std::string_view provider;
  /// {id}: of event and message; {s} {ms}: since 1970; {iso} "2026-11-21T08:00:00.250000Z";
  /// {civil} "2026-11-21 08:00:00"; {to}: the recipient.
  std::string_view text;
  std::string_view content_type = kJson;
  std::string_view field{};  ///< of a form that holds the text
  bool query = false;        ///< the text is the query of a GET
};

constexpr std::string_view kSesText =
    R"({"eventType":"Delivery","mail":{"timestamp":"{iso}","source":"sender@example.com",)"
    R"("messageId":"{id}-000000","destination":["{to}"]},"delivery":{"timestamp":"{iso}",)"
    R"("recipients":["{to}"],"smtpResponse":"250 2.0.0 OK","reportingMTA":"mta.example.com"}})";

constexpr Template kTemplates[] = {
    {"ses", kSesText, "text/plain; charset=UTF-8"},
    {"sendgrid",
     R"([{"email":"{to}","timestamp":{s},"event":"delivered","sg_event_id":"{id}",)"
     R"("sg_message_id":"{id}.filter0001","smtp-id":"<{id}@example.com>","response":"250 OK"}])"},
    {"mailgun",
     R"({"event-data":{"event":"delivered","id":"{id}","timestamp":{s}.25,"recipient":"{to}",)"
     R"("message":{"headers":{"message-id":"{id}@example.com"}},)"
     R"("delivery-status":{"code":250,"message":"OK","mx-host":"mx.example.com"}}})"},
    {"postmark",
     R"({"RecordType":"Delivery","MessageID":"{id}","Recipient":"{to}","DeliveredAt":"{iso}",)"
     R"("Details":"smtp;250 2.0.0 OK","ServerID":1,"MessageStream":"outbound"})"},
    {"sparkpost",
     R"([{"msys":{"message_event":{"type":"delivery","timestamp":"{s}","event_id":"{id}",)"
     R"("message_id":"{id}","rcpt_to":"{to}","raw_rcpt_to":"{to}"}}}])"},
    {"brevo", R"({"event":"delivered","email":"{to}","message-id":"<{id}@example.com>","ts":{s},)"
              R"("ts_event":{s},"ts_epoch":{ms}})"},
    {"zeptomail",
     R"({"event_name":["delivered"],"event_message":[{"request_id":"{id}","email_info":{)"
     R"("email_reference":"{id}","to":[{"email_address":{"address":"{to}"}}],)"
     R"("from":{"address":"sender@example.com"}},"event_data":[{"object":"email",)"
     R"("details":[{"time":"{iso}","delivered_recipient":"{to}"}]}]}],)"
     R"("webhook_request_id":"{id}"})"},
    {"kumomta",
     R"({"type":"Delivery","id":"{id}","sender":"sender@example.com","recipient":"{to}",)"
     R"("queue":"example.com","response":{"code":250,"content":"OK","command":"."},)"
     R"("timestamp":{s},"event_time":"{iso}","created":{s},"num_attempts":0,)"
     R"("headers":{"Message-ID":"<{id}@example.com>"}})"},
    {"generic",
     R"({"kind":"delivered","id":"{id}","time":"{iso}","recipient":"{to}",)"
     R"("message_id":"<{id}@example.com>","smtp_code":250,"diagnostic":"250 2.0.0 OK"})"},
    {"mandrill",
     R"([{"event":"delivered","ts":{s},"_id":"{id}","msg":{"_id":"{id}","email":"{to}","ts":{s},)"
     R"("sender":"sender@example.com","smtp_events":[{"ts":{s},"type":"sent","diag":"250 OK"}]}}])",
     "application/x-www-form-urlencoded", "mandrill_events"},
    {"mailjet",
     R"([{"event":"sent","time":{s},"MessageID":{ms},"Message_GUID":"{id}","email":"{to}",)"
     R"("smtp_reply":"250 2.0.0 OK"}])"},
    {"resend", R"({"type":"email.delivered","created_at":"{iso}","data":{"email_id":"{id}",)"
               R"("message_id":"<{id}@example.com>","from":"sender@example.com","to":["{to}"],)"
               R"("created_at":"{iso}"}})"},
    {"mailersend",
     R"({"type":"activity.delivered","created_at":"{iso}","data":{"object":"activity",)"
     R"("id":"{id}","type":"delivered","created_at":"{iso}","email":{"id":"{id}",)"
     R"("message":{"id":"{id}"},"recipient":{"email":"{to}"}}}})"},
    {"postal",
     R"({"event":"MessageSent","timestamp":{s}.25,"uuid":"{id}","payload":{"status":"Sent",)"
     R"("output":"250 2.0.0 OK","timestamp":{s}.25,"message":{"id":{s},"token":"{id}",)"
     R"("direction":"outgoing","message_id":"{id}@example.com","to":"{to}",)"
     R"("from":"sender@example.com","timestamp":{s}.0}}})"},
    {"mailtrap",
     R"({"events":[{"event":"delivery","email":"{to}","timestamp":{s},"event_id":"{id}",)"
     R"("message_id":"{id}","sending_stream":"transactional"}]})"},
    {"unisender",
     R"({"events_by_user":[{"user_id":1,"events":[{"event_name":"transactional_email_status",)"
     R"("event_data":{"job_id":"{id}","email":"{to}","status":"delivered",)"
     R"("event_time":"{civil}"}}]}]})"},
    {"elasticemail",
     "to={to}&from=sender%40example.com&date={civil}&status=Sent&category=Unknown&messageid={id}"
     "&transaction={id}",
     "", "", true},
    {"eventbridge",
     R"({"version":"0","id":"{id}","detail-type":"Email Delivered","source":"aws.ses",)"
     R"("time":"{iso}","detail":{"eventType":"Delivery","mail":{"timestamp":"{iso}",)"
     R"("source":"sender@example.com","messageId":"{id}-000000","destination":["{to}"]},)"
     R"("delivery":{"timestamp":"{iso}","recipients":["{to}"],"smtpResponse":"250 2.0.0 OK"}}})"},
    {"cloudevents",
     R"({"specversion":"1.0","id":"{id}","source":"/bounced/sample","type":"mail.delivered",)"
     R"("time":"{iso}","data":{"kind":"delivered","recipient":"{to}",)"
     R"("message_id":"<{id}@example.com>"}})",
     "application/cloudevents+json"},
};

std::string percent_encoded(std::string_view text) {
  constexpr std::string_view kDigits = "0123456789ABCDEF";
  std::string out;
  for (const char c : text) {
    const bool plain = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                       c == '-' || c == '.' || c == '_';
    if (plain) {
      out += c;
    } else {
      out += '%';
      out += kDigits[static_cast<unsigned char>(c) >> 4];
      out += kDigits[static_cast<unsigned char>(c) & 15];
    }
  }
  return out;
}

}  // namespace

Sample sample(std::string_view provider, std::string_view id, std::int64_t now_us) {
  Sample made;
  for (const Template& t : kTemplates) {
    if (t.provider != provider) continue;
    const std::string iso = format_time(now_us);
    std::string civil = iso.substr(0, 19);
    civil[10] = ' ';
    const auto value = [&](const std::string& text) {
      return t.query ? percent_encoded(text) : text;
    };
    const std::pair<std::string_view, std::string> kNames[] = {
        {"{id}", std::string(id)},
        {"{s}", std::to_string(now_us / 1'000'000)},
        {"{ms}", std::to_string(now_us / 1000)},
        {"{iso}", iso},
        {"{civil}", value(civil)},
        {"{to}", value(std::string(kSampleRecipient))},
    };
    std::string text(t.text);
    for (const auto& [name, with] : kNames) {
      for (auto at = text.find(name); at != std::string::npos; at = text.find(name, at)) {
        text.replace(at, name.size(), with);
        at += with.size();
      }
    }
    made.content_type = t.content_type;
    if (!t.field.empty()) text = std::string(t.field) + "=" + percent_encoded(text);
    if (t.query) made.method = "GET";
    (t.query ? made.query : made.body) = std::move(text);
  }
  return made;
}

}  // namespace bounced::parse::providers
