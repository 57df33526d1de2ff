#include "parse/providers/texts.h"

#include <array>
#include <charconv>

#include "base/text.h"
#include "base/time.h"
#include "bounced/limits.h"

namespace bounced::parse::providers {
namespace {

constexpr std::int64_t kEarliestUs = days_from_civil(1990, 1, 1) * kDayUs;
constexpr std::int64_t kLatestUs = days_from_civil(2200, 1, 1) * kDayUs;

bool digit(char c) {
  return c >= '0' && c <= '9';
}
bool letter(char c) {
  return ascii_lower(c) >= 'a' && ascii_lower(c) <= 'z';
}

/// Takes text from the front, step by step.
struct Cursor {
  std::string_view rest;
  bool failed = false;

  char peek() const { return rest.empty() ? '\0' : rest.front(); }
  bool take(char c) {
    if (peek() != c || rest.empty()) return false;
    rest.remove_prefix(1);
    return true;
  }
  void blanks() {
    while (peek() == ' ') rest.remove_prefix(1);
  }
  /// A number of `least` to `most` digits.
  unsigned number(std::size_t least, std::size_t most) {
    std::size_t size = 0;
    unsigned value = 0;
    while (size < most && size < rest.size() && digit(rest[size])) {
      value = value * 10 + static_cast<unsigned>(rest[size++] - '0');
    }
    failed |= size < least;
    rest.remove_prefix(size);
    return value;
  }
  std::string_view word() {
    std::size_t size = 0;
    while (size < rest.size() && letter(rest[size])) ++size;
    const std::string_view found = rest.substr(0, size);
    rest.remove_prefix(size);
    return found;
  }
};

/// ".123456789" -> microseconds.
unsigned read_fraction(Cursor& at) {
  if (at.peek() != '.' && at.peek() != ',') return 0;
  at.rest.remove_prefix(1);
  unsigned micros = 0, scale = 100'000;
  at.failed |= !digit(at.peek());
  while (digit(at.peek())) {
    micros += scale * static_cast<unsigned>(at.peek() - '0');
    scale /= 10;
    at.rest.remove_prefix(1);
  }
  return micros;
}

/// Seconds east of UTC; nothing and names are UTC (RFC 5322 4.3 reads unknown names as -0000).
std::int64_t read_zone(Cursor& at) {
  at.blanks();
  if (at.peek() != '+' && at.peek() != '-') return 0;
  const int sign = at.peek() == '-' ? -1 : 1;
  at.rest.remove_prefix(1);
  const unsigned hours = at.number(2, 2);
  at.take(':');
  const unsigned minutes = digit(at.peek()) ? at.number(2, 2) : 0;
  at.failed |= hours > 23 || minutes > 59;
  return sign * static_cast<std::int64_t>(hours * 3600 + minutes * 60);
}

void read_clock(Cursor& at, Civil& civil) {
  civil.hour = at.number(1, 2);
  at.failed |= !at.take(':');
  civil.minute = at.number(2, 2);
  if (at.take(':')) civil.second = at.number(2, 2);
  civil.micros = read_fraction(at);
  at.failed |= civil.hour > 23 || civil.minute > 59 || civil.second > 60;
}

unsigned days_in(std::int64_t year, unsigned month) {
  constexpr std::array<unsigned, 12> kDays = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
  const bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
  return month == 2 && leap ? 29 : kDays[month - 1];
}

/// 0 when the civil time does not exist.
std::int64_t finish(const Cursor& at, const Civil& civil, std::int64_t zone_s) {
  if (at.failed || civil.month < 1 || civil.month > 12 || civil.day < 1 ||
      civil.day > days_in(civil.year, civil.month)) {
    return 0;
  }
  return us_from_civil(civil) - zone_s * kSecondUs;
}

/// "2026-11-21T20:22:31.123Z", "2026-11-21 20:22:31", "2026-11-21".
std::int64_t read_iso(Cursor at) {
  Civil civil;
  civil.year = at.number(4, 4);
  const bool slashes = at.peek() == '/';
  at.failed |= !at.take(slashes ? '/' : '-');
  civil.month = at.number(1, 2);
  at.failed |= !at.take(slashes ? '/' : '-');
  civil.day = at.number(1, 2);
  if (!at.take('T') && !at.take('t')) at.blanks();
  if (at.rest.empty()) return finish(at, civil, 0);
  read_clock(at, civil);
  const std::int64_t zone_s = read_zone(at);
  return finish(at, civil, zone_s);
}

/// "Wed, 27 Jan 2016 14:05:45 +0000", the name of the day optional.
std::int64_t read_mail_date(Cursor at) {
  constexpr std::array<std::string_view, 12> kMonths = {"jan", "feb", "mar", "apr", "may", "jun",
                                                        "jul", "aug", "sep", "oct", "nov", "dec"};
  Civil civil;
  if (letter(at.peek())) {
    at.word();
    at.take(',');
    at.blanks();
  }
  civil.day = at.number(1, 2);
  at.blanks();
  const std::string month = ascii_lower(at.word().substr(0, 3));
  at.blanks();
  civil.year = at.number(4, 4);
  at.blanks();
  read_clock(at, civil);
  const std::int64_t zone_s = read_zone(at);
  for (unsigned i = 0; i < kMonths.size(); ++i) {
    if (kMonths[i] == month) {
      civil.month = i + 1;
      return finish(at, civil, zone_s);
    }
  }
  return 0;
}

/// "11/21/2026 8:22:31 PM".
std::int64_t read_us_date(Cursor at) {
  Civil civil;
  civil.month = at.number(1, 2);
  at.failed |= !at.take('/');
  civil.day = at.number(1, 2);
  at.failed |= !at.take('/');
  civil.year = at.number(4, 4);
  at.blanks();
  read_clock(at, civil);
  at.blanks();
  const std::string half = ascii_lower(at.word());
  if (half == "pm" && civil.hour < 12) civil.hour += 12;
  if (half == "am" && civil.hour == 12) civil.hour = 0;
  return finish(at, civil, 0);
}

/// Seconds with fraction, or a whole number whose size tells its unit.
std::int64_t read_unix(std::string_view text) {
  const auto point = text.find('.');
  const std::string_view whole = text.substr(0, point);
  if (whole.empty() || whole.size() > 19) return 0;
  std::int64_t value = 0;
  const char* const end = whole.data() + whole.size();
  if (std::from_chars(whole.data(), end, value).ptr != end) return 0;
  if (whole.size() >= 18) return value / 1000;
  if (whole.size() >= 15) return value;
  if (whole.size() >= 12) return value * 1000;
  std::int64_t time_us = value * kSecondUs;
  if (point != std::string_view::npos) {
    Cursor at{text.substr(point)};
    time_us += read_fraction(at);
    if (at.failed) return value * kSecondUs;
  }
  return time_us;
}

std::int64_t read_any_time(std::string_view text) {
  if (text.empty()) return 0;
  const std::size_t digits = text.find_first_not_of("0123456789");
  if (digits == std::string_view::npos) return read_unix(text);
  if (digits == 0) return letter(text.front()) ? read_mail_date({text}) : 0;
  switch (text[digits]) {
    case '.':
      return read_unix(text);
    case '-':
      return digits == 4 ? read_iso({text}) : 0;
    case '/':
      return digits == 4 ? read_iso({text}) : read_us_date({text});
    default:
      return text[digits] == ' ' ? read_mail_date({text}) : 0;
  }
}

}  // namespace

std::int64_t read_time(std::string_view text) {
  const std::int64_t time_us = read_any_time(trim(text));
  return time_us >= kEarliestUs && time_us < kLatestUs ? time_us : 0;
}

std::uint64_t read_number(std::string_view text, std::uint64_t otherwise) {
  text = trim(text);
  std::uint64_t value = 0;
  const char* const end = text.data() + text.size();
  const auto read = std::from_chars(text.data(), end, value);
  return read.ec == std::errc() && read.ptr == end && !text.empty() ? value : otherwise;
}

bool read_bool(std::string_view text) {
  return iequals(text, "true") || text == "1" || iequals(text, "yes");
}

EnhancedCode read_enhanced(std::string_view text) {
  text = trim(text);
  EnhancedCode code;
  if (text.size() < 5 || (text[0] != '2' && text[0] != '4' && text[0] != '5')) return code;
  Cursor at{text.substr(1)};
  if (!at.take('.')) return code;
  const unsigned subject = at.number(1, 3);
  if (!at.take('.')) return code;
  const unsigned detail = at.number(1, 3);
  if (at.failed || digit(at.peek()) || at.peek() == '.') return code;
  code.klass = static_cast<std::uint8_t>(text[0] - '0');
  code.subject = static_cast<std::uint16_t>(subject);
  code.detail = static_cast<std::uint16_t>(detail);
  return code;
}

Codes read_codes(std::string_view text) {
  Codes codes;
  text = trim(text);
  if (text.empty()) return codes;
  const bool wrapped = !digit(text.front());
  for (const std::string_view lead : {"smtp;", "x-postfix;", "x-unix;", "lmtp;", "sent ("}) {
    if (!wrapped) break;
    text = trim(text);
    if (iequals(text.substr(0, lead.size()), lead)) text.remove_prefix(lead.size());
  }
  text = trim(text);
  if (text.size() >= 3 && text[0] >= '2' && text[0] <= '5' && digit(text[1]) && digit(text[2]) &&
      (text.size() == 3 || text[3] == ' ' || text[3] == '-' || text[3] == ':' || text[3] == ')')) {
    codes.smtp = static_cast<std::uint16_t>(read_number(text.substr(0, 3)));
    text.remove_prefix(std::min<std::size_t>(4, text.size()));
    text = trim(text);
    if (!text.empty() && text.front() == '#') text.remove_prefix(1);
  }
  codes.enhanced = read_enhanced(text.substr(0, text.find(' ')));
  return codes;
}

std::string_view bare_address(std::string_view text) {
  text = trim(text);
  if (text.empty() || text.back() != '>') return text;
  const auto open = text.rfind('<');
  return open == std::string_view::npos ? text : text.substr(open + 1, text.size() - open - 2);
}

namespace {

int hex_value(char c) {
  if (digit(c)) return c - '0';
  const char low = ascii_lower(c);
  return low >= 'a' && low <= 'f' ? low - 'a' + 10 : -1;
}

int base64_value(char c) {
  if (c >= 'A' && c <= 'Z') return c - 'A';
  if (c >= 'a' && c <= 'z') return c - 'a' + 26;
  if (digit(c)) return c - '0' + 52;
  if (c == '+' || c == '-') return 62;
  return c == '/' || c == '_' ? 63 : -1;
}

}  // namespace

std::string url_decode(std::string_view text, bool plus_is_blank) {
  std::string out;
  out.reserve(text.size() + limits::kBlockPadding);
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (c == '+' && plus_is_blank) {
      out += ' ';
    } else if (c == '%' && i + 2 < text.size() && hex_value(text[i + 1]) >= 0 &&
               hex_value(text[i + 2]) >= 0) {
      out += static_cast<char>(hex_value(text[i + 1]) * 16 + hex_value(text[i + 2]));
      i += 2;
    } else {
      out += c;
    }
  }
  return out;
}

