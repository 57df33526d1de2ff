// Byte scanning for the line parsers: short distances, so inline code instead of memchr's call.
// Nothing here reads outside [p, end).
#pragma once

#include <array>
#include <cstdint>
#include <cstring>
#include <string_view>

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

namespace bounced::parse {

/// First `c` in [p, end), or end.
inline const char* find_byte(const char* p, const char* end, char c) {
#if defined(__SSE2__)
  const __m128i want = _mm_set1_epi8(c);
  for (; end - p >= 16; p += 16) {
    const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
    const int mask = _mm_movemask_epi8(_mm_cmpeq_epi8(bytes, want));
    if (mask != 0) return p + __builtin_ctz(static_cast<unsigned>(mask));
  }
#endif
  while (p < end && *p != c) ++p;
  return p;
}

/// First `a` or `b` in [p, end), or end.
inline const char* find_either(const char* p, const char* end, char a, char b) {
#if defined(__SSE2__)
  const __m128i want_a = _mm_set1_epi8(a);
  const __m128i want_b = _mm_set1_epi8(b);
  for (; end - p >= 16; p += 16) {
    const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
    const int mask = _mm_movemask_epi8(
        _mm_or_si128(_mm_cmpeq_epi8(bytes, want_a), _mm_cmpeq_epi8(bytes, want_b)));
    if (mask != 0) return p + __builtin_ctz(static_cast<unsigned>(mask));
  }
#endif
  while (p < end && *p != a && *p != b) ++p;
  return p;
}

inline bool is_digit(char c) {
  return static_cast<unsigned char>(c - '0') <= 9;
}

/// True when [p, end) begins with the literal; one or two loads for short ones.
template <std::size_t N>
inline bool starts(const char* p, const char* end, const char (&literal)[N]) {
  return static_cast<std::size_t>(end - p) >= N - 1 && std::memcmp(p, literal, N - 1) == 0;
}
template <std::size_t N>
inline bool starts(std::string_view text, const char (&literal)[N]) {
  return starts(text.data(), text.data() + text.size(), literal);
}

inline std::string_view between(const char* begin, const char* end) {
  return {begin, static_cast<std::size_t>(end - begin)};
}

/// Two decimal digits, or -1.
inline int two_digits(const char* p) {
  const auto tens = static_cast<unsigned char>(p[0] - '0');
  const auto ones = static_cast<unsigned char>(p[1] - '0');
  return tens > 9 || ones > 9 ? -1 : tens * 10 + ones;
}

/// The digits at p as a number, saturating; p moves behind them.
inline std::uint32_t read_number(const char*& p, const char* end) {
  std::uint64_t value = 0;
  for (; p < end && is_digit(*p); ++p) {
    value = value * 10 + static_cast<std::uint64_t>(*p - '0');
    if (value > UINT32_MAX) value = UINT32_MAX;
  }
  return static_cast<std::uint32_t>(value);
}

/// Not the contract's `inline`: these run for every line, and a call costs as much as their work.
#define BOUNCED_HOT [[gnu::always_inline]] inline

inline std::uint64_t load64(const char* p) {
  std::uint64_t word;
  std::memcpy(&word, p, sizeof word);
  return word;
}

/// memcmp() == 0 without its call; `size` is mostly 8..40.
inline bool equal_bytes(const char* a, const char* b, std::size_t size) {
  if (size < 8) {
    for (std::size_t i = 0; i < size; ++i) {
      if (a[i] != b[i]) return false;
    }
    return true;
  }
  for (std::size_t i = 0; i + 8 <= size; i += 8) {
    if (load64(a + i) != load64(b + i)) return false;
  }
  return load64(a + size - 8) == load64(b + size - 8);
}

}  // namespace bounced::parse
