#include "classify/normalise.h"

#include <arpa/inet.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <iterator>

#include "classify/chars.h"
#include "classify/fold.h"
#include "classify/lead.h"
#include "classify/lower.h"
#include "classify/tokens.h"

namespace bounced::classify {
namespace {

/// Writes 4 or 16 raw bytes; 0 when `text` is no address.
std::size_t raw_ip(const std::string& text, char (&raw)[16]) {
  if (inet_pton(AF_INET, text.c_str(), raw) == 1) return 4;
  if (inet_pton(AF_INET6, text.c_str(), raw) == 1) return 16;
  return 0;
}

}  // namespace

SendingIps::SendingIps(const std::vector<std::string>& addresses) {
  for (const std::string& text : addresses) {
    char raw[16];
    if (const std::size_t n = raw_ip(text, raw)) addresses_.emplace_back(raw, n);
  }
  std::sort(addresses_.begin(), addresses_.end());
}

bool SendingIps::contains(std::string_view text) const {
  char raw[16];
  const std::size_t n = text.size() < 64 ? raw_ip(std::string(text), raw) : 0;
  return n != 0 && std::binary_search(addresses_.begin(), addresses_.end(), std::string(raw, n));
}

struct Normaliser::Impl {
  SendingIps ours;
  std::string folded;
  std::vector<char> low;   ///< lower-cased input, padded to 64
  std::vector<char> text;  ///< output
  std::vector<std::uint64_t> blank;
  std::vector<std::uint64_t> event;
  std::size_t size = 0;  ///< of low
  bool any_at = false;   ///< '@' somewhere in low
  char* out = nullptr;
  std::uint16_t line_code = 0;       ///< of the text's front; marks continuation lines: "550-"
  std::uint16_t told_code = 0;       ///< of the log; marks them, too
  const char* dropped_at = nullptr;  ///< where out stood when a last line's "550" was dropped
  std::vector<std::size_t> numbers;  ///< where in the output words of digits alone stand
  Normalised* result = nullptr;

