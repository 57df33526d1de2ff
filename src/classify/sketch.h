// Sketch: a diagnostic reduced to what its verdict can depend on, for a third of the normaliser's
// price.
#pragma once

#include <bitset>
#include <cstddef>
#include <cstdint>
#include <cstring>
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
  TellingDigits() { all_ = true; }
  explicit TellingDigits(const Patterns& patterns);
  /// Of `size` digits at p. Where it is false for two runs of one length, whatever pattern matches a
  /// text with one matches it with the other.
  [[nodiscard]] bool tells(const char* p, std::size_t size) const;
  /// Puts one run of this length that does not tell in the place of any other.
  void neutralise(char* p, std::size_t size) const {
    if (!tells(p, size)) std::memcpy(p, neutral_[size], size);
  }

 private:
  void mark(std::string_view run, bool open_left, bool open_right);
  void choose_neutral();
  bool all_ = false;           ///< a regex looks at digits: every run tells
  std::bitset<111'110> runs_;  ///< by length (kFirstOf) and value
  char neutral_[kDigitsMax + 1][8] = {};  ///< by length: the first run that does not tell
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
