#include "classify/fold.h"

#include <unicase.h>
#include <uninorm.h>
#include <unistr.h>

#include <cstdint>
#include <cstdlib>

namespace bounced::classify {
namespace {

bool octal(char c) {
  return c >= '0' && c <= '7';
}

/// Backslash escapes as Exim, Sendmail and DSN writers make them. Leaves no backslash behind.
void unescape(std::string_view in, std::string& out) {
  out.clear();
  for (std::size_t i = 0; i < in.size(); ++i) {
    if (in[i] != '\\') {
      out.push_back(in[i]);
      continue;
    }
    const char next = i + 1 < in.size() ? in[i + 1] : '\0';
    if (i + 3 < in.size() && next >= '0' && next <= '3' && octal(in[i + 2]) && octal(in[i + 3])) {
      const int byte = (next - '0') * 64 + (in[i + 2] - '0') * 8 + (in[i + 3] - '0');
      out.push_back(byte == '\\' ? '/' : static_cast<char>(byte));
      i += 3;
    } else if (next == 'n' || next == 'r' || next == 't') {
      out.push_back(' ');
      ++i;
    } else if (next == '"' || next == '\'') {
      out.push_back(next);
      ++i;
    } else {
      out.push_back('/');
      if (next == '\\' || next == '/') ++i;  // JSON writes "\/"
    }
  }
}

/// rsyslog writes control characters as #ooo.
void unhash(std::string& text) {
  std::size_t to = 0;
  for (std::size_t i = 0; i < text.size(); ++i, ++to) {
    if (text[i] == '#' && i + 3 < text.size() && text[i + 1] == '0' && text[i + 2] >= '0' &&
        text[i + 2] <= '3' && octal(text[i + 3])) {
      text[to] = ' ';
      i += 3;
    } else {
      text[to] = text[i];
    }
  }
  text.resize(to);
}

constexpr ucs4_t kReplacement = 0xfffd;

enum class Kind { keep, blank, drop };

Kind kind_of(ucs4_t c) {
  if (c < 0x20 || c == 0x7f || (c >= 0x80 && c <= 0xa0)) return Kind::blank;
  if (c == 0x1680 || (c >= 0x2000 && c <= 0x200a) || c == 0x2028 || c == 0x2029 || c == 0x202f ||
      c == 0x205f || c == 0x3000) {
    return Kind::blank;
  }
  if (c == 0xad || (c >= 0x200b && c <= 0x200f) || (c >= 0x202a && c <= 0x202e) ||
      (c >= 0x2060 && c <= 0x206f) || c == 0xfeff || (c >= 0xfe00 && c <= 0xfe0f)) {
    return Kind::drop;
  }
  return Kind::keep;
}

/// Valid UTF-8 of it; an invalid byte is taken for Latin-1, in which old servers still write.
bool repair(std::string_view in, std::string& out) {
  bool ascii = true;
  out.clear();
  const auto* s = reinterpret_cast<const std::uint8_t*>(in.data());
  for (std::size_t i = 0; i < in.size();) {
    ucs4_t c = 0;
    int n = u8_mbtoucr(&c, s + i, in.size() - i);
    if (n <= 0) {
      c = s[i];
      n = 1;
    }
    i += static_cast<std::size_t>(n);
    switch (kind_of(c)) {
      case Kind::blank:
        out.push_back(' ');
        continue;
      case Kind::drop:
        continue;
      case Kind::keep:
        break;
    }
    if (c == kReplacement) {
      out.push_back('?');  // as those mask a letter that could not show it
      continue;
    }
    std::uint8_t bytes[6];
    const int size = u8_uctomb(bytes, c, sizeof bytes);
    if (size <= 0) continue;
    ascii = ascii && c < 0x80;
    out.append(reinterpret_cast<const char*>(bytes), static_cast<std::size_t>(size));
  }
  return ascii;
}

}  // namespace

void fold(std::string_view raw, std::string& out) {
  std::string work;
  unescape(raw, work);
  const bool ascii = repair(work, out);
  unhash(out);
  if (ascii) return;
  // A few characters need a second round (U+0345 and what it composes with).
  for (int round = 0; round < 4; ++round) {
    std::size_t size = 0;
    std::uint8_t* folded = u8_casefold(reinterpret_cast<const std::uint8_t*>(out.data()),
                                       out.size(), nullptr, UNINORM_NFC, nullptr, &size);
    if (folded == nullptr) return;
    const bool same = std::string_view(reinterpret_cast<char*>(folded), size) == out;
    out.assign(reinterpret_cast<char*>(folded), size);
    std::free(folded);
    if (same) return;
  }
}

}  // namespace bounced::classify