std::vector<FormField> read_form(std::string_view text) {
  std::vector<FormField> fields;
  while (!text.empty() && fields.size() < kFormFieldsMax) {
    const auto end = text.find('&');
    const std::string_view pair = text.substr(0, end);
    text = end == std::string_view::npos ? std::string_view{} : text.substr(end + 1);
    if (pair.empty()) continue;
    const auto equal = pair.find('=');
    const std::string_view value =
        equal == std::string_view::npos ? std::string_view{} : pair.substr(equal + 1);
    fields.push_back({url_decode(pair.substr(0, equal)), url_decode(value)});
  }
  return fields;
}

namespace {

/// `name="x"` or `name=x` among a header's parameters.
std::string_view parameter(std::string_view header, std::string_view name) {
  while (!header.empty()) {
    const auto semicolon = header.find(';');
    const std::string_view one = trim(header.substr(0, semicolon));
    header =
        semicolon == std::string_view::npos ? std::string_view{} : header.substr(semicolon + 1);
    const auto equal = one.find('=');
    if (equal == std::string_view::npos || !iequals(trim(one.substr(0, equal)), name)) continue;
    std::string_view value = trim(one.substr(equal + 1));
    if (value.size() >= 2 && value.front() == '"' && value.back() == '"') {
      value = value.substr(1, value.size() - 2);
    }
    return value;
  }
  return {};
}

/// One part: header lines, an empty one, the value.
void add_part(std::string_view part, std::vector<FormField>& fields) {
  constexpr std::string_view kDisposition = "content-disposition:";
  std::string_view disposition;
  while (!part.empty()) {
    const auto newline = part.find('\n');
    if (newline == std::string_view::npos) return;
    const std::string_view line = trim(part.substr(0, newline));
    part.remove_prefix(newline + 1);
    if (line.empty()) break;
    if (iequals(line.substr(0, kDisposition.size()), kDisposition)) {
      disposition = line.substr(kDisposition.size());
    }
  }
  const std::string_view name = parameter(disposition, "name");
  if (name.empty() || !parameter(disposition, "filename").empty()) return;
  fields.push_back({std::string(name), std::string(part)});
}

}  // namespace

