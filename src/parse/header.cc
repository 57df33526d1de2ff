#include "parse/header.h"

#include "base/time.h"
#include "parse/header_json.h"
#include "parse/scan.h"

namespace bounced::parse {
namespace {

constexpr unsigned char kDaysOfMonth[] = {0, 31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};

/// "Jan".."Dec" -> 1..12, else 0.
int month_number(const char* p) {
  const auto key = static_cast<std::uint32_t>(static_cast<unsigned char>(p[0])) << 16 |
                   static_cast<std::uint32_t>(static_cast<unsigned char>(p[1])) << 8 |
                   static_cast<unsigned char>(p[2]);
  const auto name = [](char a, char b, char c) {
    return static_cast<std::uint32_t>(a) << 16 | static_cast<std::uint32_t>(b) << 8 |
           static_cast<std::uint32_t>(c);
  };
  if (key == name('J', 'a', 'n')) return 1;
  if (key == name('F', 'e', 'b')) return 2;
  if (key == name('M', 'a', 'r')) return 3;
  if (key == name('A', 'p', 'r')) return 4;
  if (key == name('M', 'a', 'y')) return 5;
  if (key == name('J', 'u', 'n')) return 6;
  if (key == name('J', 'u', 'l')) return 7;
  if (key == name('A', 'u', 'g')) return 8;
  if (key == name('S', 'e', 'p')) return 9;
  if (key == name('O', 'c', 't')) return 10;
  if (key == name('N', 'o', 'v')) return 11;
  if (key == name('D', 'e', 'c')) return 12;
  return 0;
}

/// A leap second (:60) is told as :59, so that it stays within its year.
int leap(int second) {
  return second == 60 ? 59 : second;
}

/// Microseconds of ".123456" (any number of digits) at p; p moves behind it.
std::int64_t read_fraction(const char*& p, const char* end) {
  if (p >= end || (*p != '.' && *p != ',') || end - p < 2 || !is_digit(p[1])) return 0;
  ++p;
  std::int64_t micros = 0;
  int digits = 0;
  for (; p < end && is_digit(*p); ++p) {
    if (digits < 6) micros = micros * 10 + (*p - '0');
    ++digits;
  }
  for (; digits < 6; ++digits) micros *= 10;
  return micros;
}

/// "<22>" at p: skips it. False when it is not a priority.
bool skip_priority(const char*& p, const char* end) {
  const char* q = p + 1;
  while (q < end && q - p <= 3 && is_digit(*q)) ++q;
  if (q == p + 1 || q >= end || *q != '>') return false;
  p = q + 1;
  return true;
}

void skip_blanks(const char*& p, const char* end) {
  while (p < end && *p == ' ') ++p;
}

constexpr char kBom[] = "\xEF\xBB\xBF";

/// "tag[pid]: text"; false when there is no tag.
BOUNCED_HOT bool read_tag(const char* p, const char* end, Header& out) {
  const char* q = find_either(p, end, '[', ' ');
  out.pid = {};
  if (q < end && *q == '[') {
    out.tag = between(p, q);
    const char* const close = find_byte(q, end, ']');
    if (close == end) return false;
    out.pid = between(q + 1, close);
    q = close + 1;
    if (q < end && *q == ':') ++q;
  } else {
    if (q == p || q[-1] != ':') return false;  // "last message repeated", "-- MARK --"
    out.tag = between(p, q - 1);
  }
  if (out.tag.empty()) return false;
  skip_blanks(q, end);
  if (starts(q, end, "[ID ")) {  // Solaris: "[ID 197553 mail.info] "
    const char* const close = find_byte(q, end, ']');
    if (close < end) q = close + 1;
    skip_blanks(q, end);
  }
  out.text = between(q, end);
  return true;
}

}  // namespace

HeaderReader::HeaderReader() = default;
HeaderReader::~HeaderReader() = default;

BOUNCED_HOT bool HeaderReader::read_host_and_tag(const char* p, const char* end, Header& out) {
  const char* const space = find_byte(p, end, ' ');
  if (space == p) return false;
  if (space == end || space[-1] == ':') {  // no host: "tag[pid]: text"
    out.host = {};
    return read_tag(p, end, out);
  }
  out.host = between(p, space);
  p = space + 1;
  skip_blanks(p, end);
  return read_tag(p, end, out);
}

BOUNCED_HOT bool HeaderReader::read_bsd_time(const char*& p, const char* end, Header& out) {
  if (end - p < 16) return false;
  const char* const stamp = p;
  if (load64(p) == load64(bsd_bytes_) && load64(p + 7) == load64(bsd_bytes_ + 7)) {
    out.time_us = bsd_us_;
  } else {
    const int month = month_number(p);
    const int day = p[4] == ' ' && is_digit(p[5]) ? p[5] - '0' : two_digits(p + 4);
    const int hour = two_digits(p + 7);
    const int minute = two_digits(p + 10);
    const int second = leap(two_digits(p + 13));
    if (month == 0 || p[3] != ' ' || p[6] != ' ' || p[9] != ':' || p[12] != ':') return false;
    if (day < 1 || day > kDaysOfMonth[month] || hour < 0 || hour > 23 || minute < 0 ||
        minute > 59 || second < 0 || second > 59) {
      return false;
    }
    const std::int64_t days =
        days_from_civil(2000, static_cast<unsigned>(month), static_cast<unsigned>(day));
    out.time_us = days * kDayUs + ((hour * 60 + minute) * 60 + second) * kSecondUs;
    std::memcpy(bsd_bytes_, p, 15);
    bsd_us_ = out.time_us;
  }
  p += 15;
  if (*p == '.') out.time_us += read_fraction(p, end);
  out.time_form = TimeForm::yearless;
  out.stamp = between(stamp, p);
  return p < end && *p == ' ';
}

BOUNCED_HOT bool HeaderReader::read_bsd(const char* p, const char* end, Header& out) {
  if (!read_bsd_time(p, end, out)) return false;
  ++p;
  if (p < end && *p == '<') {  // FreeBSD's syslogd -v -v: "<mail.info>"
    p = find_byte(p, end, ' ');
    skip_blanks(p, end);
  }
  return read_host_and_tag(p, end, out);
}

BOUNCED_HOT bool HeaderReader::read_iso_time(const char*& p, const char* end, Header& out) {
  if (end - p < 20) return false;
  const char* const stamp = p;
  std::int64_t minute_us = 0;
  if (load64(p) == load64(iso_bytes_) && load64(p + 8) == load64(iso_bytes_ + 8)) {
    minute_us = iso_us_;
  } else {
    const int century = two_digits(p);
    const int year = two_digits(p + 2);
    const int month = two_digits(p + 5);
    const int day = two_digits(p + 8);
    const int hour = two_digits(p + 11);
    const int minute = two_digits(p + 14);
    if (century < 0 || year < 0 || p[4] != '-' || month < 1 || month > 12 || p[7] != '-' ||
        day < 1 || day > kDaysOfMonth[month] || (p[10] != 'T' && p[10] != ' ') || hour < 0 ||
        hour > 23 || p[13] != ':' || minute < 0 || minute > 59) {
      return false;
    }
    const std::int64_t days = days_from_civil(century * 100 + year, static_cast<unsigned>(month),
                                              static_cast<unsigned>(day));
    minute_us = days * kDayUs + (hour * 60 + minute) * 60 * kSecondUs;
    std::memcpy(iso_bytes_, p, 16);
    iso_us_ = minute_us;
  }
  const int second = leap(two_digits(p + 17));
  if (p[16] != ':' || second < 0 || second > 59) return false;
  p += 19;
  out.time_us = minute_us + second * kSecondUs + read_fraction(p, end);
  out.time_form = TimeForm::utc;
  if (p < end && *p == 'Z') {
    ++p;
  } else if (p < end && (*p == '+' || *p == '-')) {
    const bool colon = end - p >= 6 && p[3] == ':';
    if (end - p < (colon ? 6 : 5)) return false;
    const int hours = two_digits(p + 1);
    const int minutes = two_digits(p + (colon ? 4 : 3));
    if (hours < 0 || minutes < 0) return false;
    const std::int64_t offset = (hours * 60 + minutes) * 60 * kSecondUs;
    const std::int64_t east_us = *p == '+' ? offset : -offset;
    out.time_us -= east_us;
    if (colon && end - p > 6) {
      std::memcpy(zone_bytes_, p, 7);
      zone_us_ = east_us;
    }
    p += colon ? 6 : 5;
  } else {
    out.time_form = TimeForm::local;
  }
  out.stamp = between(stamp, p);
  return p < end && *p == ' ';
}

BOUNCED_HOT bool HeaderReader::read_iso(const char* p, const char* end, Header& out) {
  if (!read_iso_time(p, end, out)) return false;
  return read_host_and_tag(p + 1, end, out);
}

namespace {

/// The next blank-separated word; "-" (RFC 5424 nil) as empty.
bool next_word(const char*& p, const char* end, std::string_view& word) {
  const char* const space = find_byte(p, end, ' ');
  if (space == p) return false;
  word = between(p, space);
  if (word == "-") word = {};
  p = space < end ? space + 1 : end;
  return true;
}

/// RFC 5424 section 6.3: "-" or [id name="value"...]..., where ']' '"' '\' are escaped in values.
bool skip_structured_data(const char*& p, const char* end) {
  if (p < end && *p == '-') {
    ++p;
    return true;
  }
  if (p >= end || *p != '[') return false;
  bool quoted = false;
  for (; p < end; ++p) {
    if (quoted) {
      if (*p == '\\')
        ++p;
      else if (*p == '"')
        quoted = false;
      if (p >= end) return false;
    } else if (*p == '"') {
      quoted = true;
    } else if (*p == ']' && (p + 1 == end || p[1] != '[')) {
      ++p;
      return true;
    }
  }
  return false;
}

}  // namespace

bool HeaderReader::read_rfc5424(const char* p, const char* end, Header& out) {
  if (!read_iso_time(p, end, out)) return false;
  ++p;
  std::string_view message_id;
  if (!next_word(p, end, out.host) || !next_word(p, end, out.tag) || !next_word(p, end, out.pid) ||
      !next_word(p, end, message_id)) {
    return false;
  }
  if (!skip_structured_data(p, end)) return false;
  skip_blanks(p, end);
  if (starts(p, end, kBom)) p += 3;
  skip_blanks(p, end);
  out.full_tag = false;
  out.text = between(p, end);
  return !out.tag.empty();
}

struct HeaderReader::Json : JsonLine {
  char stamp[64];
};

bool HeaderReader::read_json(std::string_view line, std::size_t padding, Header& out) {
  if (json_ == nullptr) json_ = std::make_unique<Json>();
  if (!json_->read(line, padding)) return false;
  out.unescaped = true;
  out.host = json_->host;
  out.stamp = json_->time;
  out.pid = json_->pid;
  if (json_->time_us != 0) {
    out.time_us = json_->time_us;
    out.time_form = TimeForm::utc;
  } else {
    // The readers expect the blank that ends a stamp in a header.
    char* const stamp = json_->stamp;
    if (json_->time.size() < 15 || json_->time.size() + 2 > sizeof json_->stamp) return false;
    std::memset(stamp, ' ', sizeof json_->stamp);
    std::memcpy(stamp, json_->time.data(), json_->time.size());
    const char* p = stamp;
    const char* const end = stamp + sizeof json_->stamp;
    if (!(is_digit(stamp[0]) ? read_iso_time(p, end, out) : read_bsd_time(p, end, out))) {
      return false;
    }
    out.stamp = json_->time;
  }
  if (!json_->tag.empty()) {
    const std::string_view message = json_->message;
    if (!read_tag(json_->tag.data(), json_->tag.data() + json_->tag.size(), out)) {
      out.tag = json_->tag;  // no colon: the bare tag
    }
    out.text = message;
  } else {
    out.tag = json_->program;
    out.full_tag = json_->identifier;
    out.text = json_->message;
  }
  const char* p = out.text.data();
  const char* const end = p + out.text.size();
  skip_blanks(p, end);
  out.text = between(p, end);
  return !out.tag.empty();
}

bool HeaderReader::read(std::string_view line, std::size_t padding, Header& out) {
  const char* p = line.data();
  const char* const end = p + line.size();
  if (starts(p, end, kBom)) p += 3;
  if (p >= end) return false;
  out.unescaped = false;
  out.full_tag = true;
  if (*p == '<') {
    if (!skip_priority(p, end)) return false;
    if (end - p > 2 && p[0] == '1' && p[1] == ' ') return read_rfc5424(p + 2, end, out);
    if (p >= end) return false;
  }
  if (is_digit(*p)) return read_iso(p, end, out);
  if (*p == '{') return read_json(between(p, end), padding, out);
  return read_bsd(p, end, out);
}

}  // namespace bounced::parse
