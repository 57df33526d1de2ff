// exim_id: message ids, 6-6-2 digits and letters, or 6-11-4 since Exim 4.97.
#pragma once

#include <array>
#include <cstddef>

#include "parse/scan.h"

namespace bounced::parse {

inline constexpr std::size_t kOldIdBytes = 16, kNewIdBytes = 23;

inline constexpr std::array<bool, 256> kIdChars = [] {
  std::array<bool, 256> table{};
  for (int c = '0'; c <= '9'; ++c) table[static_cast<std::size_t>(c)] = true;
  for (int c = 'a'; c <= 'z'; ++c) table[static_cast<std::size_t>(c)] = true;
  for (int c = 'A'; c <= 'Z'; ++c) table[static_cast<std::size_t>(c)] = true;
  return table;
}();

/// Which of the 16 bytes at p are digits or letters, one bit each.
BOUNCED_HOT unsigned id_chars16(const char* p) {
#if defined(__SSE2__)
  const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
  const auto within = [](__m128i v, char first, char count) __attribute__((always_inline)) {
    const __m128i from_first = _mm_sub_epi8(v, _mm_set1_epi8(first));
    const __m128i last = _mm_set1_epi8(static_cast<char>(count - 1));
    return _mm_cmpeq_epi8(_mm_min_epu8(from_first, last), from_first);
  };
  const __m128i lower = _mm_or_si128(bytes, _mm_set1_epi8(0x20));
  return static_cast<unsigned>(
      _mm_movemask_epi8(_mm_or_si128(within(bytes, '0', 10), within(lower, 'a', 26))));
#else
  unsigned found = 0;
  for (unsigned i = 0; i < 16; ++i) {
    found |= static_cast<unsigned>(kIdChars[static_cast<unsigned char>(p[i])]) << i;
  }
  return found;
#endif
}

/// Whether the 16 bytes at p are an id, its dashes aside.
BOUNCED_HOT bool is_old_id(const char* p) {
  constexpr unsigned kDashes = 1u << 6 | 1u << 13;
  return id_chars16(p) == (0xFFFFu & ~kDashes);
}

/// The same of 23 bytes.
BOUNCED_HOT bool is_new_id(const char* p) {
  constexpr unsigned kFront = 1u << 6, kBack = 1u << (18 - 7);  // two views of 16 that overlap
  return id_chars16(p) == (0xFFFFu & ~kFront) && id_chars16(p + 7) == (0xFFFFu & ~kBack);
}

}  // namespace bounced::parse
