// What commands about diagnostics read: a line that is one JSON object, or the plain words.
#pragma once

#include <simdjson.h>

#include <string>
#include <string_view>

#include "bounced/classifier.h"

namespace bounced::cli {

/// One failure and what its Failure points to; not to be copied or moved once read.
struct FailureInput {
  std::string diagnostic, mta_host, domain;
  Failure failure;
  std::string echo;     ///< the object's members as they came, without braces
  bool object = false;  ///< it was a JSON object
  // What samples expect; empty = not said.
  std::string cause, rule, bounce_class, category, not_cause, not_rule;
  std::string label;  ///< what an event was judged to be: its "verdict"."cause"
};

/// Reads one line. `defaults` is what a line may leave open: its mta_host, domain, and the phase
/// and kind of its failure. A line that begins with { is an object with "diagnostic" (or "text"),
/// "smtp_code", "enhanced", "mta" (a name, or {"host":..}), "recipient", "recipient_domain",
/// "phase", "kind" and what samples expect. False: malformed JSON.
bool read_failure(simdjson::dom::parser& parser, const std::string& line,
                  const FailureInput& defaults, FailureInput& out);

}  // namespace bounced::cli
