// NDJSON form of an Event (DESIGN section 6), for parse, replay --events, the API.
#pragma once

#include <string>
#include <string_view>

#include "base/batch.h"
#include "bounced/classifier.h"
#include "store/names.h"

namespace bounced::report {

struct EventJsonContext {
  const store::Names* names = nullptr;
  /// Rule id -> name, cause -> id and info, of the rule set that made the verdicts.
  const RuleSet* rules = nullptr;
  /// For `span`; may be nullptr (span left out). Not thread safe.
  Classifier* classifier = nullptr;
};

/// Appends one object and a newline. Times must be resolved to UTC. Absent fields are left out.
void append_event_json(std::string& out, const Batch& batch, const Event& event,
                       const EventJsonContext& context);
/// The `verdict` object alone.
void append_verdict_json(std::string& out, const Verdict& verdict, const RuleSet& rules,
                         std::uint32_t span_begin, std::uint32_t span_end);

}  // namespace bounced::report
