// usual: the lines that most of a log consists of, in their usual shape: one look at each byte, and
// whole words compared at once. Whatever differs is left to the readers of postfix_line.h, which
// give the same answer for these lines. `end` is the line's newline, with 63 readable bytes behind
// it: every search ends there, and no word that is looked for holds a newline.
#pragma once

#include "parse/postfix_line.h"
#include "parse/postfix_reason.h"
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

/// What qmgr(8) says of a message that it begins to deliver.
struct Begin {
  std::string_view sender;
  const char* at;  ///< the sender's last '@'; nullptr: it has none, or is long
  std::uint32_t recipients;
};

/// The first of these characters in [p, end), or end.
template <std::size_t kAtOnce, class... Chars>
BOUNCED_HOT const char* find_in_line(const char* p, const char* end, Chars... chars) {
  for (;; p += kAtOnce) {
    const std::uint64_t found = Bytes<kAtOnce>(p).is(chars...);
    if (found != 0) {
      p += __builtin_ctzll(found);
      return p < end ? p : end;
    }
    if (end - p <= static_cast<std::ptrdiff_t>(kAtOnce)) return end;
  }
}

/// `ADDRESS>` at p, which moves to the '>' (or to the end); its '@' in `at` when it has one and is
/// short, else nullptr. True: it is short, ASCII and without capitals.
BOUNCED_HOT bool read_usual_address(const char*& p, const char* end, std::string_view& address,
                                    const char*& at) {
  const char* const begin = p;
  const Bytes<64> bytes(p);
  const std::uint64_t closes = bytes.is('>');
  if (closes == 0) {
    p = find_in_line<64>(p, end, '>');
    address = between(begin, p);
    at = nullptr;
    return false;
  }
  p += __builtin_ctzll(closes);
  if (p > end) p = end;
  address = between(begin, p);
  const std::uint64_t inside = (closes & -closes) - 1;
  const std::uint64_t signs = bytes.is('@') & inside;
  at = signs == 0 ? nullptr : begin + (63 - __builtin_clzll(signs));
  return (bytes.is_capital_or_high() & inside) == 0;
}

/// `from=<SENDER>, size=N, nrcpt=N (queue active)` of qmgr(8). False: not in that shape.
BOUNCED_HOT bool read_usual_begin(const char* p, const char* end, Begin& out) {
  if (load64(p) << 16 != word8("from=<  ") << 16 || p[6] == '"') return false;
  p += 6;
  read_usual_address(p, end, out.sender, out.at);
  if (load64(p) != word8(">, size=")) return false;
  p = find_in_line<16>(p + 8, end, ',');
  if (load64(p) != word8(", nrcpt=")) return false;
  p += 8;
  const char* const number = p;
  std::uint32_t recipients = 0;
  for (; is_digit(*p); ++p) recipients = recipients * 10 + static_cast<std::uint32_t>(*p - '0');
  if (p - number > 9) return false;
  out.recipients = recipients;
  return load64(p) == word8(" (queue ") && load64(p + 8) == word8("active)\n");
}

/// The seconds in [p, end) as milliseconds, `DIGITS[.DIGITS]`: at most six characters, three of
/// them behind the point; else false. All at once: how many there are is nobody's guess.
BOUNCED_HOT bool read_usual_delay(const char* p, const char* end, std::uint32_t& ms) {
  const auto size = static_cast<std::size_t>(end - p);
  if (size - 1 > 5) return false;
  const std::size_t unused = 64 - 8 * size;
  constexpr std::uint64_t kOnes = 0x0101010101010101u;
  const std::uint64_t chars = (load64(end - 8) ^ kOnes * '0') >> unused << unused;
  const std::uint64_t other = chars ^ kOnes * ('.' ^ '0');
  std::uint64_t point = (other - kOnes) & ~other & kOnes * 0x80;
  point &= -point;  // the highest bit of the first one's byte; 0 = there is none
  const std::uint64_t before = (point >> 7) - 1, through = (point << 1) - 1;
  const std::uint64_t digits =
      (chars & before) << 8 * static_cast<int>(point != 0) | (chars & ~through);
  if (((digits | (digits + kOnes * 6)) & kOnes * 0xF0) != 0) return false;
  constexpr std::uint32_t kScale[] = {1000, 100, 10, 1};
  const int behind = 7 - __builtin_ctzll(point | std::uint64_t{1} << 63) / 8;
  if (behind > 3) return false;
  ms = eight_digits(digits) * kScale[behind];
  return true;
}

