// The hashes of hash.h for hot loops, inline: a size known at compile time leaves a dozen
// instructions of XXH3. Include in .cc files only (xxhash.h is long).
#pragma once

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "base/hash.h"

namespace bounced {

[[gnu::always_inline]] inline std::uint64_t hash64_inline(const void* bytes, std::size_t size,
                                                          std::uint64_t seed) {
  // The body of XXH3_64bits_withSeed(), which compilers like to leave a call.
  return XXH3_64bits_internal(bytes, size, seed, XXH3_kSecret, sizeof XXH3_kSecret,
                              XXH3_hashLong_64b_withSeed);
}

[[gnu::always_inline]] inline AddressId hash128_inline(std::string_view bytes,
                                                       const Secret& secret) {
  const std::size_t size = bytes.size();
  // The step that XXH3_128bits_withSecret() takes for these sizes, those of most addresses.
  const XXH128_hash_t h =
      size > 16 && size <= 32
          ? XXH3_len_17to128_128b(reinterpret_cast<const xxh_u8*>(bytes.data()), size,
                                  secret.data(), secret.size(), 0)
          : XXH3_128bits_withSecret(bytes.data(), size, secret.data(), secret.size());
  return {h.high64, h.low64};
}

}  // namespace bounced
