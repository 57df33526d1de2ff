// usual: the lines that most of a log consists of, in their usual shape: one look at each byte,
// whole words compared at once, and the end of the line found on the way. Whatever differs is left
// to the readers of postfix_line.h, which give the same answer for these lines. A newline must
// follow somewhere behind p and be readable for 32 bytes more: every search ends there.
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

constexpr std::uint32_t word4(const char (&text)[5]) {
  std::uint32_t word = 0;
  for (std::size_t i = 4; i-- > 0;) word = word << 8 | static_cast<unsigned char>(text[i]);
  return word;
}

inline std::uint32_t load32(const char* p) {
  std::uint32_t word;
  std::memcpy(&word, p, sizeof word);
  return word;
}

/// The first of these bytes or newline at or behind p.
template <class... Chars>
BOUNCED_HOT const char* find_in_line(const char* p, Chars... chars) {
#if defined(__SSE2__)
  const __m128i newline = _mm_set1_epi8('\n');
  const auto matches = [&](const char* at) {
    const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(at));
    __m128i found = _mm_cmpeq_epi8(bytes, newline);
    ((found = _mm_or_si128(found, _mm_cmpeq_epi8(bytes, _mm_set1_epi8(chars)))), ...);
    return static_cast<unsigned>(_mm_movemask_epi8(found));
  };
  // 32 at a time hold most fields: one branch, well predicted.
  for (;; p += 32) {
    const unsigned mask = matches(p) | matches(p + 16) << 16;
    if (mask != 0) return p + __builtin_ctz(mask);
  }
#else
  while (*p != '\n' && ((*p != chars) && ...)) ++p;
  return p;
#endif
}

/// `from=<SENDER>, size=N, nrcpt=N (queue active)` of qmgr(8). Its newline, or nullptr: not in that
/// shape.
BOUNCED_HOT const char* read_usual_begin(const char* p, std::string_view& sender,
                                         std::uint32_t& recipients) {
  if (load64(p) << 16 != word8("from=<  ") << 16 || p[6] == '"') return nullptr;
  const char* const begin = p + 6;
  p = find_in_line(begin, '>');
  if (load64(p) != word8(">, size=")) return nullptr;
  sender = between(begin, p);
  p = find_in_line(p + 8, ',');
  if (load64(p) != word8(", nrcpt=")) return nullptr;
  p += 8;
  const char* const number = p;
  recipients = 0;
  for (; is_digit(*p); ++p) recipients = recipients * 10 + static_cast<std::uint32_t>(*p - '0');
  if (p - number > 9) return nullptr;
  if (load64(p) != word8(" (queue ") || load64(p + 8) != word8("active)\n")) return nullptr;
  return p + 15;
}

/// `DIGITS[.DIGITS]` seconds as milliseconds; at most 6 digits before the point, else false.
BOUNCED_HOT bool read_usual_delay(const char*& p, std::uint32_t& ms) {
  const char* const begin = p;
  std::uint32_t value = 0;
  for (; is_digit(*p); ++p) value = value * 10 + static_cast<std::uint32_t>(*p - '0');
  if (p - begin > 6) return false;
  value *= 1000;
  if (*p == '.') {
    ++p;
    for (std::uint32_t scale = 100; is_digit(*p); ++p) {
      value += scale * static_cast<std::uint32_t>(*p - '0');
      scale = scale == 100 ? 10 : static_cast<std::uint32_t>(scale == 10);
    }
  }
  ms = value;
  return true;
}

/// `HOST[IP]:25` or anything else up to the comma, which p moves to.
BOUNCED_HOT void read_usual_relay(const char*& p, Delivery& out) {
  const char* const begin = p;
  const char* const open = find_in_line(p, ',', '[');
  if (*open == '[') {
    const char* const close = find_in_line(open + 1, ']', ',', '/');
    if (load32(close) == word4("]:25") && close[4] == ',') {
      p = close + 4;
      out.relay = between(begin, p);
      out.ip = between(open + 1, close);
      return;
    }
  }
  p = find_in_line(open, ',');
  out.relay = between(begin, p);
  out.ip = {};
}

/// `to=<ADDR>, relay=R, delay=D, delays=a/b/c/d, dsn=X.Y.Z, status=WORD (REASON)`, each part of
/// dsn= one digit, as read_delivery() reads it. Its newline, or nullptr: not in that shape; `out`
/// is then undefined.
BOUNCED_HOT const char* read_usual_delivery(const char* p, Delivery& out) {
  p += 4;
  if (*p == '"') return nullptr;
  const char* mark = find_in_line(p, '>');
  if (load64(mark + 1) != word8(", relay=") || *mark != '>') return nullptr;
  out.to = between(p, mark);
  p = mark + 9;
  read_usual_relay(p, out);
  if (load64(p) == word8(", conn_u")) p = find_in_line(p + 8, ',');
  if (load64(p) != word8(", delay=")) return nullptr;
  p += 8;
  if (!read_usual_delay(p, out.delay_ms)) return nullptr;
  if (load64(p) != word8(", delays") || p[8] != '=') return nullptr;
  p = find_in_line(p + 9, ',');
  constexpr std::uint64_t kClass = std::uint64_t{0xFF} << 48;  // the digit in ", dsn=2."
  if (((load64(p) ^ word8(", dsn=0.")) & ~kClass) != 0) return nullptr;
  if (p[6] != '2' && p[6] != '4' && p[6] != '5') return nullptr;
  if (p[9] != '.' || !is_digit(p[8]) || !is_digit(p[10])) return nullptr;
  if (load64(p + 11) != word8(", status") || p[19] != '=') return nullptr;
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
    return nullptr;
  }
  const char* const newline = find_in_line(p);
  if (newline == p || newline[-1] != ')') return nullptr;
  out.reason = between(p, newline - 1);
  out.truncated = false;
  return newline;
}

}  // namespace bounced::parse
