// exim_line: the grammar of Exim's log lines (its specification, chapter "Log files").
#pragma once

#include <cstdint>
#include <string_view>

#include "bounced/event.h"
#include "parse/scan.h"

namespace bounced::parse {

/// Exim's own time stamp: `2026-11-21 20:57:24[.437][ +0000][ [3849]] `.
struct EximStamp {
  std::int64_t time_us = 0;  ///< as Event::time_us
  TimeForm time_form = TimeForm::local;
  std::string_view text, pid;
};

/// Reads stamps; remembers the last one, so that the next line of the same second costs a compare.
class EximStampReader {
 public:
  /// p moves behind the stamp and its blank; false leaves it alone.
  bool read(const char*& p, const char* end, EximStamp& out);
  /// The same of the last one again, with a blank and neither zone nor pid behind it: what stands
  /// there is the caller's to judge. Reads 20 bytes.
  BOUNCED_HOT bool read_again(const char* p, std::int64_t& time_us) const {
    time_us = second_us_;
    return is_known(p) && p[kBytes] == ' ';
  }
  static constexpr std::ptrdiff_t kBytes = 19;  ///< without fraction

 private:
  [[nodiscard]] BOUNCED_HOT bool is_known(const char* p) const {
    return ((load64(p) ^ load64(bytes_)) | (load64(p + 8) ^ load64(bytes_ + 8)) |
            (load64(p + 11) ^ load64(bytes_ + 11))) == 0;
  }
  bool read_second(const char* p);

  char bytes_[24] = "none yet...............";  // "2026-11-21 20:57:24"
  std::int64_t second_us_ = 0;
};

/// What the two characters behind the message id say.
enum class EximFlag : std::uint8_t {
  none,        ///< none of them: other words
  received,    ///< `<=`, `(=`
  delivered,   ///< `=>`, `->`, `>>`
  suppressed,  ///< `*>`: -N, nothing was sent
  failed,      ///< `**`
  deferred,    ///< `==`
};
EximFlag exim_flag(const char* p, const char* end);

/// `<=`: views into the line.
struct EximReceived {
  std::string_view sender;         ///< without <>; empty = null reverse-path
  std::string_view message_id;     ///< id=, without <>
  std::string_view authenticated;  ///< the user of A=method:user
  std::string_view bounce_of;      ///< R= of a bounce: the message that failed
};
/// `text` behind the flag; false when it names no sender.
bool read_exim_received(std::string_view text, EximReceived& out);

/// `=>`, `**`, `==`: views into the line, as logged.
struct EximDelivery {
  std::string_view address;   ///< the address delivered to, or a file, a pipe, a local part
  std::string_view original;  ///< in <>: the address that it was made of; may be empty
  std::string_view sender;    ///< F=
  std::string_view router, transport;
  std::string_view host, ip;      ///< H=
  std::string_view local_ip;      ///< I=
  std::string_view confirmation;  ///< C=, without its quotes; may hold \" and \\.
  std::string_view queue_time;    ///< QT=
  std::string_view message;       ///< behind the colon
  std::int32_t error_number = 0;  ///< of `defer (N)`
  std::uint16_t port = 0;
  bool has_sender = false;
  bool has_defer = false;
};
/// `text` behind the flag; false when it names nobody.
bool read_exim_delivery(std::string_view text, EximDelivery& out);
/// One word of it with its value, at p < end: what it is called decides. Returns where it ends, at
/// a blank or a colon, or p when it is neither.
const char* read_exim_field(const char* p, const char* end, EximDelivery& out);
/// `TEXT DT=0.519s`: current versions write the time behind the message.
std::string_view without_exim_time(std::string_view message);

/// Whether the address is the recipient, and normalise_address() would not change it; it may be so
/// where this says no. Reads 64 bytes at its begin.
bool is_usual_recipient(const EximDelivery& found);

/// The recipient: the address, or the original where the other is no address, or only another
/// spelling of it (case, quotes, subaddress). Empty when neither is one.
std::string_view exim_recipient(const EximDelivery& found);

/// `H=host [ip]: text` of a failed attempt that is nobody's outcome; false when it is another line.
bool is_exim_attempt(std::string_view text, std::string_view& reason);

/// "1d2h3m4s", "0.519s" in milliseconds.
std::uint32_t exim_duration_ms(std::string_view text);

/// `[2/3] ` or `[2\16] ` at the head of a piece of a record that Exim split for syslog.
struct EximPiece {
  std::uint32_t number = 0, count = 0;
  bool newline = false;  ///< it was split at a newline, else for its length
};
/// p moves behind it; false leaves p alone.
bool read_exim_piece(const char*& p, const char* end, EximPiece& out);

}  // namespace bounced::parse
