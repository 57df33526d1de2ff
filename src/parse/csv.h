// csv: the fields of comma-separated lines (RFC 4180).
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace bounced::parse {

/// Splits one record at a time. Not thread safe; views live until the next split().
class CsvLine {
 public:
  /// Quotes are taken off and doubled ones halved. A quote that nothing closes ends with the
  /// record; what follows a closing quote belongs to the field.
  const std::vector<std::string_view>& split(std::string_view record);

 private:
  std::string_view quoted(const char*& p, const char* end);
  std::vector<std::string_view> fields_;
  std::string unquoted_;  ///< bytes of fields that had doubled quotes
};

/// How many of the lines in `rest`, which follow `line`, belong to it because a quoted field goes
/// on over line ends; 0 when nothing closes the quote within `lines_max` lines.
std::size_t csv_continuation(std::string_view line, std::string_view rest, std::size_t lines_max);

}  // namespace bounced::parse
