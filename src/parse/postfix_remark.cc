// Lines about a message that are no deliveries: what correlate wants to know of it.
#include "base/text.h"
#include "parse/postfix_line.h"
#include "parse/scan.h"

namespace bounced::parse {
namespace {

/// Postfix cuts "NAME: VALUE" in header_checks lines to this length (cleanup_message.c).
constexpr std::size_t kHeaderBytesMax = 200;

/// An address between <>; its quotes must be balanced, so that a forged tail inside a quoted local
/// part does not pass.
bool skip_angle(const char*& p, const char* end) {
  if (p >= end || *p != '<') return false;
  ++p;
  std::string_view address;
  if (p < end && *p == '>') {
    ++p;
    return true;
  }
  if (!read_address(p, end, address)) return false;
  std::size_t quotes = 0;
  for (const char c : address) quotes += c == '"';
  return quotes % 2 == 0;
}

/// " from CLIENT; from=<S> to=<R>[ proto=..]..." at p, where CLIENT is "local" or host[ip].
bool is_client_tail(const char* p, const char* end) {
  p += 6;
  const char* const semicolon = find_either(p, end, ';', ' ');
  if (semicolon == end || *semicolon != ';' || semicolon == p) return false;
  const std::string_view client = between(p, semicolon);
  if (client != "local" && (client.back() != ']' || client.find('[') == std::string_view::npos)) {
    return false;
  }
  p = semicolon;
  if (!starts(p, end, "; from=")) return false;
  p += 7;
  if (!skip_angle(p, end)) return false;
  if (p == end) return true;
  if (!starts(p, end, " to=")) return starts(p, end, " proto=") || *p == ':';
  p += 4;
  if (!skip_angle(p, end)) return false;
  return p == end || starts(p, end, " proto=") || starts(p, end, " helo=") || *p == ':' ||
         *p == ' ';
}

void read_qmgr(std::string_view text, RemarkLine& out) {
  if (text == "removed") {
    out.remark = Remark::removed;
    return;
  }
  if (!starts(text, "from=<")) return;
  const char* p = text.data() + 6;
  const char* const end = text.data() + text.size();
  std::string_view sender;
  if (p < end && *p == '>') {
    ++p;
  } else if (!read_address(p, end, sender)) {
    return;
  }
  while (end - p > 2 && p[0] == ',' && p[1] == ' ') {
    p += 2;
    if (starts(p, end, "nrcpt=")) {
      p += 6;
      out.text = sender;
      out.number = read_number(p, end);
      out.remark = Remark::begin;
      return;
    }
    if (starts(p, end, "status=expired") || starts(p, end, "status=force-expired")) {
      out.remark = Remark::expired;
      return;
    }
    p = find_byte(p, end, ',');
  }
}

void read_cleanup(std::string_view text, std::string_view campaign_header, RemarkLine& out) {
  std::string_view id;
  if (starts(text, "message-id=")) {
    id = text.substr(11);
  } else if (starts(text, "resent-message-id=")) {
    id = text.substr(18);
  } else {
    if (read_header_check(text, campaign_header, out.text)) out.remark = Remark::campaign;
    return;
  }
  id = trim(id);
  if (id.empty() || id == "<>") return;
  out.text = id;
  out.remark = Remark::message_id;
}

void read_smtpd(std::string_view text, RemarkLine& out) {
  if (!starts(text, "client=")) return;
  const char* p = text.data() + 7;
  const char* const end = text.data() + text.size();
  const char* comma = find_byte(p, end, ',');
  out.text = between(p, comma);
  out.remark = Remark::client;
  while (end - comma > 2) {
    p = comma + 2;
    if (starts(p, end, "sasl_username=")) {
      std::string_view user = between(p + 14, end);
      user = user.substr(0, user.find(", sasl_sender="));
      if (user.empty()) return;
      out.text = user;
      out.remark = Remark::sasl_user;
      return;
    }
    comma = find_byte(p, end, ',');
  }
}

/// "sender non-delivery notification: QID2"
void read_bounce(std::string_view text, RemarkLine& out) {
  if (!starts(text, "sender ")) return;
  const auto at = text.find(" notification: ");
  if (at == std::string_view::npos) return;
  const std::string_view id = text.substr(at + 15);
  if (id.empty() || id.find(' ') != std::string_view::npos) return;
  out.text = id;
  out.remark = Remark::notification;
}

/// A failure on the way through the MX hosts; other remarks of smtp(8) (PIX workarounds, TLS
/// sessions) say nothing about the outcome.
void read_smtp(std::string_view text, RemarkLine& out) {
  if (starts(text, "host ") || starts(text, "lost connection with ") ||
      starts(text, "conversation with ") || starts(text, "connect to ") ||
      starts(text, "Cannot start TLS") || starts(text, "TLS is required") ||
      starts(text, "Server certificate ") || starts(text, "Protocol error: ") ||
      starts(text, "SASL authentication failed")) {
    out.text = text;
    out.remark = Remark::mx_failure;
  }
}

void read_postsuper(std::string_view text, RemarkLine& out) {
  if (text == "removed" || text == "requeued") out.remark = Remark::removed;
}

/// Each text begins with words of its own daemon, never with somebody else's.
void read_by_text(std::string_view text, std::string_view campaign_header, RemarkLine& out) {
  if (starts(text, "from=<")) return read_qmgr(text, out);
  if (starts(text, "client=")) return read_smtpd(text, out);
  if (starts(text, "sender ")) return read_bounce(text, out);
  read_postsuper(text, out);
  if (out.remark == Remark::none) read_smtp(text, out);
  if (out.remark == Remark::none) read_cleanup(text, campaign_header, out);
}

}  // namespace

// The line is `ACTION: header NAME: VALUE from CLIENT; from=<S> to=<R> proto=P helo=<H>[: TEXT]`.
// VALUE, S, R and H come from the sender, and each may hold a copy of that tail. So: the tail must
// parse up to its recipient, quotes balanced; it begins within the 200 bytes that Postfix keeps of
// the header; and of several the last counts, so that VALUE cannot end itself early.
bool read_header_check(std::string_view text, std::string_view header, std::string_view& value) {
  const auto colon = text.find(": ");
  if (colon == std::string_view::npos || header.empty()) return false;
  const std::string_view action = text.substr(0, colon);
  if (action == "reject" || action == "discard" || action == "milter-reject") return false;
  if (action.find(' ') != std::string_view::npos) return false;
  const char* p = text.data() + colon + 2;
  const char* const end = text.data() + text.size();
  if (!starts(p, end, "header ")) return false;
  p += 7;
  const char* const limit =
      end - p > static_cast<std::ptrdiff_t>(kHeaderBytesMax) ? p + kHeaderBytesMax : end;
  if (static_cast<std::size_t>(end - p) < header.size() + 1 || p[header.size()] != ':' ||
      !iequals(between(p, p + header.size()), header)) {
    return false;
  }
  p += header.size() + 1;
  const std::string_view window = between(p, limit + 6 < end ? limit + 6 : end);
  // Backwards by hand: string_view::rfind compares all six bytes at each place.
  for (std::size_t at = window.size() < 6 ? 0 : window.size() - 5; at-- > 0;) {
    if (p[at] != ' ' || p[at + 1] != 'f' || !starts(p + at, end, " from ")) continue;
    if (!is_client_tail(p + at, end)) continue;
    value = trim(between(p, p + at));
    return !value.empty();
  }
  return false;
}

void read_remark(Daemon daemon, std::string_view text, std::string_view campaign_header,
                 RemarkLine& out) {
  switch (daemon) {
    case Daemon::qmgr:
      return read_qmgr(text, out);
    case Daemon::cleanup:
      return read_cleanup(text, campaign_header, out);
    case Daemon::smtpd:
      return read_smtpd(text, out);
    case Daemon::bounce:
      return read_bounce(text, out);
    case Daemon::smtp:
    case Daemon::lmtp:
      return read_smtp(text, out);
    case Daemon::postsuper:
      return read_postsuper(text, out);
    case Daemon::by_text:
      return read_by_text(text, campaign_header, out);
    default:
      return;
  }
}

// rsyslog: "imuxsock lost 12 messages from pid 7 due to rate-limiting",
// "imuxsock[pid: 7, name: ..] from <x>: 12 messages lost due to rate-limiting (..)",
// "12 messages lost due to rate-limiting", "imjournal: begin to drop messages due to
// rate-limiting". journald: "Suppressed 12 messages from postfix.service", "Forwarding to syslog
// missed 12 messages.", "Missed 12 kernel messages" (of no interest).
LossReport read_loss(std::string_view text) {
  const auto has = [text](std::string_view words) {
    return text.find(words) != std::string_view::npos;
  };
  LossReport found;
  const bool limited = has("rate-limiting") || has("rate limiting");
  const bool of_journal = starts(text, "Suppressed ") || has("Forwarding to syslog missed ");
  const auto at = text.find(" messages");
  if (at == std::string_view::npos || !(limited || of_journal)) return found;
  auto begin = at;
  while (begin > 0 && is_digit(text[begin - 1])) --begin;
  if (begin < at) {
    const char* p = text.data() + begin;
    found.messages = read_number(p, text.data() + at);
  }
  found.alarm = found.messages != 0 || has("begin to drop messages");
  return found;
}

}  // namespace bounced::parse
