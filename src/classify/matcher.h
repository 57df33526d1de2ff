// Matcher: all rules that a normalised text satisfies, and which of them wins.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "classify/finder.h"
#include "classify/rule_set.h"

namespace bounced::classify {

/// What the integer predicates look at.
struct Facts {
  std::uint16_t smtp_code = 0;
  EnhancedCode enhanced;
  Phase phase = Phase::none;
  EventKind kind = EventKind::bounced;
  RuleSet::ProviderId provider = RuleSet::kNoProvider;
};

/// A rule that holds.
struct Match {
  std::uint32_t rule = 0;     ///< index
  std::uint32_t length = 0;   ///< bytes of its longest matched literal; 0 = by predicates alone
  std::uint32_t pattern = 0;  ///< that literal (Patterns numbering) when length > 0
};

/// The order of DESIGN section 7: true when `a` beats `b`.
bool beats(const RuleSet& rules, const Match& a, const Match& b);
/// All predicates of rules.rules[rule] hold.
bool predicates_hold(const RuleSet& rules, std::uint32_t rule, const Facts& facts);

/// Owns scratch space. Thread safety: none; one per thread.
class Matcher {
 public:
  explicit Matcher(const RuleSet& rules);

  /// The winner; false when no rule holds. With `all`, every match, in no order.
  bool match(std::string_view text, const Facts& facts, Match& winner,
             std::vector<Match>* all = nullptr);
  /// Whether it can scan at all; false when Hyperscan had no memory for scratch space.
  [[nodiscard]] bool ready() const { return finder_.ready(); }

 private:
  /// What was found of a rule; stale unless `epoch` is the current one.
  struct Sum {
    std::uint32_t epoch = 0;
    std::uint32_t uses = 0;  ///< RuleSet::add_use
    /// Of the longest pattern; of these the first: its length, then its number from the end.
    std::uint64_t longest = 0;
  };
  void note(std::uint32_t number);

  const RuleSet& rules_;
  Finder finder_;
  std::vector<Sum> sums_;              ///< by rule
  std::vector<std::uint32_t> wanted_;  ///< Compiled::wanted by rule: few cache lines
  std::vector<std::uint32_t> noted_;   ///< by pattern that `all` counts: the last epoch that had it
  std::vector<std::uint32_t> touched_;  ///< the first count_: rules with a sum of this text
  std::size_t count_ = 0;
  RuleSet::Guards guards_{};  ///< of the current text
  std::uint32_t epoch_ = 0;
};

}  // namespace bounced::classify
