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
/// Both halves of a product in one: the step of a short multiplying hash.
inline std::uint64_t fold_product(std::uint64_t a, std::uint64_t b) {
  __extension__ using Wide = unsigned __int128;
  const Wide product = Wide{a} * b;
  return static_cast<std::uint64_t>(product) ^ static_cast<std::uint64_t>(product >> 64);
}

/// Of a domain as logged, without regard to ASCII case; 0 = it is empty. Another one in each
/// process, so that nobody outside can make two domains meet: never stored. `padded`: the 32
/// bytes before its end may be read, whatever its size.
std::uint64_t domain_name_key(std::string_view domain, bool padded = false);
/// The same of the domain of an address as logged; 0 = it has none.
std::uint64_t domain_key(std::string_view address);
AddressId hash128(std::string_view bytes, const Secret& secret);

}  // namespace bounced
