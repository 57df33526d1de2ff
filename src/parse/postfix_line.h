// postfix_line: the grammar of Postfix's log texts (behind the syslog header), strictly left to
// right: nothing that a remote server, a HELO, a header or an address says can look like a field.
#pragma once

#include <cstdint>
#include <string_view>

#include "bounced/event.h"

namespace bounced::parse {

/// Which program wrote a line, as far as it decides how to read it.
enum class Daemon : std::uint8_t {
  foreign,  ///< not Postfix
  by_text,  ///< the header lost the daemon's name: the text decides
  other,    ///< unknown name: a delivery agent if its lines look like one
  smtp,
  lmtp,
  local,  ///< local, virtual
  pipe,
  error,  ///< error, retry
  discard,
  qmgr,
  cleanup,
  smtpd,   ///< smtpd, qmqpd
  bounce,  ///< bounce, defer, trace
  postsuper,
  quiet,   ///< Postfix's own, of no interest
  logger,  ///< rsyslogd, journald: may tell of lost messages
};

/// By the last segment of the tag.
Daemon daemon_of_tag(std::string_view tag, bool full_tag);
/// Programs that log `to=<...>` lines: the delivery agents, qmgr(8) and cleanup(8) (a message that
/// header_checks reject after it was taken). None of them begins a text with somebody else's words.
inline bool may_deliver(Daemon daemon) {
  return daemon >= Daemon::by_text && daemon <= Daemon::cleanup;
}

/// Length of the queue id at p when ": " follows it, else 0. Short ids are upper-case hexadecimal
/// (>= 6), long ones alphanumeric (>= 12).
std::size_t queue_id_size(const char* p, const char* end);

enum class Status : std::uint8_t {
  none,
  sent,
  deferred,
  bounced,
  softbounce,
  expired,
  deliverable,
  undeliverable,
};

/// `to=<ADDR>[, orig_to=<ADDR>], relay=R[, conn_use=N], delay=D, delays=a/b/c/d[, k=v], dsn=X.Y.Z,
/// status=WORD (REASON)`; views into the line.
struct Delivery {
  std::string_view to;
  std::string_view orig_to;
  std::string_view relay;
  std::string_view conn_use;
  std::string_view delay;
  std::string_view delays;
  std::string_view dsn;
  std::string_view word;
  std::string_view reason;  ///< without the parentheses
  EnhancedCode enhanced;    ///< of dsn
  std::uint32_t delay_ms = 0;
  Status status = Status::none;
  bool truncated = false;  ///< the closing parenthesis is missing
};

/// `text` begins with "to=<". False when it cannot be read to the end of status=WORD.
bool read_delivery(std::string_view text, Delivery& out);

/// `<ADDR>` at p (behind the '<'), quoted local parts included; p moves behind the '>'.
bool read_address(const char*& p, const char* end, std::string_view& out);

/// What a line about a message says when it is no delivery.
enum class Remark : std::uint8_t {
  none,
  begin,
  expired,
  removed,
  message_id,
  client,
  sasl_user,
  campaign,
  notification,
  mx_failure,
};

struct RemarkLine {
  Remark remark = Remark::none;
  std::string_view text;
  std::uint32_t number = 0;
};

/// `text` is what follows "QID: ". `campaign_header` without colon.
RemarkLine read_remark(Daemon daemon, std::string_view text, std::string_view campaign_header);

/// Value of a header_checks line `ACTION: header NAME: VALUE from CLIENT; from=<S> to=<R>...`.
/// VALUE, addresses and HELO are the sender's own words: see the .cc file.
bool read_header_check(std::string_view text, std::string_view header, std::string_view& value);

/// Number of lost messages that a logger's line tells of; 0 = none.
std::uint64_t lost_messages(std::string_view text);

}  // namespace bounced::parse
