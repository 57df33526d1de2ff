#include "classify/quick_word.h"

#include <bit>
#include <cstdint>
#include <cstring>
#include <string_view>

#include "classify/chars.h"
#include "classify/tokens.h"

#ifdef __SSE4_1__
#include <immintrin.h>
#endif

namespace bounced::classify {

#ifdef __SSE4_1__
namespace {

using Bits = std::uint64_t;

/// Bit i speaks of byte i of the word.
struct Masks {
  Bits letter = 0, digit = 0, dot = 0, join = 0, at = 0, colon = 0;
  Bits odd = 0;  ///< bytes that make the word one for append_word()
};

Masks masks_of(const char* p, std::size_t size) {
  Masks m;
  for (unsigned i = 0; i < size; i += 16) {
    const __m128i v = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p + i));
    const auto is = [v](char c) { return _mm_cmpeq_epi8(v, _mm_set1_epi8(c)); };
    const auto within = [v](char first, char count) {
      const __m128i d = _mm_sub_epi8(v, _mm_set1_epi8(first));
      return _mm_cmpeq_epi8(_mm_min_epu8(d, _mm_set1_epi8(count)), d);
    };
    const auto bits = [i](__m128i x) {
      return static_cast<Bits>(static_cast<unsigned>(_mm_movemask_epi8(x))) << i;
    };
    const __m128i dot = is('.');
    m.letter |= bits(within('a', 25));
    m.digit |= bits(within('0', 9));
    m.dot |= bits(dot);
    m.join |= bits(_mm_or_si128(dot, _mm_or_si128(is('-'), is('_'))));
    m.at |= bits(is('@'));
    m.colon |= bits(is(':'));
    // '#': a qmail code; the others may stand in a token or a local part; non-ASCII.
    m.odd |= bits(_mm_or_si128(_mm_or_si128(is('+'), is('~')), _mm_or_si128(is('#'), v)));
  }
  const Bits all = (Bits{1} << size) - 1;
  m.letter &= all, m.digit &= all, m.dot &= all, m.join &= all, m.at &= all;
  m.colon &= all, m.odd &= all;
  return m;
}

/// Bits [from, to); both below 64.
Bits between(unsigned from, unsigned to) {
  return ((Bits{1} << to) - 1) & (~Bits{0} << from);
}

/// random_piece() of tokens.cc.
bool random_piece(Bits letter, Bits digit, unsigned from, unsigned to) {
  const unsigned size = to - from;
  const Bits piece = between(from, to);
  const Bits digits = digit & piece;
  if (size <= 5 || digits == 0) return false;
  const unsigned letters = static_cast<unsigned>(std::countr_zero(digits)) - from;
  if (letters == 0) return (digits & (digits - 1)) != 0 || size > 9;
  if ((digits & (letter >> 1) & (piece >> 1)) != 0) return true;  // a letter behind a digit
  const unsigned numbers = size - letters;
  return !(letters <= 6 && numbers <= 6 && size <= 9) && !(letters <= 8 && numbers == 1);
}

bool random_token(const Masks& m, unsigned from, unsigned to) {
  unsigned with_digits = 0;
  for (unsigned piece = from; piece < to;) {
    const Bits joins = m.join & between(piece, to);
    const unsigned end = joins == 0 ? to : static_cast<unsigned>(std::countr_zero(joins));
    if (random_piece(m.letter, m.digit, piece, end)) return true;
    with_digits += (m.digit & between(piece, end)) != 0 ? 1 : 0;
    piece = end + 1;
  }
  return with_digits > 3 && to - from > 16;
}

struct QuickWord {
  const char* begin;
  unsigned size;
  Masks m;
  char* to;
  unsigned copied = 0;

  void replace(unsigned from, unsigned until, std::string_view name) {
    to = copy_over(begin + copied, begin + from, to);
    std::memcpy(to, name.data(), name.size());
    to += name.size();
    copied = until;
  }
  bool token(unsigned from, unsigned end);
  bool host(unsigned from, unsigned last, bool peer);
};

/// True when [from, last) was a host name; then it is done with.
bool QuickWord::host(unsigned from, unsigned last, bool peer) {
  const Bits dots = m.dot & between(from, last);
  if (dots == 0) return false;
  const unsigned dot = 63 - static_cast<unsigned>(std::countl_zero(dots));
  if (last - dot < 3 || (m.letter & between(dot + 1, last)) != between(dot + 1, last)) return false;
  if (peer) {
    replace(from, last, "{host}");
    return true;
  }
  const Bits before = dots & between(0, dot);
  if (before == 0) return true;
  const unsigned registered = 63 - static_cast<unsigned>(std::countl_zero(before));
  const Bits digits = m.digit & between(from, registered);
  if (digits == 0) return true;
  const unsigned digit = 63 - static_cast<unsigned>(std::countl_zero(digits));
  const unsigned label_end = static_cast<unsigned>(std::countr_zero(dots & ~between(0, digit)));
  replace(from, label_end, "{host}");
  return true;
}

