// EventView: an event's parts as the JSON form needs them, whether it comes from a Batch or from
// stored evidence.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "bounced/classifier.h"
#include "bounced/event.h"
#include "bounced/verdict.h"

namespace bounced::report {

/// Empty views and zeros are unknown and left out. Views must live for the call.
struct EventView {
  std::int64_t time_us = 0;
  EventKind kind = EventKind::none;
  bool attempted = true;
  bool null_sender = false;
  std::string_view recipient, sender, tenant, stream, campaign, queue_id, message_id;
  std::string_view mta_host, mta_ip, sending_ip, diagnostic;
  std::string_view hint;  ///< the class that the provider put a failure into
  std::uint16_t mta_port = 0;
  std::uint16_t smtp_code = 0;
  EnhancedCode enhanced;
  Phase phase = Phase::none;
  std::uint32_t delay_ms = 0;
  std::string_view source, format;
  std::uint64_t offset = 0;
  const Verdict* verdict = nullptr;
  std::string_view rule;  ///< name of the rule that decided
  std::uint32_t span_begin = 0, span_end = 0;
};

/// Appends one object without a newline. `rules` may be nullptr: then no verdict.
void append_event_view(std::string& out, const EventView& view, const RuleSet* rules);
void append_verdict_view(std::string& out, const Verdict& verdict, std::string_view rule,
                         const RuleSet& rules, std::uint32_t span_begin, std::uint32_t span_end);

void append_number(std::string& out, std::uint64_t number);
/// RFC 3339 in quotes.
void append_time_json(std::string& out, std::int64_t time_us);
/// "5.1.1", without quotes.
void append_enhanced(std::string& out, const EnhancedCode& enhanced);

}  // namespace bounced::report
