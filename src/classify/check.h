// `bounced rules check` and `rules list`: rules against their own samples.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "bounced/classifier.h"
#include "classify/rule.h"

namespace bounced::classify {

struct CheckReport {
  std::vector<Problem> problems;  ///< errors first, then by file and line
  std::size_t rules = 0;
  std::size_t samples = 0;
  std::size_t misses = 0;
  [[nodiscard]] std::size_t errors() const;
};

/// Everything that is wrong with the files: what load_rules refuses (bad TOML, unknown keys,
/// duplicate ids, unknown causes, literals that the normaliser changes), samples that do not win,
/// misses that win, shadowed rules, causes that no sample reaches, categories in the wrong column.
/// An Error only when the files cannot be read at all.
Result<CheckReport> check_rules(const RuleSetOptions& options);

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

/// The failure that a sample stands for: what it leaves open is taken from the rule's predicates.
Failure failure_of(const Rule& rule, const Sample& sample);

}  // namespace bounced::classify
