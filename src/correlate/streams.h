// StreamMatcher: which [[stream]] a message belongs to.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "correlate/correlate.h"
#include "store/names.h"

namespace bounced::correlate {

/// What a rule may ask for; empty = unknown.
struct StreamFacts {
  std::string_view sasl_user;
  std::string_view sender;
  std::string_view instance;
  std::string_view campaign;
};

/// First rule that matches wins. Every non-empty list must match; any of its entries does. Sender
/// domains compare without case, ".example.com" stands for all below it; the rest is exact.
/// Memory: a memo of kMemoSlots answers. Not thread safe.
class StreamMatcher {
 public:
  struct Match {
    std::uint16_t tenant = 0, stream = 0;
  };
  /// Interns the names of streams and tenants, in the order of the rules.
  StreamMatcher(std::vector<StreamRule> rules, store::Names& names);
  [[nodiscard]] bool empty() const { return rules_.empty(); }
  Match match(const StreamFacts& facts);

 private:
  struct Rule {
    StreamRule rule;
    Match match;
  };
  struct Memo {
    std::string key;
    Match match;
  };
  static constexpr std::size_t kMemoSlots = 1024;
  [[nodiscard]] Match search(const StreamFacts& facts, std::string_view domain) const;
  std::vector<Rule> rules_;
  std::vector<Memo> memo_;
  std::string key_;
};

}  // namespace bounced::correlate
