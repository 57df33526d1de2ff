// Output forms that the reports share: where text goes, CSV that spreadsheets cannot run, columns.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "bounced/classifier.h"
#include "store/names.h"
#include "store/store.h"

namespace bounced::report {

/// Takes finished text: whole lines, in order.
using Sink = std::function<void(std::string_view)>;

enum class Format : std::uint8_t { table, csv, ndjson };
std::string_view to_string(Format format);
bool from_string(std::string_view text, Format& out);

/// What a report reads. All must outlive the call; works in the daemon and beside a closed store.
struct Context {
  const store::Store& store;
  const store::Names& names;
  const RuleSet& rules;
  std::int64_t now_us = 0;  ///< which blocks are live; the caller's clock or `--at`
};

/// Appends one CSV field (RFC 4180). Text that a spreadsheet would take for a formula (= + - @,
/// tab, CR first) gets an apostrophe in front; control characters and bad UTF-8
/// become '?'.
void append_csv(std::string& out, std::string_view text);
/// A whole row with its line end (CRLF, as RFC 4180 says).
void append_csv_row(std::string& out, const std::vector<std::string_view>& fields);

/// Rows of text in aligned columns; numbers to the right.
class TextTable {
 public:
  enum class Align : std::uint8_t { left, right };
  struct Column {
    std::string title;
    Align align = Align::left;
  };
  explicit TextTable(std::vector<Column> columns) : columns_(std::move(columns)) {}
  /// Must have as many cells as there are columns. Cells are made printable.
  void add(std::vector<std::string> cells);
  /// Title and rows. Widths count code points, which is good enough for names.
  void write(std::string& out) const;

 private:
  std::vector<Column> columns_;
  std::vector<std::vector<std::string>> rows_;
};

/// Code points of UTF-8 text.
std::size_t display_width(std::string_view text);

}  // namespace bounced::report
