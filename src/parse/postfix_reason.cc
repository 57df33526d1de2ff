#include "parse/postfix_reason.h"

#include "parse/scan.h"

namespace bounced::parse {
namespace {

/// reply_code() of [p, end).
std::uint16_t code_at(const char* p, const char* end) {
  return reply_code(between(p, end));
}

/// The first blank in [p, end) that '2'..'5' follows, or end.
const char* find_code(const char* p, const char* end) {
#if defined(__SSE2__)
  const __m128i blank = _mm_set1_epi8(' ');
  const __m128i two = _mm_set1_epi8('2');
  const __m128i three = _mm_set1_epi8(3);
  for (; end - p > 16; p += 16) {
    const __m128i here = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
    const __m128i next =
        _mm_sub_epi8(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p + 1)), two);
    const int mask = _mm_movemask_epi8(_mm_and_si128(
        _mm_cmpeq_epi8(here, blank), _mm_cmpeq_epi8(_mm_min_epu8(next, three), next)));
    if (mask != 0) return p + __builtin_ctz(static_cast<unsigned>(mask));
  }
#endif
  while (end - p > 1 && (*p != ' ' || p[1] < '2' || p[1] > '5')) ++p;
  return end - p > 1 ? p : end;
}

EnhancedCode enhanced_after(const char* p, const char* end) {
  EnhancedCode code;
  while (p < end && (*p == ' ' || *p == '-')) ++p;
  if (!read_enhanced(p, end, code) || (p < end && is_digit(*p))) return {};
  return code;
}

/// Sets code and enhanced code of a reply. Postfix joins the lines of a reply with one blank, each
/// with its own code ("550-5.1.1 a 550 5.1.1 b"), and its last line rules. The text between is the
/// server's, so another code is believed only where it begins a line by all we can see: the same
/// code, or one whose enhanced code has its class, in the class of dsn=.
void read_reply(std::string_view reply, EnhancedCode dsn, Reason& out) {
  const char* const begin = reply.data();
  const char* const end = begin + reply.size();
  out.smtp_code = code_at(begin, end);
  if (out.smtp_code == 0) return;
  out.enhanced = enhanced_after(begin + 3, end);
  if (reply.size() < 4 || begin[3] != '-') return;
  const unsigned klass = dsn.present() ? dsn.klass : out.smtp_code / 100u;
  for (const char* p = find_code(begin, end); p < end; p = find_code(p + 1, end)) {
    const std::uint16_t code = code_at(p + 1, end);
    if (code == 0 || p + 4 >= end) continue;
    const EnhancedCode own = enhanced_after(p + 4, end);
    const bool same = code == out.smtp_code;
    if (!same && !(code / 100u == klass && own.klass == klass && p[4] == ' ')) continue;
    out.smtp_code = code;
    if (own.present()) out.enhanced = own;
  }
}

Phase phase_of_command(std::string_view command) {
  if (command == "RCPT TO") return Phase::rcpt;
  if (command == "MAIL FROM") return Phase::mail;
  if (command == "end of DATA") return Phase::eod;
  if (command == "DATA") return Phase::data;
  if (starts(command, "sending message body") || starts(command, "sending end of data")) {
    return Phase::eod;
  }
  if (command == "EHLO" || command == "HELO" || command == "LHLO" || command == "STARTTLS" ||
      starts(command, "AUTH")) {
    return Phase::helo;
  }
  return Phase::none;
}

/// "... while <doing>" of a lost or timed-out session.
Phase phase_of_activity(std::string_view doing) {
  if (starts(doing, "receiving the initial server greeting")) return Phase::connect;
  if (starts(doing, "performing the") || starts(doing, "negotiating") ||
      starts(doing, "receiving the STARTTLS")) {
    return Phase::helo;
  }
  if (starts(doing, "sending MAIL FROM")) return Phase::mail;
  if (starts(doing, "sending RCPT TO")) return Phase::rcpt;
  if (starts(doing, "sending DATA")) return Phase::data;
  if (starts(doing, "sending message body") || starts(doing, "sending end of data")) {
    return Phase::eod;
  }
  return Phase::none;
}

bool is_session_phase(Phase phase) {
  return phase == Phase::connect || phase == Phase::helo;
}

template <std::size_t N>
bool cut_end(std::string_view& text, const char (&end)[N]) {
  if (text.size() < N - 1 || !equal_bytes(text.data() + text.size() - (N - 1), end, N - 1)) {
    return false;
  }
  text.remove_suffix(N - 1);
  return true;
}

/// Cuts " (in reply to X command)" off the end. Only the last one is Postfix's own, and only when
/// nothing was cut behind it.
std::string_view cut_command(std::string_view text, Phase& phase) {
  if (text.empty() || text.back() != ')') return text;
  // Nearly all are one of these, in which no other one begins.
  if (cut_end(text, " (in reply to RCPT TO command)")) {
    phase = Phase::rcpt;
    return text;
  }
  if (cut_end(text, " (in reply to end of DATA command)")) {
    phase = Phase::eod;
    return text;
  }
  if (cut_end(text, " (in reply to MAIL FROM command)")) {
    phase = Phase::mail;
    return text;
  }
  constexpr std::string_view kBegin = " (in reply to ";
  constexpr std::string_view kEnd = " command)";
  if (text.size() < kBegin.size() + kEnd.size() || text.substr(text.size() - kEnd.size()) != kEnd) {
    return text;
  }
  const auto at = text.rfind(kBegin);
  if (at == std::string_view::npos) return text;
  const auto from = at + kBegin.size();
  const auto to = text.size() - kEnd.size();
  if (from > to) return text;
  phase = phase_of_command(text.substr(from, to - from));
  return text.substr(0, at);
}

