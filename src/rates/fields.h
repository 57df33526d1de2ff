// Fields of a Cell and the layout of its key. Private to this folder.
#pragma once

#include <array>
#include <cstdint>
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

/// dimension byte, hour, key, key2 (u32 big-endian each).
void append_key(std::string& out, const Row& row);
bool parse_key(std::string_view key, Row& out);

}  // namespace bounced::rates
