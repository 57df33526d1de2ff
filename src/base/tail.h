// tail: the last bytes of a short name as words, for code that looks at many: no loop, no branch
// that depends on the name's size.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

namespace bounced {

/// At most kSize bytes that end with the name; zeros in front.
struct Tail {
  static constexpr std::size_t kSize = 32;
  alignas(16) std::uint64_t words[kSize / 8];

  [[gnu::always_inline]] friend inline bool operator==(const Tail& a, const Tail& b) {
    return ((a.words[0] ^ b.words[0]) | (a.words[1] ^ b.words[1]) | (a.words[2] ^ b.words[2]) |
            (a.words[3] ^ b.words[3])) == 0;
  }
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
[[gnu::always_inline]] inline Tail tail_of(std::string_view name, bool padded) {
  const char* end = name.data() + name.size();
  const std::size_t size = name.size() < Tail::kSize ? name.size() : Tail::kSize;
  char copy[Tail::kSize];
  if (!padded && size < Tail::kSize) {
    if (size != 0) std::memcpy(copy + Tail::kSize - size, end - size, size);
    end = copy + Tail::kSize;
  }
  return padded_tail(end, size);
}

}  // namespace bounced
