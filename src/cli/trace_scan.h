// Scans for `bounced trace`: lines that hold a text, and lines of given queue ids, at memory speed.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_set>
#include <vector>

#include "bounced/event.h"
#include "bounced/result.h"

namespace bounced::cli {

struct LineView {
  std::string_view text;     ///< without newline; valid during the call
  std::uint64_t offset = 0;  ///< in the uncompressed file
};
using VisitLine = std::function<bool(const LineView&)>;

/// Queue ids to look for; built once per pass.
class QueueIdSet {
 public:
  QueueIdSet(const std::unordered_set<std::string>& wanted,
             const std::unordered_set<std::string>& without);
  [[nodiscard]] bool has(std::string_view id) const;
  /// False for nearly all lines that are not of these ids, and then right.
  [[nodiscard]] bool may_have_line(std::string_view line) const;
  /// The same of a JSON object that has the id as a field of its own.
  [[nodiscard]] bool may_have_record(std::string_view line) const;

 private:
  // First by a bitmap over a cheap hash, so that most lines cost one load.
  std::vector<std::uint64_t> bitmap_;
  std::unordered_set<std::string> ids_;
};

/// Visits every line that holds `needle` as a whole word of a log (ASCII case-insensitively): not
/// as a part of another address or id.
Result<void> scan_lines_with(const std::string& path, std::string_view needle,
                             const VisitLine& visit);
/// Visits every line that may be of a wanted queue id.
Result<void> scan_lines_of(const std::string& path, const QueueIdSet& wanted,
                           const VisitLine& visit);

/// What the first lines of a file tell of its times.
struct FileTimes {
  std::int64_t mtime_us = 0;
  std::int64_t first = 0;  ///< the first stamp, as Event::time_us
  TimeForm form = TimeForm::utc;
};
FileTimes times_of(const std::string& path);

/// ID of "queued as ID" or "forwarded as ID" in the last words of a delivery's text.
std::string_view queued_as(std::string_view text);

}  // namespace bounced::cli
