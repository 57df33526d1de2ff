// Sketch: a diagnostic reduced to what its verdict can depend on, for a third of the normaliser's
// price.
#pragma once

#include <array>
#include <bitset>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "classify/database.h"
#include "classify/lower.h"
#include "classify/normalise.h"

namespace bounced::classify {

/// Which runs of one to five digits some pattern can tell from another run of the same length.
/// Immutable after construction.
class TellingDigits {
 public:
  static constexpr std::size_t kDigitsMax = 5;
  explicit TellingDigits(const Patterns& patterns);
  /// Of the `size` digits at p between the bytes `before` and `after` (' ' at a word's edge). Where
  /// it is false for two runs of one length between the same bytes, whatever pattern matches a text
  /// with one matches it with the other.
  [[nodiscard]] bool tells(char before, const char* p, std::size_t size, char after) const;
  /// Puts one run of this length that does not tell in the place of any other.
  void neutralise(char before, char* p, std::size_t size, char after) const;

  /// What an image keeps of it.
  struct Run {
    char before = 0, after = 0;
    std::uint8_t open_left = 0, open_right = 0;  ///< at the literal's edge: a longer run holds it
    std::uint8_t size = 0;
    char digits[kDigitsMax] = {};
    [[nodiscard]] std::string_view text() const { return {digits, size}; }
  };
  struct Facts {
    std::uint8_t all = 0;
    std::vector<Run> runs;
    char neutral[kDigitsMax + 1][8] = {};  ///< by length
  };
  explicit TellingDigits(Facts facts);
  [[nodiscard]] const Facts& facts() const { return facts_; }

 private:
  void add(std::string_view literal, std::size_t from, std::size_t to);
  void index(const Run& run);
  void choose_neutral(const Patterns& patterns);
  static std::size_t place(char before, char first, int second);
  [[nodiscard]] static bool holds(const Run& run, std::string_view digits, char after);

  Facts facts_;                           ///< all: a regex looks at digits, so every run tells
  std::vector<Run> open_;                 ///< literals that begin with digits
  std::array<std::vector<Run>, 256> by_;  ///< others, by the byte before the digits
  /// What the first two digits (one alone, too) behind a byte may begin: most runs end here.
  std::bitset<256 * 110> begins_;
  std::bitset<256> open_after_;  ///< bytes behind the digits of open_
};

/// M: words that vary become what the normaliser N makes of them, digits that no pattern looks at
/// become others such; all else stays, codes and wrapping too. For one told code, verdict(M(x)) =
/// verdict(x), so a memo keyed by M(x) is exact. Thread safety: none; one per thread.
class Sketch {
 public:
  /// Both must outlive it.
  Sketch(const TellingDigits& telling, const SendingIps& ours);

  /// False: the text needs fold(), there is no sketch. The result lives until the next run.
  bool run(std::string_view raw);
  [[nodiscard]] std::size_t size() const { return static_cast<std::size_t>(out_ - text_.data()); }
  /// The sketch; `kSlack` writable bytes follow it (memo key).
  static constexpr std::size_t kSlack = 64;
  [[nodiscard]] char* data() { return text_.data(); }

 private:
  void reserve(std::size_t blocks);
  void words(std::size_t size, bool any_at);
  void word(char* from, char* to, bool any_at);
  void blank_digits(char* begin, char* end);

  const TellingDigits& telling_;
  const SendingIps& ours_;
  LowerBlocks lower_;
  std::vector<char> low_;   ///< lower-cased input, padded to 64
  std::vector<char> text_;  ///< output
  std::vector<std::uint64_t> blank_, event_;
  const char* copied_ = nullptr;  ///< low_ up to here is in text_
  char* out_ = nullptr;
};

}  // namespace bounced::classify
