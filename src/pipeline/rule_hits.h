// RuleHits: how often each rule decided, and when it last did.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "bounced/classifier.h"
#include "bounced/result.h"
#include "store/store.h"
#include "store/write_set.h"

namespace bounced::pipeline {

struct RuleHit {
  std::string rule;          ///< id; the rows of codes alone have ids, too ("code/5.1.1")
  std::uint64_t count = 0;   ///< failing events, attempts included, since the store was made
  std::int64_t last_us = 0;  ///< event time of the newest
};

/// Counted by rule id, so that counts outlive the numbers of one rule set and restarts: they leave
/// with the cuts (CF meta, "rule/hits/<id>") and are no part of a digest. Thread safety: belongs to
/// whom states belong to; at_cut() from any thread.
class RuleHits {
 public:
  Result<void> load(const store::Store& store);
  /// Rules whose verdicts come from now on; those of the set before are still understood.
  void bind(std::shared_ptr<const RuleSet> rules);
  void note(const Verdict& verdict, std::int64_t time_us);
  /// Empty for a verdict of rules that are long gone.
  [[nodiscard]] std::string_view name(const Verdict& verdict) const;
  /// What changed since the last call.
  void append_to(store::WriteSet& set);
  /// As of the last append_to(): the first `most` rules that ever decided anything, and the sum of
  /// all others as the rule "other", so that a reader keeps few rows and no count ever falls.
  [[nodiscard]] std::vector<RuleHit> at_cut(std::size_t most) const;
  /// In no order.
  [[nodiscard]] std::vector<RuleHit> all() const { return hits_; }

 private:
  /// A rule set, and which of hits_ its numbers stand for: 1 + index, 0 = not met yet.
  struct Binding {
    std::shared_ptr<const RuleSet> rules;
    std::uint32_t generation = 0;
    std::vector<std::uint32_t> slots;
  };
  std::uint32_t slot_of(std::string_view rule);

  Binding now_, before_;
  std::vector<RuleHit> hits_;
  std::unordered_map<std::string, std::uint32_t> slots_;  ///< by id: index in hits_
  std::vector<std::uint8_t> dirty_;                       ///< by index in hits_
  std::vector<std::uint32_t> changed_;
  mutable std::mutex cut_mutex_;
  std::vector<RuleHit> cut_;
};

/// What the store's last cut has, most hits first.
Result<std::vector<RuleHit>> read_rule_hits(const store::Store& store);

}  // namespace bounced::pipeline
