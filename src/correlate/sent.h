// sent: which messages we sent to whom, so that mails that come back can be matched with them.
//
// A mail that says something failed can be written by anybody. What logs (and other sources that
// we trust) tell of is remembered by day: a pair (message, recipient), and the message of a queue
// id. An event that a mail told (EventFlags::kUnproven) is believed when its Message-ID, or its
// queue id, names a message that we sent to that very recipient: who got one of our messages knows
// its Message-ID, but learns from it nothing of other recipients.
//
// A message that was handed to a provider's smart host is known to the provider's webhooks by the
// id in its answer ("250 Ok 0102..."), and goes by that name here, too: what a pair tells is the
// fingerprint under which that message's failures count, whoever tells of them, and in any order.
#pragma once

#include <absl/container/flat_hash_map.h>

#include <cstdint>
#include <functional>
#include <string_view>
#include <vector>

#include "base/batch.h"
#include "bounced/result.h"
#include "store/store.h"
#include "store/write_set.h"

namespace bounced::correlate {

/// Not thread safe: apply's. In RAM only what no cut has written yet; without a store at most
/// kUnstoredMax pairs, then all are forgotten.
class Sent {
 public:
  static constexpr std::size_t kUnstoredMax = std::size_t{8} << 20;

  /// `days`: how long a message is remembered; 0 = never, and nothing is matched.
  /// `is_smart_host`: of a host and port that a log names; may be empty.
  using IsSmartHost = std::function<bool(std::string_view host, std::uint16_t port)>;
  explicit Sent(unsigned days, IsSmartHost is_smart_host = {})
      : days_(days), is_smart_host_(std::move(is_smart_host)) {}
  void open(const store::Store& store) { store_ = &store; }
  /// Whether logs' events are wanted; those of mails always are.
  [[nodiscard]] bool remembers() const { return days_ != 0; }

  /// Remembers what trusted events tell; believes those of mails that match, and takes the others
  /// (and what mails say of deliveries, which logs tell better) out of `run`. `pushed`: the batch
  /// is of webhooks or piped mails. Errors: of the store.
  Result<void> apply(const Batch& batch, std::vector<Event*>& run, bool pushed = false);

  /// What is new since the last call; and removes days that are over, some at a time.
  Result<void> append_to(store::WriteSet& set);
  /// The write that took the last append_to() has returned.
  void committed();

  struct Stats {
    std::uint64_t remembered = 0;  ///< pairs, since the start
    std::uint64_t matched = 0;     ///< events of mails that were believed
    std::uint64_t unmatched = 0;   ///< that were not: evidence only
  };
  [[nodiscard]] const Stats& stats() const { return stats_; }

 private:
  struct Key {
    std::uint32_t day = 0;
    std::uint64_t hash = 0;
    template <class H>
    friend H AbslHashValue(H h, const Key& key) {
      return H::combine(std::move(h), key.day, key.hash);
    }
    friend bool operator==(const Key& a, const Key& b) {
      return a.day == b.day && a.hash == b.hash;
    }
  };
  using Table = absl::flat_hash_map<Key, std::uint64_t>;

  void remember(const Batch& batch, const Event& event);
  void put_pair(std::uint32_t day, std::uint64_t message, const Event& event, std::uint64_t name);
  [[nodiscard]] std::uint64_t name_of(const Batch& batch, const Event& event) const;
  void remember_header(const Batch& batch, const Event& event);
  Result<void> rename(const Batch& batch, Event& event) const;
  Result<bool> prove(const Batch& batch, Event& event);
  Result<std::uint64_t> find(std::uint64_t hash, std::uint32_t day) const;
  Result<void> forget_old_days(store::WriteSet& set);

  unsigned days_;
  IsSmartHost is_smart_host_;
  const store::Store* store_ = nullptr;
  Table fresh_;   ///< not in a cut yet
  Table flying_;  ///< in the cut that is on its way
  std::uint32_t newest_day_ = 0;
  std::uint32_t cleaned_ = 0;  ///< the store holds nothing of a day before this
  Stats stats_;
};

/// The message's id in the answer of a provider's smart host: "250 2.0.0 Ok: queued as X",
/// "250 Ok X". Empty when there is none.
std::string_view handed_over_id(std::string_view answer);

}  // namespace bounced::correlate
