// RuleSet: rules, causes and providers compiled for matching.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "bounced/classifier.h"
#include "classify/database.h"
#include "classify/rule.h"
#include "classify/sketch.h"

namespace bounced {

/// Thread safety: immutable after build().
/// Invariants:
/// 1. rules[i] is RuleId i + 1; code rows follow.
/// 2. cause_by_number[c].cause == c for every known cause.
/// 3. Higher `order` beats lower where everything else is equal, so no two rules tie.
class RuleSet {
 public:
  using Rule = classify::Rule;
  using RuleFiles = classify::RuleFiles;
  using ProviderId = std::uint16_t;
  static constexpr ProviderId kNoProvider = 0;

  /// How a rule uses a pattern.
  enum class Use : std::uint8_t { any, all, none };
  struct Reference {
    std::uint32_t rule;
    Use use;
  };
  struct Provider {
    std::string suffix;               ///< "protection.outlook.com"
    ProviderId parent = kNoProvider;  ///< longest known proper suffix of it
  };
  /// The part of a rule that matching reads.
  struct Compiled {
    std::uint64_t rank = 0;        ///< operator, provider, text, number of predicates
    std::uint32_t all_needed = 0;  ///< distinct `all` literals
    bool needs_any = false;
    Cause cause = Cause::none;
    std::vector<ProviderId> providers;
  };

  static Result<std::shared_ptr<const RuleSet>> build(RuleFiles files,
                                                      const std::string& cache_dir);

  /// Problems of a set of files that keep it from being built. Adds to files.problems.
  static void validate(RuleFiles& files);

  /// Longest known suffix of a host or domain name in lower case.
  [[nodiscard]] ProviderId provider_of(std::string_view name) const;
  [[nodiscard]] bool provider_matches(ProviderId rule_provider, ProviderId provider) const {
    for (; provider != kNoProvider; provider = providers[provider].parent) {
      if (provider == rule_provider) return true;
    }
    return false;
  }
  [[nodiscard]] const CauseInfo& info(Cause cause) const;
  [[nodiscard]] Verdict verdict(Cause cause, Severity said, Severity override_,
                                std::uint8_t confidence, RuleId rule) const;

  std::vector<Rule> rules;
  std::vector<Compiled> compiled;         ///< beside rules
  std::vector<std::uint32_t> code_rules;  ///< rules without text, strongest first
  classify::Patterns patterns;
  std::vector<std::uint32_t> pattern_sizes;        ///< bytes (least bytes of a regex)
  std::vector<std::vector<Reference>> references;  ///< by pattern
  classify::Databases databases;
  std::unique_ptr<const classify::TellingDigits> telling;
  std::vector<Provider> providers;  ///< [0] = none
  std::vector<CauseInfo> causes;    ///< in number order, without none
  std::uint32_t generation = 0;     ///< hash of everything a verdict depends on; never 0

 private:
  void add_causes(const std::vector<classify::CauseEntry>& entries);
  void add_providers();
  void add_patterns();
  void rank_rules();
  void hash_contents();
  void index_suffixes();
  void add_suffix(std::string_view suffix, ProviderId provider);
  [[nodiscard]] ProviderId provider_number(std::string_view suffix) const;

  std::unordered_map<std::string, ProviderId> provider_numbers_;
  std::unordered_map<std::string, Cause> cause_numbers_;
  std::vector<std::uint32_t> cause_index_;  ///< cause number -> 1 + index in causes; 0 = unknown
  /// Open addressing by the hash of a suffix read from its end.
  struct SuffixSlot {
    std::uint32_t hash = 0;
    ProviderId provider = kNoProvider;  ///< none: only the end of a longer suffix
    bool used = false;
  };
  std::vector<SuffixSlot> suffixes_;

  friend Cause find_cause(const RuleSet& rules, std::string_view id);
};

}  // namespace bounced
