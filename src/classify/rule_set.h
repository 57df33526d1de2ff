// RuleSet: rules, causes and providers compiled for matching.
#pragma once

#include <array>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "bounced/classifier.h"
#include "classify/database.h"
#include "classify/learned.h"
#include "classify/phrases.h"
#include "classify/rule.h"
#include "classify/sketch.h"
#include "classify/texts.h"

namespace bounced {

/// Thread safety: immutable after build().
/// Invariants:
/// 1. rules()[i], compiled[i] and rule_ids[i] are RuleId i + 1; code rows follow, then one for each
///    built-in cause: what words alone decided.
/// 2. cause_by_number[c].cause == c for every known cause.
/// 3. Higher `order` beats lower where everything else is equal, so no two rules tie.
class RuleSet {
 public:
  using Rule = classify::Rule;
  using RuleFiles = classify::RuleFiles;
  using ProviderId = std::uint16_t;
  static constexpr ProviderId kNoProvider = 0;
  /// Of Compiled::rank; below them all the number of predicates.
  static constexpr std::uint64_t kOperatorRank = 1u << 16, kProviderRank = 1u << 9,
                                 kTextRank = 1u << 8, kPredicates = 0xff;

  /// How a rule uses a pattern: what a find adds to the rule's sum (add_use). One of `any` or of
  /// the regexes must match, one of `with`, each of `all`, and none of `none`.
  enum class Use : std::uint32_t { any = 1, with = 2, none = 4, all = 8 };
  static constexpr std::uint32_t add_use(std::uint32_t sum, Use use) {
    const auto bits = static_cast<std::uint32_t>(use);
    constexpr auto kAll = static_cast<std::uint32_t>(Use::all);
    return (sum | (bits & (kAll - 1))) + (bits & kAll);
  }
  struct Reference {
    std::uint32_t rule;
    Use use;
  };
  /// `not` literals that many rules share, one bit each: a match of one is a bit set, not a walk
  /// through all these rules. Measured: two thirds of all references that a text touched.
  static constexpr std::size_t kGuards = 128;
  using Guards = std::array<std::uint64_t, kGuards / 64>;
  /// A part of one of the lists below.
  struct Range {
    std::uint32_t begin = 0, size = 0;
  };
  /// What a find means: one cache line, not one of each of four lists.
  struct Pattern {
    Range uses;                 ///< of references
    std::uint32_t size = 0;     ///< bytes (least bytes of a regex): what its length counts for
    std::uint16_t guard = 0;    ///< 1 + its bit in Guards; 0 = none
    std::uint16_t counted = 0;  ///< 1: some rule's `all` counts it, so it must be noted once a text
  };
  /// The part of a rule that matching reads.
  struct Compiled {
    std::uint64_t rank = 0;    ///< operator, provider, text, number of predicates
    Guards guards{};           ///< common `not` literals of this rule
    std::uint32_t wanted = 0;  ///< sum of uses of a rule that holds; 0 = of no text
    Cause cause = Cause::none;
    Severity severity = Severity::none;  ///< override
    std::uint8_t confidence = 0;         ///< percent
    Range smtp, enhanced, phases, kinds, providers;
  };

  /// What the program's own image has compiled is not compiled again, but for `any_cpu`.
  static Result<std::shared_ptr<const RuleSet>> build(
      RuleFiles files, const std::string& cache_dir,
      classify::Target target = classify::Target::this_cpu);

  /// Everything that matching needs as bytes: what build() made, without its work. Not the rules'
  /// own texts and samples. The databases must have been built for any CPU.
  [[nodiscard]] std::string image() const;
  /// A set from the image of the built-in rules. `cache_dir` serves when this Hyperscan cannot use
  /// the image's databases. Null where the image is none of this version.
  static Result<std::shared_ptr<const RuleSet>> from_image(std::string_view image,
                                                           const std::string& cache_dir);

  /// Problems of a set of files that keep it from being built. Adds to files.problems.
  static void validate(RuleFiles& files);

