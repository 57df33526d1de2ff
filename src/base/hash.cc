#include "base/hash.h"

#include <sys/random.h>

#include "base/hash_inline.h"

namespace bounced {

Secret random_secret() {
  Secret secret{};
  std::size_t have = 0;
  while (have < secret.size()) {
    const ssize_t got = getrandom(secret.data() + have, secret.size() - have, 0);
    if (got > 0) have += static_cast<std::size_t>(got);
  }
  return secret;
}

const Secret& public_secret() {
  static const Secret secret = [] {
    Secret s{};
    for (std::size_t i = 0; i < s.size(); i += 8) {
      const XXH64_hash_t word = XXH3_64bits_withSeed("bounced public", 14, i + 1);
      for (std::size_t b = 0; b < 8; ++b) s[i + b] = static_cast<unsigned char>(word >> (8 * b));
    }
    return s;
  }();
  return secret;
}

std::uint64_t hash64(std::string_view bytes, std::uint64_t seed) {
  return hash64_inline(bytes.data(), bytes.size(), seed);
}

AddressId hash128(std::string_view bytes, const Secret& secret) {
  return hash128_inline(bytes, secret);
}

}  // namespace bounced