/// `HOST[IP]:25` or anything else up to the comma, which p moves to.
BOUNCED_HOT void read_usual_relay(const char*& p, const char* end, Delivery& out) {
  const char* const begin = p;
  const Bytes<64> bytes(p);
  const std::uint64_t stops = bytes.is('[', ','), closes = bytes.is(']');
  const char* const open = p + (stops == 0 ? 0 : __builtin_ctzll(stops));
  const char* const close = p + (closes == 0 ? 0 : __builtin_ctzll(closes));
  if (close < end && open < close && *open == '[') {
    const auto size = static_cast<std::size_t>(close - open);  // of an IP and one
    const std::uint64_t inside = (std::uint64_t{1} << size) - 1;
    if (size <= 32 && (Bytes<32>(open + 1).is(',', '/') & inside) == 0 &&
        load32(close) == word4("]:25") && close[4] == ',') {
      p = close + 4;
      out.relay = between(begin, p);
      out.ip = between(open + 1, close);
      out.host_size = static_cast<std::uint32_t>(open - begin);
      return;
    }
  }
  p = find_in_line<64>(p, end, ',');
  out.relay = between(begin, p);
  out.ip = {};
  out.host_size = 0;
}

/// `X.Y.Z` in [p, end).
BOUNCED_HOT bool read_usual_enhanced(const char* p, const char* end, EnhancedCode& out) {
  if (end - p != 5) return read_enhanced(p, end, out) && p == end;
  const bool klass = p[0] == '2' || p[0] == '4' || p[0] == '5';
  out = {static_cast<std::uint16_t>(p[2] - '0'), static_cast<std::uint16_t>(p[4] - '0'),
         static_cast<std::uint8_t>(p[0] - '0')};
  return klass && p[1] == '.' && is_digit(p[2]) && p[3] == '.' && is_digit(p[4]);
}

/// `[, conn_use=N], delay=D, delays=a/b/c/d, dsn=X.Y.Z` up to the next comma, which p moves to.
BOUNCED_HOT bool read_usual_numbers(const char*& p, const char* end, Delivery& out) {
  if (load64(p) == word8(", conn_u")) p = find_in_line<16>(p + 8, end, ',');
  if (load64(p) != word8(", delay=")) return false;
  const char* const delay = p + 8;
  std::uint64_t commas = Bytes<64>(p).is(',');
  const auto next = [&] {
    commas &= commas - 1;
    return p + __builtin_ctzll(commas | std::uint64_t{1} << 63);
  };
  const char* const delays = next();
  const char* const dsn = next();
  const char* const status = next();
  if (commas == 0 || status >= end) return false;
  p = status;
  return load64(delays) == word8(", delays") && delays[8] == '=' &&
         load64(dsn) << 16 == word8(", dsn=  ") << 16 &&
         read_usual_delay(delay, delays, out.delay_ms) &&
         read_usual_enhanced(dsn + 6, status, out.enhanced);
}

/// `to=<ADDR>, relay=R, delay=D, delays=a/b/c/d, dsn=X.Y.Z, status=WORD (REASON)`, as
/// read_delivery() reads it. False: not in that shape; `out` is then undefined.
BOUNCED_HOT bool read_usual_delivery(const char* p, const char* end, Delivery& out) {
  p += 4;
  if (*p == '"') return false;
  const char* at = nullptr;
  const bool plain = read_usual_address(p, end, out.to, at);
  if (load64(p + 1) != word8(", relay=") || *p != '>') return false;
  // Nothing that normalise_address() would change.
  out.to_at = plain && at != nullptr && at != out.to.data() && p[-1] != '.' && p[-1] != '@'
                  ? static_cast<std::uint32_t>(at - out.to.data())
                  : 0;
  p += 9;
  read_usual_relay(p, end, out);
  if (!read_usual_numbers(p, end, out)) return false;
  if (load64(p) != word8(", status") || p[8] != '=') return false;
  p += 9;
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
