#include "ingest/split_record.h"

#include <charconv>
#include <cstdint>

namespace bounced::ingest {
namespace {

/// Other processes' lines may stand between the pieces, and behind the last one so far.
constexpr int kLinesBehindMax = 8;
constexpr int kLinesMax = 64;
/// Where a line's mark may stand.
constexpr std::size_t kHeadBytes = 200;

struct Piece {
  std::string_view program;  ///< "exim[1027]"; empty: not a piece
  std::uint32_t number = 0, count = 0;
  bool newline = false;  ///< what follows is no part of the first line
};

Piece piece_of(std::string_view line) {
  Piece piece;
  line = line.substr(0, kHeadBytes);
  const auto mark = line.find("]: [");
  if (mark == std::string_view::npos) return piece;
  const auto blank = line.rfind(' ', mark);
  const std::string_view program = line.substr(blank + 1, mark - blank);
  if (blank == std::string_view::npos || program.substr(0, 4) != "exim") return piece;
  const char* const end = line.data() + line.size();
  const auto number = std::from_chars(line.data() + mark + 4, end, piece.number);
  if (number.ec != std::errc() || number.ptr == end) return piece;
  if (*number.ptr != '/' && *number.ptr != '\\') return piece;
  piece.newline = *number.ptr == '\\';
  const auto count = std::from_chars(number.ptr + 1, end, piece.count);
  if (count.ec != std::errc() || count.ptr == end || *count.ptr != ']') return piece;
  if (piece.number != 0 && piece.number <= piece.count) piece.program = program;
  return piece;
}

/// The last line of `lines`, which is cut off.
std::string_view take_last_line(std::string_view& lines) {
  const std::string_view all = lines.substr(0, lines.size() - 1);
  const auto newline = all.rfind('\n');
  const std::size_t begin = newline == std::string_view::npos ? 0 : newline + 1;
  lines = lines.substr(0, begin);
  return all.substr(begin);
}

/// Where the record begins whose later piece is the last line of `lines`.
std::size_t begin_of(std::string_view lines, std::string_view program) {
  const std::size_t whole = lines.size();
  for (int i = 0; i < kLinesMax && !lines.empty(); ++i) {
    const Piece piece = piece_of(take_last_line(lines));
    if (piece.program == program && piece.number == 1) return lines.size();
  }
  return whole;
}

}  // namespace

std::size_t before_split_record(std::string_view lines) {
  std::size_t cut = lines.size();
  std::string_view complete[kLinesBehindMax];
  int completed = 0;
  std::string_view rest = lines;
  for (int i = 0; i < kLinesBehindMax && !rest.empty(); ++i) {
    const std::string_view with_line = rest;
    const Piece piece = piece_of(take_last_line(rest));
    if (piece.program.empty()) continue;
    bool known = false;
    for (int k = 0; k < completed; ++k) known = known || complete[k] == piece.program;
    if (known) continue;
    complete[completed++] = piece.program;
    if (piece.number == piece.count || piece.newline) continue;
    const std::size_t begin = begin_of(with_line, piece.program);
    if (begin < cut) cut = begin;
  }
  return cut;
}

}  // namespace bounced::ingest
