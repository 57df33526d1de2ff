// sent: which messages we sent to whom, so that mails that come back can be matched with them.
//
// A mail that says something failed can be written by anybody. What logs (and other sources that
// we trust) tell of is remembered by day: a pair (message, recipient), and the message of a queue
// id. An event that a mail told (EventFlags::kUnproven) is believed when its Message-ID, or its
// queue id, names a message that we sent to that very recipient: who got one of our messages knows
// its Message-ID, but learns from it nothing of other recipients.
//
// Order does not matter. A mail that comes before the log's lines waits for them (waiting.h). Of a
// message that one telling has delivered and another failed, both are known whichever came first:
// the later one gets a Revision, so that it ends as one failure, in the hour of the delivery.
//
// A message that was handed to a provider's smart host is known to the provider's webhooks by the
// id in its answer ("250 Ok 0102..."). That is its name here, too: all that is known of it goes by
// the name, and its Message-ID and our own queue id lead there, whoever tells of it first.
#pragma once

#include <absl/container/btree_map.h>
#include <absl/container/flat_hash_map.h>

#include <array>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/batch.h"
#include "bounced/result.h"
#include "correlate/waiting.h"
#include "store/store.h"
#include "store/write_set.h"

namespace bounced::correlate {

/// Not thread safe: apply's. In RAM only what no cut has written yet; without a store at most
/// kUnstoredMax pairs, then all are forgotten.
class Sent {
 public:
  static constexpr std::size_t kUnstoredMax = std::size_t{4} << 20;
  /// Failures that are known to have no delivery yet; beyond it no more are.
  static constexpr std::size_t kFailedMax = std::size_t{4} << 20;
  static constexpr std::uint32_t kFailedPrefix = 0xFFFFFFFF;  ///< of their keys in CF sent

  /// `days`: how long a message is remembered; 0 = never, and nothing is matched. `recipients`: so
  /// are the addresses it went to, for reports that name the message only. `is_smart_host`: of a
  /// host and port that a log names; may be empty.
  using IsSmartHost = std::function<bool(std::string_view host, std::uint16_t port)>;
  explicit Sent(unsigned days, bool recipients = false, IsSmartHost is_smart_host = {})
      : days_(days), keeps_(recipients), is_smart_host_(std::move(is_smart_host)) {}
  Result<void> open(const store::Store& store);
  /// Whether logs' events are wanted; those of mails always are.
  [[nodiscard]] bool remembers() const { return days_ != 0; }

  /// Remembers what trusted events tell; believes those of mails that match, and takes the others
  /// (and what mails say of deliveries, which logs tell better) out of `run`. Puts in what waited
  /// for them (Batch::synthesised), and fills Batch::revisions. `pushed`: the batch is of webhooks
  /// or piped mails. Errors: of the store.
  Result<void> apply(Batch& batch, std::vector<Event*>& run, bool pushed = false);

  /// What is new since the last call; and removes days that are over, some at a time.
  Result<void> append_to(store::WriteSet& set);
  /// The write that took the last append_to() has returned.
  void committed();

  struct Stats {
    std::uint64_t remembered = 0;  ///< pairs, since the start
    std::uint64_t matched = 0;     ///< events of mails that were believed
    std::uint64_t unmatched = 0;   ///< that were not when they came: evidence only
    std::uint64_t waiting = 0;     ///< now, until a log tells of their message
    std::uint64_t redacted = 0;    ///< of the unmatched, those that name nobody
    std::uint64_t revised = 0;     ///< messages that were delivered, and failed after all
  };
  [[nodiscard]] Stats stats() const {
    Stats stats = stats_;
    stats.waiting = waiting_.size();
    return stats;
  }

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
  using Table = absl::flat_hash_map<Key, std::string>;
  /// A value, and the day it is stored under; empty: none.
  struct Found {
    std::uint32_t day = 0;
    std::string value;
  };

  Result<void> remember(Batch& batch, const Event& event, bool pushed, std::vector<Event*>& out);
  [[nodiscard]] std::uint64_t given_name(const Batch& batch, const Event& event) const;
  void put_name(std::uint64_t message, const Event& event, std::uint64_t name);
  Result<std::uint64_t> name_of(std::uint64_t message, const Event& event) const;
  Result<void> rename(const Batch& batch, Event& event) const;
  Result<void> observe(Batch& batch, const Event& event, std::uint64_t name, std::size_t at);
  Result<bool> settle_delivery(Batch& batch, const Event& event, std::uint64_t pair,
                               std::size_t at);
  Result<bool> settle_failure(Batch& batch, const Event& event, std::uint64_t pair, std::size_t at);
  Result<void> take_waiting(Batch& batch, const Event& event, std::uint64_t name,
                            std::uint64_t hash, std::vector<Event*>& out);
  void keep_waiting(const Batch& batch, const Event& event);
  Result<bool> prove(Batch& batch, Event& event);
  Result<bool> find_recipient(Batch& batch, Event& event) const;
  Result<std::array<std::uint64_t, 3>> messages_of(const Batch& batch, const Event& event) const;
  void keep_recipient(const Batch& batch, const Event& event, std::uint32_t day);
  Result<Found> find(std::uint64_t hash, std::uint32_t day, bool delivery_first = false) const;
  Result<std::string> get(const Key& key) const;
  void put(std::uint32_t day, std::uint64_t hash, std::string value);
  Result<void> forget_old_days(store::WriteSet& set);
  [[nodiscard]] bool within(std::uint32_t day, std::uint32_t of_day) const;

  unsigned days_;
  bool keeps_;
  IsSmartHost is_smart_host_;
  const store::Store* store_ = nullptr;
  Table fresh_;   ///< not in a cut yet
  Table flying_;  ///< in the cut that is on its way
  /// By the key's bytes: day, hash of the message, 32 bits of the recipient's id.
  absl::btree_map<std::string, std::string> recipients_, recipients_flying_;
  Waiting waiting_;
  /// Pairs that failed and were not delivered, as far as is known -> day of their record.
  absl::flat_hash_map<std::uint64_t, std::uint32_t> failed_;
  std::vector<std::pair<Key, bool>> failed_changes_;  ///< since the last cut: there, or gone
  std::uint32_t newest_day_ = 0;
  std::uint32_t cleaned_ = 0;  ///< the store holds nothing of a day before this
  Stats stats_;
};

/// The message's id in the answer of a provider's smart host: "250 2.0.0 Ok: queued as X",
/// "250 Ok X". Empty when there is none.
std::string_view handed_over_id(std::string_view answer);

}  // namespace bounced::correlate
