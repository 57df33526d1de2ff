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
#include "parse/scan.h"

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

  /// The stamp at p when it repeats the last one: RFC 3164's second, or RFC 3339's minute with six
  /// digits of fraction and the same offset. Sets the time; p moves to the blank behind it. Needs
  /// 40 readable bytes at p.
  bool read_usual_stamp(const char*& p, std::int64_t& time_us, TimeForm& form) const;

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
  char zone_bytes_[9] = {"........"};  // "+00:00" and a blank
  std::int64_t zone_us_ = 0;
  struct Json;
  std::unique_ptr<Json> json_;
};

BOUNCED_HOT bool HeaderReader::read_usual_stamp(const char*& p, std::int64_t& time_us,
                                                TimeForm& form) const {
  const std::uint64_t first = load64(p);
  if (first == load64(bsd_bytes_)) {
    if (load64(p + 7) != load64(bsd_bytes_ + 7) || p[15] != ' ') return false;
    time_us = bsd_us_;
    form = TimeForm::yearless;
    p += 15;
    return true;
  }
  if (first != load64(iso_bytes_) || load64(p + 8) != load64(iso_bytes_ + 8)) return false;
  const int second = two_digits(p + 17);
  if (p[16] != ':' || second < 0 || second > 59 || p[19] != '.') return false;
  if (load64(p + 26) << 8 != load64(zone_bytes_) << 8) return false;
  // Six digits at once, as "00" and the fraction.
  const std::uint64_t word = load64(p + 20) << 16 | 0x3030u;
  constexpr std::uint64_t kHigh = 0xF0F0F0F0F0F0F0F0u, kDigits = 0x3030303030303030u;
  if ((word & kHigh) != kDigits || ((word + 0x0606060606060606u) & kHigh) != kDigits) {
    return false;
  }
  time_us = iso_us_ + second * std::int64_t{1'000'000} + eight_digits(word & ~kHigh) - zone_us_;
  form = TimeForm::utc;
  p += 32;
  return true;
}

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
