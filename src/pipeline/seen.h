// Seen: which events of push sources were applied, so that telling them again changes nothing.
#pragma once

#include <absl/container/flat_hash_set.h>

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "base/batch.h"
#include "bounced/result.h"
#include "store/store.h"

namespace bounced::pipeline {

/// Keys by the last day on which they are of use. RAM holds half of each (64 bits of a keyed hash:
/// one event in 10^12 is taken for another when 10^7 are known), the store all of it. Not thread
/// safe: apply's.
class Seen {
 public:
  /// In RAM: about 18 bytes each. Beyond it those that would be forgotten first are.
  static constexpr std::size_t kKeysMax = std::size_t{16} << 20;

  explicit Seen(std::size_t keys_max = kKeysMax) : keys_max_(keys_max) {}

  /// The newest ones, as many as there is room for.
  Result<void> load(const store::Store& store);
  /// Leaves out of the batch what is known, and knows the rest until that day. Returns how many
  /// events were left out. Only for a batch of which every event is applied before the next cut.
  std::size_t take(Batch& batch, std::uint32_t until_day);
  /// Events were accepted on that day (since 1970): what is of no use any more may go.
  void advance(std::uint32_t day) { day_ = day > day_ ? day : day_; }
  /// Keys since the last call; and removes some of those that are of no use any more.
  Result<void> append_to(store::WriteSet& set, const store::Store& store);
  [[nodiscard]] std::size_t size() const { return size_; }
  /// Of those that were of use yet, for lack of room.
  [[nodiscard]] std::uint64_t forgotten() const { return forgotten_; }

 private:
  using Keys = absl::flat_hash_set<std::uint64_t>;
  struct Fresh {
    AddressId key;
    std::uint32_t day;
  };
  bool add(std::uint64_t key, Keys& young);
  void make_room();

  std::size_t keys_max_;
  std::map<std::uint32_t, Keys> days_;
  std::vector<Fresh> fresh_;
  std::size_t size_ = 0;
  std::uint64_t forgotten_ = 0;
  std::uint32_t day_ = 0;
  std::uint32_t cleaned_ = 0;  ///< the store holds nothing of a day before this
  std::string clean_from_;     ///< nor below this key
};

}  // namespace bounced::pipeline
