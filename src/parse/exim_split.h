// exim_split: records that Exim split into several lines, because syslog's are short.
#pragma once

#include <string>
#include <string_view>

#include "parse/exim_line.h"

namespace bounced::parse {

/// "exim", "exim4", or "exim-" and a name that the operator gave (syslog_processname).
inline bool is_exim_tag(std::string_view tag) {
  return starts(tag, "exim");
}

/// Writes the whole record to `out`: `first` is the text of its first piece, the others are among
/// the lines in [next, end), where other lines may stand between. `front` is what a piece has
/// before its mark: host, program and pid. False when not all pieces are there.
bool join_exim_pieces(std::string_view front, std::string_view first, std::uint32_t count,
                      const char* next, const char* end, std::string& out);

}  // namespace bounced::parse
