#include "classify/masked.h"

#include <uninorm.h>
#include <unistr.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdlib>
#include <string_view>
#include <utility>

namespace bounced::classify {
namespace {

using std::string;
using std::string_view;

constexpr std::size_t kAsciiLettersMin = 5;

bool is_ascii(string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return (c & 0x80) == 0; });
}

/// Bytes of the UTF-8 character that starts with `lead`.
std::size_t char_size(char lead) {
  const auto byte = static_cast<unsigned char>(lead);
  return byte < 0x80 ? 1 : byte < 0xe0 ? 2 : byte < 0xf0 ? 3 : 4;
}

/// Letters that Unicode does not take apart into a base letter and an accent.
constexpr std::array kBases = {
    std::pair<string_view, string_view>{"ł", "l"},  std::pair<string_view, string_view>{"ø", "o"},
    std::pair<string_view, string_view>{"đ", "d"},  std::pair<string_view, string_view>{"ı", "i"},
    std::pair<string_view, string_view>{"æ", "ae"}, std::pair<string_view, string_view>{"œ", "oe"},
};
constexpr std::array kUmlauts = {
    std::pair<string_view, string_view>{"ä", "ae"},
    std::pair<string_view, string_view>{"ö", "oe"},
    std::pair<string_view, string_view>{"ü", "ue"},
};

template <class Table>
string replaced(string text, const Table& table) {
  for (const auto& [from, to] : table) {
    for (auto at = text.find(from); at != string::npos; at = text.find(from, at + to.size())) {
      text.replace(at, from.size(), to);
    }
  }
  return text;
}

/// Without accents; still not ASCII when the letters are of another script.
string without_accents(const string& text) {
  std::size_t size = 0;
  std::uint8_t* apart = u8_normalize(
      UNINORM_NFD, reinterpret_cast<const std::uint8_t*>(text.data()), text.size(), nullptr, &size);
  if (apart == nullptr) return text;
  string out;
  for (std::size_t i = 0; i < size;) {
    const std::size_t n = char_size(static_cast<char>(apart[i]));
    // U+0300..U+036F, the combining accents: CC 80 .. CD AF.
    const bool accent = n == 2 && (apart[i] == 0xcc || (apart[i] == 0xcd && apart[i + 1] <= 0xaf));
    if (!accent) out.append(reinterpret_cast<const char*>(apart) + i, std::min(n, size - i));
    i += n;
  }
  std::free(apart);
  return replaced(std::move(out), kBases);
}

/// Every non-ASCII character as one '?', or as one for each of its bytes.
string masked(string_view text, bool bytes) {
  string out;
  for (std::size_t i = 0; i < text.size();) {
    const std::size_t n = char_size(text[i]);
    if (n == 1) {
      out.push_back(text[i]);
    } else {
      out.append(bytes ? n : 1, '?');
    }
    i += n;
  }
  return out;
}

bool tells_enough(string_view masked_text) {
  const auto count = [&](auto&& what) {
    return static_cast<std::size_t>(std::count_if(masked_text.begin(), masked_text.end(), what));
  };
  const std::size_t letters = count([](char c) { return c >= 'a' && c <= 'z'; });
  return letters >= kAsciiLettersMin && letters >= 2 * count([](char c) { return c == '?'; });
}

}  // namespace

void add_masked(std::vector<string>& literals) {
  std::vector<string> more;
  for (const string& literal : literals) {
    if (is_ascii(literal)) continue;
    for (string form : {without_accents(literal), replaced(literal, kUmlauts)}) {
      if (is_ascii(form)) more.push_back(std::move(form));
    }
    if (!tells_enough(masked(literal, false))) continue;
    more.push_back(masked(literal, false));
    more.push_back(masked(literal, true));
  }
  for (string& form : more) {
    if (std::find(literals.begin(), literals.end(), form) == literals.end()) {
      literals.push_back(std::move(form));
    }
  }
}

}  // namespace bounced::classify
