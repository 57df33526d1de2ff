// Matcher: all rules that a normalised text satisfies, and which of them wins.
#pragma once

#include <array>
#include <cstdint>
#include <span>
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
  /// A bit for each rule of a group.
  using Bits = std::array<std::uint64_t, RuleSet::kBlocks>;
  /// What was found of a group's rules, by RuleSet::Use.
  using Seen = std::array<Bits, RuleSet::kUses>;
  /// Of an `all` that wants more than one; stale unless `epoch` is the current one.
  struct Count {
    std::uint32_t epoch = 0;
    std::uint32_t finds = 0;
  };
  void forget();
  void note(const RuleSet::Pattern& pattern, std::uint32_t number);
  void count_all(const RuleSet::Pattern& pattern);
  void hold(const Facts& facts, bool every);
  /// A pattern was found that the rule must not have.
  [[nodiscard]] bool silenced(std::uint32_t rule) const {
    const Bits& bits = seen_[rule / RuleSet::kGroup][static_cast<std::size_t>(RuleSet::Use::none)];
    return (bits[rule / 64 % RuleSet::kBlocks] >> (rule % 64) & 1) != 0;
  }
  [[nodiscard]] bool holds(std::uint32_t rule, const Facts& facts) const;
  void measure(std::span<const std::uint32_t> finds, bool every);

  const RuleSet& rules_;
  Finder finder_;
  std::vector<Seen> seen_;    ///< by group
  std::vector<Seen> idle_;    ///< likewise: the uses of which a rule wants nothing
  std::vector<Bits> held_;    ///< likewise: rules that hold, where groups_ has it
  std::uint64_t groups_ = 0;  ///< bit i: some of seen_[i], [i + 64], ... is not empty
  std::vector<std::uint32_t> rules_held_;
  /// By rule that holds, of its longest pattern, of these the first: its length, then its number
  /// from the end. Too short for rules that are not the longest, unless all matches are wanted.
  std::vector<std::uint64_t> longest_;
  std::vector<Count> counts_;         ///< by rule
  std::vector<std::uint32_t> noted_;  ///< by pattern that `all` counts: the last epoch that had it
  std::uint32_t epoch_ = 0;
};

}  // namespace bounced::classify
