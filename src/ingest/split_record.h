// split_record: records that a program has cut into several lines, because syslog's are short.
#pragma once

#include <cstddef>
#include <string_view>

namespace bounced::ingest {

/// Exim sends a long record to syslog in pieces, `HEADER exim[1027]: [2/3] ...`, and whoever parses
/// a block wants all of them in it. Returns how many bytes of `lines` (whole lines) come before a
/// record whose last pieces are not there yet; all, when the last lines are none of these. Looks at
/// a few lines only: pieces are written in one go.
std::size_t before_split_record(std::string_view lines);

}  // namespace bounced::ingest
