#include "parse/exim_reason.h"

#include <string>

#include "parse/postfix_reason.h"

namespace bounced::parse {
namespace {

constexpr std::string_view kGivenUp = "retry timeout exceeded";

bool take(std::string_view& text, std::string_view front) {
  if (text.substr(0, front.size()) != front) return false;
  text.remove_prefix(front.size());
  return true;
}

/// "initial connection", "pipelined RCPT TO:<a@b>", "end of data (479 bytes written)".
Phase phase_of_stage(std::string_view stage) {
  take(stage, "pipelined ");
  if (starts(stage, "RCPT TO")) return Phase::rcpt;
  if (starts(stage, "MAIL FROM")) return Phase::mail;
  if (starts(stage, "end of data") || starts(stage, "sending data block")) return Phase::eod;
  if (starts(stage, "DATA") || starts(stage, "BDAT")) return Phase::data;
  if (starts(stage, "initial connection")) return Phase::connect;
  if (starts(stage, "EHLO") || starts(stage, "HELO") || starts(stage, "LHLO") ||
      starts(stage, "STARTTLS") || starts(stage, "AUTH")) {
    return Phase::helo;
  }
  return Phase::none;
}

/// Cuts "STAGE: " off the text and returns the stage; all of the text when there is no colon. An
/// address in it may hold one.
std::string_view cut_stage(std::string_view& text) {
  // Most have no quotes: up to the first one, or the end of the stage, in leaps.
  const char* p = text.data();
  const char* const end = p + text.size();
  for (; (p = find_either(p, end, ':', '"')) != end && *p == ':'; ++p) {
    if (end - p == 1 || p[1] == ' ') break;
  }
  auto at = static_cast<std::size_t>(p - text.data());
  bool quoted = false;
  for (; at < text.size(); ++at) {
    const char c = text[at];
    if (quoted && c == '\\') {
      ++at;
    } else if (c == '"') {
      quoted = !quoted;
    } else if (c == ':' && !quoted && (at + 1 == text.size() || text[at + 1] == ' ')) {
      break;
    }
  }
  // A quote that does not end was none.
  if (at >= text.size()) at = std::min(text.find(": "), text.size());
  const std::string_view stage = text.substr(0, at);
  text.remove_prefix(std::min(text.size(), at + 2));
  return stage;
}

/// `host H [ip]: ` at the front, as older versions and notifications have it.
void take_host(std::string_view& text, EximReason& out) {
  if (!starts(text, "host ")) return;
  const auto open = text.find(" [");
  const auto close = text.find("]: ");
  if (open == std::string_view::npos || close == std::string_view::npos || close < open) return;
  out.host = text.substr(5, open < 5 ? 0 : open - 5);
  out.ip = text.substr(open + 2, close - open - 2);
  text.remove_prefix(close + 3);
}

/// The reply's own codes. Exim acts on the first line of a reply, so they are of that one; where it
/// has no enhanced code, of the first of the same code that has.
void read_codes(std::string_view reply, EximReason& out) {
  out.smtp_code = reply_code(reply);
  if (out.smtp_code == 0) return;
  const char* const end = reply.data() + reply.size();
  const char* line = reply.data();
  for (int i = 0; i < 8; ++i) {
    const char* p = line + 3;
    while (p < end && (*p == ' ' || *p == '-')) ++p;
    EnhancedCode code;
    if (read_enhanced(p, end, code) && (p == end || !is_digit(*p))) {
      out.enhanced = code;
      return;
    }
    do {
      line = find_byte(line, end, '\\');
      if (end - line < 6) return;
      ++line;
    } while (*line != 'n');
    ++line;
    if (!equal_bytes(line, reply.data(), 3)) return;
  }
}

/// The rest behind "SMTP error from remote mail server after ", and its like; false when it is none
/// of them.
bool take_reply_front(std::string_view& text) {
  if (!take(text, "SMTP error from remote ") && !take(text, "LMTP error ")) return false;
  if (!take(text, "mail server ")) take(text, "mailer ");
  return take(text, "after ") || take(text, "in response to ");
}

/// "SMTP timeout after STAGE: ..", "Remote host closed connection in response to STAGE".
bool read_broken_session(std::string_view text, EximReason& out) {
  if (!take(text, "SMTP timeout after ") && !take(text, "LMTP timeout after ") &&
      !take(text, "timeout after ") && !take(text, "Malformed SMTP reply in response to ") &&
      !take(text, "Malformed LMTP reply in response to ") &&
      !take(text, "Remote host closed connection in response to ") &&
      !take(text, "Remote host closed connection after ")) {
    return false;
  }
  out.phase = phase_of_stage(cut_stage(text));
  return true;
}

bool is_no_attempt(const EximDelivery& found, std::string_view text) {
  // Which number means what has changed between versions, but they have always been next to each
  // other: retry times (routing, local, hosts), queue_domains, the limit of parallel deliveries.
  if (found.has_defer && found.error_number <= -51 && found.error_number >= -57) return true;
  return starts(text, "retry time not reached") || starts(text, "Retry time not yet reached");
}

bool is_network_error(std::int32_t number) {
  switch (number) {  // errno(3) of Linux
    case 101:        // ENETUNREACH
    case 103:        // ECONNABORTED
    case 104:        // ECONNRESET
    case 110:        // ETIMEDOUT
    case 111:        // ECONNREFUSED
    case 112:        // EHOSTDOWN
    case 113:        // EHOSTUNREACH
      return true;
    default:
      return false;
  }
}

/// Takes ": retry timeout exceeded" off the end; true when the message was given up for its age.
bool take_given_up(std::string_view& text) {
  if (text.size() >= kGivenUp.size() && text.substr(text.size() - kGivenUp.size()) == kGivenUp) {
    const std::string_view front = text.substr(0, text.size() - kGivenUp.size());
    if (front.empty()) return true;
    if (front.size() > 2 && front.substr(front.size() - 2) == ": ") {
      text = front.substr(0, front.size() - 2);
      return true;
    }
  }
  return (starts(text, "all hosts") &&
          text.find("have been failing for a long time") != std::string_view::npos) ||
         (starts(text, "retry time not reached") &&
          text.find("after a long failure period") != std::string_view::npos);
}

}  // namespace

EximReason read_exim_reason(const EximDelivery& found) {
  EximReason out;
  std::string_view text = found.message;
  if (!found.has_defer) out.expired = take_given_up(text);
  out.diagnostic = text;
  std::string_view reply = text;
  if (take_reply_front(reply)) {
    out.phase = phase_of_stage(cut_stage(reply));
    take_host(reply, out);
    if (!reply.empty()) out.diagnostic = reply;
    read_codes(reply, out);
  } else if (starts(text, "host ") || reply_code(text) != 0) {  // "host H [ip]: 550 ..."
    take_host(reply, out);
    out.diagnostic = reply;
    read_codes(reply, out);
  } else if (!read_broken_session(text, out)) {
    if (starts(text, "TLS session: (") || starts(text, "a TLS session is required")) {
      out.phase = Phase::helo;
    } else if (is_network_error(found.error_number)) {
      out.phase = Phase::connect;
    } else {
      out.session = starts(text, "host lookup did not complete") ||
                    (!found.transport.empty() && starts(text, "retry time not reached for any"));
    }
  }
  if (out.phase == Phase::connect || out.phase == Phase::helo) out.session = true;
  // Connections that a route or a firewall of this host prohibits have no words but errno's.
  if (found.error_number == 13 && found.ip.empty() && text == "Permission denied") {
    out.phase = Phase::connect;
    out.session = true;
  }
  out.not_attempted = found.has_defer && is_no_attempt(found, text);
  return out;
}

namespace {

/// Exim does not escape backslashes: "[C:\\Program Files\\new" has a path's own.
bool has_windows_path(std::string_view text) {
  for (auto at = text.find(":\\"); at != std::string_view::npos; at = text.find(":\\", at + 1)) {
    const char drive = at == 0 ? '\0' : text[at - 1];
    const bool letter = (drive >= 'A' && drive <= 'Z') || (drive >= 'a' && drive <= 'z');
    if (letter && (at == 1 || text[at - 2] == ' ' || text[at - 2] == '[' || text[at - 2] == '"')) {
      return true;
    }
  }
  return false;
}

/// Undoes what Exim's printing of a text did.
void decode_printed(std::string_view text, std::string& out) {
  const bool path = has_windows_path(text);
  const auto octal = [&](std::size_t i) {
    return i < text.size() && text[i] >= '0' && text[i] <= '7' ? text[i] - '0' : -1;
  };
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    const char next = c == '\\' && i + 1 < text.size() ? text[i + 1] : '\0';
    if (next == 'n') {
      const bool code = i + 3 < text.size() && is_digit(text[i + 2]) && is_digit(text[i + 3]);
      if (code || !path) {
        out += ' ';
        ++i;
        continue;
      }
    } else if (octal(i + 1) >= 0 && octal(i + 1) <= 3 && octal(i + 2) >= 0 && octal(i + 3) >= 0 &&
               next != '\0') {
      const int byte = octal(i + 1) * 64 + octal(i + 2) * 8 + octal(i + 3);
      out += byte < 0x20 || byte == 0x7F ? '?' : static_cast<char>(byte);
      i += 3;
      continue;
    } else if (next == 'r' && i + 3 < text.size() && text[i + 2] == '\\' && text[i + 3] == 'n') {
      ++i;  // "\r\n" is one end of a line
      continue;
    }
    out += c;
  }
}

}  // namespace

void decode_exim(std::string_view text, bool quoted, std::string& out) {
  if (!quoted) return decode_printed(text, out);
  // Printed first, then quoted.
  std::string plain;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const bool escaped =
        text[i] == '\\' && i + 1 < text.size() && (text[i + 1] == '"' || text[i + 1] == '\\');
    i += escaped ? 1 : 0;
    plain += text[i];
  }
  decode_printed(plain, out);
}

}  // namespace bounced::parse
