// Classifier: a diagnostic in, a Verdict out. Usable by other programs.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "bounced/event.h"
#include "bounced/result.h"
#include "bounced/verdict.h"

namespace bounced {

/// Everything a verdict depends on. Views live only for the call.
struct Failure {
  std::string_view diagnostic;  ///< as logged; any bytes
  std::uint16_t smtp_code = 0;  ///< 0 = none (also read from the diagnostic's start)
  EnhancedCode enhanced;
  Phase phase = Phase::none;
  EventKind kind = EventKind::bounced;
  ProviderHint hint = ProviderHint::none;
  std::string_view mta_host;          ///< answering MX; selects the provider by longest suffix
  std::string_view recipient_domain;  ///< selects the provider where the host does not
};

/// A rule set compiled for matching. Thread safety: immutable, shared by all Classifiers.
class RuleSet;

struct RuleSetOptions {
  /// Directories or files of rules, in order of precedence (operator's first). Empty = built in.
  std::vector<std::string> operator_dirs;
  /// Replaces the built-in rules; empty = those compiled into the program.
  std::string rules_dir;
  /// Operators' own causes that have numbers already, in their order (kFirstCustomCause, ...):
  /// stored failures name a cause by its number. One without a [[cause]] any more keeps its name.
  std::vector<std::string> known_causes;
  /// Where compiled Hyperscan databases are kept, keyed by content hash and CPU; empty = nowhere.
  std::string cache_dir;
};

/// Parses, validates and compiles. Errors name file:line.
Result<std::shared_ptr<const RuleSet>> load_rules(const RuleSetOptions& options);

/// Facts about a loaded rule set. All thread safe; views live as long as the set.
std::string_view rule_name(const RuleSet& rules, RuleId rule);   ///< "" for kNoRule
const CauseInfo& cause_info(const RuleSet& rules, Cause cause);  ///< custom causes included
std::string_view cause_id(const RuleSet& rules, Cause cause);    ///< "mailbox.unknown"
Cause find_cause(const RuleSet& rules, std::string_view id);     ///< none when unknown
std::vector<CauseInfo> causes(const RuleSet& rules);             ///< all, in number order
std::uint32_t generation(const RuleSet& rules);
/// The verdict that a cause alone stands for (expiry of a deferred message, operator's hand).
Verdict verdict_of(const RuleSet& rules, Cause cause, Severity said, std::uint8_t confidence);

/// Why a verdict came out as it did.
struct Explanation {
  struct Match {
    std::string rule;   ///< "microsoft/5.4.1-access-denied"
    std::string where;  ///< file:line
    Cause cause = Cause::none;
    bool won = false;
    std::uint32_t length = 0;  ///< bytes of its longest literal found; 0 = by codes alone
    std::string why;           ///< rank against the winner, in words
  };
  std::string normalised;
  std::uint16_t smtp_code = 0;  ///< as read
  EnhancedCode enhanced;        ///< as read
  std::string provider;         ///< as chosen
  std::vector<Match> matches;   ///< strongest rule first
  /// What speaks for the cause, against the next best one: a word ("gone"), two words, a code, a
  /// phase, what the rules say ("the rule"); in natural logarithms, strongest first. Empty where
  /// words do not count.
  struct Word {
    std::string what;
    double weight = 0;
  };
  std::vector<Word> words;
  std::string summary;  ///< one sentence
};

/// One per thread: scratch space and memo. Results do not depend on the memo.
class Classifier {
 public:
  struct Options {
    bool memo = true;
    std::vector<std::string> sending_ips;  ///< become {our_ip}
    bool words = true;  ///< false: rules and codes alone, as `rules check` proves them
  };
  explicit Classifier(std::shared_ptr<const RuleSet> rules);
  Classifier(std::shared_ptr<const RuleSet> rules, Options options);
  ~Classifier();
  Classifier(Classifier&&) noexcept;
  Classifier& operator=(Classifier&&) noexcept;

  [[nodiscard]] Verdict classify(const Failure& failure);
  /// The same verdict by the long way, with reasons.
  [[nodiscard]] Verdict explain(const Failure& failure, Explanation& out);
  /// Where in the original text the winning match lies, or the word that weighs most: [begin, end)
  /// bytes; {0,0} when by code.
  struct Span {
    std::uint32_t begin = 0, end = 0;
  };
  [[nodiscard]] Span span(const Failure& failure);

  struct Stats {
    std::uint64_t calls = 0, memo_hits = 0, scans = 0, by_code = 0, unknown = 0;
    void add(const Stats& other);
  };
  [[nodiscard]] const Stats& stats() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace bounced
