// Codes as the last resort: what a reply or enhanced code alone says.
#pragma once

#include <cstdint>
#include <string_view>

#include "bounced/cause.h"
#include "bounced/event.h"
#include "bounced/verdict.h"

namespace bounced::classify {

/// One row; `name` is the rule id that a verdict by code carries ("code/5.1.1").
struct CodeRow {
  std::string_view name;
  Cause cause = Cause::none;
  std::uint8_t confidence = 0;  ///< percent
};

/// Rows are numbered 0 .. code_rows()-1 (RuleId = rules + 1 + number).
std::uint32_t code_rows();
const CodeRow& code_row(std::uint32_t number);

/// The row for these codes; with none, by the sender's hint; with none, by the kind.
/// Sources: RFC 5321 section 4.2, RFC 3463 and the IANA registry of enhanced status codes, RFC
/// 7504, RFC 7505, RFC 7372.
std::uint32_t find_code_row(std::uint16_t smtp_code, const EnhancedCode& enhanced,
                            ProviderHint hint, EventKind kind);

/// What a provider's own class names; none for none.
Cause hint_cause(ProviderHint hint);

}  // namespace bounced::classify
