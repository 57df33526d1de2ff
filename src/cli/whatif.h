// WhatIf: what two ways of judging the same failures differ in.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "bounced/classifier.h"
#include "cli/app.h"
#include "state/address_state.h"
#include "store/store.h"

namespace bounced::cli {

/// Counts by kind of change, with a few examples of each. Memory: by kinds of change.
class WhatIf {
 public:
  struct Judgement {
    const RuleSet& rules;
    const Verdict& verdict;
  };
  struct Stored {
    const store::Store& store;
    const RuleSet& rules;
  };
  /// A block as both sides can name it; kind none = may be mailed.
  struct Block {
    BlockKind kind = BlockKind::none;
    std::string cause;
    std::int64_t until_us = 0;  ///< 0 = no end
  };

  void verdict(const Judgement& today, const Judgement& then, std::string_view diagnostic,
               std::string_view recipient);
  void block(const std::string& address, const Block& today, const Block& then);
  /// Every address and domain of two stores that have the same secret, at that time.
  Result<void> blocks(const Stored& today, const Stored& then, std::int64_t at_us);

  [[nodiscard]] std::string as_text() const;
  [[nodiscard]] std::string as_json() const;

  static Block effective(const state::AddressState& state, const RuleSet& rules,
                         std::int64_t at_us);

 private:
  static constexpr std::size_t kExamples = 3;
  struct Example {
    std::string text, recipient, rule_today, rule_then;
  };
  struct Change {
    std::uint64_t count = 0;
    std::uint64_t harder = 0, softer = 0;  ///< became hard, is hard no longer
    std::vector<Example> examples;
  };
  using Changes = std::map<std::pair<std::string, std::string>, Change>;  ///< today, then

  static std::vector<const Changes::value_type*> ordered(const Changes& changes);
  [[nodiscard]] std::string changes_json(const char* what, const Changes& changes) const;

  Changes verdicts_, blocks_;
  std::uint64_t failures_ = 0, changed_ = 0, harder_ = 0, softer_ = 0;
  std::uint64_t blocked_today_ = 0, blocked_then_ = 0;
  std::uint64_t more_ = 0, fewer_ = 0, otherwise_ = 0;
};

/// The evidence of the store, under both.
Result<void> compare_evidence(App& app, const pipeline::Options& today,
                              const pipeline::Options& then, WhatIf& diff);

}  // namespace bounced::cli
