#include "parse/exim_split.h"

#include <algorithm>

#include "bounced/limits.h"

namespace bounced::parse {
namespace {

/// Exim writes the pieces of a record in one go: only lines of other processes come between.
constexpr int kLinesMax = 64;
/// A header's time, and what may stand before it.
constexpr std::size_t kTimeBytesMax = 64;

}  // namespace

bool join_exim_pieces(std::string_view front, std::string_view first, std::uint32_t count,
                      const char* next, const char* end, std::string& out) {
  out.assign(first);
  std::uint32_t number = 1;
  for (int lines = 0; next < end && lines < kLinesMax; ++lines) {
    const char* const newline = find_byte(next, end, '\n');
    std::string_view line = between(next, newline);
    next = newline < end ? newline + 1 : end;
    if (!line.empty() && line.back() == '\r') line.remove_suffix(1);
    const auto at = line.substr(0, kTimeBytesMax + front.size()).find(front);
    if (at == std::string_view::npos) continue;
    const char* p = line.data() + at + front.size();
    const char* const line_end = line.data() + line.size();
    EximPiece piece;
    if (!read_exim_piece(p, line_end, piece)) continue;
    if (piece.number == 1) return false;  // the next record: pieces were lost
    if (piece.number != number + 1 || piece.count != count) continue;
    if (out.size() + static_cast<std::size_t>(line_end - p) > limits::kLineBytesMax) return false;
    out.append(p, line_end);
    number = piece.number;
    // What is behind a newline belongs to rejectlog.
    if (piece.newline || number == count) return true;
  }
  return false;
}

}  // namespace bounced::parse