std::vector<FormField> read_multipart(std::string_view content_type, std::string_view body) {
  constexpr std::string_view kType = "multipart/form-data";
  constexpr std::size_t kBoundaryBytesMax = 70;  // RFC 2046 section 5.1.1
  std::vector<FormField> fields;
  if (!iequals(trim(content_type).substr(0, kType.size()), kType)) return fields;
  const std::string_view boundary = parameter(content_type, "boundary");
  if (boundary.empty() || boundary.size() > kBoundaryBytesMax) return fields;
  const std::string mark = "--" + std::string(boundary);
  auto at = body.find(mark);
  while (at != std::string_view::npos && fields.size() < kFormFieldsMax) {
    body.remove_prefix(at + mark.size());
    if (body.substr(0, 2) == "--") break;
    at = body.find("\n" + mark);
    if (at == std::string_view::npos) break;  // cut: its last part may be, too
    std::string_view part = body.substr(0, at);
    if (!part.empty() && part.back() == '\r') part.remove_suffix(1);
    const auto line = part.find('\n');
    if (line != std::string_view::npos) add_part(part.substr(line + 1), fields);
    ++at;
  }
  return fields;
}

std::string_view form_value(const std::vector<FormField>& fields, std::string_view name) {
  for (const FormField& field : fields) {
    if (field.name == name) return field.value;
  }
  return {};
}

