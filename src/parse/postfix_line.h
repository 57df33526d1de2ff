// postfix_line: the grammar of Postfix's log texts (behind the syslog header), strictly left to
// right: nothing that a remote server, a HELO, a header or an address says can look like a field.
#pragma once

#include <cstdint>
#include <string_view>

#include "bounced/event.h"
#include "parse/scan.h"

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

/// By the last segment of the tag; `full_tag` as Header's.
Daemon daemon_of_tag(std::string_view tag, bool full_tag);
/// Whether only Postfix has a program of that name.
inline bool is_postfix(Daemon daemon) {
  return daemon >= Daemon::smtp && daemon <= Daemon::quiet;
}
/// Programs that log `to=<...>` lines: the delivery agents, qmgr(8) and cleanup(8) (a message that
/// header_checks reject after it was taken). None of them begins a text with somebody else's words.
inline bool may_deliver(Daemon daemon) {
  return daemon >= Daemon::by_text && daemon <= Daemon::cleanup;
}

/// "message repeated 3 times: [ TEXT]" of rsyslog: TEXT, else empty.
std::string_view repeated_message(std::string_view text);
/// Without Postfix's "warning: ", "error: ", "fatal: " or "panic: " in front.
std::string_view without_severity(std::string_view text);

/// queue_id_size() byte by byte.
std::size_t queue_id_size_slow(const char* p, const char* end);

/// Length of the queue id at p when ": " follows it, else 0. Short ids are upper-case hexadecimal
/// (>= 6), long ones alphanumeric (>= 12), both at most 32.
BOUNCED_HOT std::size_t queue_id_size(const char* p, const char* end) {
#if defined(__SSE2__)
  // One load classifies every id that Postfix makes (11 or 16 bytes).
  if (end - p >= 18) {
    const __m128i x = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
    const auto in_range = [](__m128i bytes, char first, char count) {
      const __m128i from = _mm_sub_epi8(bytes, _mm_set1_epi8(first));
      return _mm_cmpeq_epi8(_mm_min_epu8(from, _mm_set1_epi8(static_cast<char>(count - 1))), from);
    };
    const __m128i digit = in_range(x, '0', 10);
    const __m128i letter = in_range(_mm_or_si128(x, _mm_set1_epi8(0x20)), 'a', 26);
    const auto id = static_cast<unsigned>(_mm_movemask_epi8(_mm_or_si128(digit, letter)));
    const auto size = static_cast<std::size_t>(__builtin_ctz(~id));  // <= 16
    if (p[size] == ':' && p[size + 1] == ' ') {
      if (size >= 12) return size;
      const auto hex =
          static_cast<unsigned>(_mm_movemask_epi8(_mm_or_si128(digit, in_range(x, 'A', 6))));
      return (~hex & ((1u << size) - 1)) == 0 && size >= 6 ? size : 0;
    }
    if (size < 16) return 0;
  }
#endif
  return queue_id_size_slow(p, end);
}

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
/// Not initialised here: zeroing it would cost a tenth of the line; read_delivery() sets all.
struct Delivery {
  std::string_view to;
  /// Index of the '@' before the domain where `to` is its own normal form; 0: not looked at.
  std::uint32_t to_at;
  std::string_view relay;
  std::string_view ip;      ///< of a relay `HOST[IP]:25` without '/' in IP; empty: not looked at
  std::uint32_t host_size;  ///< of HOST; 0 where `ip` is empty
  std::string_view reason;  ///< without the parentheses
  std::uint32_t delay_ms;
  EnhancedCode enhanced;  ///< of dsn
  Status status;
  bool truncated;  ///< the closing parenthesis is missing

  /// Of `to`, where to_at is known.
  [[nodiscard]] BOUNCED_HOT std::string_view domain() const {
    return between(to.data() + to_at + 1, to.data() + to.size());
  }
};

/// The fields that only people want to see.
struct DeliveryDetails {
  std::string_view orig_to;
  std::string_view conn_use;
  std::string_view delay;
  std::string_view delays;
  std::string_view dsn;
  std::string_view word;
};

/// `text` begins with "to=<". False when it cannot be read to the end of status=WORD.
bool read_delivery(std::string_view text, Delivery& out, DeliveryDetails* details = nullptr);

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
void read_remark(Daemon daemon, std::string_view text, std::string_view campaign_header,
                 RemarkLine& out);

/// Value of a header_checks line `ACTION: header NAME: VALUE from CLIENT; from=<S> to=<R>...`.
/// VALUE, addresses and HELO are the sender's own words: see the .cc file.
bool read_header_check(std::string_view text, std::string_view header, std::string_view& value);

/// What a logger's line tells of messages that it did not write.
struct LossReport {
  bool alarm = false;
  std::uint64_t messages = 0;  ///< 0 = it does not tell how many
};
LossReport read_loss(std::string_view text);

}  // namespace bounced::parse
