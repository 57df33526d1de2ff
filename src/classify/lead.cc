#include "classify/lead.h"

#include <algorithm>
#include <cstring>
#include <string_view>

#include "classify/chars.h"

namespace bounced::classify {
namespace {

using std::string_view;

const char* skip_blanks(const char* p, const char* end) {
  while (p < end && *p == ' ') ++p;
  return p;
}

bool starts(const char* p, const char* end, string_view word) {
  return static_cast<std::size_t>(end - p) >= word.size() &&
         std::memcmp(p, word.data(), word.size()) == 0;
}

/// Matches the words of `pattern` (single blanks) over any runs of blanks; nullptr when they
/// differ.
const char* match_words(const char* p, const char* end, string_view pattern) {
  for (const char c : pattern) {
    if (c == ' ') {
      if (p >= end || *p != ' ') return nullptr;
      p = skip_blanks(p, end);
    } else {
      if (p >= end || *p != c) return nullptr;
      ++p;
    }
  }
  return p;
}

const char* word_end(const char* p, const char* end) {
  const void* blank = std::memchr(p, ' ', static_cast<std::size_t>(end - p));
  return blank == nullptr ? end : static_cast<const char*>(blank);
}

/// Postfix: `host H[ip] said: `, `host H[ip] refused to talk to me: `. Exim: `host H [ip]: `.
const char* skip_host(const char* p, const char* end, Phase& phase) {
  if (!starts(p, end, "host ")) return nullptr;
  p = skip_blanks(p + 4, end);
  const char* name_end = word_end(p, end);
  const string_view name(p, static_cast<std::size_t>(name_end - p));
  const char* next = skip_blanks(name_end, end);
  if (!name.empty() && name.back() == ']' && name.find('[') != string_view::npos) {
    if (const char* q = match_words(next, end, "said: ")) return q;
    if (const char* q = match_words(next, end, "refused to talk to me: ")) {
      phase = Phase::connect;
      return q;
    }
    return nullptr;
  }
  const char* ip_end = word_end(next, end);
  const string_view ip(next, static_cast<std::size_t>(ip_end - next));
  if (ip.size() > 3 && ip.front() == '[' && ip.substr(ip.size() - 2) == "]:") return ip_end;
  return nullptr;
}

Phase phase_of(string_view command) {
  const auto has = [&](string_view word) { return command.find(word) != string_view::npos; };
  if (has("end of data") || has("sending data block") || has("message body")) return Phase::eod;
  if (has("rcpt to")) return Phase::rcpt;
  if (has("mail from")) return Phase::mail;
  if (has("data command") || has("after data")) return Phase::data;
  if (has("helo") || has("ehlo") || has("lhlo")) return Phase::helo;
  if (has("initial")) return Phase::connect;
  return Phase::none;
}

/// Exim: `SMTP error from remote mail server after RCPT TO:<a@b>: `.
const char* skip_exim(const char* p, const char* end, Phase& phase) {
  if (!starts(p, end, "smtp error from remote mail")) return nullptr;
  const char* after = match_words(p, end, "smtp error from remote mail server after ");
  if (after == nullptr) after = match_words(p, end, "smtp error from remote mailer after ");
  if (after == nullptr) return nullptr;
  const string_view rest(after, static_cast<std::size_t>(end - after));
  // Not that of "2001:db8:: ", which an address would take along.
  auto colon = rest.find(": ");
  while (colon != string_view::npos && colon > 0 && rest[colon - 1] == ':') {
    colon = rest.find(": ", colon + 1);
  }
  if (colon == string_view::npos) return nullptr;
  // The command alone: its argument may hold any words (and Sketch takes it away).
  const auto command = std::min(colon, rest.find('<'));
  phase = phase_of(string_view(p, static_cast<std::size_t>(after - p) + command));
  return after + colon + 2;
}

/// Wrapping words that stand before a reply; nullptr when there are none.
const char* skip_wrapping(const char* p, const char* end, Phase& phase) {
  switch (*p) {
    case 's':
      if (starts(p, end, "smtp;")) return p + 5;
      return skip_exim(p, end, phase);
    case 'l':
      return starts(p, end, "lmtp;") ? p + 5 : nullptr;
    case 'x':
      if (starts(p, end, "x-unix;")) return p + 7;
      if (starts(p, end, "x-postfix;")) return p + 10;
      return nullptr;
    case 'd':
      return match_words(p, end, "delivery temporarily suspended: ");
    case 'h':
      return skip_host(p, end, phase);
    default:
      return nullptr;
  }
}

/// `550`, `550-`, `550:`; nullptr when p is no reply code.
const char* skip_code(const char* p, const char* end, std::uint16_t& code, bool& more) {
  if (end - p < 3 || !is_reply_code(p)) return nullptr;
  const char* next = p + 3;
  if (next < end && *next != ' ' && *next != '-' && *next != ':') return nullptr;
  code = reply_code(p);
  more = next < end && *next == '-';
  return next < end && *next != ' ' ? next + 1 : next;
}

/// `5.1.1`, `#5.1.0`, `(#5.1.1)`, `[5.1.1]`, `5.1.1:`.
const char* skip_enhanced(const char* p, const char* end, EnhancedCode& code) {
  while (p < end && (*p == '#' || *p == '(' || *p == '[')) ++p;
  const std::size_t n = p < end ? read_enhanced(p, end, code) : 0;
  if (n == 0) return nullptr;
  p += n;
  while (p < end && (*p == ')' || *p == ']' || *p == ':' || *p == ';' || *p == ',' || *p == '.'))
    ++p;
  return p == end || *p == ' ' ? p : nullptr;
}

}  // namespace

Lead read_lead(const char* begin, const char* end) {
  Lead lead;
  const char* p = begin;
  bool nested = false;
  for (;;) {
    p = skip_blanks(p, end);
    lead.rest = p;
    if (p == end) return lead;
    std::uint16_t code = 0;
    EnhancedCode enhanced;
    bool more = false;
    Phase phase = Phase::none;
    if (const char* q = skip_code(p, end, code, more)) {
      if (nested) {
        if (lead.nested_smtp == 0) lead.nested_smtp = code;
      } else {
        // The last line of a multi-line reply rules; of "554 554 5.7.0" the first code does.
        if (lead.smtp_code == 0 || lead.multi_line) lead.smtp_code = code;
        lead.multi_line = lead.multi_line || more;
      }
      p = q;
    } else if (const char* r = skip_enhanced(p, end, enhanced)) {
      EnhancedCode& known = nested ? lead.nested_enhanced : lead.enhanced;
      if (!known.present()) known = enhanced;
      p = r;
    } else if (const char* s = skip_wrapping(p, end, phase)) {
      nested = nested || lead.smtp_code != 0;
      if (!nested && lead.phase == Phase::none) lead.phase = phase;
      p = s;
    } else {
      return lead;
    }
  }
}

const char* find_reply_suffix(const char* begin, const char* end, Phase& phase) {
  constexpr string_view kMark = "(in reply to ";
  if (end - begin < static_cast<std::ptrdiff_t>(kMark.size()) || end[-1] != ')') return end;
  const string_view text(begin, static_cast<std::size_t>(end - begin));
  const auto at = text.rfind('(');
  if (at == string_view::npos || text.substr(at, kMark.size()) != kMark) return end;
  if (at > 0 && text[at - 1] != ' ') return end;  // glued to a word that was read as another
  phase = phase_of(text.substr(at));
  const char* p = begin + at;
  while (p > begin && p[-1] == ' ') --p;
  return p;
}

}  // namespace bounced::classify
