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

/// At most kSize bytes that end with the name; zeros in front.
struct Tail {
  static constexpr std::size_t kSize = 32;
  alignas(16) std::uint64_t words[kSize / 8];
};

/// Of the `size` <= kSize bytes before `end`; reads all kSize.
[[gnu::always_inline]] inline Tail padded_tail(const char* end, std::size_t size) {
  alignas(16) static constexpr std::array<unsigned char, 2 * Tail::kSize> kKept = [] {
    std::array<unsigned char, 2 * Tail::kSize> table{};
    for (std::size_t i = Tail::kSize; i < table.size(); ++i) table[i] = 0xFF;
    return table;
  }();
  const unsigned char* const kept = kKept.data() + size;
  const char* const from = end - Tail::kSize;
  Tail tail;
#if defined(__SSE2__)
  const auto half = [&](std::size_t i) {
    const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(from + i));
    const __m128i mask = _mm_loadu_si128(reinterpret_cast<const __m128i*>(kept + i));
    _mm_store_si128(reinterpret_cast<__m128i*>(tail.words + i / 8), _mm_and_si128(bytes, mask));
  };
  half(0);
  half(16);
#else
  for (std::size_t i = 0; i < Tail::kSize; i += 8) {
    std::uint64_t bytes, mask;
    std::memcpy(&bytes, from + i, 8);
    std::memcpy(&mask, kept + i, 8);
    tail.words[i / 8] = bytes & mask;
  }
#endif
  return tail;
}

/// Of a name of any size. `padded`: the kSize bytes before its end may be read.
Tail tail_of(std::string_view name, bool padded) {
  const char* end = name.data() + name.size();
  const std::size_t size = name.size() < Tail::kSize ? name.size() : Tail::kSize;
  char copy[Tail::kSize];
  if (!padded && size < Tail::kSize) {
    std::memset(copy, 0, sizeof copy);
    if (size != 0) std::memcpy(copy + Tail::kSize - size, end - size, size);
    end = copy + Tail::kSize;
  }
  return padded_tail(end, size);
}

/// The ASCII letters in lower case; bytes above 0x7F stay.
[[gnu::always_inline]] inline void lower(Tail& tail) {
#if defined(__SSE2__)
  for (std::size_t i = 0; i < Tail::kSize / 8; i += 2) {
    auto* const at = reinterpret_cast<__m128i*>(tail.words + i);
    const __m128i bytes = _mm_load_si128(at);
    const __m128i capital = _mm_cmpgt_epi8(_mm_add_epi8(bytes, _mm_set1_epi8('\x7F' - 'Z')),
                                           _mm_set1_epi8('\x7F' - 26));
    _mm_store_si128(at, _mm_or_si128(bytes, _mm_and_si128(capital, _mm_set1_epi8(0x20))));
  }
#else
  char bytes[Tail::kSize];
  std::memcpy(bytes, tail.words, sizeof bytes);
  for (char& c : bytes) c = ascii_lower(c);
  std::memcpy(tail.words, bytes, sizeof bytes);
#endif
}

/// One step of a domain's key: the next Tail::kSize bytes from its end.
[[gnu::always_inline]] inline std::uint64_t mix(std::uint64_t key, Tail tail) {
  lower(tail);
  return fold_product(tail.words[0] ^ kDomainSeeds[1], tail.words[1] ^ key) ^
         fold_product(tail.words[2] ^ kDomainSeeds[2], tail.words[3] ^ kDomainSeeds[3] ^ key);
}

/// All steps of a domain's key. Not inline: its registers would be saved for every short name, too.
[[gnu::noinline]] std::uint64_t long_key(std::uint64_t key, std::string_view domain, bool padded) {
  while (domain.size() > Tail::kSize) {
    key = mix(key, tail_of(domain, padded));
    domain.remove_suffix(Tail::kSize);
  }
  return mix(key, tail_of(domain, padded));
}

}  // namespace

std::uint64_t domain_name_key(std::string_view domain, bool padded) {
  if (domain.empty()) return 0;
  std::uint64_t key = kDomainSeeds[0] + kDomainSeeds[4] * domain.size();
  if (padded && domain.size() <= Tail::kSize) {  // nearly all
    key = mix(key, padded_tail(domain.data() + domain.size(), domain.size()));
  } else {
    key = long_key(key, domain, padded);
  }
  key = fold_product(key, kDomainSeeds[5]);
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
