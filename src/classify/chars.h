// Character classes of normalised (lower-case) text.
#pragma once

#include <array>
#include <cstdint>
#include <cstring>
#include <string_view>

#include "bounced/event.h"

namespace bounced::classify {

inline constexpr std::uint8_t kAlpha = 1;  ///< a-z and every non-ASCII byte
inline constexpr std::uint8_t kDigit = 2;
inline constexpr std::uint8_t kJoin = 4;    ///< . - _ + ~ : hold the pieces of one token together
inline constexpr std::uint8_t kHex = 8;     ///< 0-9 a-f
inline constexpr std::uint8_t kLocal = 16;  ///< may stand in the local part of an address
inline constexpr std::uint8_t kHost = 32;   ///< may stand in a host name

inline constexpr std::array<std::uint8_t, 256> kClassOf = [] {
  std::array<std::uint8_t, 256> table{};
  for (unsigned c = 0; c < 256; ++c) {
    std::uint8_t flags = 0;
    if ((c >= 'a' && c <= 'z') || c >= 0x80) flags |= kAlpha | kLocal | kHost;
    if (c >= '0' && c <= '9') flags |= kDigit | kHex | kLocal | kHost;
    if (c >= 'a' && c <= 'f') flags |= kHex;
    if (c == '.' || c == '-' || c == '_') flags |= kJoin | kLocal | kHost;
    if (c == '+' || c == '~') flags |= kJoin | kLocal;
    if (c == '=' || c == '%' || c == '!' || c == '$' || c == '*' || c == '\'' || c == '^' ||
        c == '`') {
      flags |= kLocal;
    }
    table[c] = flags;
  }
  return table;
}();

inline std::uint8_t class_of(char c) {
  return kClassOf[static_cast<unsigned char>(c)];
}
inline bool is_digit(char c) {
  return c >= '0' && c <= '9';
}
inline bool is_alnum(char c) {
  return (class_of(c) & (kAlpha | kDigit)) != 0;
}

/// Copies [begin, end) in steps of 16 bytes, reading and writing up to 15 bytes too far; returns
/// the new end. Pieces are a few bytes long: a call of memcpy costs more than the copy.
inline char* copy_over(const char* begin, const char* end, char* to) {
  char* const last = to + (end - begin);
  while (to < last) {
    std::memcpy(to, begin, 16);
    to += 16;
    begin += 16;
  }
  return last;
}

/// Three digits 2xx..5xx at p (which has at least three bytes).
inline bool is_reply_code(const char* p) {
  return p[0] >= '2' && p[0] <= '5' && is_digit(p[1]) && is_digit(p[2]);
}
inline std::uint16_t reply_code(const char* p) {
  return static_cast<std::uint16_t>((p[0] - '0') * 100 + (p[1] - '0') * 10 + (p[2] - '0'));
}

/// Length of the RFC 3463 code at p ("5.1.1": class 2, 4 or 5, up to three digits each), 0 when
/// there is none or it goes on as a longer token.
inline std::size_t read_enhanced(const char* p, const char* end, EnhancedCode& out) {
  if (end - p < 5 || (p[0] != '2' && p[0] != '4' && p[0] != '5') || p[1] != '.') return 0;
  const char* s = p + 2;
  std::uint16_t parts[2] = {0, 0};
  for (int part = 0; part < 2; ++part) {
    const char* from = s;
    while (s < end && s - from < 3 && is_digit(*s)) {
      parts[part] = static_cast<std::uint16_t>(parts[part] * 10 + (*s++ - '0'));
    }
    if (s == from) return 0;
    if (part == 0) {
      if (s >= end || *s != '.') return 0;
      ++s;
    }
  }
  if (s < end && (class_of(*s) & (kAlpha | kDigit | kJoin)) != 0) {
    // "5.1.1." at a sentence's end is still the code; "5.1.1.2" and "5.1.1-x" are not.
    if (*s != '.' || (s + 1 < end && is_alnum(s[1]))) return 0;
  }
  out.klass = static_cast<std::uint8_t>(p[0] - '0');
  out.subject = parts[0];
  out.detail = parts[1];
  return static_cast<std::size_t>(s - p);
}

}  // namespace bounced::classify
