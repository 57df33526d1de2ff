// OpenTable: the messages in RAM, by queue key, and what a cut must write of them.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_set>
#include <vector>

#include "base/index_table.h"
#include "base/prefetch.h"
#include "bounced/event.h"
#include "bounced/result.h"
#include "correlate/open_message.h"
#include "correlate/slab.h"
#include "store/store.h"
#include "store/write_set.h"

namespace bounced::correlate {

/// Invariants:
///  1. What find() answers is a function of the calls of find/create/... and their order. Cuts
///     (append_to) move bytes between RAM and store, and nothing else.
///  2. A message with a deferred recipient leaves by erase() only. When more than `entries_max`
///     deferred recipients are in RAM, unchanged messages are left to the store alone ("spilled":
///     about 60 bytes of RAM each) and fetched when asked for.
///  3. Messages without one (enrichment only) are at most `entries_max`: the eighth with the oldest
///     (first_us, key) makes room.
/// Not thread safe.
class OpenTable {
 public:
  explicit OpenTable(std::size_t entries_max) : entries_max_(entries_max) {}

  Result<void> load(const store::Store& store);

  /// nullptr when there is none. Pointers live until the next create() or erase().
  OpenMessage* find(std::uint64_t key) {
    const std::uint32_t index = index_of(key);
    if (index != 0) return &messages_[index];
    return spilled_.empty() ? nullptr : fetch(key);
  }
  /// False when find() would be nullptr; looks at no message, and so may err the other way.
  [[nodiscard]] bool may_hold(std::uint64_t key) const {
    return by_key_.guess(key) != 0 || (!spilled_.empty() && spilled_.count(key) != 0);
  }
  /// `key` must be absent. Counts as changed.
  [[gnu::always_inline]] OpenMessage& create(std::uint64_t key, std::int64_t time_us) {
    if (by_key_.size() - waiting_ >= entries_max_) [[unlikely]]
      make_room();
    const std::uint32_t index = messages_.take();
    OpenMessage& message = messages_[index];
    message.index = index;
    message.reset(key, time_us);
    by_key_.insert(key, index);
    changed(message);
    return message;
  }
  [[gnu::always_inline]] void erase(std::uint64_t key) {
    const std::uint32_t index = index_of(key);
    if (index != 0) return erase(messages_[index]);
    if (!spilled_.empty()) erase_spilled(key);
  }
  [[gnu::always_inline]] void erase(OpenMessage& message) {
    if (message.has(OpenMessage::kStored)) erased_.push_back(message.key);
    by_key_.erase(message.key, message.index);
    free_message(message);
  }
  /// Another message under the same key: forgets everything.
  void restart(OpenMessage& message, std::int64_t time_us);
  /// Must follow every change of a message or of its recipients.
  [[gnu::always_inline]] void changed(OpenMessage& message) {
    message.flags |= OpenMessage::kChanged;
    if (message.has(OpenMessage::kListed)) return;
    message.flags |= OpenMessage::kListed;
    changed_.push_back(message.index);
  }

  /// By OpenMessage::index; may have gone since.
  OpenMessage& message(std::uint32_t index) { return messages_[index]; }

  DeferredRecipient* find_recipient(const OpenMessage& message, const AddressId& id);
  DeferredRecipient& add_recipient(OpenMessage& message, const AddressId& id);
  void remove_recipient(OpenMessage& message, const AddressId& id) {
    if (message.first_recipient != 0) remove_listed(message, id);
  }
  void remove_all_recipients(OpenMessage& message);
  /// The recipient behind a list link (OpenMessage::first_recipient, DeferredRecipient::next).
  DeferredRecipient& recipient(std::uint32_t index) { return recipients_[index]; }

  /// The log's time moved on: drops enrichment-only messages that are over the age limit. Swept
  /// once per hour of log time. A clock that goes back by more than the age limit is followed, so
  /// that one line with a wild date does not end all sweeps.
  void advance(std::int64_t time_us) {
    if (time_us >= hour_end_us_ || time_us < hour_back_us_) new_hour(time_us);
  }

  /// No advance() to a time of that range sweeps.
  [[nodiscard]] bool same_hour(std::int64_t oldest_us, std::int64_t newest_us) const {
    return oldest_us >= hour_back_us_ && newest_us < hour_end_us_;
  }
  /// That many create()s make no room.
  [[nodiscard]] bool has_room(std::size_t messages) const {
    return by_key_.size() - waiting_ + messages < entries_max_;
  }

