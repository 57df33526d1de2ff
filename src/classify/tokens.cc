#include "classify/tokens.h"

#include <arpa/inet.h>

#include <algorithm>
#include <cstring>
#include <string_view>

#include "classify/chars.h"
#include "classify/quick_word.h"

namespace bounced::classify {
namespace {

using std::string_view;

/// Appends to a buffer that is large enough by contract.
struct Sink {
  char* to;
  template <std::size_t N>
  void put(const char (&text)[N]) {  // a placeholder: its size is known
    std::memcpy(to, text, N - 1);
    to += N - 1;
  }
  void put(const char* begin, const char* end) { to = copy_over(begin, end, to); }
};

// --- what a token is --------------------------------------------------------------------------

/// Dotted quad at p; 0 when none, or when it is a piece of a longer number.
std::size_t ipv4_at(const char* p, const char* end) {
  const char* s = p;
  for (int part = 0; part < 4; ++part) {
    unsigned value = 0;
    const char* from = s;
    while (s < end && s - from < 3 && is_digit(*s)) {
      value = value * 10 + static_cast<unsigned>(*s++ - '0');
    }
    if (s == from || value > 255) return 0;
    if (part < 3) {
      if (s >= end || *s != '.') return 0;
      ++s;
    }
  }
  if (s < end && (is_alnum(*s) || *s == '_')) return 0;
  if (s + 1 < end && *s == '.' && is_digit(s[1])) return 0;
  return static_cast<std::size_t>(s - p);
}

/// IPv6 address at p: "::" once or eight groups; 0 when none.
std::size_t ipv6_at(const char* p, const char* end) {
  const char* s = p;
  int groups = 0;
  bool gap = false;
  if (end - s >= 2 && s[0] == ':' && s[1] == ':') {
    gap = true;
    s += 2;
  }
  while (s < end) {
    const char* from = s;
    while (s < end && (class_of(*s) & kHex) != 0 && s - from < 5) ++s;
    if (s == from) break;
    if (s + 1 < end && *s == '.' && is_digit(s[1])) {  // ::ffff:192.0.2.1
      const std::size_t n = ipv4_at(from, end);
      if (n == 0) return 0;
      s = from + n;
      groups += 2;
      break;
    }
    if (s - from > 4) return 0;
    ++groups;
    if (s >= end || *s != ':') break;
    if (s + 1 < end && s[1] == ':') {
      if (gap) return 0;
      gap = true;
      s += 2;
    } else if (s + 1 < end && (class_of(s[1]) & kHex) != 0) {
      ++s;
    } else {
      break;  // "a:b:c: text"
    }
  }
  // What goes on is another token; a placeholder may stand where it was.
  const auto goes_on = [end](const char* q) {
    return q < end && (is_alnum(*q) || *q == '{' || *q == ':');
  };
  if (s < end && (*s == ':' ? goes_on(s + 1) : goes_on(s))) return 0;
  if (s + 1 < end && *s == '.' && s[1] == '{') return 0;
  if (gap ? groups < 1 || groups > 7 : groups != 8) return 0;
  return static_cast<std::size_t>(s - p);
}

/// A colon after at most four hex digits; spares most tokens the full look.
bool may_be_ipv6(const char* p, const char* end) {
  for (int i = 0; i < 5 && p < end; ++i, ++p) {
    if (*p == ':') return true;
    if ((class_of(*p) & kHex) == 0) return false;
  }
  return false;
}

const char* digits(const char* p, const char* end, int min, int max) {
  const char* s = p;
  while (s < end && s - p < max && is_digit(*s)) ++s;
  return s - p < min || (s < end && is_digit(*s)) ? nullptr : s;
}

/// hh:mm, hh:mm:ss, hh:mm:ss.frac; nullptr when none.
const char* clock_at(const char* p, const char* end) {
  const char* s = digits(p, end, 1, 2);
  if (s == nullptr || s >= end || *s != ':') return nullptr;
  s = digits(s + 1, end, 2, 2);
  if (s == nullptr) return nullptr;
  if (s < end && *s == ':') {
    const char* seconds = digits(s + 1, end, 2, 2);
    if (seconds == nullptr) return nullptr;
    s = seconds;
    if (s < end && (*s == '.' || *s == ',')) {
      if (const char* fraction = digits(s + 1, end, 1, 9)) s = fraction;
    }
  }
  if (s < end && (*s == ':' || *s == '_')) return nullptr;
  return s;
}

/// 2026-11-21, 2026-11-21t20:22:31.123z, ...+01:00; nullptr when none.
const char* date_at(const char* p, const char* end) {
  if (end - p < 10 || p[4] != '-' || p[7] != '-') return nullptr;
  for (const int i : {0, 1, 2, 3, 5, 6, 8, 9}) {
    if (!is_digit(p[i])) return nullptr;
  }
  const char* s = p + 10;
  if (s < end && *s == 't') {
    const char* clock = clock_at(s + 1, end);
    if (clock == nullptr) return nullptr;
    s = clock;
    if (s < end && *s == 'z') {
      ++s;
    } else if (s < end && (*s == '+' || *s == '-')) {
      const char* zone = digits(s + 1, end, 4, 4);
      if (const char* const hours = digits(s + 1, end, 2, 2);
          hours != nullptr && hours < end && *hours == ':') {
        zone = digits(hours + 1, end, 2, 2);
      }
      if (zone != nullptr) s = zone;
    }
  }
  if (s < end && (class_of(*s) & (kAlpha | kDigit)) != 0) return nullptr;
  return s;
}

bool has_digit(string_view text) {
  for (const char c : text) {
    if (is_digit(c)) return true;
  }
  return false;
}

/// A piece without joiners that looks drawn at random: queue ids, session ids, hashes, counters.
/// Short codes (s3150, tss04, bl000000, ht204137), words with a digit (smtputf8, 8bitmime) and
/// numbers of up to five digits are none.
bool random_piece(string_view piece) {
  if (piece.size() <= 5) return false;
  // A sentence of a script that writes without blanks is no id, whatever numbers are in it.
  if (std::any_of(piece.begin(), piece.end(), [](char c) { return (c & 0x80) != 0; })) return false;
  std::size_t letters = 0;
  while (letters < piece.size() && !is_digit(piece[letters])) ++letters;
  if (letters == piece.size()) return false;
  if (letters == 0) return has_digit(piece.substr(1)) || piece.size() > 9;  // "8bitmime"
  std::size_t numbers = letters;
  while (numbers < piece.size() && is_digit(piece[numbers])) ++numbers;
  const std::size_t digits_only = numbers - letters;
  const bool code = letters <= 6 && digits_only <= 6 && piece.size() <= 9;
  const bool word = letters <= 8 && digits_only == 1;
  return numbers != piece.size() || (!code && !word);
}

/// A token of pieces held together by joiners is an id when one piece is, or when it has many.
bool random_token(string_view token) {
  std::size_t with_digits = 0;
  for (std::size_t i = 0; i < token.size();) {
    std::size_t j = i;
    while (j < token.size() && (class_of(token[j]) & kJoin) == 0) ++j;
    const string_view piece = token.substr(i, j - i);
    if (random_piece(piece)) return true;
    with_digits += has_digit(piece) ? 1 : 0;
    i = j + 1;
  }
  return with_digits > 3 && token.size() > 16;
}

/// Labels with dots between, the last one all letters: "mx1.example.net".
bool host_name(string_view token) {
  const auto dot = token.rfind('.');
  if (dot == string_view::npos || dot == 0 || token.size() - dot < 3 || is_digit(token.back())) {
    return false;
  }
  for (std::size_t i = 0; i < token.size(); ++i) {
    const std::uint8_t flags = class_of(token[i]);
    if ((flags & kHost) == 0) return false;
    if (token[i] == '.' && token[i - 1] == '.') return false;
    if (i > dot && (flags & kAlpha) == 0) return false;
  }
  return true;
}

/// How much of a host name varies: the labels up to the last one with a digit, but never the
/// registered domain (the last two labels). 0 = nothing.
std::size_t varying_labels(string_view host) {
  const auto last = host.rfind('.');
  const auto registered = last == string_view::npos ? last : host.rfind('.', last - 1);
  if (registered == string_view::npos || last == 0) return 0;
  for (std::size_t i = registered; i > 0; --i) {
    if (is_digit(host[i - 1])) {
      while (host[i] != '.') ++i;
      return i;
    }
  }
  return 0;
}

// --- replacement ------------------------------------------------------------------------------

struct Word {
  const char* begin;
  const char* end;
  const SendingIps& ours;
  EnhancedCode& enhanced;
  Sink sink;

