// usual: the two lines that most of a log consists of, in their usual shape: one look at each byte,
// whole words compared at once. Whatever differs is left to the readers of postfix_line.h, which
// give the same answer for these lines. Needs kBlockPadding readable bytes behind `end`: loads may
// reach behind it, but a match that does is no match.
#pragma once

#include "parse/postfix_line.h"
#include "parse/scan.h"

namespace bounced::parse {

/// Eight characters as load64() sees them.
constexpr std::uint64_t word8(const char (&text)[9]) {
  std::uint64_t word = 0;
  for (std::size_t i = 8; i-- > 0;) word = word << 8 | static_cast<unsigned char>(text[i]);
  return word;
}

/// First `c` at or behind p; some byte at or behind `end` when there is none before. Reads at most
/// 16 bytes behind `end`.
BOUNCED_HOT const char* find_padded(const char* p, const char* end, char c) {
#if defined(__SSE2__)
  const __m128i want = _mm_set1_epi8(c);
  for (; p < end; p += 16) {
    const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
    const int mask = _mm_movemask_epi8(_mm_cmpeq_epi8(bytes, want));
    if (mask != 0) return p + __builtin_ctz(static_cast<unsigned>(mask));
  }
  return p;
#else
  return find_byte(p, end, c);
#endif
}

/// `from=<SENDER>, size=N, nrcpt=N ...` of qmgr(8). False: not in that shape.
BOUNCED_HOT bool read_usual_begin(const char* p, const char* end, std::string_view& sender,
                                  std::uint32_t& recipients) {
  if (load64(p) << 16 != word8("from=<  ") << 16 || p[6] == '"') return false;
  const char* const begin = p + 6;
  p = find_padded(begin, end, '>');
  if (load64(p) != word8(">, size=")) return false;
  const char* const close = p;
  p = find_padded(p + 8, end, ',');
  if (load64(p) != word8(", nrcpt=")) return false;
  p += 8;
  if (p > end) return false;
  sender = between(begin, close);
  recipients = read_number(p, end);
  return true;
}

/// `DIGITS[.DIGITS]` seconds as milliseconds; at most 7 digits before the point, else false.
BOUNCED_HOT bool read_usual_delay(const char*& p, const char* end, std::uint32_t& ms) {
  const char* const begin = p;
  std::uint32_t value = 0;
  for (; p < end && is_digit(*p); ++p) value = value * 10 + static_cast<std::uint32_t>(*p - '0');
  if (p - begin > 6) return false;
  value *= 1000;
  if (*p == '.') {
    ++p;
    for (std::uint32_t scale = 100; p < end && is_digit(*p); ++p) {
      value += scale * static_cast<std::uint32_t>(*p - '0');
      scale = scale == 100 ? 10 : static_cast<std::uint32_t>(scale == 10);
    }
  }
  ms = value;
  return true;
}

/// `to=<ADDR>, relay=R, delay=D, delays=a/b/c/d, dsn=X.Y.Z, status=WORD (REASON)`, each part of
/// dsn= one digit, as read_delivery() reads it. False: not in that shape; `out` is then undefined.
BOUNCED_HOT bool read_usual_delivery(const char* p, const char* end, Delivery& out) {
  p += 4;
  if (*p == '"') return false;
  const char* mark = find_padded(p, end, '>');
  if (load64(mark + 1) != word8(", relay=")) return false;
  out.to = between(p, mark);
  p = mark + 9;
  mark = find_padded(p, end, ',');
  out.relay = between(p, mark);
  if (load64(mark) == word8(", conn_u")) mark = find_padded(mark + 8, end, ',');
  if (load64(mark) != word8(", delay=")) return false;
  p = mark + 8;
  if (!read_usual_delay(p, end, out.delay_ms)) return false;
  if (load64(p) != word8(", delays") || p[8] != '=') return false;
  p = find_padded(p + 9, end, ',');
  constexpr std::uint64_t kClass = std::uint64_t{0xFF} << 48;  // the digit in ", dsn=2."
  if (((load64(p) ^ word8(", dsn=0.")) & ~kClass) != 0) return false;
  if (p[9] != '.' || !is_digit(p[8]) || !is_digit(p[10])) return false;
  if (p[6] != '2' && p[6] != '4' && p[6] != '5') return false;
  if (load64(p + 11) != word8(", status") || p[19] != '=') return false;
  out.enhanced = {static_cast<std::uint16_t>(p[8] - '0'), static_cast<std::uint16_t>(p[10] - '0'),
                  static_cast<std::uint8_t>(p[6] - '0')};
  p += 20;
  const std::uint64_t word = load64(p);
  if (word << 16 == word8("sent (  ") << 16) {
    out.status = Status::sent;
    p += 6;
  } else if (word == word8("bounced ") && p[8] == '(') {
    out.status = Status::bounced;
    p += 9;
  } else if (word == word8("deferred") && p[8] == ' ' && p[9] == '(') {
    out.status = Status::deferred;
    p += 10;
  } else {
    return false;
  }
  if (p >= end || end[-1] != ')') return false;
  out.reason = between(p, end - 1);
  out.truncated = false;
  return true;
}

}  // namespace bounced::parse
