// exim_usual: the lines that most of an Exim log consists of, in their usual shape, as usual.h has
// Postfix's: many bytes at once, and what one line has in common with the one before in a compare.
// Whatever differs is left to the readers of exim_line.h, which give the same answer for these
// lines. `end` is the line's newline, with 63 readable bytes behind it; no word that is looked for
// holds a newline.
#pragma once

#include "parse/exim_id.h"
#include "parse/exim_line.h"
#include "parse/scan.h"
#include "parse/usual.h"

namespace bounced::parse {

/// Size of the message id at p, which a blank follows; 0 = none. Reads 24 bytes.
BOUNCED_HOT std::size_t usual_exim_id_size(const char* p) {
  if (p[6] != '-') return 0;
  if (p[16] == ' ' && p[13] == '-') return is_old_id(p) ? kOldIdBytes : 0;
  return p[23] == ' ' && p[18] == '-' && is_new_id(p) ? kNewIdBytes : 0;
}

/// The user of `A=METHOD:USER[:SENDER]`, whose value is at p. False: it is long.
BOUNCED_HOT bool read_usual_user(const char* p, const char* end, std::string_view& user) {
  const Bytes<64> bytes(p);
  const std::uint64_t stops = bytes.is(' ', '\n');
  if (stops == 0) return false;
  const char* const stop = std::min(p + __builtin_ctzll(stops), end);
  std::uint64_t colons = bytes.is(':') & ((stops & -stops) - 1);
  user = {};
  if (colons == 0) return true;
  const char* const begin = p + __builtin_ctzll(colons) + 1;
  colons &= colons - 1;
  user = between(begin, colons == 0 ? stop : p + __builtin_ctzll(colons));
  return true;
}

/// What follows `<= `, as read_exim_received() reads it, but for `bounce_of`. `at`: the sender's
/// last '@', or nullptr. False: not in the usual shape; `out` is then undefined.
BOUNCED_HOT bool read_usual_received(const char* p, const char* end, EximReceived& out,
                                     const char*& at) {
  const Bytes<64> front(p);
  const std::uint64_t blanks = front.is(' ');
  if (blanks == 0 || *p == ' ' || *p == '"') return false;
  const std::uint64_t inside = (blanks & -blanks) - 1;
  const std::uint64_t signs = front.is('@') & inside;
  const char* const stop = p + __builtin_ctzll(blanks);
  if (stop >= end) return false;
  at = signs == 0 ? nullptr : p + (63 - __builtin_clzll(signs));
  out.sender = between(p, stop);
  if (inside == 3 && p[0] == '<' && p[1] == '>') out.sender = {};
  for (p = stop; p < end; p += 64) {
    // Words that may matter begin like `id=`, `A=`, `T=`, `for`, `from`, `DN=`.
    std::uint64_t words = Bytes<64>(p).is(' ') & Bytes<64>(p + 1).is('i', 'A', 'T', 'f', 'D');
    for (; words != 0; words &= words - 1) {
      const char* const word = p + __builtin_ctzll(words) + 1;
      if (word >= end) return true;
      const std::uint32_t first = load32(word);
      if (first << 8 == word4("id= ") << 8) {
        out.message_id = between(word + 3, find_in_line<64>(word + 3, end, ' '));
        return true;
      }
      if (first << 16 == word4("A=  ") << 16) {
        if (!read_usual_user(word + 2, end, out.authenticated)) return false;
      } else if (first << 8 == word4("T=\" ") << 8 || first == word4("for ") ||
                 (first == word4("from") && word[4] == ' ' && word[5] == '<')) {
        return true;
      } else if (first == word4("DN=\"")) {
        return false;
      }
    }
  }
  return true;
}

/// Texts that follow one another in most lines, as the last line had them; views into the block.
struct EximHabits {
  std::string_view route;              ///< "R=dnslookup T=remote_smtp "
  std::string_view router, transport;  ///< of it
  std::string_view tls;                ///< "X=TLS1.3:...:256 CV=yes "
};

/// Both are 16 bytes.
BOUNCED_HOT bool same16(const char* a, const char* b) {
#if defined(__SSE2__)
  const __m128i left = _mm_loadu_si128(reinterpret_cast<const __m128i*>(a));
  const __m128i right = _mm_loadu_si128(reinterpret_cast<const __m128i*>(b));
  return _mm_movemask_epi8(_mm_cmpeq_epi8(left, right)) == 0xFFFF;
#else
  return load64(a) == load64(b) && load64(a + 8) == load64(b + 8);
#endif
}

/// p moves behind the text if it is there. `known` holds no newline: nothing is read far behind
/// one.
BOUNCED_HOT bool skip_known(const char*& p, std::string_view known) {
  const std::size_t size = known.size();
  const char* const text = known.data();
  if (size < 16 || !same16(p, text)) return false;
  for (std::size_t i = 16; i + 16 <= size; i += 16) {
    if (!same16(p + i, text + i)) return false;
  }
  if (!same16(p + size - 16, text + size - 16)) return false;
  p += size;
  return true;
}

/// `ADDRESS ` at p, which moves to the blank; the address is the recipient. `at`: its '@', when
/// normalise_address() would not change it, else nullptr.
BOUNCED_HOT bool read_usual_recipient(const char*& p, const char* end, EximDelivery& out,
                                      const char*& at) {
  const Bytes<64> bytes(p);
  const std::uint64_t blanks = bytes.is(' ');
  if (blanks < 8) return false;  // none, or fewer than three bytes before it
  const std::uint64_t inside = (blanks & -blanks) - 1;
  const std::uint64_t signs = bytes.is('@') & inside;
  const char* const begin = p;
  p += __builtin_ctzll(blanks);
  out.address = between(begin, p);
  const char first = *begin, last = p[-1];
  const bool plain = (bytes.is_capital_or_high() & inside) == 0 && (signs & (signs - 1)) == 0 &&
                     last != '.' && last != '@';
  at = plain ? begin + __builtin_ctzll(signs | std::uint64_t{1} << 63) : nullptr;
  return p < end && signs > 1 && last != ':' && first != '"' && first != ':' && first != '|' &&
         first != '/' && first != '>' && p[1] != '(' && p[1] != '<';
}

/// `NAME [IP][:PORT][*]` behind `H=`, which p moves behind.
BOUNCED_HOT bool read_usual_host(const char*& p, const char* end, EximDelivery& out) {
  const std::uint64_t name_ends = Bytes<64>(p).is(' ', '[');
  if (name_ends < 2) return false;
  const char* const name_end = p + __builtin_ctzll(name_ends);
  if (name_end >= end || name_end[0] != ' ' || name_end[1] != '[') return false;
  const char* const ip = name_end + 2;
  const Bytes<16> bytes(ip);
  const std::uint64_t stops = bytes.is(']', ' ');
  const char* close = ip + __builtin_ctzll(stops | 1u << 16);
  if (stops == 0) close = find_in_line<32>(close, end, ']', ' ');  // IPv6
  if (close >= end || *close != ']') return false;
  out.host = between(p, name_end);
  out.ip = between(ip, close);
  p = close + 1;
  if (*p == ':' && is_digit(p[1])) {
    ++p;
    const std::uint32_t port = read_number(p, end);
    if (port > 65535) return false;
    out.port = static_cast<std::uint16_t>(port);
  }
  if (*p == '*') ++p;
  return *p == ' ' || (*p == ':' && p[1] == ' ');
}

/// `C="TEXT"` at p, which moves behind it.
BOUNCED_HOT bool read_usual_confirmation(const char*& p, const char* end, EximDelivery& out) {
  const char* const begin = p + 3;
  const char* const stop = find_in_line<64>(begin, end, '"', '\\');
  if (stop == end || *stop != '"' || stop[-1] == '<') return false;
  out.confirmation = between(begin, stop);
  p = stop + 1;
  return true;
}

/// `TEXT` behind the colon, up to `end`; in it nothing that find_quoted_form() looks for.
BOUNCED_HOT bool read_usual_message(const char* p, const char* end, EximDelivery& out) {
  for (const char* q = p; (q = find_in_line<64>(q, end, '"')) != end; ++q) {
    if (q[-1] == '<') return false;
  }
  out.message = between(p, end);
  if (end[-1] == 's') out.message = without_exim_time(out.message);
  return true;
}

/// A word that is not one of the usual ones.
inline bool read_other_field(const char*& p, const char* end, EximDelivery& out) {
  const char* const begin = p;
  const char* const next = read_exim_field(p, end, out);
  p = next > p ? next : p + 1;
  return *begin != '<' && find_byte(begin, p, '"') == p;
}

/// `X=...[ CV=...] `, remembered for the next line.
inline bool read_other_tls(const char*& p, const char* end, EximDelivery& out, EximHabits& habits) {
  const char* const begin = p;
  if (!read_other_field(p, end, out)) return false;
  if (load32(p) == word4(" CV=") && !read_other_field(++p, end, out)) return false;
  if (p < end && *p == ' ' && begin[2] != '<') habits.tls = between(begin, p + 1);
  return true;
}

/// What follows the flag of a delivery line, as read_exim_delivery() reads it, and
/// is_usual_recipient() says yes; `at`: the '@' of its address. False: not in the usual shape;
/// `out` is then undefined.
BOUNCED_HOT bool read_usual_exim_delivery(const char* p, const char* end, EximHabits& habits,
                                          EximDelivery& out, const char*& at) {
  if (!read_usual_recipient(p, end, out, at)) return false;
  ++p;
  if (skip_known(p, habits.route)) {
    out.router = habits.router;
    out.transport = habits.transport;
  }
  while (p < end) {
    const std::uint32_t word = load32(p);
    if (word << 16 == word4("H=  ") << 16) {
      p += 2;
      if (!read_usual_host(p, end, out)) return false;
    } else if (word << 8 == word4("C=\" ") << 8) {
      if (!read_usual_confirmation(p, end, out)) return false;
    } else if (word << 16 == word4("X=  ") << 16) {
      if (!skip_known(p, habits.tls) && !read_other_tls(p, end, out, habits)) return false;
    } else if (word << 16 == word4(":   ") << 16) {
      return read_usual_message(p + 2, end, out);
    } else if (*p == ' ') {
      ++p;
    } else if (word << 16 == word4("K   ") << 16) {
      p += 2;
    } else if (word << 16 == word4(":\n  ") << 16 || word << 16 == word4("C=  ") << 16 ||
               !read_other_field(p, end, out)) {
      return false;
    }
  }
  return true;
}

}  // namespace bounced::parse
