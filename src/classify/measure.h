// Measuring a rule set: what it costs, and which rules and literals cost most.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "bounced/classifier.h"

namespace bounced::classify {

/// A text to measure with; owns its words.
struct CorpusText {
  std::string diagnostic, mta_host;
  std::uint16_t smtp_code = 0;
  EnhancedCode enhanced;
  Phase phase = Phase::none;
  EventKind kind = EventKind::bounced;
  [[nodiscard]] Failure failure() const;
};

/// Each rule's samples, which every rule set carries.
std::vector<CorpusText> sample_corpus(const RuleSet& rules);

struct MeasureOptions {
  std::int64_t budget_us = 10'000'000;  ///< the ranking ends by then
  std::vector<std::string> sending_ips;
  /// Told which share of the work is done, 0 to 1; false = enough.
  std::function<bool(double)> progress;
};

struct LiteralCost {
  std::string literal;      ///< a regex in slashes
  std::uint64_t texts = 0;  ///< of the corpus that have it
};
struct RuleCost {
  std::string rule, where;
  double ns = 0;  ///< what the scan of one text costs less without it; below the noise: nothing
  std::vector<LiteralCost> literals;  ///< those that texts of the corpus have, most first
};

struct Measurement {
  std::size_t rules = 0, literals = 0, regexes = 0;
  std::size_t texts = 0, bytes = 0;  ///< of the corpus, distinct
  std::size_t scanned = 0;           ///< of those, spread over all: what LiteralCost counts in
  double read_ms = 0;                ///< TOML and its checks
  double compile_ms = 0;             ///< Hyperscan and tables, no cache
  std::size_t literal_database_bytes = 0;  ///< Hyperscan's, and the index of phrases
  std::size_t regex_database_bytes = 0;
  double call_ns = 0;  ///< a whole classify() of a text never met, memo off
  double normalise_ns = 0, scan_ns = 0;
  double memo_hit_ns = 0;
  double noise_ns = 0;                ///< between two scans by the same rules
  std::size_t ranked = 0;             ///< rules that were left out in turn within the budget
  std::vector<RuleCost> costs;        ///< of those above the noise, dearest first
  std::vector<LiteralCost> frequent;  ///< found in most texts: each find is told to its rules
};

/// Loads the rules and measures on one thread, in its own CPU time, by the least of several rounds.
/// Errors: as load_rules; an empty corpus.
Result<Measurement> measure_rules(const RuleSetOptions& rules, std::vector<CorpusText> corpus,
                                  const MeasureOptions& options);

}  // namespace bounced::classify
