// Verdict: what a failure means.
#pragma once

#include <cstdint>
#include <string_view>

#include "bounced/cause.h"

namespace bounced {

/// What the server said (`said`) and what we believe (`severity`).
enum class Severity : std::uint8_t { none, temporary, permanent };
std::string_view to_string(Severity value);

/// Number of the rule that decided, in the rule set's order; kNoRule when none did.
using RuleId = std::uint32_t;
inline constexpr RuleId kNoRule = 0;

/// Trivially copyable; what an Event's failure means. Interpreted with the RuleSet of the same
/// generation (rule id -> name) and the cause table.
struct Verdict {
  Cause cause = Cause::none;
  Severity said = Severity::none;
  Severity severity = Severity::none;
  BounceClass bounce_class = BounceClass::none;
  Category category = Category::none;
  Fault fault = Fault::unknown;
  std::uint8_t confidence = 0;  ///< percent
  RuleId rule = kNoRule;
  std::uint32_t generation = 0;  ///< of the rule set

  [[nodiscard]] bool hard() const { return bounce_class == BounceClass::hard; }
};

}  // namespace bounced
