#include "base/hash.h"

#include <sys/random.h>

#include <array>
#include <cstring>

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

#include "base/hash_inline.h"
#include "base/text.h"

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

const std::array<std::uint64_t, 6> kDomainSeeds = [] {
  const Secret secret = random_secret();
  std::array<std::uint64_t, 6> words{};
  std::memcpy(words.data(), secret.data(), sizeof words);
  return words;
}();

/// A domain is hashed in pieces of this size, from its end; the last one has zeros in front.
constexpr std::size_t kPiece = 32;

/// The `size` <= kPiece bytes before `end` in ASCII lower case (those above 0x7F stay); zeros in
/// front. Reads the kPiece bytes before `end`.
struct Piece {
  std::uint64_t words[kPiece / 8];

  Piece(const char* end, std::size_t size) {
    alignas(16) static constexpr std::array<unsigned char, 2 * kPiece> kKept = [] {
      std::array<unsigned char, 2 * kPiece> table{};
      for (std::size_t i = kPiece; i < table.size(); ++i) table[i] = 0xFF;
      return table;
    }();
    const unsigned char* const kept = kKept.data() + size;
    const char* const from = end - kPiece;
#if defined(__SSE2__)
    for (std::size_t i = 0; i < kPiece; i += 16) {
      const __m128i bytes =
          _mm_and_si128(_mm_loadu_si128(reinterpret_cast<const __m128i*>(from + i)),
                        _mm_loadu_si128(reinterpret_cast<const __m128i*>(kept + i)));
      const __m128i capital = _mm_cmpgt_epi8(_mm_add_epi8(bytes, _mm_set1_epi8('\x7F' - 'Z')),
                                             _mm_set1_epi8('\x7F' - 26));
      const __m128i lower = _mm_or_si128(bytes, _mm_and_si128(capital, _mm_set1_epi8(0x20)));
      _mm_storeu_si128(reinterpret_cast<__m128i*>(words + i / 8), lower);
    }
#else
    char bytes[kPiece];
    for (std::size_t i = 0; i < kPiece; ++i) {
      bytes[i] = static_cast<char>(ascii_lower(from[i]) & kept[i]);
    }
    std::memcpy(words, bytes, kPiece);
#endif
  }
  [[nodiscard]] std::uint64_t hash(std::uint64_t seed) const {
    return fold_product(words[0] ^ kDomainSeeds[1], words[1] ^ seed) ^
           fold_product(words[2] ^ kDomainSeeds[2], words[3] ^ kDomainSeeds[3] ^ seed);
  }
};

}  // namespace

std::uint64_t domain_name_key(std::string_view domain, bool padded) {
  const char* end = domain.data() + domain.size();
  std::size_t size = domain.size();
  if (size == 0) return 0;
  std::uint64_t key = kDomainSeeds[0] + kDomainSeeds[4] * size;
  for (; size > kPiece; size -= kPiece, end -= kPiece) key = Piece(end, kPiece).hash(key);
  char copy[kPiece] = {};
  if (!padded && size < kPiece) {
    std::memcpy(copy + kPiece - size, end - size, size);
    end = copy + kPiece;
  }
  key = fold_product(Piece(end, size).hash(key), kDomainSeeds[5]);
  return key == 0 ? 1 : key;
}

std::uint64_t domain_key(std::string_view address) {
  const auto at = address.rfind('@');
  return at == std::string_view::npos ? 0 : domain_name_key(address.substr(at + 1));
}

AddressId hash128(std::string_view bytes, const Secret& secret) {
  return hash128_inline(bytes, secret);
}

}  // namespace bounced
