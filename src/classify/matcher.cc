#include "classify/matcher.h"

#include <algorithm>
#include <utility>

#include "base/prefetch.h"

namespace bounced::classify {
namespace {

template <class T, class Test>
bool empty_or_any(const std::vector<T>& list, RuleSet::Range range, Test test) {
  const std::span<const T> part = RuleSet::part(list, range);
  return part.empty() || std::any_of(part.begin(), part.end(), test);
}

bool guarded(const RuleSet::Compiled& rule, const RuleSet::Guards& guards) {
  return ((rule.guards[0] & guards[0]) | (rule.guards[1] & guards[1])) != 0;
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
      sums_(rules.rule_count()),
      noted_(rules.pattern_texts.size()),
      touched_(rules.rule_count() + 1) {
  for (const RuleSet::Compiled& rule : rules.compiled) wanted_.push_back(rule.wanted);
}

/// Adds a find to the sums of the rules that use it, without a branch that depends on the text:
/// some sixty a text.
inline void Matcher::note(std::uint32_t number) {
  const RuleSet::Pattern& pattern = rules_.patterns[number];
  if (pattern.guard != 0) {
    const unsigned bit = pattern.guard - 1u;
    guards_[bit / 64] |= std::uint64_t{1} << (bit % 64);
  }
  if (pattern.counted != 0 && std::exchange(noted_[number], epoch_) == epoch_) return;
  const std::uint64_t found = std::uint64_t{pattern.size} << 32 | ~number;
  const std::uint32_t epoch = epoch_;
  std::uint32_t* const touched = touched_.data();
  std::size_t count = count_;
  for (const RuleSet::Reference& reference : RuleSet::part(rules_.references, pattern.uses)) {
    Sum& sum = sums_[reference.rule];
    const bool fresh = sum.epoch != epoch;
    touched[count] = reference.rule;
    count += fresh ? 1 : 0;
    sum.uses = RuleSet::add_use(fresh ? 0 : sum.uses, reference.use);
    sum.longest = std::max(fresh ? 0 : sum.longest, found);
    sum.epoch = epoch;
  }
  count_ = count;
}

bool Matcher::match(std::string_view text, const Facts& facts, Match& winner,
                    std::vector<Match>* all) {
  count_ = 0;
  guards_ = {};
  if (++epoch_ == 0) {  // wrapped: forget all sums once in four billion scans
    std::fill(sums_.begin(), sums_.end(), Sum{});
    std::fill(noted_.begin(), noted_.end(), 0);
    epoch_ = 1;
  }
  // Patterns and what they refer to are too many for the first-level cache.
  const std::span<const std::uint32_t> matched = finder_.run(text);
  for (const std::uint32_t pattern : matched) prefetch(&rules_.patterns[pattern]);
  for (const std::uint32_t pattern : matched) {
    prefetch(rules_.references.data() + rules_.patterns[pattern].uses.begin);
  }
  for (const std::uint32_t pattern : matched) note(pattern);
  bool found = false;
  const auto consider = [&](const Match& match) {
    const bool best = !found || beats(rules_, match, winner);
    if ((!best && all == nullptr) || !predicates_hold(rules_, match.rule, facts)) return;
    if (all != nullptr) all->push_back(match);
    if (best) winner = match;
    found = true;
  };
  for (const std::uint32_t rule : std::span(touched_).first(count_)) {
    const Sum& sum = sums_[rule];
    if (sum.uses != wanted_[rule] || guarded(rules_.compiled[rule], guards_)) continue;
    consider({rule, static_cast<std::uint32_t>(sum.longest >> 32),
              ~static_cast<std::uint32_t>(sum.longest)});
  }
  for (const std::uint32_t rule : rules_.code_rules) {
    const bool silenced = sums_[rule].epoch == epoch_;  // only its `not` refers to it
    if (silenced || guarded(rules_.compiled[rule], guards_)) continue;
    consider({rule, 0, 0});
  }
  return found;
}

}  // namespace bounced::classify
