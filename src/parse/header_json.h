// header_json: one log record as a JSON object (rsyslog's jsonmesg-like templates, journald).
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

namespace bounced::parse {

/// The fields of the last record read; views valid until the next read. Not thread safe.
class JsonLine {
 public:
  JsonLine();
  ~JsonLine();
  JsonLine(const JsonLine&) = delete;
  JsonLine& operator=(const JsonLine&) = delete;

  /// False when it is no object with a time, a tag or program, and a message. `padding`: readable
  /// bytes behind the line.
  bool read(std::string_view line, std::size_t padding);

  std::string_view time;
  std::int64_t time_us = 0;  ///< journald's __REALTIME_TIMESTAMP; 0 = see `time`
  std::string_view host;
  std::string_view tag;  ///< with [pid] and colon
  std::string_view program;
  bool identifier = false;  ///< `program` is journald's SYSLOG_IDENTIFIER: a whole tag
  std::string_view pid;
  std::string_view message;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace bounced::parse
