#include "parse/csv.h"

#include <algorithm>

#include "parse/scan.h"

namespace bounced::parse {

/// The field whose opening quote is at p; p moves to the comma behind it, or to the end.
std::string_view CsvLine::quoted(const char*& p, const char* end) {
  const char* const begin = ++p;
  const char* const close = find_byte(p, end, '"');
  if (close == end || close + 1 == end || close[1] == ',') {
    p = close == end ? end : close + 1;
    return between(begin, close);
  }
  const std::size_t at = unquoted_.size();
  bool open = true;
  for (; p < end && (open || *p != ','); ++p) {
    if (*p != '"') {
      unquoted_ += *p;
    } else if (open && p + 1 < end && p[1] == '"') {
      unquoted_ += *p++;
    } else {
      open = !open;
    }
  }
  return std::string_view(unquoted_).substr(at);
}

const std::vector<std::string_view>& CsvLine::split(std::string_view record) {
  fields_.clear();
  unquoted_.clear();
  unquoted_.reserve(record.size());  // views into it must stay
  const char* p = record.data();
  const char* const end = p + record.size();
  for (;;) {
    if (p < end && *p == '"') {
      fields_.push_back(quoted(p, end));
    } else {
      const char* const comma = find_byte(p, end, ',');
      fields_.push_back(between(p, comma));
      p = comma;
    }
    if (p >= end) return fields_;
    ++p;
  }
}

std::size_t csv_continuation(std::string_view line, std::string_view rest, std::size_t lines_max) {
  const auto odd = [](std::string_view text) {
    return std::count(text.begin(), text.end(), '"') % 2 != 0;
  };
  if (!odd(line)) return 0;
  for (std::size_t lines = 1, at = 0; lines <= lines_max && at < rest.size(); ++lines) {
    const std::size_t end = std::min(rest.find('\n', at), rest.size());
    if (odd(rest.substr(at, end - at))) return lines;
    at = end + 1;
  }
  return 0;
}

}  // namespace bounced::parse
