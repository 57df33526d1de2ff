#include "classify/matcher.h"

#include <algorithm>

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

Matcher::Matcher(const RuleSet& rules) : rules_(rules), counts_(rules.rule_count()) {
  for (const hs_database_t* database : rules.databases.all()) {
    if (database != nullptr && hs_alloc_scratch(database, &scratch_) != HS_SUCCESS) ready_ = false;
  }
  touched_.reserve(64);
}

Matcher::~Matcher() {
  hs_free_scratch(scratch_);
}

int Matcher::on_match(unsigned id, unsigned long long, unsigned long long, unsigned, void* self) {
  static_cast<Matcher*>(self)->note(id);
  return 0;
}

void Matcher::note(std::uint32_t pattern) {
  if (const unsigned guard = rules_.pattern_guards[pattern]; guard != 0) {
    guards_[(guard - 1) / 64] |= std::uint64_t{1} << ((guard - 1) % 64);
  }
  const std::uint32_t size = rules_.pattern_sizes[pattern];
  for (const RuleSet::Reference& reference :
       RuleSet::part(rules_.references, rules_.pattern_uses[pattern])) {
    Counts& c = counts_[reference.rule];
    if (c.epoch != epoch_) {
      c = Counts{};
      c.epoch = epoch_;
      touched_.push_back(reference.rule);
    }
    if (reference.use == RuleSet::Use::none) {
      c.none = true;
      continue;
    }
    if (reference.use == RuleSet::Use::any) {
      c.needs |= RuleSet::kNeedsAny;
    } else if (reference.use == RuleSet::Use::with) {
      c.needs |= RuleSet::kNeedsWith;
    } else {
      ++c.all;
    }
    if (size > c.length || (size == c.length && pattern < c.pattern)) {
      c.length = size;
      c.pattern = pattern;
    }
  }
}

bool Matcher::match(std::string_view text, const Facts& facts, Match& winner,
                    std::vector<Match>* all) {
  touched_.clear();
  guards_ = {};
  if (++epoch_ == 0) {  // wrapped: forget all counts once in four billion scans
    std::fill(counts_.begin(), counts_.end(), Counts{});
    epoch_ = 1;
  }
  const auto size = static_cast<unsigned>(text.size());
  for (const hs_database_t* database : rules_.databases.all()) {
    if (database != nullptr && ready_ && size > 0) {
      hs_scan(database, text.data(), size, 0, scratch_, on_match, this);
    }
  }
  bool found = false;
  const auto consider = [&](const Match& match) {
    if (!predicates_hold(rules_, match.rule, facts)) return;
    if (all != nullptr) all->push_back(match);
    if (!found || beats(rules_, match, winner)) winner = match;
    found = true;
  };
  for (const std::uint32_t rule : touched_) {
    const Counts& c = counts_[rule];
    const RuleSet::Compiled& r = rules_.compiled[rule];
    if (c.none || guarded(r, guards_) || c.needs != r.needs || c.all != r.all_needed) continue;
    if (r.needs == 0 && r.all_needed == 0) continue;  // a code rule: below
    consider({rule, c.length, c.pattern});
  }
  for (const std::uint32_t rule : rules_.code_rules) {
    const Counts& c = counts_[rule];
    if ((c.epoch == epoch_ && c.none) || guarded(rules_.compiled[rule], guards_)) continue;
    consider({rule, 0, 0});
  }
  return found;
}

}  // namespace bounced::classify