  void put_ip(string_view ip) {
    if (!ours.empty() && ours.contains(ip)) {
      sink.put("{our_ip}");
    } else {
      sink.put("{ip}");
    }
  }
  void token(const char* p, const char* q, bool with_digit);
  const char* group(const char* p, const char* limit);
  void region(const char* p, const char* limit);
  void whole();
};

/// One token [p, q): letters, digits and joiners, no IPv4 address inside.
void Word::token(const char* p, const char* q, bool with_digit) {
  if (!with_digit && !(q < end && *q == '[') && p - begin != 5) {
    sink.put(p, q);  // plain words inside URLs, brackets and the like
    return;
  }
  const char* last = q;
  while (last > p && (class_of(last[-1]) & kJoin) != 0) --last;
  const string_view text(p, static_cast<std::size_t>(last - p));
  const bool peer = q == last && q < end && *q == '[';  // "mx.example.net[192.0.2.1]"
  const bool named = p - begin == 5 && std::memcmp(begin, "name=", 5) == 0;
  EnhancedCode code;
  if (read_enhanced(p, last, code) == text.size() && !text.empty()) {
    if (!enhanced.present() && p > begin && p[-1] == '#') enhanced = code;
    sink.put(p, q);
  } else if (host_name(text)) {
    if (peer || named) {
      sink.put("{host}");
      sink.put(last, q);
    } else if (const std::size_t varying = varying_labels(text); varying != 0) {
      sink.put("{host}");
      sink.put(p + varying, q);
    } else {
      sink.put(p, q);
    }
  } else if (random_token(text)) {
    sink.put("{id}");
    sink.put(last, q);
  } else {
    sink.put(p, q);
  }
}

/// The run of token characters at p, split at IPv4 addresses; returns where it ends.
const char* Word::group(const char* p, const char* limit) {
  if (is_digit(*p)) {
    const char* time = date_at(p, limit);
    if (time == nullptr) {
      time = clock_at(p, limit);
      // "0:00::1": the address behind it is "{ip}" the next time.
      if (time != nullptr && time < limit && (is_alnum(*time) || *time == '{')) time = nullptr;
    }
    if (time != nullptr) {
      sink.put("{time}");
      return time;
    }
  }
  const char* from = p;
  std::uint8_t before = kJoin;
  bool with_digit = false;
  for (; p < limit; ++p) {
    const std::uint8_t flags = class_of(*p);
    if ((flags & kDigit) != 0) {
      const bool in_number = p - from >= 2 && p[-1] == '.' && is_digit(p[-2]);
      if ((before & kJoin) != 0 && !in_number) {
        if (const std::size_t n = ipv4_at(p, limit)) {
          if (p > from) token(from, p, with_digit);
          put_ip({p, n});
          return p + n;
        }
      }
      with_digit = true;
    } else if ((flags & (kAlpha | kJoin)) == 0) {
      break;
    } else if ((flags & kJoin) != 0 && p + 1 < limit && (class_of(p[1]) & kJoin) != 0) {
      break;  // "denied...7d39": a run of joiners parts tokens
    }
    before = flags;
  }
  token(from, p, with_digit);
  return p;
}

/// [p, limit) holds no address.
void Word::region(const char* p, const char* limit) {
  const char* copied = p;  // delimiters are copied in runs
  while (p < limit) {
    const std::uint8_t flags = class_of(*p);
    const bool alnum = (flags & (kAlpha | kDigit)) != 0;
    const bool colons = *p == ':' && p + 1 < limit && p[1] == ':';
    if (!alnum && !colons) {
      ++p;
      continue;
    }
    sink.put(copied, p);
    if (const std::size_t n = may_be_ipv6(p, limit) ? ipv6_at(p, limit) : 0; n != 0) {
      put_ip({p, n});
      p += n;
    } else if (colons) {
      sink.put(p, p + 2);
      p += 2;
    } else {
      p = group(p, limit);
    }
    copied = p;
  }
  sink.put(copied, limit);
}

/// Start of the local part that ends before `at`, not before `from`; `at` when there is none.
const char* local_part(const char* from, const char* at) {
  if (at > from && at[-1] == '"') {
    for (const char* p = at - 1; p > from; --p) {
      if (p[-1] == '"') return p - 1;
      if (std::string_view("{}<>@").find(p[-1]) != std::string_view::npos)
        break;  // nor a placeholder inside
    }
    return at;
  }
  const char* p = at;
  while (p > from && (class_of(p[-1]) & kLocal) != 0) --p;
  while (p < at && (class_of(*p) & (kAlpha | kDigit)) == 0) ++p;
  return p;
}

/// End of the domain that starts at p; p when there is none.
const char* domain_part(const char* p, const char* end) {
  if (p < end && *p == '[') {
    const void* close = std::memchr(p, ']', static_cast<std::size_t>(end - p));
    return close == nullptr ? p : static_cast<const char*>(close) + 1;
  }
  const char* s = p;
  while (s < end && (class_of(*s) & kHost) != 0) ++s;
  while (s > p && !is_alnum(s[-1])) --s;
  return s > p && is_alnum(*p) ? s : p;
}

void Word::whole() {
  const char* p = begin;
  const char* search = begin;
  while (search < end) {
    const void* found = std::memchr(search, '@', static_cast<std::size_t>(end - search));
    if (found == nullptr) break;
    const char* at = static_cast<const char*>(found);
    const char* local = local_part(p, at);
    const char* domain = domain_part(at + 1, end);
    search = at + 1;
    if (local == at || domain == at + 1) continue;
    region(p, local);
    sink.put("{addr}");
    p = search = domain;
  }
  region(p, end);
}

}  // namespace

char* append_word(const char* begin, const char* end, bool with_at, char* to,
                  const SendingIps& ours, EnhancedCode& enhanced) {
  if (char* done = quick_word(begin, end, to, ours)) return done;
  Word word{begin, end, ours, enhanced, Sink{to}};
  if (with_at) {
    word.whole();
  } else {
    word.region(begin, end);
  }
  return word.sink.to;
}

}  // namespace bounced::classify
