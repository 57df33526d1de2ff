// Policy: what counts, how often, and what block it makes. Data: rules/policy.toml.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "bounced/cause.h"
#include "bounced/limits.h"

namespace bounced {

enum class BlockKind : std::uint8_t {
  none,
  dead,
  soft,
  incident,
  filtered,
  complaint,
  unsubscribe,
  manual,
  provider,
};
inline constexpr std::size_t kBlockKinds = 9;
std::string_view to_string(BlockKind kind);
bool from_string(std::string_view text, BlockKind& out);

/// Whom a block stops. `scope_id` of a block: Names id of the tenant, sending domain or stream.
enum class BlockScope : std::uint8_t { global, tenant, sending_domain, stream };
std::string_view to_string(BlockScope scope);
bool from_string(std::string_view text, BlockScope& out);

/// Level at which a cause is counted.
enum class PolicyLevel : std::uint8_t { none, address, domain };

/// What a cause does: "block after `messages` distinct messages in a row over `span`".
struct CausePolicy {
  PolicyLevel level = PolicyLevel::none;
  BlockKind block = BlockKind::none;
  std::uint32_t messages = 0;         ///< distinct final failures needed; 0 = never blocks
  std::int64_t span_us = 0;           ///< first to last of them at least this far apart
  std::uint8_t confidence_min = 0;    ///< percent; below it `messages_unsure`/`span_unsure_us` hold
  std::uint32_t messages_unsure = 0;  ///< 0 = the same as messages
  std::int64_t span_unsure_us = 0;
  bool needs_domain_alive = false;  ///< only while others at that domain are delivered
  bool needs_domain_dead = false;   ///< only while nobody at that domain is delivered
  bool operator==(const CausePolicy&) const = default;
};

/// Blocks' terms: the n-th block of a kind lasts terms_us[n-1]; 0 = no end. The last one repeats.
struct BlockTerms {
  std::array<std::int64_t, 4> terms_us{};
  std::uint32_t count = 0;
  /// From this occurrence on the block is `dead` instead (soft: the third time); 0 = never.
  std::uint32_t dead_from = 0;
  bool operator==(const BlockTerms&) const = default;
};

/// Thread safety: immutable after load. Times are microseconds.
struct Policy {
  std::string preset = "default";
  std::array<CausePolicy, kBuiltinCauses> causes{};  ///< by Cause
  /// Operators' own causes, from kFirstCustomCause: their own row, or that of a built-in model.
  std::vector<CausePolicy> custom;
  BlockTerms dead;
  BlockTerms soft;
  std::int64_t domain_soft_us = 0;            ///< soft block of a domain
  std::int64_t incident_us = 0;               ///< length of an incident block
  double incident_factor = 5;                 ///< hard verdicts over base rate
  std::uint32_t incident_attempts_min = 200;  ///< per hour at one answering provider
  std::int64_t incident_confirm_us = 0;       ///< a second hard after this confirms
  std::uint32_t outage_domains_max = 5;       ///< unrelated domains failing from one sending host
  /// Once a message that was taken came back, what is taken later counts as delivered only after
  /// so long without another that came back; 0 = at once.
  std::int64_t late_quiet_us = 0;
  std::int64_t probation_lease_us = 0;
  double probation_daily_fraction = 0.005;
  double warn_bounce_percent[3] = {2, 3, 5};
  double complaint_warn_percent = 0.1;
  double complaint_act_percent = 0.3;
  bool operator==(const Policy&) const = default;

  [[nodiscard]] const CausePolicy& of(Cause cause) const {
    const auto n = static_cast<std::size_t>(cause);
    if (n < causes.size()) return causes[n];
    const auto own = n - kFirstCustomCause;  // far beyond the list for numbers below that
    return own < custom.size() ? custom[own] : causes[0];
  }
};

}  // namespace bounced
