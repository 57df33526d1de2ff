// Lower-casing at vector width, with bitmaps of what the normaliser wants to know.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace bounced::classify {

/// What lower() learns, a bit a byte; and over all bytes.
struct Scan {
  std::uint64_t* blank;       ///< control characters and blanks
  std::uint64_t* event;       ///< bytes whose word needs a look: digits, '@', '='
  std::uint64_t foreign = 0;  ///< non-zero: some byte needs fold(): non-ASCII, '\\'
  std::uint64_t at = 0;       ///< non-zero: an '@' somewhere
  std::uint64_t hash = 0;     ///< non-zero: a '#' somewhere; rsyslog's #012 needs fold(), too
};

/// Lower-cases blocks [first, end) of 64 bytes (`from` is block `first`, `to` is block 0) and makes
/// control characters blanks. Every byte of a diagnostic takes this road; words without events are
/// then copied as they are, which is most of an English reply.
using LowerBlocks = void (*)(const char* from, char* to, std::size_t first, std::size_t end, Scan&);

/// The widest that this CPU runs.
LowerBlocks best_lower_blocks();
/// All that this CPU runs, the plain one first; they must agree.
std::span<const LowerBlocks> all_lower_blocks();

}  // namespace bounced::classify
