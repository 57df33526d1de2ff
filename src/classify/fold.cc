#include "classify/fold.h"

#include <unicase.h>
#include <unictype.h>
#include <uninorm.h>
#include <unistr.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <iterator>

#include "base/text.h"

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

/// Letters and signs of today's scripts that never join what stands beside them: no combining mark
/// and no second half of a composition (Unicode's NFC_Quick_Check=Maybe) is among them, but for
/// those whose combining class is not 0. So what they fold to alone is what they fold to anywhere.
bool may_be_steady(ucs4_t c) {
  struct Block {
    ucs4_t first, last;
  };
  constexpr Block kBlocks[] = {
      {0x00a1, 0x024f},  // Latin
      {0x0370, 0x052f},  // Greek, Cyrillic
      {0x05d0, 0x05ea},  // Hebrew letters
      {0x0600, 0x06ff},  // Arabic
      {0x0e01, 0x0e5b},  // Thai
      {0x1e00, 0x1eff},  // Latin with more accents (Vietnamese)
      {0x2010, 0x205e},  // dashes and quotes
      {0x20a0, 0x20bf},  // currencies
      {0x2100, 0x214f},  // signs made of letters
      {0x3000, 0x30ff},  // Japanese syllables
      {0x4e00, 0x9fff},  // Chinese characters
      {0xac00, 0xd7a3},  // Korean syllables
      {0xff01, 0xffef},  // wide and narrow forms
  };
  return std::any_of(std::begin(kBlocks), std::end(kBlocks),
                     [c](const Block& block) { return c >= block.first && c <= block.last; }) &&
         uc_combining_class(c) == 0;
}

/// Folds case and composes until nothing changes: a few characters need a second round (U+0345 and
/// what it composes with).
void fold_all(std::string& text) {
  for (int round = 0; round < 4; ++round) {
    std::size_t size = 0;
    std::uint8_t* folded = u8_casefold(reinterpret_cast<const std::uint8_t*>(text.data()),
                                       text.size(), nullptr, UNINORM_NFC, nullptr, &size);
    if (folded == nullptr) return;
    const bool same = std::string_view(reinterpret_cast<char*>(folded), size) == text;
    text.assign(reinterpret_cast<char*>(folded), size);
    std::free(folded);
    if (same) return;
  }
}

/// What a character folds to, in the low bytes, and how many they are, in the top one. 0 = not
/// asked yet.
constexpr std::uint64_t kUnsteady = 0xff;
constexpr int kCountShift = 56;

std::uint64_t ask_steady(ucs4_t c) {
  if (!may_be_steady(c)) return kUnsteady << kCountShift;
  std::uint8_t bytes[6];
  const int size = u8_uctomb(bytes, c, sizeof bytes);
  if (size <= 0) return kUnsteady << kCountShift;
  std::string text(reinterpret_cast<const char*>(bytes), static_cast<std::size_t>(size));
  fold_all(text);
  // What it turns into must not join its neighbours either.
  bool steady = text.size() <= 7;
  for (std::size_t i = 0; i < text.size() && steady;) {
    ucs4_t part = 0;
    const int n =
        u8_mbtouc(&part, reinterpret_cast<const std::uint8_t*>(text.data()) + i, text.size() - i);
    steady = part < 0x80 || may_be_steady(part);
    i += static_cast<std::size_t>(n);
  }
  if (!steady) return kUnsteady << kCountShift;
  std::uint64_t value = std::uint64_t{text.size()} << kCountShift;
  for (std::size_t i = 0; i < text.size(); ++i) {
    value |= std::uint64_t{static_cast<unsigned char>(text[i])} << (8 * i);
  }
  return value;
}

/// Asked once a character: u8_casefold() and its composing take 150 times as long.
std::uint64_t steady(ucs4_t c) {
  static std::array<std::atomic<std::uint64_t>, 0x10000> known{};  // untouched pages cost nothing
  if (c >= known.size()) return kUnsteady << kCountShift;
  std::uint64_t value = known[c].load(std::memory_order_relaxed);
  if (value == 0) {
    value = ask_steady(c);
    known[c].store(value, std::memory_order_relaxed);  // whoever else asks finds the same
  }
  return value;
}

enum class Fold { no, yes };
/// What repair() met.
struct Met {
  bool foreign = false;   ///< what is not ASCII
  bool unsteady = false;  ///< what only fold_all() can fold
};

/// Valid UTF-8 of it; an invalid byte is taken for Latin-1, in which old servers still write.
/// `how`: folds what is steady.
Met repair(std::string_view in, Fold how, std::string& out) {
  Met met;
  out.clear();
  const auto* s = reinterpret_cast<const std::uint8_t*>(in.data());
  for (std::size_t i = 0; i < in.size();) {
    if (s[i] >= 0x20 && s[i] < 0x7f) {
      out.push_back(in[i++]);
      continue;
    }
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
    met.foreign = true;
    std::uint64_t folded = how == Fold::yes ? steady(c) : kUnsteady << kCountShift;
    if (folded >> kCountShift != kUnsteady) {
      for (std::uint64_t left = folded >> kCountShift; left > 0; --left, folded >>= 8) {
        out.push_back(static_cast<char>(folded & 0xff));
      }
      continue;
    }
    met.unsteady = true;
    std::uint8_t bytes[6];
    const int size = u8_uctomb(bytes, c, sizeof bytes);
    if (size > 0) {
      out.append(reinterpret_cast<const char*>(bytes), static_cast<std::size_t>(size));
    }
  }
  return met;
}

}  // namespace

void fold(std::string_view raw, std::string& out) {
  std::string work;
  unescape(raw, work);
  const Met met = repair(work, Fold::yes, out);
  if (met.unsteady) (void)repair(work, Fold::no, out);
  unhash(out);
  if (met.unsteady) {
    fold_all(out);
  } else if (met.foreign) {
    for (char& c : out) c = ascii_lower(c);
  }
}

}  // namespace bounced::classify
