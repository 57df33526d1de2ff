// RuleSet: rules, causes and providers compiled for matching.
#pragma once

#include <array>
#include <bit>
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

  /// How a rule uses a pattern. One of `any` or of the regexes must match, one of `with`, each of
  /// `all`, and none of `none`.
  enum class Use : std::uint32_t { any, with, all, none };
  static constexpr std::size_t kUses = 4;
  /// Rules stand in groups of 512, and a group in blocks of 64: the bits of a number. What is found
  /// of a group's rules is a row of eight numbers for each use, so that all of them are asked at
  /// once, and a text only touches the groups that it has something of.
  static constexpr std::size_t kBlocks = 8, kGroup = kBlocks * 64;
  /// Rules of one block that use a pattern alike. Those with a literal in common stand close
  /// together in the files: measured, a find has four of these where it has ten rules.
  struct Users {
    std::uint64_t rules = 0;  ///< bit i: rule block * 64 + i
    std::uint32_t block = 0;
    std::uint32_t at = 0;  ///< place of the block's bits among the rows of all groups
    static std::uint32_t place(std::uint32_t rule, Use use) {
      constexpr auto kB = static_cast<std::uint32_t>(kBlocks);
      constexpr auto kG = static_cast<std::uint32_t>(kGroup);
      return (rule / kG * static_cast<std::uint32_t>(kUses) + static_cast<std::uint32_t>(use)) *
                 kB +
             rule / 64 % kB;
    }
    [[nodiscard]] Use use() const { return static_cast<Use>(at / kBlocks % kUses); }
    template <class Visit>
    void each(Visit visit) const {
      each_rule(block, rules, visit);
    }
  };
  /// Calls visit(rule) for those of a block whose bits are set.
  template <class Visit>
  static void each_rule(std::size_t block, std::uint64_t bits, Visit visit) {
    for (; bits != 0; bits &= bits - 1) {
      visit(static_cast<std::uint32_t>(block * 64) +
            static_cast<std::uint32_t>(std::countr_zero(bits)));
    }
  }
  /// A part of one of the lists below.
  struct Range {
    std::uint32_t begin = 0, size = 0;
  };
  /// What a find means: one cache line, not one of each of four lists.
  struct Pattern {
    std::uint64_t groups = 0;  ///< bit i: group i, i + 64, ... of rules has users of it
    std::uint32_t users = 0;   ///< where they begin in `users`
    std::uint32_t wanted = 0;  ///< how many of them want it; those that must not have it follow
    std::uint32_t unwanted = 0;
    std::uint32_t size : 31 = 0;    ///< bytes (least bytes of a regex): what its length counts for
    std::uint32_t counted : 1 = 0;  ///< some rule's `all` counts it, so it must count once a text
  };
  /// The part of a rule that matching reads.
  struct Compiled {
    std::uint64_t rank = 0;   ///< operator, provider, text, number of predicates
    std::uint16_t wants = 0;  ///< a bit for each Use of which it wants a find; 0 = of no text
    std::uint16_t all = 0;    ///< how many patterns it wants of Use::all
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
  [[nodiscard]] std::span<const Users> users_of(const Pattern& pattern) const {
    return {users.data() + pattern.users, pattern.wanted + pattern.unwanted};
  }
  /// Those of users_of() that want it.
  [[nodiscard]] std::span<const Users> wanted_by(const Pattern& pattern) const {
    return {users.data() + pattern.users, pattern.wanted};
  }
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
  std::vector<Users> users;       ///< by pattern
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
    std::uint32_t rule;
    Use use;
    bool regex;
    [[nodiscard]] std::uint32_t at() const { return Users::place(rule, use); }
  };
  classify::Patterns add_patterns();
  void add_users(std::vector<Pending> pending);
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
