// mbox: where a mail begins in a file of many (RFC 4155).
#pragma once

#include <string_view>

namespace bounced {

/// A separator: "From ", a sender, and a time. Only at the start of the file or behind a blank
/// line. (A line of a body that begins so is quoted by who wrote the file: ">From ".)
inline bool is_mbox_separator(std::string_view line) {
  if (line.substr(0, 5) != "From ") return false;
  const auto blank = line.find(' ', 5);
  if (blank == std::string_view::npos || blank == 5) return false;
  // "12:34" or "12:34:56" within the time.
  for (auto colon = line.find(':', blank); colon != std::string_view::npos;
       colon = line.find(':', colon + 1)) {
    const auto digit = [&](std::size_t at) {
      return at < line.size() && line[at] >= '0' && line[at] <= '9';
    };
    if (colon >= 2 && digit(colon - 1) && digit(colon + 1) && digit(colon + 2)) return true;
  }
  return false;
}

}  // namespace bounced
