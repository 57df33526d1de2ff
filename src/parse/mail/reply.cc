#include "parse/mail/reply.h"

#include "base/text.h"
#include "parse/mail/fields.h"
#include "parse/postfix_reason.h"

namespace bounced::parse::mail {
namespace {

constexpr std::size_t kNone = std::string_view::npos;

bool is_alnum(char c) {
  return (c >= '0' && c <= '9') || (ascii_lower(c) >= 'a' && ascii_lower(c) <= 'z');
}

/// A 4xx or 5xx code at `at` that nothing longer surrounds: "550 ", "550-", "550\n", "550:".
std::uint16_t failing_code(std::string_view text, std::size_t at) {
  if (at + 3 > text.size() || (text[at] != '4' && text[at] != '5')) return 0;
  if (!is_digit(text[at + 1]) || !is_digit(text[at + 2]) || text[at + 1] > '5') return 0;
  const char behind = at + 3 < text.size() ? text[at + 3] : '\n';
  if (std::string_view(" -\r\n\t:,;'\"#<(.").find(behind) == kNone) return 0;
  if (behind == '.' && at + 4 < text.size() && is_digit(text[at + 4])) return 0;
  return static_cast<std::uint16_t>((text[at] - '0') * 100 + (text[at + 1] - '0') * 10 +
                                    (text[at + 2] - '0'));
}

/// "5.1.1" at `at`, of class 4 or 5.
bool enhanced_at(std::string_view text, std::size_t at, EnhancedCode& out) {
  if (at + 5 > text.size() || (text[at] != '4' && text[at] != '5') || text[at + 1] != '.') {
    return false;
  }
  if (at > 0 && (is_alnum(text[at - 1]) || text[at - 1] == '.')) return false;
  const char* p = text.data() + at;
  const char* const end = text.data() + text.size();
  EnhancedCode code;
  if (!read_enhanced(p, end, code)) return false;
  if (p < end && (is_digit(*p) || (*p == '.' && p + 1 < end && is_digit(p[1])))) return false;
  out = code;
  return true;
}

/// Whether what stands before `at` may precede a reply: the start of a line, a quote, a bracket, or
/// a lead.
bool begins_reply(std::string_view text, std::size_t at) {
  std::size_t i = at;
  while (i > 0 && (text[i - 1] == ' ' || text[i - 1] == '\t')) --i;
  if (i == 0) return true;
  const char before = text[i - 1];
  if (std::string_view("\n\r'\"(#<>:;[|*").find(before) != kNone) return true;
  // A full-width colon, quotes of other languages.
  if ((static_cast<unsigned char>(before) & 0x80) != 0) return true;
  for (const std::string_view lead :
       {"said", "returned", "error", "server", "smtp", "code", "status", "with", "reply"}) {
    if (i >= lead.size() && iequals(text.substr(i - lead.size(), lead.size()), lead)) return true;
  }
  return false;
}

struct Place {
  std::size_t at = kNone;
  std::uint16_t code = 0;
};

/// The first place where a reply begins; one with an enhanced code behind it wins.
Place find_reply(std::string_view text) {
  Place first;
  for (std::size_t i = 0; i + 3 <= text.size(); ++i) {
    if (text[i] != '4' && text[i] != '5') continue;
    if (i > 0 &&
        (is_alnum(text[i - 1]) || text[i - 1] == '.' || text[i - 1] == '-' || text[i - 1] == '/')) {
      continue;
    }
    const std::uint16_t code = failing_code(text, i);
    if (code == 0) continue;
    EnhancedCode enhanced;
    const bool sure = enhanced_at(text, i + 4, enhanced);
    if (!sure && !begins_reply(text, i)) continue;
    if (first.at == kNone) first = {i, code};
    if (sure) return {i, code};
  }
  return first;
}

EnhancedCode find_enhanced(std::string_view text) {
  EnhancedCode code;
  for (std::size_t i = 0; i + 5 <= text.size(); ++i) {
    if (enhanced_at(text, i, code)) return code;
  }
  return {};
}

/// "host mx.example.com [192.0.2.1]", "by mx.example.com.", "mx.example.com (192.0.2.1) said".
void read_host(std::string_view words, Reply& out) {
  const std::string lower = ascii_lower(words);
  for (const std::string_view lead :
       {"host ", "talking to ", "domain ", "server ", "by ", "from ", "reporting-mta: dns; "}) {
    for (std::size_t at = lower.find(lead); at != kNone; at = lower.find(lead, at + 1)) {
      if (at > 0 && is_alnum(lower[at - 1])) continue;
      const std::size_t begin = at + lead.size();
      std::size_t end = begin;
      while (end < words.size() &&
             (is_alnum(words[end]) || words[end] == '.' || words[end] == '-')) {
        ++end;
      }
      std::string_view host = words.substr(begin, end - begin);
      while (!host.empty() && (host.back() == '.' || host.back() == '-')) host.remove_suffix(1);
      if (host.find('.') == kNone || (end < words.size() && words[end] == '@')) continue;
      out.host = std::string(host);
      const std::size_t open = words.find_first_not_of(". \t\r\n", begin + host.size());
      if (open == kNone || (words[open] != '[' && words[open] != '(')) return;
      const std::size_t close = words.find_first_of("])", open);
      if (close == kNone || close - open > 48) return;
      const std::string_view ip = words.substr(open + 1, close - open - 1);
      if (ip.find_first_not_of("0123456789abcdefABCDEF:.") == kNone) out.ip = std::string(ip);
      return;
    }
  }
}

/// Where a reply that begins a quoted or bracketed text ends.
std::size_t reply_end(std::string_view words, std::size_t at) {
  const char before = at > 0 ? words[at - 1] : '\n';
  if (before == '\'' || before == '"') {
    const std::size_t close = words.rfind(before);
    if (close != kNone && close > at + 3) return close;
  }
  if (before == '(' || (before == ' ' && words.substr(0, at).rfind("(reason:") != kNone)) {
    const std::size_t close = words.rfind(')');
    if (close != kNone && close > at + 3) return close;
  }
  const std::size_t suffix = words.find("(in reply to", at);
  return suffix == kNone ? words.size() : suffix;
}

/// Several lines of one reply, each with its code ("550-5.1.1 a\n550 5.1.1 b"), or a transcript's
/// "<<< 550 ..." lines: the marks go.
std::string join_lines(std::string_view reply) {
  std::string out;
  while (!reply.empty()) {
    const std::size_t newline = reply.find('\n');
    std::string_view line = trim(reply.substr(0, newline));
    if (line.substr(0, 3) == "<<<") line = trim(line.substr(3));
    if (line.substr(0, 3) == ">>>") line = {};
    if (!out.empty() && line.substr(0, 13) == "Giving up on ") break;  // qmail-remote's own words
    if (!line.empty()) {
      if (!out.empty()) out += ' ';
      out += line;
    }
    if (newline == kNone || out.size() > kReplyBytesMax) break;
    reply.remove_prefix(newline + 1);
  }
  std::string joined = collapse(out).substr(0, kReplyBytesMax);
  if (joined.size() > 2 && joined.front() == '(' && joined.find(')') == joined.size() - 1) {
    joined = joined.substr(1, joined.size() - 2);
  }
  return joined;
}

}  // namespace

bool has_reply(std::string_view line) {
  return find_reply(line).at != kNone;
}

Phase phase_of(std::string_view words) {
  const std::string lower = ascii_lower(words);
  const auto has = [&](std::string_view text) { return lower.find(text) != std::string::npos; };
  if (has("end of data") || has("end of message") || has("after data") || has("after eod")) {
    return Phase::eod;
  }
  if (has("in reply to data") || has("reply to data command") || has(">>> data"))
    return Phase::data;
  if (has("rcpt to")) return Phase::rcpt;
  if (has("mail from") && (has("reply to mail from") || has("after mail from") ||
                           has("pipelined mail from") || has(">>> mail from"))) {
    return Phase::mail;
  }
  if (has("reply to helo") || has("reply to ehlo") || has("after ehlo") || has("after helo")) {
    return Phase::helo;
  }
  if (has("initial connection") || has("connection refused") || has("connection timed out") ||
      has("connect to ")) {
    return Phase::connect;
  }
  return Phase::none;
}

Reply read_reply(std::string_view words) {
  Reply out;
  words = words.substr(0, 8 * kReplyBytesMax);
  const Place place = find_reply(words);
  out.phase = phase_of(words);
  if (place.at == kNone) {
    out.diagnostic = join_lines(words);
    out.enhanced = find_enhanced(out.diagnostic);
    read_host(words, out);
    return out;
  }
  const std::size_t end = reply_end(words, place.at);
  out.diagnostic = join_lines(words.substr(place.at, end - place.at));
  out.smtp_code = place.code;
  read_host(words.substr(0, place.at), out);
  EnhancedCode enhanced;
  if (enhanced_at(out.diagnostic, 4, enhanced)) {
    out.enhanced = enhanced;
  } else {
    out.enhanced = find_enhanced(out.diagnostic.substr(0, 80));
  }
  return out;
}

}  // namespace bounced::parse::mail
