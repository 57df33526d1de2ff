// WriteSet: everything a moment changed; it reaches the store whole or not at all.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/records.h"
#include "store/arena.h"

namespace bounced::store {

/// Column families (DESIGN section 3). The numbers index arrays; names are in store.cc.
enum class Family : std::uint8_t {
  address,    ///< AddressId (16 B big-endian) [domains: own key space] -> state + clear address
  evidence,   ///< AddressId + slot byte -> the server's own words
  by_block,   ///< BlockKind byte + AddressId -> summary, for lists
  rates,      ///< dimension byte + hour + key / 64 (u32 BE each) -> counters
  open,       ///< queue key (u64 BE) -> message still in a queue
  inbox,      ///< accepted, not yet applied events of push sources
  seen,       ///< day (u32 BE) + 16 B -> dedupe keys (packed_keys.h)
  due,        ///< time (u64 BE) + AddressId + kind -> time-driven change
  changes,    ///< seq (u64 BE) -> block change
  names,      ///< dictionary byte + id (u32 BE) -> name
  positions,  ///< file key (u64 BE) -> Position
  sent,       ///< day (u32 BE) + hash (u64 BE) -> what we sent, to match mails that come back
  meta,       ///< version, secret, options, counters
};
inline constexpr std::size_t kFamilies = 13;

/// Append-only list of puts and deletes over all families; a later entry of a key wins.
/// Not thread safe.
class WriteSet {
 public:
  void put(Family family, std::string_view key, std::string_view value) {
    append(family, key, value, false);
  }
  void erase(Family family, std::string_view key) { append(family, key, {}, true); }
  /// A put whose value is written in place: room for `value_max` bytes, to be ended by end_put()
  /// before anything else is added to the family.
  char* begin_put(Family family, std::string_view key, std::size_t value_max);
  void end_put(Family family, const char* value_end);
  /// Takes over all that `other` holds, as if added now; `other` is empty then. Costs nothing where
  /// this set has nothing of a family: memory is exchanged.
  void take(WriteSet& other);

  [[nodiscard]] std::size_t records() const;
  [[nodiscard]] std::size_t bytes() const;
  [[nodiscard]] bool empty() const { return records() == 0; }
  void clear();

  struct Entry {
    const char* bytes;  ///< the key, and behind it the value
    std::uint32_t value_size;
    std::uint16_t key_size;
    bool erase;
    [[nodiscard]] std::string_view key() const { return {bytes, key_size}; }
    [[nodiscard]] std::string_view value() const { return {bytes + key_size, value_size}; }
  };
  struct Part {
    Arena arena;
    Records<Entry> entries;
  };
  [[nodiscard]] const Part& part(Family family) const {
    return parts_[static_cast<std::size_t>(family)];
  }

 private:
  void append(Family family, std::string_view key, std::string_view value, bool erase);
  std::array<Part, kFamilies> parts_;
};

}  // namespace bounced::store
