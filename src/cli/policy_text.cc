#include "cli/policy_text.h"

#include <fmt/format.h>

#include "base/time.h"

namespace bounced::cli {

std::string describe_policy(const CausePolicy& p) {
  if (p.messages == 0 || p.block == BlockKind::none) {
    return "never counts against the address";
  }
  std::string text = fmt::format("blocks ({}) after {} message{} in a row", to_string(p.block),
                                 p.messages, p.messages == 1 ? "" : "s");
  if (p.span_us != 0) text += fmt::format(" over at least {} h", p.span_us / kHourUs);
  if (p.confidence_min != 0 && p.messages_unsure != 0) {
    text += fmt::format(", or {} over at least {} h when less sure than {:.2f} or in an incident",
                        p.messages_unsure, p.span_unsure_us / kHourUs, p.confidence_min / 100.0);
  }
  return text + (p.level == PolicyLevel::domain ? ", for the whole domain" : "");
}

std::string describe_effect(const Policy& policy, const Verdict& verdict, EventKind kind) {
  const CausePolicy& row = policy.of(verdict.cause);
  if (kind == EventKind::deferred || verdict.said == Severity::temporary) {
    return "an attempt that failed: recorded, never counted; as a final failure it " +
           describe_policy(row);
  }
  std::string text = describe_policy(row);
  if (row.messages == 0 || row.block == BlockKind::none) return text;
  const bool sure = row.confidence_min == 0 || verdict.confidence >= row.confidence_min;
  const std::uint32_t needed =
      sure || row.messages_unsure == 0 ? row.messages : row.messages_unsure;
  text += fmt::format("; at confidence {:.2f} it takes {}", verdict.confidence / 100.0, needed);
  return text;
}

}  // namespace bounced::cli