  /// True when messages and slots no longer fit a core's own cache.
  [[nodiscard]] bool large() const { return by_key_.size() > kSmall; }
  void prefetch_slot(std::uint64_t key) const { by_key_.prefetch(key); }
  /// Without its texts, or with the usual ones. False when there is none.
  bool prefetch_message(std::uint64_t key, bool texts) const {
    const std::uint32_t index = by_key_.guess(key);
    if (index == 0) return false;
    const auto* lines = reinterpret_cast<const char*>(&messages_[index]);
    bounced::prefetch(lines);
    bounced::prefetch(lines + 64);
    if (!texts) return true;
    bounced::prefetch(lines + 128);
    bounced::prefetch(lines + 192);
    return true;
  }

  /// What will be asked about a recipient of a message that prefetch_message() has sent for.
  void prefetch_recipient(std::uint64_t key, const AddressId& id) const {
    const std::uint32_t index = by_key_.guess(key);
    if (index == 0) return;
    const std::uint32_t first = messages_[index].first_recipient;
    if (first == 0) return;
    by_recipient_.prefetch(recipient_key(key, id));
    const auto* lines = reinterpret_cast<const char*>(&recipients_[first]);
    bounced::prefetch(lines);
    bounced::prefetch(lines + 64);
    bounced::prefetch(lines + 128);
  }

  void append_to(store::WriteSet& set);

  [[nodiscard]] std::uint64_t size() const { return by_key_.size() + spilled_.size(); }
  [[nodiscard]] std::uint64_t evicted() const { return evicted_; }
  [[nodiscard]] std::uint64_t spilled() const { return spilled_.size(); }
  /// First failed fetch of a spilled message; what it held is lost to this process.
  [[nodiscard]] const Result<void>& status() const { return status_; }

 private:
  static constexpr std::size_t kSmall = 2048;  ///< x 264 bytes
  [[nodiscard]] std::uint32_t index_of(std::uint64_t key) const {
    return by_key_.find(key, [&](std::uint32_t i) { return messages_[i].key == key; });
  }
  static std::uint64_t recipient_key(std::uint64_t key, const AddressId& id) {
    return (key ^ id.hi) * 0x9FB21C651E98DF25ull + id.lo;
  }
  [[nodiscard]] std::uint32_t recipient_index(const OpenMessage& message,
                                              const AddressId& id) const;
  /// At the end of the message's list; recipient.id is set.
  void link_recipient(OpenMessage& message, std::uint32_t index);
  void unlink(OpenMessage& message, std::uint32_t index);
  void remove_listed(OpenMessage& message, const AddressId& id);
  [[gnu::always_inline]] void free_message(OpenMessage& message) {
    if (message.first_recipient != 0) remove_all_recipients(message);
    if (message.overflow) message.overflow.reset();
    message.flags &= OpenMessage::kListed;
    messages_.give_back(message.index);
  }
  void erase_spilled(std::uint64_t key);
  Result<OpenMessage*> restore(std::uint64_t key, std::string_view value);
  OpenMessage* fetch(std::uint64_t key);
  void make_room();
  void new_hour(std::int64_t time_us);
  void set_hour(std::int64_t hour);
  void spill();

  std::size_t entries_max_;
  const store::Store* store_ = nullptr;
  Slab<OpenMessage> messages_;
  Slab<DeferredRecipient> recipients_;
  IndexTable by_key_;  ///< queue key -> message; each key once
  IndexTable by_recipient_;
  std::uint64_t waiting_ = 0;                  ///< messages in RAM with a deferred recipient
  std::unordered_set<std::uint64_t> spilled_;  ///< keys of messages in the store alone
  std::uint64_t evicted_ = 0;
  std::uint32_t spill_hand_ = 0;
  std::int64_t hour_ = INT64_MIN;  ///< of the last sweep; INT64_MIN = none yet
  std::int64_t hour_end_us_ = INT64_MIN;
  std::int64_t hour_back_us_ = INT64_MIN;
  bool hour_changed_ = false;
  std::vector<std::uint32_t> changed_;
  std::vector<std::uint64_t> erased_;  ///< keys that the store still holds
  std::vector<std::uint32_t> candidates_;
  Result<void> status_;
};

}  // namespace bounced::correlate
