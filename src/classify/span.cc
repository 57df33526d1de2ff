#include "classify/span.h"

#include <string>

#include "base/text.h"
#include "classify/chars.h"
#include "classify/fold.h"

namespace bounced::classify {
namespace {

using std::string_view;

bool blank(char c) {
  return static_cast<unsigned char>(c) <= 0x20 || c == 0x7f;
}

/// Skips `550-`, `550 5.1.1 `, `5.1.1 ` at p, with the blanks behind; p when there is none.
std::size_t skip_continuation(string_view text, std::size_t p) {
  const std::size_t start = p;
  if (p + 3 < text.size() && is_reply_code(text.data() + p) &&
      (text[p + 3] == '-' || blank(text[p + 3]))) {
    p += 4;
  }
  EnhancedCode code;
  if (const std::size_t n = read_enhanced(text.data() + p, text.data() + text.size(), code);
      n != 0 && p + n < text.size() && blank(text[p + n])) {
    p += n;
  }
  while (p > start && p < text.size() && blank(text[p])) ++p;
  return p;
}

std::size_t skip_blanks(string_view text, std::size_t p) {
  for (;;) {
    const std::size_t before = p;
    while (p < text.size() && blank(text[p])) ++p;
    if (p + 1 < text.size() && text[p] == '\\' && (text[p + 1] == 'n' || text[p + 1] == 'r'))
      p += 2;
    p = skip_continuation(text, p);
    if (p == before) return p;
  }
}

bool placeholder(string_view literal, std::size_t& length) {
  for (const string_view name : {"{addr}", "{ip}", "{our_ip}", "{id}", "{time}", "{host}"}) {
    if (literal.substr(0, name.size()) == name) {
      length = name.size();
      return true;
    }
  }
  return false;
}

constexpr std::size_t kNo = string_view::npos;
/// Tries are bounded: hostile texts must not make the search explode.
constexpr int kStepsMax = 20'000;

/// End of a match of `literal` at text[p]; kNo when there is none.
std::size_t match_at(string_view text, std::size_t p, string_view literal, int& steps) {
  std::size_t i = 0;
  while (i < literal.size()) {
    if (++steps > kStepsMax) return kNo;
    std::size_t length = 0;
    if (literal[i] == '{' && placeholder(literal.substr(i), length)) {
      const string_view rest = literal.substr(i + length);
      for (std::size_t q = p + 1; q <= text.size() && !blank(text[q - 1]); ++q) {
        const std::size_t end = match_at(text, q, rest, steps);
        if (end != kNo) return end;
      }
      return kNo;
    }
    if (literal[i] == ' ') {
      const std::size_t q = skip_blanks(text, p);
      if (q == p && p != text.size() && p != 0) return kNo;
      p = q;
    } else {
      if (p >= text.size() || ascii_lower(text[p]) != literal[i]) return kNo;
      ++p;
    }
    ++i;
  }
  return p;
}

}  // namespace

Range find_span(string_view original, string_view literal) {
  const string_view words = trim(literal);
  std::size_t length = 0;
  if (words.empty() || (placeholder(words, length) && length == words.size())) {
    return {};  // every word of the text would do
  }
  int steps = 0;
  for (std::size_t p = 0; p < original.size() && steps <= kStepsMax; ++p) {
    const std::size_t end = match_at(original, p, words, steps);
    if (end != kNo) return {static_cast<std::uint32_t>(p), static_cast<std::uint32_t>(end)};
  }
  return {};
}

}  // namespace bounced::classify
