// header: the syslog header of a line, in every form that reaches a log file.
//
// RFC 3164 (day padded by a blank or a zero; optional <PRI>, fraction, FreeBSD <facility.level>),
// ISO 8601 / RFC 3339 (with or without offset), RFC 5424 (optional structured data and BOM), and
// one JSON object a line (rsyslog, journald). A file may mix them.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "bounced/event.h"

namespace bounced::parse {

/// Views into the line, or (JSON) into the reader until its next read().
struct Header {
  std::int64_t time_us = 0;  ///< as Event::time_us
  TimeForm time_form = TimeForm::utc;
  bool unescaped = false;  ///< JSON: the views are not inside the line
  bool full_tag = true;    ///< false: a program name, which may have lost its daemon part
  std::string_view stamp;  ///< the time as written
  std::string_view host;
  std::string_view tag;  ///< without [pid] and colon: "postfix-out/smtp"
  std::string_view pid;
  std::string_view text;  ///< the message, without leading blanks
};

/// Reads headers; remembers the last stamp so that the next line of the same second costs a
/// compare. Not thread safe.
class HeaderReader {
 public:
  HeaderReader();
  ~HeaderReader();
  HeaderReader(const HeaderReader&) = delete;
  HeaderReader& operator=(const HeaderReader&) = delete;

  /// False when the line has no header that we know. `padding`: readable bytes behind the line.
  bool read(std::string_view line, std::size_t padding, Header& out);

 private:
  bool read_bsd(const char* p, const char* end, Header& out);
  bool read_iso(const char* p, const char* end, Header& out);
  bool read_rfc5424(const char* p, const char* end, Header& out);
  bool read_json(std::string_view line, std::size_t padding, Header& out);
  bool read_host_and_tag(const char* p, const char* end, Header& out);
  bool read_bsd_time(const char*& p, const char* end, Header& out);
  bool read_iso_time(const char*& p, const char* end, Header& out);

  char bsd_bytes_[16] = {"none yet......."};  // "Nov 21 20:45:06"
  std::int64_t bsd_us_ = 0;
  char iso_bytes_[17] = {"none yet........"};  // "2026-11-21T20:45"
  std::int64_t iso_us_ = 0;
  struct Json;
  std::unique_ptr<Json> json_;
};

/// Daemon part of a tag: behind the last '/'; empty when there is none.
inline std::string_view tag_daemon(std::string_view tag) {
  const auto slash = tag.rfind('/');
  return slash == std::string_view::npos ? std::string_view{} : tag.substr(slash + 1);
}
/// Instance part: before the last '/', or all of a tag without one.
inline std::string_view tag_instance(std::string_view tag) {
  return tag.substr(0, tag.rfind('/'));
}

}  // namespace bounced::parse
