// line_ends: where the lines of a block end, found ahead of the lines' own reading. A reader that
// finds the end on its way makes each line wait for the one before; this way a processor reads two
// or three lines at a time, and the block comes near in passing.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "bounced/limits.h"

namespace bounced::parse {

/// Writes the offsets of the newlines among the bytes [from, from + 64 * blocks) of `text` to `to`,
/// which has room for one a byte and four more; returns how many there are.
using FindNewlines = std::size_t (*)(const char* text, std::uint32_t from, std::size_t blocks,
                                     std::uint32_t* to);
/// All that this processor can run, the fastest last.
std::span<const FindNewlines> all_find_newlines();

/// The newlines of one text after the other. Not thread safe.
class LineEnds {
 public:
  LineEnds();
  /// `text` has limits::kBlockPadding readable bytes behind it and stays until the next start.
  void start(std::string_view text);
  /// The next newline, nullptr when none is left.
  const char* next() {
    if (at_ == found_ && !more()) return nullptr;
    return text_.data() + ends_[at_++];
  }

 private:
  bool more();
  static constexpr std::size_t kWindow = std::size_t{8} << 10;  ///< stays in the nearest cache
  static_assert(limits::kBlockPadding >= 64, "the last 64 bytes may reach behind the text");

  FindNewlines find_;
  std::vector<std::uint32_t> ends_;  ///< offsets of the window's newlines
  std::string_view text_;
  std::size_t read_ = 0;  ///< windows up to here were looked at
  std::size_t at_ = 0, found_ = 0;
};

}  // namespace bounced::parse
