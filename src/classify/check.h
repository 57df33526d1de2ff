// `bounced rules check` and `rules list`: rules against their own samples.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "bounced/classifier.h"
#include "classify/normalise.h"
#include "classify/rule.h"

namespace bounced::classify {

struct CheckReport {
  std::vector<Problem> problems;  ///< errors first, then by file and line
  std::size_t rules = 0;
  std::size_t samples = 0;
  std::size_t misses = 0;
  /// Samples of weaker directories that an operator's rule wins: that is what it is for.
  std::size_t overridden = 0;
  [[nodiscard]] std::size_t errors() const { return count(Problem::Level::error); }
  [[nodiscard]] std::size_t count(Problem::Level level) const;
};

/// Everything that is wrong with the files: what load_rules refuses (bad TOML, unknown keys,
/// duplicate ids, unknown causes, literals that the normaliser changes), samples that do not win,
/// misses that win, shadowed rules, causes that no sample reaches, categories in the wrong column
/// or that fewer than three texts show. What only a whole taxonomy can have (every cause, every
/// category) is an error in the built-in rules and a warning in others that replace them.
/// An Error only when the files cannot be read at all.
Result<CheckReport> check_rules(const RuleSetOptions& options);

/// A set to put in force: loaded, and proved by its samples and misses.
struct CheckedRules {
  std::shared_ptr<const RuleSet> rules;
  std::size_t rule_count = 0;
  std::size_t samples = 0;  ///< that were tried; none of the built-in rules alone
};
/// As load_rules; a sample that does not win or a miss that does is an Error, too.
Result<CheckedRules> load_checked(const RuleSetOptions& options);

/// The same for one text in memory that stands for a rule file; built-in causes are read from
/// `causes`. For tests and for the fuzzer.
CheckReport check_rule_text(std::string_view causes, std::string_view rules);

struct RuleListing {
  std::string id;
  std::string cause;
  std::string where;                  ///< file:line
  std::vector<std::string> literals;  ///< any, all ("+..."), not ("-..."), regexes ("/.../")
};
/// In the order of the set.
std::vector<RuleListing> list_rules(const RuleSet& rules);

/// A rule's literals or regexes decided, not codes, a hint or the kind alone.
bool decided_by_text(const RuleSet& rules, const Verdict& verdict);

/// What is wrong with rules that would be added, as `text`, to the directory that comes first.
/// Errors and notes about those rules alone.
Result<std::vector<Problem>> try_rules(const RuleSetOptions& options, std::string_view text);

/// The failure that a sample stands for: what it leaves open is taken from the rule's predicates.
Failure failure_of(const Rule& rule, const Sample& sample);
/// For many: the normaliser's memory is used again.
Failure failure_of(const Rule& rule, const Sample& sample, Normaliser& normaliser);

}  // namespace bounced::classify
