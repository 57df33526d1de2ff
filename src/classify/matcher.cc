#include "classify/matcher.h"

#include <algorithm>
#include <bit>
#include <utility>

#include "base/prefetch.h"
#include "base/zero.h"

namespace bounced::classify {
namespace {

template <class T, class Test>
bool empty_or_any(const std::vector<T>& list, RuleSet::Range range, Test test) {
  const std::span<const T> part = RuleSet::part(list, range);
  return part.empty() || std::any_of(part.begin(), part.end(), test);
}

constexpr auto kAny = static_cast<std::size_t>(RuleSet::Use::any),
               kWith = static_cast<std::size_t>(RuleSet::Use::with),
               kNone = static_cast<std::size_t>(RuleSet::Use::none),
               kAll = static_cast<std::size_t>(RuleSet::Use::all);

/// Calls visit(i) for all i below `count` whose bit, i % 64, is set.
template <class Visit>
void each_group(std::uint64_t groups, std::size_t count, Visit visit) {
  for (; groups != 0; groups &= groups - 1) {
    for (auto i = static_cast<std::size_t>(std::countr_zero(groups)); i < count; i += 64) visit(i);
  }
}

}  // namespace

bool beats(const RuleSet& rules, const Match& a, const Match& b) {
  const std::uint64_t rank_a = rules.compiled[a.rule].rank;
  const std::uint64_t rank_b = rules.compiled[b.rule].rank;
  if (rank_a != rank_b) return rank_a > rank_b;
  if (a.length != b.length) return a.length > b.length;
  return a.rule < b.rule;  // files by name, then lines
}

bool predicates_hold(const RuleSet& rules, std::uint32_t rule, const Facts& facts) {
  const RuleSet::Compiled& r = rules.compiled[rule];
  if ((r.rank & RuleSet::kPredicates) == 0) return true;  // most have none
  return empty_or_any(rules.smtp, r.smtp,
                      [&](const CodePattern& p) { return p.matches(facts.smtp_code); }) &&
         empty_or_any(rules.enhanced, r.enhanced,
                      [&](const EnhancedPattern& p) { return p.matches(facts.enhanced); }) &&
         empty_or_any(rules.phases, r.phases, [&](Phase p) { return p == facts.phase; }) &&
         empty_or_any(rules.kinds, r.kinds, [&](EventKind k) { return k == facts.kind; }) &&
         empty_or_any(rules.rule_providers, r.providers, [&](RuleSet::ProviderId p) {
           return rules.provider_matches(p, facts.provider);
         });
}

Matcher::Matcher(const RuleSet& rules)
    : rules_(rules),
      finder_(rules.databases, rules.phrases, rules.pattern_texts),
      seen_(rules.rule_count() / RuleSet::kGroup + 1),
      idle_(seen_.size()),
      held_(seen_.size()),
      longest_(rules.rule_count()),
      counts_(rules.rule_count()),
      noted_(rules.pattern_texts.size()) {
  for (std::uint32_t rule = 0; rule < rules.rule_count(); ++rule) {
    const unsigned wants = rules.compiled[rule].wants;
    if (wants == 0) continue;  // without text: match() asks for these one by one
    for (const std::size_t use : {kAny, kWith, kAll}) {
      if ((wants >> use & 1) != 0) continue;
      idle_[rule / RuleSet::kGroup][use][rule / 64 % RuleSet::kBlocks] |= std::uint64_t{1}
                                                                          << (rule % 64);
    }
  }
}

/// Makes ready for another text.
void Matcher::forget() {
  each_group(groups_, seen_.size(), [&](std::size_t group) { zero(seen_[group]); });
  groups_ = 0;
  if (++epoch_ == 0) {  // wrapped: forget all counts once in four billion scans
    std::fill(counts_.begin(), counts_.end(), Count{});
    std::fill(noted_.begin(), noted_.end(), 0);
    epoch_ = 1;
  }
}

/// Sets the bits of all rules that use a find, without a branch that depends on them.
inline void Matcher::note(const RuleSet::Pattern& pattern, std::uint32_t number) {
  if (pattern.counted != 0 && std::exchange(noted_[number], epoch_) != epoch_) count_all(pattern);
  groups_ |= pattern.groups;
  std::uint64_t* const rows = seen_.front().front().data();
  for (const RuleSet::Users& users : rules_.users_of(pattern)) rows[users.at] |= users.rules;
}

void Matcher::count_all(const RuleSet::Pattern& pattern) {
  for (const RuleSet::Users& users : rules_.wanted_by(pattern)) {
    if (users.use() != RuleSet::Use::all) continue;
    users.each([&](std::uint32_t rule) {
      Count& count = counts_[rule];
      if (std::exchange(count.epoch, epoch_) != epoch_) count.finds = 0;
      ++count.finds;
    });
  }
}

/// Whether a rule holds of which something of every wanted use was found.
inline bool Matcher::holds(std::uint32_t rule, const Facts& facts) const {
  const std::uint16_t all = rules_.compiled[rule].all;
  return (all == 0 || counts_[rule].finds == all) && predicates_hold(rules_, rule, facts);
}

/// Lists the rules that hold: of the highest rank, or `every` one. Most rules that a text has
/// something of want something else, too: those are sorted out a group at a time.
void Matcher::hold(const Facts& facts, bool every) {
  rules_held_.clear();
  std::uint64_t rank = 0;
  const auto ask = [&](std::uint32_t rule) {
    const std::uint64_t its_rank = rules_.compiled[rule].rank;
    if ((!every && its_rank < rank) || !holds(rule, facts)) return;
    if (!every && its_rank > rank) rules_held_.clear();
    rank = std::max(rank, its_rank);
    rules_held_.push_back(rule);
  };
  each_group(groups_, seen_.size(), [&](std::size_t group) {
    const Seen &seen = seen_[group], &idle = idle_[group];
    Bits bits;
    for (std::size_t i = 0; i < bits.size(); ++i) {
      bits[i] = (seen[kAny][i] | idle[kAny][i]) & (seen[kWith][i] | idle[kWith][i]) &
                (seen[kAll][i] | idle[kAll][i]) & ~seen[kNone][i];
    }
    held_[group] = {};
#pragma GCC unroll 8
    for (std::size_t i = 0; i < bits.size(); ++i) {
      if (bits[i] != 0) RuleSet::each_rule(group * RuleSet::kBlocks + i, bits[i], ask);
    }
  });
  for (const std::uint32_t rule : rules_held_) {
    held_[rule / RuleSet::kGroup][rule / 64 % RuleSet::kBlocks] |= std::uint64_t{1} << (rule % 64);
    longest_[rule] = 0;
  }
}

/// Finds the longest pattern of the rules in rules_held_: of `every` one, or of the longest.
void Matcher::measure(std::span<const std::uint32_t> finds, bool every) {
  const std::uint64_t* const held = held_.front().data();
  std::uint32_t longest = 0;
  for (const std::uint32_t number : finds) {
    const RuleSet::Pattern& pattern = rules_.patterns[number];
    if (pattern.size < longest && !every) continue;
    const std::uint64_t found = std::uint64_t{pattern.size} << 32 | ~number;
    for (const RuleSet::Users& users : rules_.wanted_by(pattern)) {
      const std::uint64_t rules = users.rules & held[users.block];
      if (rules == 0) continue;
      longest = std::max<std::uint32_t>(longest, pattern.size);
      RuleSet::each_rule(users.block, rules, [&](std::uint32_t rule) {
        longest_[rule] = std::max(longest_[rule], found);
      });
    }
  }
}

bool Matcher::match(std::string_view text, const Facts& facts, Match& winner,
                    std::vector<Match>* all) {
  forget();
  // Patterns and what they refer to are too many for the first-level cache.
  const std::span<const std::uint32_t> finds = finder_.run(text);
  const RuleSet::Pattern* const patterns = rules_.patterns.data();
  for (const std::uint32_t pattern : finds) note(patterns[pattern], pattern);
  hold(facts, all != nullptr);
  if (!rules_held_.empty()) measure(finds, all != nullptr);
  bool found = false;
  const auto consider = [&](const Match& match) __attribute__((always_inline)) {
    if (all != nullptr) [[unlikely]]
      all->push_back(match);
    if (!found || beats(rules_, match, winner)) winner = match;
    found = true;
  };
  for (const std::uint32_t rule : rules_held_) {
    consider({rule, static_cast<std::uint32_t>(longest_[rule] >> 32),
              ~static_cast<std::uint32_t>(longest_[rule])});
  }
  for (const std::uint32_t rule : rules_.code_rules) {
    if (!silenced(rule) && predicates_hold(rules_, rule, facts)) consider({rule, 0, 0});
  }
  return found;
}

}  // namespace bounced::classify
