#include "classify/sketch.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "classify/chars.h"
#include "classify/tokens.h"

#ifdef __SSE4_1__
#include <immintrin.h>
#endif

namespace bounced::classify {
namespace {

/// True when the expression may see a difference between two digits: one stands in it other than
/// as a repeat count or in the range 0-9. In doubt, true.
bool looks_at_digits(std::string_view regex) {
  for (std::size_t i = 0; i < regex.size(); ++i) {
    const char c = regex[i];
    if (c == '\\') {
      const char next = i + 1 < regex.size() ? regex[i + 1] : 'x';
      // \x31, \061, \Q..\E and the like are not worth reading.
      if (is_alnum(next) && std::string_view("dDsSwWb").find(next) == std::string_view::npos)
        return true;
      ++i;
    } else if (c == '{') {
      const auto close = regex.find_first_not_of("0123456789,", i + 1);
      if (close != std::string_view::npos && regex[close] == '}') i = close;
    } else if (is_digit(c)) {
      if (regex.substr(i, 3) != "0-9") return true;
      i += 2;
    } else if (c == '-') {
      // "[ -~]" takes in digits; "[!-5]" some of them.
      if (i == 0 || i + 1 == regex.size() || !is_alnum(regex[i - 1]) || !is_alnum(regex[i + 1])) {
        return true;
      }
    }
  }
  return false;
}

/// The first digit in [p, end), else end or more. Reads up to 15 bytes behind the end.
char* next_digit(char* p, const char* end) {
#ifdef __SSE4_1__
  for (; p < end; p += 16) {
    const __m128i v = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
    const __m128i d = _mm_sub_epi8(v, _mm_set1_epi8('0'));
    const int bits = _mm_movemask_epi8(_mm_cmpeq_epi8(_mm_min_epu8(d, _mm_set1_epi8(9)), d));
    if (bits != 0) return p + std::countr_zero(static_cast<unsigned>(bits));
  }
#else
  while (p < end && !is_digit(*p)) ++p;
#endif
  return p;
}

bool bracket_in_address(const char* p, const char* end) {
  const char* const begin = p;
  while ((p = static_cast<const char*>(std::memchr(p, '@', static_cast<std::size_t>(end - p)))) !=
         nullptr) {
    if ((p + 1 < end && p[1] == '[') || (p > begin && p[-1] == '"')) return true;
    ++p;
  }
  return false;
}

}  // namespace

TellingDigits::TellingDigits(const Patterns& patterns) {
  for (const std::string& regex : patterns.regexes) {
    if (looks_at_digits(regex)) facts_.all = 1;
  }
  for (const std::string& literal : patterns.literals) {
    for (std::size_t i = 0; i < literal.size(); ++i) {
      const std::size_t from = i;
      while (i < literal.size() && is_digit(literal[i])) ++i;
      if (i > from) add(literal, from, i);
    }
  }
  choose_neutral(patterns);
}

TellingDigits::TellingDigits(Facts facts) : facts_(std::move(facts)) {
  for (const Run& run : facts_.runs) index(run);
}

void TellingDigits::add(std::string_view literal, std::size_t from, std::size_t to) {
  if (to - from > kDigitsMax) return;  // runs that long are never asked for
  Run run;
  run.size = static_cast<std::uint8_t>(literal.copy(run.digits, to - from, from));
  run.open_left = from == 0 ? 1 : 0;
  run.open_right = to == literal.size() ? 1 : 0;
  run.before = from == 0 ? '\0' : literal[from - 1];
  run.after = to == literal.size() ? '\0' : literal[to];
  facts_.runs.push_back(run);
  index(run);
}

void TellingDigits::index(const Run& run) {
  if (run.open_left != 0) {
    open_.push_back(run);
    if (run.open_right != 0) {
      open_after_.set();
    } else {
      open_after_.set(static_cast<unsigned char>(run.after));
    }
    return;
  }
  by_[static_cast<unsigned char>(run.before)].push_back(run);
  const bool one = run.size == 1;
  if (one) begins_.set(place(run.before, run.digits[0], -1));
  for (int second = 0; second < 10; ++second) {
    if (one ? run.open_right != 0 : run.digits[1] == '0' + second) {
      begins_.set(place(run.before, run.digits[0], second));
    }
  }
}

/// Of a bit in begins_; `second` is -1 where there is one digit.
std::size_t TellingDigits::place(char before, char first, int second) {
  return (static_cast<std::size_t>(static_cast<unsigned char>(before)) * 10 +
          static_cast<std::size_t>(first - '0')) *
             11 +
         static_cast<std::size_t>(second + 1);
}

/// Any runs will do; those that few literals hold are seldom telling.
void TellingDigits::choose_neutral(const Patterns& patterns) {
  for (std::size_t size = 1; size <= kDigitsMax; ++size) {
    std::size_t fewest = ~std::size_t{0};
    for (char digit = '9'; digit >= '0'; --digit) {
      const std::string run(size, digit);
      std::size_t count = 0;
      for (const std::string& literal : patterns.literals) {
        count += literal.find(run) != std::string::npos ? 1 : 0;
      }
      if (count >= fewest) continue;
      fewest = count;
      run.copy(facts_.neutral[size], size);
    }
  }
}

bool TellingDigits::holds(const Run& run, std::string_view digits, char after) {
  const std::string_view mine = run.text();
  const bool open_right = run.open_right != 0;
  if (mine.size() > digits.size()) return false;
  if (!open_right && run.after != after) return false;
  if (run.open_left != 0) {
    return open_right ? digits.find(mine) != std::string_view::npos
                      : digits.substr(digits.size() - mine.size()) == mine;
  }
  if (!open_right && mine.size() != digits.size()) return false;
  return digits.substr(0, mine.size()) == mine;
}

bool TellingDigits::tells(char before, const char* p, std::size_t size, char after) const {
  if (facts_.all != 0 || size > kDigitsMax) return true;
  const std::string_view digits(p, size);
  if (open_after_.test(static_cast<unsigned char>(after))) {
    for (const Run& run : open_) {
      if (holds(run, digits, after)) return true;
    }
  }
  if (!begins_.test(place(before, *p, size == 1 ? -1 : p[1] - '0'))) return false;
  const auto at = static_cast<unsigned char>(before);
  for (const Run& run : by_[at]) {
    if (holds(run, digits, after)) return true;
  }
  return false;
}

void TellingDigits::neutralise(char before, char* p, std::size_t size, char after) const {
  if (size > kDigitsMax || tells(before, p, size, after) ||
      tells(before, facts_.neutral[size], size, after)) {
    return;
  }
  std::memcpy(p, facts_.neutral[size], size);
}

Sketch::Sketch(const TellingDigits& telling, const SendingIps& ours)
    : telling_(telling), ours_(ours), lower_(best_lower_blocks()) {
  reserve(4);
}

void Sketch::reserve(std::size_t blocks) {
  low_.resize(blocks * 64 + 64);  // copy_over() reads past a word
  blank_.resize(blocks);
  event_.resize(blocks);
  text_.resize(blocks * 64 * 3 + kSlack + 64);
}

bool Sketch::run(std::string_view raw) {
  const std::size_t blocks = raw.size() / 64 + 1;
  if (low_.size() < blocks * 64 + 64) reserve(blocks);
  Scan scan{blank_.data(), event_.data()};
  const std::size_t whole = raw.size() & ~std::size_t{63};
  if (whole != 0) lower_(raw.data(), low_.data(), 0, blocks - 1, scan);
  char tail[64] = {};  // bytes behind the text need not be readable; the padding counts as blank
  const std::string_view rest = raw.substr(whole);
  if (!rest.empty()) std::memcpy(tail, rest.data(), rest.size());  // empty: perhaps no pointer
  lower_(tail, low_.data(), blocks - 1, blocks, scan);
  if (scan.foreign != 0) return false;
  if (scan.hash != 0 && raw.find("#0") != std::string_view::npos) return false;
  out_ = text_.data();
  copied_ = low_.data();
  words(raw.size(), scan.at != 0);
  out_ = copy_over(copied_, low_.data() + raw.size(), out_);
  return true;
}

void Sketch::words(std::size_t size, bool any_at) {
  const std::size_t blocks = size / 64 + 1;
  const std::uint64_t* const blank = blank_.data();
  char* const low = low_.data();
  std::size_t start = 0;  // of the word that goes on from the last block
  for (std::size_t block = 0; block < blocks; ++block) {
    std::uint64_t bits = event_[block];
    while (bits != 0) {
      const unsigned bit = static_cast<unsigned>(std::countr_zero(bits));
      const std::uint64_t before = blank[block] & ((std::uint64_t{1} << bit) - 1);
      const std::size_t from =
          before != 0 ? block * 64 + 64 - static_cast<std::size_t>(std::countl_zero(before))
                      : start;
      const std::size_t at = block * 64 + bit;
      // '=' only matters in Postfix's "name=host type=MX".
      if (low[at] == '=' && (at - from != 4 || std::memcmp(low + from, "name", 4) != 0)) {
        bits &= bits - 1;
        continue;
      }
      // The padding is blank: there is an end.
      std::size_t end_block = block;
      std::uint64_t after = blank[block] & (~std::uint64_t{0} << bit);
      while (after == 0) {
        if (++end_block == blocks) break;
        after = blank[end_block];
      }
      const std::size_t to =
          after == 0
              ? size
              : std::min(size, end_block * 64 + static_cast<std::size_t>(std::countr_zero(after)));
      word(low + from, low + to, any_at);
      if (end_block != block) {
        if (end_block >= blocks) return;
        block = end_block;
      }
      bits = event_[block] & (~std::uint64_t{0} << (to % 64));
    }
    if (blank[block] != 0) {
      start = block * 64 + 64 - static_cast<std::size_t>(std::countl_zero(blank[block]));
    }
  }
}

/// Reply codes stay: whether they are the reply's own is for the normaliser to say.
void Sketch::word(char* from, char* to, bool any_at) {
  const auto size = static_cast<std::size_t>(to - from);
  if (is_digit(*from)) {
    if (size >= 4 && (from[3] == '-' || from[3] == ':') && is_reply_code(from)) return;
    if (size <= 6) {
      const std::size_t digits = size >= 2 && is_digit(from[1]) ? 2 : 1;
      const char next = size > digits ? from[digits] : ' ';
      if (!is_digit(next) && next != '.' && next != ':') {
        telling_.neutralise(' ', from, digits, next);
      }
      return;
    }
  }
  // "smtp;550-x", "x-unix;", "x-postfix;": wrapping, behind which a code may stand.
  if (size > 4 && (from[4] == ';' || from[6] == ';' || from[9] == ';')) return;
  // The address would take a bracket along, by which wrapping is known: "host a@[192.0.2.1] said:".
  if (any_at && bracket_in_address(from, to)) return;
  out_ = copy_over(copied_, from, out_);
  char* const begin = out_;
  EnhancedCode ignored;
  out_ = append_word(from, to, any_at, out_, ours_, ignored);
  copied_ = to;
  blank_digits(begin, out_);
}

/// In a word out of append_word(): the runs whose value the normaliser does not look at, as they
/// can be part of neither code, address nor time. Their length it does look at.
void Sketch::blank_digits(char* const begin, char* const end) {
  for (char* p = next_digit(begin, end); p < end; p = next_digit(p, end)) {
    char* const run = p;
    while (p < end && is_digit(*p)) ++p;
    const auto size = static_cast<std::size_t>(p - run);
    const char before = run > begin ? run[-1] : ' ';
    const char after = p < end ? *p : ' ';
    const bool word = (class_of(before) & kAlpha) != 0;
    const bool number = size <= 2 && before != '.' && before != ':' && after != '.' && after != ':';
    if (word || number) telling_.neutralise(before, run, size, after);
  }
}

}  // namespace bounced::classify