  /// Longest known suffix of a host or domain name in lower case.
  [[nodiscard]] ProviderId provider_of(std::string_view name) const;
  [[nodiscard]] bool provider_matches(ProviderId rule_provider, ProviderId provider) const {
    for (; provider != kNoProvider; provider = provider_parents[provider]) {
      if (provider == rule_provider) return true;
    }
    return false;
  }
  [[nodiscard]] const CauseInfo& info(Cause cause) const;
  [[nodiscard]] Verdict verdict(Cause cause, Severity said, Severity override_,
                                std::uint8_t confidence, RuleId rule) const;

  /// As the files state them. A set from an image reads the built-in files at the first call.
  [[nodiscard]] const std::vector<Rule>& rules() const;
  [[nodiscard]] std::size_t rule_count() const { return compiled.size(); }
  /// Of an operator's directory: its word is final.
  [[nodiscard]] bool of_operator(std::uint32_t rule) const {
    return compiled[rule].rank >= kOperatorRank;
  }
  /// What a verdict by words carries for a rule: "learned/<cause>".
  [[nodiscard]] RuleId learned_rule(Cause cause) const;
  [[nodiscard]] bool is_learned(RuleId rule) const { return rule >= learned_rule(Cause::none); }
  [[nodiscard]] bool is_regex(std::uint32_t pattern) const { return pattern >= literals; }
  template <class T>
  static std::span<const T> part(const std::vector<T>& list, Range range) {
    return {list.data() + range.begin, range.size};
  }

  std::vector<Compiled> compiled;  ///< by rule
  std::vector<classify::CodePattern> smtp;
  std::vector<classify::EnhancedPattern> enhanced;
  std::vector<Phase> phases;
  std::vector<EventKind> kinds;
  std::vector<ProviderId> rule_providers;
  classify::Texts rule_ids;
  std::vector<std::uint32_t> code_rules;  ///< rules without text, strongest first

  classify::Texts pattern_texts;  ///< literals, then regexes
  std::uint32_t literals = 0;     ///< how many are literals
  std::vector<Pattern> patterns;  ///< by pattern
  std::vector<Reference> references;
  classify::Databases databases;
  classify::Phrases phrases;
  classify::Learned learned;
  std::unique_ptr<const classify::TellingDigits> telling;

  classify::Texts provider_suffixes;         ///< [0] = "", none; "protection.outlook.com"
  std::vector<ProviderId> provider_parents;  ///< longest known proper suffix of each
  std::vector<CauseInfo> causes;             ///< in number order, without none
  std::uint32_t generation = 0;              ///< hash of everything a verdict depends on; never 0

 private:
  using ProviderNumbers = std::unordered_map<std::string, ProviderId>;
  static std::shared_ptr<RuleSet> read_image(std::string_view image, bool& usable);
  static classify::HsDatabase known_literals(RuleSet& built_in,
                                             const std::vector<std::string>& literals,
                                             std::size_t& size);
  void add_causes(const std::vector<classify::CauseEntry>& entries,
                  const std::vector<std::string>& known);
  void number_causes();
  ProviderNumbers add_providers();
  /// A rule's use of a pattern, before all are sorted.
  struct Pending {
    std::uint32_t pattern;
    Reference reference;
    bool regex;
  };
  classify::Patterns add_patterns();
  void refer(std::vector<Pending> pending);
  void rank_rules(const ProviderNumbers& providers);
  void hash_contents();
  void index_suffixes();
  void add_suffix(std::string_view suffix, ProviderId provider);
  /// One walk over everything that an image holds, for the writer and for the reader.
  template <class Set, class Walk>
  static void walk_image(Set& set, Walk& walk);

  mutable std::vector<Rule> rules_;
  mutable std::once_flag read_;
  bool read_later_ = false;  ///< rules_ is empty until asked for
  std::unordered_map<std::string, Cause> cause_numbers_;
  std::vector<std::uint32_t> cause_index_;  ///< cause number -> 1 + index in causes; 0 = unknown
  /// Open addressing by the hash of a suffix read from its end.
  struct SuffixSlot {
    std::uint32_t hash = 0;
    ProviderId provider = kNoProvider;  ///< none: only the end of a longer suffix
    std::uint16_t used = 0;
  };
  std::vector<SuffixSlot> suffixes_;

  friend Cause find_cause(const RuleSet& rules, std::string_view id);
};

}  // namespace bounced