  /// False when the text needs fold() first.
  bool lower(std::string_view raw, bool is_folded);
  void mark_blank_runs(std::size_t blocks);
  void once(std::string_view raw, std::uint16_t smtp_code, bool first);
  void words(std::size_t pos);
  void copy(std::size_t from, std::size_t to);
  void word(const char* p, const char* q);
  void inner_code(std::uint16_t code, EnhancedCode enhanced, bool continuation);
  bool code_word(const char* p, const char* q);
  void quantities();
  [[nodiscard]] std::size_t next_event(std::size_t pos) const;
  [[nodiscard]] std::size_t next_blank(std::size_t pos) const;
  [[nodiscard]] std::size_t word_start(std::size_t pos, std::size_t floor) const;
  [[nodiscard]] std::string_view view() const {
    return {text.data(), static_cast<std::size_t>(out - text.data())};
  }
};

bool Normaliser::Impl::lower(std::string_view raw, bool is_folded) {
  const std::size_t blocks = raw.size() / 64 + 1;
  if (low.size() < blocks * 64 + 64) {
    low.resize(blocks * 64 + 64);  // copy_over() reads past a word
    blank.resize(blocks);
    event.resize(blocks);
    text.resize(blocks * 64 * 3 + kSlack + 64);
  }
  size = raw.size();
  Scan scan{blank.data(), event.data()};
  static const LowerBlocks lower_blocks = best_lower_blocks();
  lower_blocks(raw.data(), low.data(), 0, blocks - 1, scan);
  // The tail goes through a padded copy: bytes behind the text need not be readable. The padding
  // counts as blank.
  char tail[64] = {};
  const std::string_view rest = raw.substr((blocks - 1) * 64);
  if (!rest.empty()) std::memcpy(tail, rest.data(), rest.size());  // empty: perhaps no pointer
  lower_blocks(tail, low.data(), blocks - 1, blocks, scan);
  any_at = scan.at != 0;
  const bool escaped = scan.hash != 0 && raw.find("#0") != std::string_view::npos;
  if (!is_folded && (scan.foreign != 0 || escaped)) return false;
  mark_blank_runs(blocks);
  return true;
}

/// The second and later blanks of a run are events, too: words() drops them.
void Normaliser::Impl::mark_blank_runs(std::size_t blocks) {
  std::uint64_t carry = 0;
  for (std::size_t i = 0; i < blocks; ++i) {
    event[i] |= blank[i] & ((blank[i] << 1) | carry);
    carry = blank[i] >> 63;
  }
}

std::size_t Normaliser::Impl::next_event(std::size_t pos) const {
  if (pos >= size) return size;
  std::size_t block = pos / 64;
  std::uint64_t bits = event[block] & (~std::uint64_t{0} << (pos % 64));
  const std::size_t blocks = size / 64 + 1;
  while (bits == 0) {
    if (++block >= blocks) return size;
    bits = event[block];
  }
  return std::min(size, block * 64 + static_cast<std::size_t>(std::countr_zero(bits)));
}

std::size_t Normaliser::Impl::next_blank(std::size_t pos) const {
  std::size_t block = pos / 64;
  std::uint64_t bits = blank[block] & (~std::uint64_t{0} << (pos % 64));
  const std::size_t blocks = size / 64 + 1;
  while (bits == 0) {
    if (++block >= blocks) return size;
    bits = blank[block];
  }
  return std::min(size, block * 64 + static_cast<std::size_t>(std::countr_zero(bits)));
}

/// First byte of the word around pos (no blank there), not before floor.
std::size_t Normaliser::Impl::word_start(std::size_t pos, std::size_t floor) const {
  std::size_t block = pos / 64;
  std::uint64_t bits = blank[block] & ((std::uint64_t{1} << (pos % 64)) - 1);
  while (bits == 0) {
    if (block == 0 || block * 64 <= floor) return floor;
    bits = blank[--block];
  }
  return std::max(floor, block * 64 + 64 - static_cast<std::size_t>(std::countl_zero(bits)));
}

void Normaliser::Impl::copy(std::size_t from, std::size_t to) {
  if (from < to && low[from] == ' ' && (out == text.data() || out[-1] == ' ')) ++from;
  if (from >= to) return;
  out = copy_over(low.data() + from, low.data() + to, out);
}

/// A code inside the text. A continuation line's belongs to the reply; any other is quoted.
void Normaliser::Impl::inner_code(std::uint16_t code, EnhancedCode enhanced, bool continuation) {
  const std::string_view before(text.data(), static_cast<std::size_t>(out - text.data()));
  const bool quoted = before.size() >= 6 && before.substr(before.size() - 6) == "said: ";
  if (!quoted && (continuation || result->multi_line)) {
    if (result->smtp_code == 0 || result->multi_line) {
      result->mixed = result->mixed || (result->smtp_code != 0 && result->smtp_code != code);
      result->smtp_code = code;
      result->enhanced = enhanced;
    } else if (!result->enhanced.present()) {
      result->enhanced = enhanced;
    }
    return;
  }
  if (result->nested_smtp == 0 || result->nested_smtp == code) {
    result->nested_smtp = code;
    if (!result->nested_enhanced.present()) result->nested_enhanced = enhanced;
  }
}

void Normaliser::Impl::word(const char* p, const char* q) {
  EnhancedCode enhanced;
  while (q - p >= 4 && p[3] == '-' && is_reply_code(p)) {
    const char* rest = p + 4;
    if (rest < q && read_enhanced(rest, q, enhanced) == static_cast<std::size_t>(q - rest)) {
      inner_code(reply_code(p), enhanced, true);
      return;
    }
    if (reply_code(p) != line_code && reply_code(p) != told_code) break;
    p = rest;
  }
  if (p == q) return;
  const bool alone = out == text.data() || out[-1] == ' ';
  if (alone && is_digit(*p) && code_word(p, q)) return;
  out = append_word(p, q, any_at, out, ours, result->enhanced);
}

/// A word that starts with a digit; true when it was a code of the reply and is dropped.
bool Normaliser::Impl::code_word(const char* p, const char* q) {
  EnhancedCode enhanced;
  const std::size_t had = static_cast<std::size_t>(out - text.data());
  const std::size_t n = read_enhanced(p, q, enhanced);
  if (n != 0 && n == static_cast<std::size_t>(q - p)) {
    if (dropped_at == out) {
      inner_code(line_code, enhanced, true);
      return true;
    }
    if (had < 4 || !is_reply_code(out - 4) || (had > 4 && out[-5] != ' ')) return false;
    // "... visit 550 5.1.1 https://": the code of the reply's last line.
    const std::uint16_t code = reply_code(out - 4);
    out -= 4;
    inner_code(code, enhanced, false);
    return true;
  }
  if (q - p == 3 && is_reply_code(p)) {
    if (result->multi_line && reply_code(p) == line_code) {
      dropped_at = out;
      return true;
    }
    if (had >= 6 && std::memcmp(out - 6, "said: ", 6) == 0 && result->nested_smtp == 0) {
      result->nested_smtp = reply_code(p);
    }
  }
  numbers.push_back(had);
  return false;
}

/// "retry in 287 seconds": a number before a unit is a placeholder, too.
void Normaliser::Impl::quantities() {
  const char* const begin = text.data();
  for (; !numbers.empty(); numbers.pop_back()) {
    const std::size_t at = numbers.back();
    const auto size_now = static_cast<std::size_t>(out - begin);
    std::size_t to = at;
    while (to < size_now && is_digit(begin[to])) ++to;
    if (to == at || to + 2 >= size_now || begin[to] != ' ') continue;
    const std::string_view unit(begin + to + 1, size_now - to - 1);
    bool is_unit = false;
    for (const std::string_view name : {"second", "minute", "hour", "byte", "kb", "mb", "octet"}) {
      is_unit = is_unit || unit.substr(0, name.size()) == name;
    }
    if (!is_unit) continue;
    constexpr std::string_view kId = "{id}";
    std::memmove(text.data() + at + kId.size(), begin + to, size_now - to);
    std::memcpy(text.data() + at, kId.data(), kId.size());
    out += static_cast<std::ptrdiff_t>(kId.size()) - static_cast<std::ptrdiff_t>(to - at);
  }
}

/// Copies the low text from pos on, word by word where something may vary.
void Normaliser::Impl::words(std::size_t pos) {
  for (;;) {
    const std::size_t at = next_event(pos);
    if (at >= size) break;
    if (low[at] == ' ') {
      copy(pos, at);
      pos = at + 1;
      continue;
    }
    const std::size_t from = word_start(at, pos);
    const std::size_t to = next_blank(at);
    // '=' only matters in Postfix's "name=host type=MX".
    if (low[at] == '=' && (at - from != 4 || std::memcmp(low.data() + from, "name", 4) != 0)) {
      const std::size_t next = next_event(at + 1);
      if (next >= to) {
        copy(pos, to);
        pos = to;
        continue;
      }
    }
    copy(pos, from);
    word(low.data() + from, low.data() + to);
    pos = to;
  }
  copy(pos, size);
}

void Normaliser::Impl::once(std::string_view raw, std::uint16_t smtp_code, bool first) {
  if (!lower(raw, false)) {
    fold(raw, folded);
    lower(folded, true);
  }
  out = text.data();
  dropped_at = nullptr;
  numbers.clear();
  const Lead lead = read_lead(low.data(), low.data() + size);
  if (first) {
    result->smtp_code = lead.smtp_code;
    result->enhanced = lead.enhanced;
    result->nested_smtp = lead.nested_smtp;
    result->nested_enhanced = lead.nested_enhanced;
    result->multi_line = lead.multi_line;
    result->phase = lead.phase;
    line_code = lead.smtp_code;
    told_code = smtp_code;
  }
  words(static_cast<std::size_t>(lead.rest - low.data()));
  for (;;) {
    while (out > text.data() && out[-1] == ' ') --out;
    Phase phase = Phase::none;
    const char* end = find_reply_suffix(text.data(), out, phase);
    if (end == out) break;
    out = text.data() + (end - text.data());
    if (result->phase == Phase::none) result->phase = phase;
  }
  if (!numbers.empty()) quantities();
}

Normaliser::Normaliser() : Normaliser(SendingIps{}) {}
Normaliser::Normaliser(SendingIps ips) : impl_(std::make_unique<Impl>()) {
  impl_->ours = std::move(ips);
}
Normaliser::~Normaliser() = default;
Normaliser::Normaliser(Normaliser&&) noexcept = default;
Normaliser& Normaliser::operator=(Normaliser&&) noexcept = default;

namespace {
/// A placeholder has no border on one side: what is there might be half of a token.
bool glued(std::string_view text) {
  const auto joins = [](char c) {
    return is_alnum(c) || c == ':' || c == '-' || c == '_' || (c & 0x80) != 0;
  };
  for (std::size_t open = text.find('{'); open != std::string_view::npos;
       open = text.find('{', open + 1)) {
    if (open > 0 && (joins(text[open - 1]) || text[open - 1] == '}' || text[open - 1] == '.')) {
      return true;
    }
    const std::size_t close = text.find('}', open);
    if (close == std::string_view::npos) return false;
    if (close + 1 < text.size() && joins(text[close + 1])) return true;
    if (close + 2 < text.size() && text[close + 1] == '.' && is_alnum(text[close + 2])) return true;
  }
  return false;
}
}  // namespace

void Normaliser::run(std::string_view raw, std::uint16_t smtp_code, Normalised& out) {
  Impl& impl = *impl_;
  out = Normalised{};
  impl.result = &out;
  impl.once(raw, smtp_code, true);
  // Dropping words may bring a code or wrapping to the front, and what a placeholder is glued to
  // may read differently beside it. Rare; a reply cannot do it for ever, as every round that
  // changes anything drops or replaces something.
  std::string again;
  while (impl.out > impl.text.data() &&
         (read_lead(impl.text.data(), impl.out).rest != impl.text.data() || glued(impl.view()))) {
    again.assign(impl.view());
    impl.once(again, smtp_code, false);
    if (impl.view() == again) break;
  }
  out.text = impl.view();
}

char* Normaliser::buffer() {
  return impl_->text.data();
}

}  // namespace bounced::classify
