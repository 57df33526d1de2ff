#include "classify/sketch.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "classify/chars.h"
#include "classify/tokens.h"

namespace bounced::classify {
namespace {

constexpr std::size_t kFirstOf[] = {0, 0, 10, 110, 1'110, 11'110};
constexpr std::size_t kPowers[] = {1, 10, 100, 1'000, 10'000, 100'000};

std::size_t number(std::string_view digits) {
  std::size_t value = 0;
  for (const char c : digits) value = value * 10 + static_cast<std::size_t>(c - '0');
  return value;
}

/// True when the expression may see a difference between two digits: one stands in it other than
/// as a repeat count or in the range 0-9. In doubt, true.
bool looks_at_digits(std::string_view regex) {
  for (std::size_t i = 0; i < regex.size(); ++i) {
    const char c = regex[i];
    if (c == '\\') {
      const char next = i + 1 < regex.size() ? regex[i + 1] : 'x';
      // \x31, \061, \Q..\E and the like are not worth reading.
      if (is_alnum(next) && std::memchr("dDsSwWb", next, 7) == nullptr) return true;
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

}  // namespace

TellingDigits::TellingDigits(const Patterns& patterns) {
  for (const std::string& regex : patterns.regexes) all_ = all_ || looks_at_digits(regex);
  for (const std::string& literal : patterns.literals) {
    for (std::size_t i = 0; i < literal.size();) {
      std::size_t j = i;
      while (j < literal.size() && is_digit(literal[j])) ++j;
      if (j > i) mark(std::string_view(literal).substr(i, j - i), i == 0, j == literal.size());
      i = j + 1;
    }
  }
  choose_neutral();
}

void TellingDigits::choose_neutral() {
  for (std::size_t size = 1; size <= kDigitsMax; ++size) {
    std::size_t value = 0;
    while (value < kPowers[size] && runs_.test(kFirstOf[size] + value)) ++value;
    // Where every run tells, tells() never lets this one be asked for.
    for (std::size_t i = size; i > 0; --i, value /= 10) {
      neutral_[size][i - 1] = static_cast<char>('0' + value % 10);
    }
  }
}

/// A run at a literal's edge is part of any longer run that begins or ends with it.
void TellingDigits::mark(std::string_view run, bool open_left, bool open_right) {
  const std::size_t value = number(run.substr(0, kDigitsMax + 1));
  for (std::size_t size = run.size(); size <= kDigitsMax; ++size) {
    const std::size_t left_max = open_left ? size - run.size() : 0;
    for (std::size_t left = 0; left <= left_max; ++left) {
      const std::size_t right = size - run.size() - left;
      if (right != 0 && !open_right) continue;
      for (std::size_t l = 0; l < kPowers[left]; ++l) {
        const std::size_t low = (l * kPowers[run.size()] + value) * kPowers[right];
        for (std::size_t r = 0; r < kPowers[right]; ++r) runs_.set(kFirstOf[size] + low + r);
      }
    }
    if (!open_left && !open_right) return;
  }
}

bool TellingDigits::tells(const char* p, std::size_t size) const {
  return all_ || size > kDigitsMax || runs_.test(kFirstOf[size] + number({p, size}));
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
  std::memcpy(tail, raw.data() + whole, raw.size() - whole);
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
          after == 0 ? size
                     : std::min(size, end_block * 64 +
                                          static_cast<std::size_t>(std::countr_zero(after)));
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
      if (!is_digit(next) && next != '.' && next != ':') telling_.neutralise(from, digits);
      return;
    }
  }
  // "smtp;550-x", "x-unix;", "x-postfix;": wrapping, behind which a code may stand.
  if (size > 4 && (from[4] == ';' || from[6] == ';' || from[9] == ';')) return;
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
  for (char* p = begin; p < end;) {
    if (!is_digit(*p)) {
      ++p;
      continue;
    }
    char* const run = p;
    while (p < end && is_digit(*p)) ++p;
    const auto size = static_cast<std::size_t>(p - run);
    const char before = run > begin ? run[-1] : ' ';
    const char after = p < end ? *p : ' ';
    const bool word = (class_of(before) & kAlpha) != 0;
    const bool number = size <= 2 && before != '.' && before != ':' && after != '.' && after != ':';
    if (word || number) telling_.neutralise(run, size);
  }
}

}  // namespace bounced::classify
