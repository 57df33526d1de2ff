// waiting: events of mails that came before the log's lines of what they are about.
#pragma once

#include <absl/container/flat_hash_map.h>

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/batch.h"
#include "bounced/result.h"
#include "store/store.h"
#include "store/write_set.h"

namespace bounced::correlate {

/// An event with its verdict and texts as bytes of the store, and back; texts go into the batch's
/// arena. Texts are cut at kWaitingTextBytesMax.
inline constexpr std::size_t kWaitingTextBytesMax = 2048;
void append_event(std::string& out, const Batch& batch, const Event& event);
/// False: malformed; `event` is undefined then.
bool read_event(std::string_view in, Batch& batch, Event& event);

/// Not thread safe: apply's. Anybody can write a mail, so what waits is bounded: the oldest goes
/// first. Each is known by the hashes of up to two pairs (message, recipient); 0 = none.
class Waiting {
 public:
  static constexpr std::size_t kBytesMax = std::size_t{32} << 20;
  static constexpr std::uint32_t kPrefix = 0xFFFFFFFE;  ///< of its keys in CF sent

  Result<void> load(const store::Store& store);
  /// Whose first pair (or both) waits already is not taken: one failure is one.
  void add(std::uint32_t day, std::uint64_t first, std::uint64_t second, std::string event);
  [[nodiscard]] bool empty() const { return by_hash_.empty(); }
  /// Takes out what waits for that pair; empty: nothing does.
  std::string take(std::uint64_t hash, std::uint32_t& day);
  /// Days before this are over.
  void forget(std::uint32_t before_day);
  void append_to(store::WriteSet& set);
  [[nodiscard]] std::size_t size() const { return entries_.size(); }

 private:
  struct Key {
    std::uint32_t day = 0;
    std::uint64_t hash = 0;
    friend bool operator<(const Key& a, const Key& b) {
      return a.day != b.day ? a.day < b.day : a.hash < b.hash;
    }
  };
  struct Entry {
    std::uint64_t second = 0;
    std::string event;
  };
  using Entries = std::map<Key, Entry>;
  static std::string stored_key(const Key& key);
  bool insert(const Key& key, Entry entry);
  void erase(Entries::iterator at);

  Entries entries_;
  absl::flat_hash_map<std::uint64_t, Key> by_hash_;
  std::size_t bytes_ = 0;
  std::map<Key, bool> changed_;  ///< since the last cut: there, or gone
};

}  // namespace bounced::correlate
