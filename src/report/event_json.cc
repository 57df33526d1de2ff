#include "report/event_json.h"

#include <charconv>

#include "base/address.h"
#include "base/text.h"
#include "base/time.h"
#include "parse/parse.h"
#include "report/event_view.h"

namespace bounced::report {
namespace {

/// ,"key":  (key is ours: no escapes needed)
void append_key(std::string& out, std::string_view key) {
  out += ",\"";
  out += key;
  out += "\":";
}

void append_text(std::string& out, std::string_view key, std::string_view text) {
  if (text.empty()) return;
  append_key(out, key);
  append_json(out, text);
}

/// Words of ours, never in need of escapes.
void append_word(std::string& out, std::string_view key, std::string_view word) {
  append_key(out, key);
  out += '"';
  out += word;
  out += '"';
}

void append_mta(std::string& out, const EventView& view) {
  if (view.mta_host.empty() && view.mta_ip.empty() && view.mta_port == 0) return;
  append_key(out, "mta");
  const std::size_t brace = out.size();
  append_text(out, "host", view.mta_host);
  append_text(out, "ip", view.mta_ip);
  if (view.mta_port != 0) {
    append_key(out, "port");
    append_number(out, view.mta_port);
  }
  out[brace] = '{';  // was the first member's comma
  out += '}';
}

void append_source(std::string& out, const EventView& view) {
  append_key(out, "source");
  const std::size_t brace = out.size();
  append_text(out, "name", view.source);
  append_key(out, "offset");
  append_number(out, view.offset);
  append_text(out, "format", view.format);
  out[brace] = '{';
  out += '}';
}

/// 98 -> 0.98, 90 -> 0.9, 100 -> 1.
void append_confidence(std::string& out, std::uint8_t percent) {
  if (percent >= 100) {
    out += '1';
    return;
  }
  out += '0';
  if (percent == 0) return;
  out += '.';
  out += static_cast<char>('0' + percent / 10);
  if (percent % 10 != 0) out += static_cast<char>('0' + percent % 10);
}

Failure failure_of(const Batch& batch, const Event& event) {
  Failure failure;
  failure.diagnostic = batch.view(event.diagnostic);
  failure.smtp_code = event.smtp_code;
  failure.enhanced = event.enhanced;
  failure.phase = event.phase;
  failure.kind = event.kind;
  failure.hint = event.hint;
  failure.mta_host = batch.view(event.mta_host);
  failure.recipient_domain = raw_domain(batch.view(event.recipient));
  return failure;
}

Classifier::Span span_of(const Batch& batch, const Event& event, const Verdict& verdict,
                         Classifier& classifier) {
  Failure failure = failure_of(batch, event);
  if (event.has(EventFlags::kSynthesised)) {
    // The verdict of an expiry may be that of an earlier attempt than the last, whose words these
    // are: no span then.
    failure.kind = EventKind::deferred;
    if (classifier.classify(failure).rule != verdict.rule) return {};
  }
  return classifier.span(failure);
}

}  // namespace

void append_number(std::string& out, std::uint64_t number) {
  char digits[20];
  const auto end = std::to_chars(digits, digits + sizeof digits, number).ptr;
  out.append(digits, end);
}

void append_time_json(std::string& out, std::int64_t time_us) {
  char text[32];
  out += '"';
  out.append(text, format_time(time_us, text));
  out += '"';
}

void append_enhanced(std::string& out, const EnhancedCode& enhanced) {
  append_number(out, enhanced.klass);
  out += '.';
  append_number(out, enhanced.subject);
  out += '.';
  append_number(out, enhanced.detail);
}

void append_verdict_view(std::string& out, const Verdict& verdict, std::string_view rule,
                         const RuleSet& rules, std::uint32_t span_begin, std::uint32_t span_end) {
  const std::size_t brace = out.size();
  append_text(out, "cause", cause_id(rules, verdict.cause));
  append_word(out, "class", to_string(verdict.bounce_class));
  out += verdict.hard() ? ",\"hard\":true" : ",\"hard\":false";
  if (verdict.said != Severity::none) append_word(out, "said", to_string(verdict.said));
  if (verdict.severity != Severity::none) {
    append_word(out, "severity", to_string(verdict.severity));
  }
  if (verdict.category != Category::none) {
    append_word(out, "category", to_string(verdict.category));
  }
  append_word(out, "fault", to_string(verdict.fault));
  append_text(out, "rule", rule);
  append_key(out, "confidence");
  append_confidence(out, verdict.confidence);
  if (span_end > span_begin) {
    append_key(out, "span");
    out += '[';
    append_number(out, span_begin);
    out += ',';
    append_number(out, span_end);
    out += ']';
  }
  out[brace] = '{';
  out += '}';
}

void append_verdict_json(std::string& out, const Verdict& verdict, const RuleSet& rules,
                         std::uint32_t span_begin, std::uint32_t span_end) {
  // The number of a rule means nothing to a rule set of another generation.
  const std::string_view rule =
      verdict.generation == generation(rules) ? rule_name(rules, verdict.rule) : std::string_view{};
  append_verdict_view(out, verdict, rule, rules, span_begin, span_end);
}

void append_event_view(std::string& out, const EventView& view, const RuleSet* rules) {
  out += "{\"time\":";
  append_time_json(out, view.time_us);
  append_word(out, "kind", to_string(view.kind));
  if (!view.attempted) out += ",\"attempted\":false";
  append_text(out, "recipient", view.recipient);
  append_text(out, "sender", view.null_sender ? std::string_view("<>") : view.sender);
  append_text(out, "tenant", view.tenant);
  append_text(out, "stream", view.stream);
  append_text(out, "campaign", view.campaign);
  append_text(out, "queue_id", view.queue_id);
  append_text(out, "message_id", view.message_id);
  append_mta(out, view);
  append_text(out, "sending_ip", view.sending_ip);
  if (view.phase != Phase::none) append_word(out, "phase", to_string(view.phase));
  if (view.smtp_code != 0) {
    append_key(out, "smtp_code");
    append_number(out, view.smtp_code);
  }
  if (view.enhanced.present()) {
    append_key(out, "enhanced");
    out += '"';
    append_enhanced(out, view.enhanced);
    out += '"';
  }
  append_text(out, "diagnostic", view.diagnostic);
  append_text(out, "hint", view.hint);
  if (view.delay_ms != 0) {
    append_key(out, "delay_ms");
    append_number(out, view.delay_ms);
  }
  append_source(out, view);
  if (view.verdict != nullptr && rules != nullptr) {
    append_key(out, "verdict");
    append_verdict_view(out, *view.verdict, view.rule, *rules, view.span_begin, view.span_end);
  }
  out += '}';
}

void append_event_json(std::string& out, const Batch& batch, const Event& event,
                       const EventJsonContext& context) {
  EventView view;
  view.time_us = event.time_us;
  view.kind = event.kind;
  view.attempted = !event.has(EventFlags::kNotAttempted);
  view.null_sender = event.has(EventFlags::kNullSender);
  view.recipient = batch.view(event.recipient);
  view.sender = batch.view(event.sender);
  view.campaign = batch.view(event.campaign);
  view.queue_id = batch.view(event.queue_id);
  view.message_id = batch.view(event.message_id);
  view.mta_host = batch.view(event.mta_host);
  view.mta_ip = batch.view(event.mta_ip);
  view.mta_port = event.mta_port;
  view.sending_ip = batch.view(event.sending_ip);
  view.phase = event.phase;
  view.smtp_code = event.smtp_code;
  view.enhanced = event.enhanced;
  view.diagnostic = batch.view(event.diagnostic);
  if (event.failing()) view.hint = to_string(event.hint);
  view.delay_ms = event.delay_ms;
  view.offset = event.offset;
  if (context.names != nullptr) {
    view.tenant = context.names->text(store::Dictionary::tenant, event.tenant);
    view.stream = context.names->text(store::Dictionary::stream, event.stream);
    view.source = context.names->text(store::Dictionary::source, event.source);
  }
  const auto formats = parse::formats();
  if (event.format < formats.size()) view.format = formats[event.format].name;
  view.verdict = batch.verdict(event);
  if (view.verdict != nullptr && context.rules != nullptr) {
    if (view.verdict->generation == generation(*context.rules)) {
      view.rule = rule_name(*context.rules, view.verdict->rule);
    }
    if (context.classifier != nullptr) {
      const Classifier::Span span = span_of(batch, event, *view.verdict, *context.classifier);
      view.span_begin = span.begin;
      view.span_end = span.end;
    }
  }
  append_event_view(out, view, context.rules);
  out += '\n';
}

}  // namespace bounced::report
