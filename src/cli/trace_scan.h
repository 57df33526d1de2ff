// Scans for `bounced trace`: lines that hold a text, and lines of given queue ids, at memory speed.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <unordered_set>
#include <vector>

#include "base/time.h"
#include "bounced/result.h"

namespace bounced::cli {

struct LineView {
  std::string_view text;     ///< without newline; valid during the call
  std::uint64_t offset = 0;  ///< in the uncompressed file
  std::int64_t mtime_us = 0;
};
using VisitLine = std::function<bool(const LineView&)>;

/// Queue ids to look for; built once per pass.
class QueueIdSet {
 public:
  QueueIdSet(const std::unordered_set<std::string>& wanted,
             const std::unordered_set<std::string>& without);
  [[nodiscard]] bool has(std::string_view id) const;

 private:
  // First by a bitmap over a cheap hash, so that most lines cost one load.
  std::vector<std::uint64_t> bitmap_;
  std::unordered_set<std::string> ids_;
};

/// Visits every line that contains `needle` (ASCII case-insensitively), not as a part of a longer
/// address, message id or word.
Result<void> scan_lines_with(const std::string& path, std::string_view needle,
                             const VisitLine& visit);
/// Visits every line whose queue id is wanted.
Result<void> scan_lines_of(const std::string& path, const QueueIdSet& wanted,
                           const VisitLine& visit);

/// The queue id of a syslog line: the token between "]: " and ":"; empty when there is none.
std::string_view queue_id_of(std::string_view line);
/// ID of "queued as ID" or "forwarded as ID" at the end of a line.
std::string_view queued_as(std::string_view line);
/// Time of one line; the last resort is 0.
std::int64_t line_time(std::string_view line, const std::string& timezone,
                       TimeResolver::State state, int year);

}  // namespace bounced::cli
