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

#include "base/bytes.h"

/// Not the contract's `inline`: these run for every line, and a call costs as much as their work.
#define BOUNCED_HOT [[gnu::always_inline]] inline

namespace bounced::parse {

/// 16, 32 or 64 bytes and what they are, one bit a byte, the first one's lowest: no loop whose end
/// nobody could foresee.
template <std::size_t kSize>
class Bytes {
 public:
  BOUNCED_HOT explicit Bytes(const char* p) : low_(p), high_(p + kSize / 2) {}
  /// Any of these characters.
  template <class... Chars>
  [[nodiscard]] BOUNCED_HOT std::uint64_t is(Chars... chars) const {
    return low_.is(chars...) | high_.is(chars...) << kSize / 2;
  }
  /// Capital letters, and all that is not ASCII.
  [[nodiscard]] BOUNCED_HOT std::uint64_t is_capital_or_high() const {
    return low_.is_capital_or_high() | high_.is_capital_or_high() << kSize / 2;
  }

 private:
  Bytes<kSize / 2> low_, high_;
};

template <>
class Bytes<16> {
 public:
#if defined(__SSE2__)
  BOUNCED_HOT explicit Bytes(const char* p)
      : bytes_(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))) {}
  template <class... Chars>
  [[nodiscard]] BOUNCED_HOT std::uint64_t is(char first, Chars... more) const {
    __m128i found = _mm_cmpeq_epi8(bytes_, _mm_set1_epi8(first));
    ((found = _mm_or_si128(found, _mm_cmpeq_epi8(bytes_, _mm_set1_epi8(more)))), ...);
    return static_cast<unsigned>(_mm_movemask_epi8(found));
  }
  [[nodiscard]] BOUNCED_HOT std::uint64_t is_capital_or_high() const {
    const __m128i to_top = _mm_set1_epi8('\x7F' - 'Z'), below_a = _mm_set1_epi8('\x7F' - 26);
    const __m128i capital = _mm_cmpgt_epi8(_mm_add_epi8(bytes_, to_top), below_a);
    return static_cast<unsigned>(_mm_movemask_epi8(_mm_or_si128(bytes_, capital)));
  }

 private:
  __m128i bytes_;
#else
  explicit Bytes(const char* p) {
    std::memcpy(bytes_, p, sizeof bytes_);
  }
  template <class... Chars>
  [[nodiscard]] std::uint64_t is(Chars... chars) const {
    std::uint64_t found = 0;
    for (unsigned i = 0; i < 16; ++i) found |= std::uint64_t{((bytes_[i] == chars) || ...)} << i;
    return found;
  }
  [[nodiscard]] std::uint64_t is_capital_or_high() const {
    std::uint64_t found = 0;
    for (unsigned i = 0; i < 16; ++i) {
      const auto c = static_cast<unsigned char>(bytes_[i]);
      found |= std::uint64_t{c >= 0x80 || (c >= 'A' && c <= 'Z')} << i;
    }
    return found;
  }

 private:
  char bytes_[16];
#endif
};

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

/// The number of eight decimal digits, each a byte of 0..9, the first one lowest.
BOUNCED_HOT std::uint32_t eight_digits(std::uint64_t word) {
  word = word * (10 << 8 | 1) >> 8;
  word = (word & 0x00FF00FF00FF00FFu) * (100 << 16 | 1) >> 16;
  word = (word & 0x0000FFFF0000FFFFu) * (std::uint64_t{10'000} << 32 | 1) >> 32;
  return static_cast<std::uint32_t>(word);
}

}  // namespace bounced::parse