/// A run of letters, digits and single joiners that begins with no joiner; false: not for us.
bool QuickWord::token(unsigned from, unsigned end) {
  const Bits all = between(from, end);
  const bool peer_after = end < size && begin[end] == '[';
  if ((m.digit & all) == 0 && !peer_after) return true;
  const unsigned last = end - ((m.join >> (end - 1)) & 1);
  const Bits between_digits = m.dot & (m.digit << 1) & (m.digit >> 1) & all;
  if (std::popcount(between_digits) >= 3) return false;
  if ((m.digit >> from & 1) != 0) {
    if (last - from >= 10 && begin[from + 4] == '-') return false;  // a date
    EnhancedCode ignored;
    if (begin[from + 1] == '.' && last - from >= 5 &&
        read_enhanced(begin + from, begin + last, ignored) == last - from) {
      return true;
    }
  }
  if (host(from, last, peer_after && last == end)) return true;
  if (random_token(m, from, last)) replace(from, last, "{id}");
  return true;
}

/// Dotted quad of the digits and dots in [from, end); 0 when it is something else.
unsigned dotted_quad(const char* p, unsigned size) {
  unsigned parts = 0, value = 0, digits = 0, i = 0;
  for (; i < size; ++i) {
    if (p[i] != '.') {
      value = value * 10 + static_cast<unsigned>(p[i] - '0');
      if (++digits > 3 || value > 255) return 0;
    } else {
      if (digits == 0) return 0;
      if (++parts == 4) break;  // a sentence's dot behind
      value = digits = 0;
    }
  }
  if (parts == 4) return i + 1 == size ? i : 0;
  return parts == 3 && digits != 0 ? size : 0;
}

}  // namespace

char* quick_word(const char* begin, const char* end, char* to, const SendingIps& ours) {
  if (end - begin > 63) return nullptr;
  QuickWord w{begin, static_cast<unsigned>(end - begin), {}, to};
  w.m = masks_of(begin, w.size);
  const Masks& m = w.m;
  const Bits alnum = m.letter | m.digit;
  const Bits run = alnum | m.join;
  if (m.odd != 0 || (m.join & (m.join >> 1)) != 0 || (m.colon & (m.colon >> 1)) != 0 ||
      (m.at & (m.at - 1)) != 0 || (m.at & ~(alnum << 1)) != 0 ||
      (w.size > 5 && std::memcmp(begin, "name=", 5) == 0)) {
    return nullptr;
  }
  for (unsigned at = 0;;) {
    const Bits left = alnum & ~between(0, at);
    if (left == 0) break;
    const unsigned from = static_cast<unsigned>(std::countr_zero(left));
    const unsigned until = static_cast<unsigned>(std::countr_zero(~run & ~between(0, from)));
    at = until;
    const char after = until < w.size ? begin[until] : ' ';
    if (after == '@') {
      // The local part begins behind a bracket or at the word's start; the domain is a plain one.
      if (from != 0 && std::string_view("<([").find(begin[from - 1]) == std::string_view::npos)
        return nullptr;
      if ((alnum >> (until + 1) & 1) == 0) return nullptr;
      unsigned domain = static_cast<unsigned>(std::countr_zero(~run & ~between(0, until + 1)));
      domain -= (m.join >> (domain - 1)) & 1;
      w.replace(from, domain, "{addr}");
      at = domain;
      continue;
    }
    // "12:30", "2001:db8::1" and the like.
    if (after == ':' && until + 1 < w.size) return nullptr;
    if (((m.digit | m.dot) & between(from, until)) == between(from, until)) {
      if (const unsigned n = dotted_quad(begin + from, until - from)) {
        if (!ours.empty()) return nullptr;
        w.replace(from, from + n, "{ip}");
        continue;
      }
    }
    if (!w.token(from, until)) return nullptr;
  }
  return copy_over(begin + w.copied, end, w.to);
}

#else

char* quick_word(const char*, const char*, char*, const SendingIps&) {
  return nullptr;
}

#endif

}  // namespace bounced::classify
