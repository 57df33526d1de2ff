#include "parse/postfix_line.h"

#include <charconv>

#include "base/text.h"
#include "parse/postfix_reason.h"
#include "parse/scan.h"

namespace bounced::parse {
namespace {

struct DaemonName {
  std::string_view name;
  Daemon daemon;
};

// Programs of Postfix 2.x..3.12 (libexec/ and sbin/), and the loggers that lose messages.
constexpr DaemonName kDaemons[] = {
    {"smtp", Daemon::smtp},
    {"lmtp", Daemon::lmtp},
    {"local", Daemon::local},
    {"virtual", Daemon::local},
    {"pipe", Daemon::pipe},
    {"error", Daemon::error},
    {"retry", Daemon::error},
    {"discard", Daemon::discard},
    {"qmgr", Daemon::qmgr},
    {"oqmgr", Daemon::qmgr},
    {"nqmgr", Daemon::qmgr},
    {"cleanup", Daemon::cleanup},
    {"smtpd", Daemon::smtpd},
    {"qmqpd", Daemon::smtpd},
    {"bounce", Daemon::bounce},
    {"defer", Daemon::bounce},
    {"trace", Daemon::bounce},
    {"postsuper", Daemon::postsuper},
    {"pickup", Daemon::quiet},
    {"anvil", Daemon::quiet},
    {"scache", Daemon::quiet},
    {"master", Daemon::quiet},
    {"verify", Daemon::quiet},
    {"flush", Daemon::quiet},
    {"showq", Daemon::quiet},
    {"proxymap", Daemon::quiet},
    {"tlsmgr", Daemon::quiet},
    {"tlsproxy", Daemon::quiet},
    {"tls", Daemon::quiet},
    {"trivial-rewrite", Daemon::quiet},
    {"postscreen", Daemon::quiet},
    {"dnsblog", Daemon::quiet},
    {"postlogd", Daemon::quiet},
    {"postlog", Daemon::quiet},
    {"postfix-script", Daemon::quiet},
    {"postfix-tls-script", Daemon::quiet},
    {"post-install", Daemon::quiet},
    {"postdrop", Daemon::quiet},
    {"postqueue", Daemon::quiet},
    {"postmap", Daemon::quiet},
    {"postalias", Daemon::quiet},
    {"postcat", Daemon::quiet},
    {"postconf", Daemon::quiet},
    {"postkick", Daemon::quiet},
    {"postlock", Daemon::quiet},
    {"postmulti", Daemon::quiet},
    {"sendmail", Daemon::quiet},
    {"spawn", Daemon::quiet},
    {"fsstone", Daemon::quiet},
};

constexpr std::string_view kLoggers[] = {"rsyslogd",  "rsyslog",          "imuxsock",
                                         "imjournal", "syslog-ng",        "syslogd",
                                         "journal",   "systemd-journald", "systemd-journal"};

}  // namespace

Daemon daemon_of_tag(std::string_view tag, bool full_tag) {
  const auto slash = tag.rfind('/');
  if (slash == std::string_view::npos) {
    for (const std::string_view name : kLoggers) {
      if (tag == name) return Daemon::logger;
    }
    // "postfix[306]: fatal: ..." is the postfix command; where the header keeps only the program's
    // name, any instance looks like that. A whole tag of another name is another program's, whose
    // words may be anybody's.
    if (full_tag && !starts(tag, "postfix")) return Daemon::foreign;
    return Daemon::by_text;
  }
  const std::string_view name = tag.substr(slash + 1);
  for (const DaemonName& row : kDaemons) {
    if (row.name == name) return row.daemon;
  }
  return Daemon::other;
}

namespace {

// Bit 0: upper-case hexadecimal digit; bit 1: alphanumeric.
constexpr std::array<unsigned char, 256> make_id_classes() {
  std::array<unsigned char, 256> table{};
  for (int c = '0'; c <= '9'; ++c) table[static_cast<std::size_t>(c)] = 3;
  for (int c = 'A'; c <= 'F'; ++c) table[static_cast<std::size_t>(c)] = 3;
  for (int c = 'G'; c <= 'Z'; ++c) table[static_cast<std::size_t>(c)] = 2;
  for (int c = 'a'; c <= 'z'; ++c) table[static_cast<std::size_t>(c)] = 2;
  return table;
}

BOUNCED_HOT Status status_of(std::string_view word) {
  switch (word.size()) {
    case 4:
      return word == "sent" ? Status::sent : Status::none;
    case 7:
      return word == "bounced" ? Status::bounced
                               : (word == "expired" ? Status::expired : Status::none);
    case 8:
      return word == "deferred" ? Status::deferred : Status::none;
    case 10:
      return word == "SOFTBOUNCE" ? Status::softbounce : Status::none;
    case 11:
      return word == "deliverable" ? Status::deliverable : Status::none;
    case 13:
      return word == "undeliverable" ? Status::undeliverable : Status::none;
    case 28:
      return word == "undeliverable-but-not-cached" ? Status::undeliverable : Status::none;
    default:
      return Status::none;
  }
}

/// "12", "0.09", "1e+05" seconds -> milliseconds, saturating.
BOUNCED_HOT std::uint32_t read_delay(std::string_view text) {
  const char* p = text.data();
  const char* const end = p + text.size();
  std::uint64_t ms = std::uint64_t{read_number(p, end)} * 1000;
  if (p < end && *p == '.') {
    ++p;
    unsigned scale = 100;
    for (; p < end && is_digit(*p); ++p, scale /= 10) {
      ms += scale * static_cast<unsigned>(*p - '0');
    }
  }
  if (p < end && (*p == 'e' || *p == 'E')) {
    double seconds = 0;
    std::from_chars(text.data(), end, seconds);
    ms = seconds >= 0 && seconds < 4e6 ? static_cast<std::uint64_t>(seconds * 1000) : UINT32_MAX;
  }
  return ms > UINT32_MAX ? UINT32_MAX : static_cast<std::uint32_t>(ms);
}

/// Value up to the next ", "; p moves to the comma. Empty view with p == end when there is none.
BOUNCED_HOT std::string_view read_value(const char*& p, const char* end) {
  const char* const begin = p;
  for (p = find_byte(p, end, ','); p < end; p = find_byte(p + 1, end, ',')) {
    if (end - p > 1 && p[1] == ' ') return between(begin, p);
  }
  return between(begin, end);
}

/// `status=WORD (REASON)` behind the '='.
BOUNCED_HOT bool read_status(const char* p, const char* end, Delivery& out, DeliveryDetails& more) {
  const char* const space = find_byte(p, end, ' ');
  const std::string_view word = between(p, space);
  more.word = word;
  out.status = status_of(word);
  p = space;
  if (end - p < 2 || p[1] != '(') {
    out.truncated = true;
  } else {
    p += 2;
    if (end > p && end[-1] == ')') {
      out.reason = between(p, end - 1);
    } else {
      out.truncated = true;
      out.reason = between(p, end);
    }
  }
  return out.status != Status::none;
}

}  // namespace

std::string_view repeated_message(std::string_view text) {
  if (!starts(text, "message repeated ")) return {};
  const auto open = text.find(" times: [");
  if (open == std::string_view::npos) return {};
  text.remove_prefix(open + 9);
  if (!text.empty() && text.back() == ']') text.remove_suffix(1);
  return trim(text);
}

std::string_view without_severity(std::string_view text) {
  if (starts(text, "warning: ")) return text.substr(9);
  if (starts(text, "error: ") || starts(text, "fatal: ") || starts(text, "panic: ")) {
    return text.substr(7);
  }
  return text;
}

std::size_t queue_id_size_slow(const char* p, const char* end) {
  static constexpr std::array<unsigned char, 256> kClasses = make_id_classes();
  unsigned all = 3;
  const char* q = p;
  for (; q < end; ++q) {
    const unsigned char c = kClasses[static_cast<unsigned char>(*q)];
    if (c == 0) break;
    all &= c;
  }
  const auto size = static_cast<std::size_t>(q - p);
  if (size < 6 || size > 32 || end - q < 2 || q[0] != ':' || q[1] != ' ') return 0;
  return (all & 1) != 0 || size >= 12 ? size : 0;
}

bool read_address(const char*& p, const char* end, std::string_view& out) {
  const char* const begin = p;
  const char* q = p;
  if (q < end && *q == '"') {
    ++q;
    while (q < end && *q != '"') q += *q == '\\' ? 2 : 1;
    // An unbalanced quote: an old log, whose local parts were never quoted.
    q = q < end && end - q > 1 && (q[1] == '@' || q[1] == '>') ? q + 1 : p;
  }
  for (q = find_byte(q, end, '>'); q < end; q = find_byte(q + 1, end, '>')) {
    if (q + 1 == end || q[1] == ',' || q[1] == ' ') {
      out = between(begin, q);
      p = q + 1;
      return true;
    }
  }
  return false;
}

/// The usual order without a jump table, whose target nobody predicts. True when it reached the
/// status; else p is where it got to.
BOUNCED_HOT bool read_usual_fields(const char*& p, const char* end, Delivery& out,
                                   DeliveryDetails& more, bool& good) {
  if (!starts(p, end, ", relay=")) return false;
  p += 8;
  out.relay = read_value(p, end);
  if (starts(p, end, ", delay=")) {
    p += 8;
    more.delay = read_value(p, end);
    out.delay_ms = read_delay(more.delay);
  }
  if (starts(p, end, ", delays=")) {
    p += 9;
    more.delays = read_value(p, end);
  }
  if (starts(p, end, ", dsn=")) {
    p += 6;
    const char* code = p;
    more.dsn = read_value(p, end);
    read_enhanced(code, p, out.enhanced);
  }
  if (!starts(p, end, ", status=")) return false;
  good = read_status(p + 9, end, out, more);
  return true;
}

bool read_delivery(std::string_view text, Delivery& out, DeliveryDetails* details) {
  out.to_at = 0;
  out.relay = {};
  out.ip = {};
  out.host_size = 0;
  out.reason = {};
  out.delay_ms = 0;
  out.enhanced = {};
  out.status = Status::none;
  out.truncated = false;
  const char* p = text.data() + 4;
  const char* const end = text.data() + text.size();
  out.to = {};
  DeliveryDetails unwanted;
  DeliveryDetails& more = details != nullptr ? *details : unwanted;
  if (!read_address(p, end, out.to)) return false;
  bool good = false;
  if (read_usual_fields(p, end, out, more, good)) return good;
  while (end - p > 8 && p[0] == ',' && p[1] == ' ') {
    p += 2;
    switch (*p) {
      case 'r':
        if (starts(p, end, "relay=")) {
          p += 6;
          out.relay = read_value(p, end);
          continue;
        }
        break;
      case 'd':
        if (starts(p, end, "delay=")) {
          p += 6;
          more.delay = read_value(p, end);
          out.delay_ms = read_delay(more.delay);
          continue;
        }
        if (starts(p, end, "delays=")) {
          p += 7;
          more.delays = read_value(p, end);
          continue;
        }
        if (starts(p, end, "dsn=")) {
          p += 4;
          const char* code = p;
          more.dsn = read_value(p, end);
          read_enhanced(code, p, out.enhanced);
          continue;
        }
        break;
      case 's':
        if (starts(p, end, "status=")) return read_status(p + 7, end, out, more);
        break;
      case 'o':
        if (starts(p, end, "orig_to=<")) {
          p += 9;
          if (!read_address(p, end, more.orig_to)) return false;
          continue;
        }
        break;
      case 'c':
        if (starts(p, end, "conn_use=")) {
          p += 9;
          more.conn_use = read_value(p, end);
          continue;
        }
        break;
      default:
        break;
    }
    read_value(p, end);  // a key of a newer release
  }
  return false;
}

}  // namespace bounced::parse