void read_host_reason(std::string_view reason, EnhancedCode dsn, Reason& out) {
  const char* const end = reason.data() + reason.size();
  const char* const name = reason.data() + 5;  // behind "host "
  const char* const space = find_byte(name, end, ' ');
  out.server = between(name, space);
  if (starts(space, end, " said: ")) {
    const std::string_view text = cut_command(between(space + 7, end), out.phase);
    read_reply(text, dsn, out);
    out.diagnostic = text;
    out.session = is_session_phase(out.phase);
  } else if (starts(space, end, " refused to talk to me: ")) {
    read_reply(between(space + 24, end), dsn, out);
    out.phase = Phase::connect;
    out.session = true;
  }
}

/// "lost connection with H while DOING", "conversation with H timed out while DOING".
void read_broken_session(std::string_view reason, std::size_t prefix, Reason& out) {
  const char* const end = reason.data() + reason.size();
  const char* const name = reason.data() + prefix;
  const char* p = find_byte(name, end, ' ');
  out.server = between(name, p);
  if (starts(p, end, " timed out")) p += 10;
  if (!starts(p, end, " while ")) return;
  out.phase = phase_of_activity(between(p + 7, end));
  out.session = is_session_phase(out.phase);
}

bool is_session_text(std::string_view reason) {
  return starts(reason, "Host or domain name not found") || starts(reason, "Cannot start TLS") ||
         starts(reason, "TLS is required") || starts(reason, "Server certificate not") ||
         starts(reason, "all network protocols are disabled") ||
         starts(reason, "unable to look up host") || starts(reason, "SASL authentication failed");
}

}  // namespace

bool read_enhanced(const char*& p, const char* end, EnhancedCode& out) {
  const char* q = p;
  if (end - q < 5 || (*q != '2' && *q != '4' && *q != '5') || q[1] != '.') return false;
  if (end - q > 5 && q[3] == '.' && is_digit(q[2]) && is_digit(q[4]) && !is_digit(q[5])) {
    out = {static_cast<std::uint16_t>(q[2] - '0'), static_cast<std::uint16_t>(q[4] - '0'),
           static_cast<std::uint8_t>(*q - '0')};
    p = q + 5;
    return true;
  }
  const auto klass = static_cast<std::uint8_t>(*q - '0');
  q += 2;
  const char* part = q;
  const std::uint32_t subject = read_number(q, end);
  if (q == part || q - part > 3 || q >= end || *q != '.') return false;
  part = ++q;
  const std::uint32_t detail = read_number(q, end);
  if (q == part || q - part > 3) return false;
  out = {static_cast<std::uint16_t>(subject), static_cast<std::uint16_t>(detail), klass};
  p = q;
  return true;
}

Reason read_reason(std::string_view reason, EnhancedCode dsn) {
  Reason out;
  if (starts(reason, "delivery temporarily suspended: ")) {
    reason.remove_prefix(32);
    out.not_attempted = true;
    out.session = true;  // the queue manager suspends a destination for session failures only
  } else if (reason == "deferred transport") {
    out.not_attempted = true;
  }
  out.diagnostic = reason;
  const bool suspended = out.session;
  if (reason.empty()) return out;
  if (starts(reason, "host ")) {
    read_host_reason(reason, dsn, out);
  } else if (starts(reason, "lost connection with ")) {
    read_broken_session(reason, 21, out);
  } else if (starts(reason, "conversation with ")) {
    read_broken_session(reason, 18, out);
  } else if (starts(reason, "connect to ")) {
    const char* const name = reason.data() + 11;
    const char* const end = reason.data() + reason.size();
    const char* const space = find_byte(name, end, ' ');
    out.server = between(name, space > name && space[-1] == ':' ? space - 1 : space);
    out.phase = Phase::connect;
    out.session = true;
  } else if (is_session_text(reason)) {
    out.session = true;
    if (reason[0] != 'H' && reason[0] != 'a' && reason[0] != 'u') out.phase = Phase::helo;
  } else {
    cut_command(reason, out.phase);
    read_reply(reason, dsn, out);
  }
  out.session = out.session || suspended;
  return out;
}

bool has_suppression_marker(std::string_view text, EnhancedCode enhanced) {
  constexpr std::string_view kMarker = "bounced-suppressed:";
  const auto at = text.find(kMarker);
  if (at == std::string_view::npos) return false;
  const EnhancedCode policy{7, 1, 5};
  if (!(enhanced == policy) && text.substr(0, at).find("5.7.1 ") == std::string_view::npos) {
    return false;
  }
  const std::string_view rest = text.substr(at + kMarker.size());
  const auto colon = rest.find(':');
  return colon != std::string_view::npos && colon > 0 && colon + 1 < rest.size() &&
         is_digit(rest[colon + 1]) &&
         rest.substr(0, colon).find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789._-") ==
             std::string_view::npos;
}

}  // namespace bounced::parse