bool from_base64(std::string_view text, std::string& out) {
  out.clear();
  while (!text.empty() && text.back() == '=') text.remove_suffix(1);
  if (text.size() % 4 == 1) return false;
  std::uint32_t bits = 0;
  int held = 0;
  for (const char c : text) {
    const int value = base64_value(c);
    if (value < 0) return false;
    bits = bits << 6 | static_cast<std::uint32_t>(value);
    held += 6;
    if (held >= 8) {
      held -= 8;
      out += static_cast<char>(bits >> held & 0xFF);
    }
  }
  return true;
}

bool from_hex(std::string_view text, std::string& out) {
  out.clear();
  if (text.size() % 2 != 0) return false;
  for (std::size_t i = 0; i < text.size(); i += 2) {
    const int high = hex_value(text[i]), low = hex_value(text[i + 1]);
    if (high < 0 || low < 0) return false;
    out += static_cast<char>(high * 16 + low);
  }
  return true;
}

std::string to_base64(std::string_view bytes) {
  constexpr std::string_view kAlphabet =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string out;
  for (std::size_t i = 0; i < bytes.size(); i += 3) {
    std::uint32_t bits = 0;
    for (std::size_t k = 0; k < 3; ++k) {
      bits = bits << 8 | (i + k < bytes.size() ? static_cast<unsigned char>(bytes[i + k]) : 0u);
    }
    for (std::size_t k = 0; k < 4; ++k) {
      out += i + k <= bytes.size() ? kAlphabet[bits >> (18 - 6 * k) & 63] : '=';
    }
  }
  return out;
}

std::string to_hex(std::string_view bytes) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::string out;
  for (const char c : bytes) {
    out += kDigits[static_cast<unsigned char>(c) >> 4];
    out += kDigits[static_cast<unsigned char>(c) & 15];
  }
  return out;
}

}  // namespace bounced::parse::providers
