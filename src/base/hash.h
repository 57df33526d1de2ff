// Hashes: all of them XXH3, keyed where an outsider chooses the input.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

#include "bounced/event.h"

namespace bounced {

/// 192 secret bytes of a store; keys the address hash so that nobody outside can forge collisions.
using Secret = std::array<unsigned char, 192>;

/// Filled from getrandom(2).
Secret random_secret();
/// The secret used where there is no store (`parse`, `classify`): derived from a constant.
const Secret& public_secret();

std::uint64_t hash64(std::string_view bytes, std::uint64_t seed = 0);
AddressId hash128(std::string_view bytes, const Secret& secret);

}  // namespace bounced
