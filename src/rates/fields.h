// Fields of a Cell and the layout of stored records. Private to this folder.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>

#include "rates/rates.h"

namespace bounced::rates {

inline constexpr std::size_t kDimensions = 10;

using Field = std::uint64_t Cell::*;
/// Order is stored: append only.
inline constexpr std::array<Field, 9> kFields = {
    &Cell::delivered, &Cell::hard,       &Cell::soft,         &Cell::blocked,    &Cell::expired,
    &Cell::deferred,  &Cell::complained, &Cell::unsubscribed, &Cell::suppressed,
};

/// Keys n * kKeysPerGroup .. + kKeysPerGroup - 1 of one dimension and hour are stored together: a
/// cell of its own for each would cost a store ten times what counting costs.
inline constexpr std::uint32_t kKeysPerGroup = 64;

struct GroupCell {
  std::uint32_t key = 0, key2 = 0;
  std::uint64_t delivered = 0;
  const Cell* others = nullptr;  ///< the other fields; null = all 0
  friend bool operator<(const GroupCell& a, const GroupCell& b) {
    return a.key != b.key ? a.key < b.key : a.key2 < b.key2;
  }
};

/// Key of the record that holds `row`: dimension byte, hour, group (u32 big-endian each).
void append_key(std::string& out, const Row& row);
/// Stored form of a group; versioned. `cells` in order.
void encode_group(std::span<const GroupCell> cells, std::string& out);
/// Calls visit(row) for each cell of a record, in order of key; false when it is damaged.
bool decode_group(std::string_view key, std::string_view value,
                  const std::function<void(const Row&)>& visit);

}  // namespace bounced::rates
