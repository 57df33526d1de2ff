#include "base/hash.h"

#include <sys/random.h>

#include <array>
#include <cstring>

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

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

namespace {

const std::array<std::uint64_t, 3> kDomainSeeds = [] {
  const Secret secret = random_secret();
  std::array<std::uint64_t, 3> words{};
  std::memcpy(words.data(), secret.data(), sizeof words);
  return words;
}();

/// Eight bytes in ASCII lower case; those above 0x7F stay.
std::uint64_t lower8(std::uint64_t word) {
  constexpr std::uint64_t kHigh = 0x8080808080808080ull, kOnes = 0x0101010101010101ull;
  const std::uint64_t low = word & ~kHigh;
  const std::uint64_t upper =
      (low + (0x80 - 'A') * kOnes) & ~(low + (0x80 - 'Z' - 1) * kOnes) & ~word & kHigh;
  return word | upper >> 2;
}

/// Behind the last '@'; nullptr = there is none. Names are short: inline, not memrchr's call.
const char* behind_last_at(const char* begin, const char* end) {
  const char* p = end;
#if defined(__SSE2__)
  const __m128i at = _mm_set1_epi8('@');
  for (; p - begin >= 16; p -= 16) {
    const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p - 16));
    const auto mask = static_cast<unsigned>(_mm_movemask_epi8(_mm_cmpeq_epi8(bytes, at)));
    if (mask != 0) return p + 16 - __builtin_clz(mask);
  }
#endif
  while (p != begin && p[-1] != '@') --p;
  return p == begin ? nullptr : p;
}

}  // namespace

std::uint64_t domain_key(std::string_view address, bool padded) {
  const char* const end = address.data() + address.size();
  const char* const begin = behind_last_at(address.data(), end);
  if (begin == nullptr) return 0;
  const auto size = static_cast<std::size_t>(end - begin);
  if (size == 0) return 0;
  // As words from its end; in the first one the bytes before the domain are shifted out.
  std::uint64_t key = kDomainSeeds[0] + kDomainSeeds[1] * size;
  const std::size_t whole = size / 8, rest = size % 8;
  for (std::size_t i = 1; i <= whole; ++i) {
    std::uint64_t word;
    std::memcpy(&word, end - 8 * i, sizeof word);
    key = fold_product(lower8(word) ^ kDomainSeeds[2], key);
  }
  std::uint64_t word = 0;
  if (rest != 0) {
    if (padded || address.size() >= 8 * whole + 8) {
      std::memcpy(&word, begin + rest - 8, sizeof word);
      word >>= 8 * (8 - rest);
    } else {
      std::memcpy(&word, begin, rest);
    }
  }
  key = fold_product(lower8(word) ^ kDomainSeeds[1], key ^ kDomainSeeds[2]);
  return key == 0 ? 1 : key;
}

AddressId hash128(std::string_view bytes, const Secret& secret) {
  return hash128_inline(bytes, secret);
}

}  // namespace bounced
