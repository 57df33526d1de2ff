#include "parse/exim_line.h"

#include <algorithm>

#include "base/text.h"
#include "base/time.h"
#include "parse/exim.h"
#include "parse/exim_id.h"

namespace bounced::parse {
namespace {

/// No address, and no list of parents, is longer: a bound for what is looked at more than once.
constexpr std::ptrdiff_t kAddressesBytesMax = 1024;

/// Behind the '>' of `<...>` at p, in which a quoted string may hold one; nullptr: it does not end.
const char* skip_angles(const char* p, const char* end) {
  if (end - p > kAddressesBytesMax) end = p + kAddressesBytesMax;
  bool quoted = false;
  for (++p; p < end; ++p) {
    if (*p == '\\' && quoted) {
      ++p;
    } else if (*p == '"') {
      quoted = !quoted;
    } else if (*p == '>' && !quoted) {
      return p + 1;
    }
  }
  return nullptr;
}

/// Behind the closing quote of the string that begins behind p[-1]; `end` when there is none.
const char* skip_quoted(const char* p, const char* end) {
  for (;;) {
    p = find_either(p, end, '"', '\\');
    if (p == end) return end;
    if (*p == '"') return p + 1;
    p = end - p > 1 ? p + 2 : end;
  }
}

/// Where a word ends; behind it either a blank follows, or ": " (a colon at the end, too).
const char* word_end(const char* p, const char* end) {
  const char* const space = find_byte(p, end, ' ');
  return space > p && space[-1] == ':' ? space - 1 : space;
}

}  // namespace

// --- header ---------------------------------------------------------------------------------

/// "2026-11-21 20:57:24" into the reader.
bool EximStampReader::read_second(const char* p) {
  const int century = two_digits(p), year = two_digits(p + 2);
  const int month = two_digits(p + 5), day = two_digits(p + 8);
  const int hour = two_digits(p + 11), minute = two_digits(p + 14);
  const int second = two_digits(p + 17);
  if (century < 0 || year < 0 || p[4] != '-' || month < 1 || month > 12 || p[7] != '-' || day < 1 ||
      day > 31 || p[10] != ' ' || hour < 0 || hour > 23 || p[13] != ':' || minute < 0 ||
      minute > 59 || p[16] != ':' || second < 0 || second > 60) {
    return false;
  }
  const std::int64_t days = days_from_civil(century * 100 + year, static_cast<unsigned>(month),
                                            static_cast<unsigned>(day));
  // A leap second is told as :59, so that it stays within its year.
  const int told = second == 60 ? 59 : second;
  second_us_ = days * kDayUs + ((hour * 60 + minute) * 60 + told) * kSecondUs;
  std::memcpy(bytes_, p, 19);
  return true;
}

bool EximStampReader::read(const char*& p, const char* end, EximStamp& out) {
  if (end - p <= kBytes || !is_digit(*p)) return false;
  if (!is_known(p) && !read_second(p)) return false;
  const char* q = p + kBytes;
  out.time_us = second_us_;
  out.time_form = TimeForm::local;
  if (*q == '.' && end - q > 1 && is_digit(q[1])) {
    std::int64_t unit_us = kSecondUs / 10;
    for (++q; q < end && is_digit(*q); ++q, unit_us /= 10) out.time_us += (*q - '0') * unit_us;
  }
  if (end - q > 6 && *q == ' ' && (q[1] == '+' || q[1] == '-') && q[6] == ' ') {
    const int hours = two_digits(q + 2), minutes = two_digits(q + 4);
    if (hours < 0 || minutes < 0) return false;
    const std::int64_t east_us = (hours * 60 + minutes) * 60 * kSecondUs;
    out.time_us -= q[1] == '+' ? east_us : -east_us;
    out.time_form = TimeForm::utc;
    q += 6;
  }
  if (q >= end || *q != ' ') return false;
  out.text = between(p, q);
  out.pid = {};
  ++q;
  if (q < end && *q == '[') {
    const char* const close = find_byte(q, end, ']');
    if (end - close > 1 && close[1] == ' ' && close - q < 12) {
      out.pid = between(q + 1, close);
      q = close + 2;
    }
  }
  p = q;
  return true;
}

std::size_t exim_id_size(const char* p, const char* end) {
  constexpr auto kOld = static_cast<std::ptrdiff_t>(kOldIdBytes);
  constexpr auto kNew = static_cast<std::ptrdiff_t>(kNewIdBytes);
  const auto ends_at = [&](std::ptrdiff_t size) {
    return end - p == size || (end - p > size && p[size] == ' ');
  };
  if (end - p < kOld || p[6] != '-') return 0;
  if (p[13] == '-' && ends_at(kOld)) return is_old_id(p) ? kOldIdBytes : 0;
  if (end - p >= kNew && p[18] == '-' && ends_at(kNew)) return is_new_id(p) ? kNewIdBytes : 0;
  return 0;
}

bool read_exim_piece(const char*& p, const char* end, EximPiece& out) {
  if (end - p < 6 || *p != '[' || !is_digit(p[1])) return false;
  const char* q = p + 1;
  out.number = read_number(q, end);
  if (q >= end || (*q != '/' && *q != '\\')) return false;
  out.newline = *q == '\\';
  const char* const digits = ++q;
  out.count = read_number(q, end);
  if (q == digits || q >= end || *q != ']' || out.number == 0 || out.number > out.count) {
    return false;
  }
  ++q;
  if (q < end && *q == ' ') ++q;
  p = q;
  return true;
}

EximFlag exim_flag(const char* p, const char* end) {
  if (end - p < 3 || p[2] != ' ') return EximFlag::none;
  const auto two = [](char a, char b) { return a << 8 | b; };
  switch (two(p[0], p[1])) {
    case two('=', '>'):
    case two('-', '>'):
    case two('>', '>'):
      return EximFlag::delivered;
    case two('<', '='):
    case two('(', '='):
      return EximFlag::received;
    case two('*', '*'):
      return EximFlag::failed;
    case two('=', '='):
      return EximFlag::deferred;
    case two('*', '>'):
      return EximFlag::suppressed;
    default:
      return EximFlag::none;
  }
}

// --- `<=` -----------------------------------------------------------------------------------

namespace {

/// `A=plain_login:user[:sender]`: the part behind the method is what the server was told.
std::string_view authenticated_user(std::string_view value) {
  const auto colon = value.find(':');
  if (colon == std::string_view::npos) return {};
  value.remove_prefix(colon + 1);
  return value.substr(0, value.find(':'));
}

}  // namespace

bool read_exim_received(std::string_view text, EximReceived& out) {
  const char* p = text.data();
  const char* const end = p + text.size();
  if (p >= end || *p == ' ') return false;
  const char* stop = p;
  if (*p == '"') stop = skip_quoted(p + 1, end);
  stop = find_byte(stop, end, ' ');
  out.sender = between(p, stop);
  if (out.sender == "<>") out.sender = {};
  // From left to right: the subject (T=), which is a stranger's, comes last.
  for (p = stop; p < end;) {
    ++p;
    stop = find_byte(p, end, ' ');
    switch (p < end ? *p : ' ') {
      case 'i':
        if (!starts(p, end, "id=")) break;
        out.message_id = between(p + 3, stop);
        return true;
      case 'T':
        if (starts(p, end, "T=\"")) return true;
        break;
      case 'f':
        if (starts(p, end, "from <") || starts(p, end, "for ")) return true;
        break;
      case 'A':
        if (starts(p, end, "A=")) out.authenticated = authenticated_user(between(p + 2, stop));
        break;
      case 'R':
        if (starts(p, end, "R=") && exim_id_size(p + 2, end) != 0) {
          out.bounce_of = between(p + 2, stop);
        }
        break;
      case 'D':
        if (starts(p, end, "DN=\"")) stop = skip_quoted(p + 4, end);
        break;
      default:
        break;
    }
    p = stop;
  }
  return true;
}

// --- addresses ------------------------------------------------------------------------------

namespace {

/// Whether `<"local"@domain>` at `p` is the quoted form of `plain`; p moves behind it.
bool is_quoted_form(std::string_view plain, const char*& p, const char* end) {
  std::size_t at = 0;
  bool quoted = true;
  for (const char* q = p + 2; q < end; ++q) {
    if (quoted && *q == '"') {
      quoted = false;
      continue;
    }
    if (!quoted && *q == '>') {
      p = q + 1;
      return at == plain.size();
    }
    if (quoted && *q == '\\' && q + 1 < end) ++q;
    if (at == plain.size() || ascii_lower(plain[at]) != ascii_lower(*q)) return false;
    ++at;
  }
  return false;
}

/// `local part@domain <"local part"@domain>`: such a local part may hold anything, even what looks
/// like the rest of a line, and it is a subscriber's choice. The last quoted form that equals all
/// that is before it tells where the address ends.
const char* find_quoted_form(const char* begin, const char* end, EximDelivery& out) {
  const char* behind = nullptr;
  const char* const last = end - begin > kAddressesBytesMax ? begin + kAddressesBytesMax : end;
  for (const char* p = begin;; ++p) {
    p = find_byte(p, last, '<');
    if (last - p < 4) return behind;
    const char* close = p;
    if (p[1] != '"' || p - begin < 2 || p[-1] != ' ' ||
        !is_quoted_form(between(begin, p - 1), close, end)) {
      continue;
    }
    out.address = between(begin, p - 1);
    out.original = between(p + 1, close - 1);
    behind = close;
  }
}

/// Behind ` (parent, parent)` and ` <original>` at p, which may follow an address.
const char* read_parents(const char* p, const char* end, EximDelivery& out) {
  if (starts(p, end, " (")) {
    const char* const close = find_byte(p, end, ')');
    if (close < end) p = close + 1;
  }
  if (!starts(p, end, " <")) return p;
  const char* const close = skip_angles(p + 1, end);
  if (close == nullptr) return p;
  out.original = between(p + 2, close - 1);
  return close;
}

/// A pipe, file or `:blackhole:` may hold blanks and more; its `<recipient>` ends it.
const char* read_no_address(const char* begin, const char* end, EximDelivery& out) {
  const char* const stop = word_end(begin, end);
  const char* const last =
      end - begin > 2 * kAddressesBytesMax ? begin + 2 * kAddressesBytesMax : end;
  for (const char* p = begin; p < last; ++p) {
    p = find_byte(p, last, '<');
    if (last - p < 4 || p == begin || p[-1] != ' ') continue;
    const char* const close = skip_angles(p, end);
    if (close == nullptr) break;
    const bool ends = close == end || *close == ':' || *close == ' ';
    const std::string_view inside = between(p + 1, close - 1);
    const bool odd = inside.front() != '"' && inside.find_first_of("< ") != std::string_view::npos;
    if (!ends || odd || inside.find('@') == std::string_view::npos || inside.front() == '/') {
      continue;
    }
    out.original = inside;
    out.address = between(begin, p - 1);
    // A pipe's parents stand between.
    if (const auto at = out.address.find(" ("); at != std::string_view::npos && *begin != '|') {
      out.address = out.address.substr(0, at);
    }
    return close;
  }
  out.address = between(begin, stop);
  return stop;
}

/// Sets address and original; where the fields begin, or nullptr.
const char* read_addresses(const char* p, const char* end, EximDelivery& out) {
  if (p >= end || *p == ' ') return nullptr;
  if (*p == '|' || *p == '/' || *p == ':' || *p == '>' || starts(p, end, "save ")) {
    return read_no_address(p, end, out);
  }
  if (*p != '"') {
    const char* const behind = find_quoted_form(p, end, out);
    if (behind != nullptr) return behind;
  }
  const char* stop = p;
  if (*p == '"') stop = skip_quoted(p + 1, end);
  stop = word_end(stop, end);
  out.address = between(p, stop);
  return read_parents(stop, end, out);
}

}  // namespace

// --- fields ---------------------------------------------------------------------------------

namespace {

/// `H=` at p - 2: `name [ip][:port][*]`.
const char* read_host(const char* p, const char* end, EximDelivery& out) {
  const char* const open = find_byte(p, end, '[');
  if (open == end) return word_end(p, end);
  const char* const close = find_byte(open, end, ']');
  if (close == end) return end;
  out.host = between(p, open);
  while (!out.host.empty() && out.host.back() == ' ') out.host.remove_suffix(1);
  out.ip = between(open + 1, close);
  p = close + 1;
  if (end - p > 1 && *p == ':' && is_digit(p[1])) {
    ++p;
    const std::uint32_t port = read_number(p, end);
    if (port <= 65535) out.port = static_cast<std::uint16_t>(port);
  }
  if (p < end && *p == '*') ++p;
  return p;
}

/// A value that may be quoted or in <>; `p` moves behind it.
std::string_view read_value(const char*& p, const char* end) {
  const char* const begin = p;
  if (p < end && *p == '"') {
    p = skip_quoted(p + 1, end);
    return between(begin + 1, p > begin + 1 && p[-1] == '"' ? p - 1 : p);
  }
  if (p < end && *p == '<') {
    const char* const close = skip_angles(p, end);
    if (close != nullptr) {
      p = close;
      return between(begin + 1, close - 1);
    }
  }
  p = word_end(p, end);
  return between(begin, p);
}

/// `defer (N)` at p, and the system's words for N > 0, which are the message when no other comes.
const char* read_defer(const char* p, const char* end, EximDelivery& out) {
  p += 7;  // "defer ("
  const bool negative = p < end && *p == '-';
  if (negative) ++p;
  const std::uint32_t number = std::min(read_number(p, end), 1'000'000u);
  out.error_number =
      negative ? -static_cast<std::int32_t>(number) : static_cast<std::int32_t>(number);
  out.has_defer = true;
  if (p < end && *p == ')') ++p;
  if (negative || number == 0 || !starts(p, end, ": ")) return p;
  const char* const words = p + 2;
  for (p = words; p < end; ++p) {
    if (starts(p, end, ": ") || starts(p, end, " H=") || starts(p, end, " DT=")) break;
  }
  out.message = between(words, p);
  return p;
}

}  // namespace

const char* read_exim_field(const char* p, const char* end, EximDelivery& out) {
  if (end - p < 2) return end;
  if (p[1] == '=') {
    const char key = *p;
    p += 2;
    if (key == 'H') return read_host(p, end, out);
    const std::string_view value = read_value(p, end);
    if (key == 'T') out.transport = value;
    if (key == 'R') out.router = value;
    if (key == 'C') out.confirmation = value;
    if (key == 'F') {
      out.sender = value;
      out.has_sender = true;
    }
    if (key == 'I' && value.size() > 2 && value.front() == '[') {
      out.local_ip = value.substr(1, value.find(']') - 1);
    }
    return p;
  }
  if (starts(p, end, "QT=")) {
    p += 3;
    out.queue_time = read_value(p, end);
    return p;
  }
  if (starts(p, end, "DN=")) {
    p += 3;
    read_value(p, end);
    return p;
  }
  if (starts(p, end, "defer (") && !out.has_defer) return read_defer(p, end, out);
  return word_end(p, end);
}

std::string_view without_exim_time(std::string_view message) {
  if (message.empty() || message.back() != 's') return message;
  const auto at = message.rfind(" DT=");
  if (at == std::string_view::npos) return message;
  const std::string_view time = message.substr(at + 4);
  return time.find_first_not_of("0123456789.wdhms") == std::string_view::npos
             ? message.substr(0, at)
             : message;
}

bool read_exim_delivery(std::string_view text, EximDelivery& out) {
  const char* const end = text.data() + text.size();
  const char* p = read_addresses(text.data(), end, out);
  if (p == nullptr) return false;
  while (p < end) {
    if (*p == ' ') {
      ++p;
      continue;
    }
    if (*p == ':' && (end - p == 1 || p[1] == ' ')) {
      const std::string_view message = between(p + 1, end);
      out.message = without_exim_time(message.substr(std::min<std::size_t>(message.size(), 1)));
      break;
    }
    const char* const next = read_exim_field(p, end, out);
    p = next > p ? next : p + 1;
  }
  return true;
}

namespace {

/// The local part and domain of an address, without quotes and escapes; false when it has no '@'.
bool same_text(std::string_view quoted, std::string_view plain) {
  std::size_t at = 0;
  for (std::size_t i = 0; i < quoted.size(); ++i) {
    if (quoted[i] == '"') continue;
    if (quoted[i] == '\\' && i + 1 < quoted.size()) ++i;
    if (at == plain.size() || ascii_lower(quoted[i]) != ascii_lower(plain[at])) return false;
    ++at;
  }
  return at == plain.size();
}

bool is_alnum(char c) {
  return kIdChars[static_cast<unsigned char>(c)];
}

/// Whether `long_local` is `local` with what a router takes away: `+detail`, `-detail`, `real-`.
bool is_part_of(std::string_view local, std::string_view long_local) {
  if (local.empty() || long_local.size() <= local.size()) return false;
  const std::size_t more = long_local.size() - local.size();
  if (iequals(long_local.substr(0, local.size()), local))
    return !is_alnum(long_local[local.size()]);
  return iequals(long_local.substr(more), local) && !is_alnum(long_local[more - 1]);
}

}  // namespace

bool is_usual_recipient(const EximDelivery& found) {
  const std::string_view address = found.address;
  if (!found.original.empty() || address.size() - 3 > 60) return false;
  const Bytes<64> bytes(address.data());
  const std::uint64_t inside = (std::uint64_t{1} << address.size()) - 1;
  if (((bytes.is_capital_or_high() | bytes.is('"', '|', '/', '>')) & inside) != 0) return false;
  const std::uint64_t signs = bytes.is('@') & inside;
  const char last = address.back();
  return (signs & (signs - 1)) == 0 && signs > 1 && last != '.' && last != '@' &&
         address.front() != ':';
}

std::string_view exim_recipient(const EximDelivery& found) {
  const std::string_view address = found.address;
  const auto at = address.rfind('@');
  const char first = address.empty() ? '|' : address.front();
  const bool is_address = at != std::string_view::npos && at > 0 && first != '|' && first != '/' &&
                          first != ':' && first != '>';
  if (found.original.empty()) return is_address ? address : std::string_view{};
  if (!is_address || same_text(found.original, address)) return found.original;
  const auto original_at = found.original.rfind('@');
  if (original_at == std::string_view::npos) return address;
  // A local part that went to a host without SMTPUTF8 (RFC 6531): Exim has made an A-label of it.
  const auto high = [](char c) { return static_cast<unsigned char>(c) >= 0x80; };
  if (starts(address, "xn--") && std::any_of(found.original.begin(), found.original.end(), high)) {
    return found.original;
  }
  const bool same_domain = iequals(address.substr(at + 1), found.original.substr(original_at + 1));
  return same_domain && is_part_of(address.substr(0, at), found.original.substr(0, original_at))
             ? found.original
             : address;
}

// --- other lines ----------------------------------------------------------------------------

bool is_exim_attempt(std::string_view text, std::string_view& reason) {
  if (!starts(text, "H=")) return false;
  EximDelivery host;
  const char* const end = text.data() + text.size();
  const char* p = read_host(text.data() + 2, end, host);
  if (host.ip.empty()) return false;
  if (starts(p, end, " I=[")) p = word_end(p + 1, end);
  if (p < end && *p == ':') ++p;
  if (end - p < 2 || *p != ' ') return false;
  const std::string_view said = between(p + 1, end);
  if (!starts(said, "SMTP ") && !starts(said, "LMTP ") && !starts(said, "Remote host closed ") &&
      !starts(said, "Malformed ") && !starts(said, "Connection ") && !starts(said, "No route ") &&
      !starts(said, "Network is ") && !starts(said, "Permission denied") &&
      !starts(said, "TLS session: (") && !starts(said, "a TLS session is required")) {
    return false;
  }
  reason = said;
  return true;
}

std::uint32_t exim_duration_ms(std::string_view text) {
  std::uint64_t total = 0;
  const char* p = text.data();
  const char* const end = p + text.size();
  while (p < end && is_digit(*p)) {
    std::uint64_t ms = std::uint64_t{read_number(p, end)} * 1000;
    if (p < end && *p == '.') {
      std::uint64_t unit = 100;
      for (++p; p < end && is_digit(*p); ++p, unit /= 10) {
        ms += unit * static_cast<std::uint64_t>(*p - '0');
      }
    }
    if (p == end) break;
    switch (*p++) {
      case 'w':
        ms *= 7 * 86'400;
        break;
      case 'd':
        ms *= 86'400;
        break;
      case 'h':
        ms *= 3600;
        break;
      case 'm':
        ms *= 60;
        break;
      default:
        break;
    }
    total += ms;
  }
  return static_cast<std::uint32_t>(std::min<std::uint64_t>(total, UINT32_MAX));
}

}  // namespace bounced::parse
