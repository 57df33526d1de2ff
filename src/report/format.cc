#include "report/format.h"

#include <algorithm>

#include "base/text.h"

namespace bounced::report {

std::string_view to_string(Format format) {
  switch (format) {
    case Format::table:
      return "table";
    case Format::csv:
      return "csv";
    case Format::ndjson:
      return "ndjson";
  }
  return {};
}

bool from_string(std::string_view text, Format& out) {
  for (const Format format : {Format::table, Format::csv, Format::ndjson}) {
    if (text != to_string(format)) continue;
    out = format;
    return true;
  }
  return false;
}

void append_csv(std::string& out, std::string_view text) {
  if (text.empty()) return;
  std::string field;
  if (std::string_view("=+-@\t\r").find(text.front()) != std::string_view::npos) field += '\'';
  field += printable(text);
  if (field.find_first_of(",\"") == std::string::npos && field.front() != ' ' &&
      field.back() != ' ') {
    out += field;
    return;
  }
  out += '"';
  for (const char c : field) {
    if (c == '"') out += '"';
    out += c;
  }
  out += '"';
}

void append_csv_row(std::string& out, const std::vector<std::string_view>& fields) {
  bool first = true;
  for (const std::string_view field : fields) {
    if (!first) out += ',';
    first = false;
    append_csv(out, field);
  }
  out += "\r\n";
}

std::size_t display_width(std::string_view text) {
  return static_cast<std::size_t>(std::count_if(text.begin(), text.end(), [](char c) {
    return (static_cast<unsigned char>(c) & 0xC0) != 0x80;
  }));
}

void TextTable::add(std::vector<std::string> cells) {
  for (std::string& cell : cells) cell = printable(cell);
  rows_.push_back(std::move(cells));
}

void TextTable::write(std::string& out) const {
  std::vector<std::size_t> widths;
  for (const Column& column : columns_) widths.push_back(display_width(column.title));
  for (const auto& row : rows_) {
    for (std::size_t i = 0; i < widths.size(); ++i) {
      widths[i] = std::max(widths[i], display_width(row[i]));
    }
  }
  const auto line = [&](const auto& cell_of) {
    for (std::size_t i = 0; i < columns_.size(); ++i) {
      const std::string& cell = cell_of(i);
      const std::size_t fill = widths[i] - display_width(cell);
      if (columns_[i].align == Align::right) out.append(fill, ' ');
      out += cell;
      if (i + 1 == columns_.size()) break;
      out.append(columns_[i].align == Align::left ? fill + 2 : 2, ' ');
    }
    while (!out.empty() && out.back() == ' ') out.pop_back();
    out += '\n';
  };
  line([&](std::size_t i) -> const std::string& { return columns_[i].title; });
  for (const auto& row : rows_) {
    line([&](std::size_t i) -> const std::string& { return row[i]; });
  }
}

}  // namespace bounced::report
