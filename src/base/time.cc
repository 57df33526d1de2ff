#include "base/time.h"

#include <absl/time/civil_time.h>
#include <absl/time/time.h>

#include <charconv>
#include <cstdio>

namespace bounced {
namespace {

constexpr std::int64_t floor_div(std::int64_t a, std::int64_t b) {
  return a / b - ((a % b != 0) && ((a < 0) != (b < 0)) ? 1 : 0);
}

char* two(char* p, unsigned v) {
  *p++ = static_cast<char>('0' + v / 10);
  *p++ = static_cast<char>('0' + v % 10);
  return p;
}

bool digits(std::string_view text, std::size_t at, std::size_t count, unsigned& out) {
  if (at + count > text.size()) return false;
  out = 0;
  for (std::size_t i = at; i < at + count; ++i) {
    if (text[i] < '0' || text[i] > '9') return false;
    out = out * 10 + static_cast<unsigned>(text[i] - '0');
  }
  return true;
}

// Civil microseconds of `yearless` (leap year 2000) moved to `year`; Feb 29 of a common year
// becomes Mar 1.
std::int64_t move_to_year(std::int64_t yearless, std::int64_t year) {
  Civil civil = civil_from_us(yearless);
  const std::int64_t tod = yearless - floor_div(yearless, kDayUs) * kDayUs;
  return days_from_civil(year, civil.month, civil.day) * kDayUs + tod;
}

/// Whether that year has the day: only Feb 29 is ever missing.
bool has_day(std::int64_t yearless, std::int64_t year) {
  return civil_from_us(move_to_year(yearless, year)).month == civil_from_us(yearless).month;
}

}  // namespace

Civil civil_from_us(std::int64_t time_us) {
  const std::int64_t days = floor_div(time_us, kDayUs);
  std::int64_t rest = time_us - days * kDayUs;
  const std::int64_t z = days + 719468;
  const std::int64_t era = floor_div(z, 146097);
  const auto doe = static_cast<unsigned>(z - era * 146097);
  const unsigned yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
  const unsigned doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
  const unsigned mp = (5 * doy + 2) / 153;
  Civil civil;
  civil.day = doy - (153 * mp + 2) / 5 + 1;
  civil.month = mp < 10 ? mp + 3 : mp - 9;
  civil.year = static_cast<std::int64_t>(yoe) + era * 400 + (civil.month <= 2 ? 1 : 0);
  civil.micros = static_cast<unsigned>(rest % kSecondUs);
  rest /= kSecondUs;
  civil.second = static_cast<unsigned>(rest % 60);
  civil.minute = static_cast<unsigned>(rest / 60 % 60);
  civil.hour = static_cast<unsigned>(rest / 3600);
  return civil;
}

std::int64_t us_from_civil(const Civil& c) {
  return ((days_from_civil(c.year, c.month, c.day) * 24 + c.hour) * 60 + c.minute) * 60 *
             kSecondUs +
         c.second * kSecondUs + c.micros;
}

std::size_t format_time(std::int64_t time_us, char* out) {
  const Civil c = civil_from_us(time_us);
  char* p = out;
  if (c.year < 0 || c.year > 9999) {
    return static_cast<std::size_t>(
        std::snprintf(out, 32, "%s", c.year < 0 ? "0000-01-01T00:00:00Z" : "9999-12-31T23:59:59Z"));
  }
  p = two(p, static_cast<unsigned>(c.year / 100));
  p = two(p, static_cast<unsigned>(c.year % 100));
  *p++ = '-';
  p = two(p, c.month);
  *p++ = '-';
  p = two(p, c.day);
  *p++ = 'T';
  p = two(p, c.hour);
  *p++ = ':';
  p = two(p, c.minute);
  *p++ = ':';
  p = two(p, c.second);
  if (c.micros != 0) {
    *p++ = '.';
    p = two(p, c.micros / 10000);
    p = two(p, c.micros / 100 % 100);
    p = two(p, c.micros % 100);
  }
  *p++ = 'Z';
  return static_cast<std::size_t>(p - out);
}

std::string format_time(std::int64_t time_us) {
  char buffer[32];
  return std::string(buffer, format_time(time_us, buffer));
}

Result<std::int64_t> parse_time(std::string_view text) {
  const auto bad = [&] {
    return fail(ErrorCode::usage, "time", std::string(text), "not a time",
                "give RFC 3339 (2026-11-21T20:22:31Z), a date, or Unix seconds");
  };
  unsigned year = 0;
  Civil c;
  const bool date = digits(text, 0, 4, year) && text.size() >= 10 && text[4] == '-' &&
                    digits(text, 5, 2, c.month) && text[7] == '-' && digits(text, 8, 2, c.day);
  if (!date) {
    std::int64_t seconds = 0;
    const auto [end, ec] = std::from_chars(text.data(), text.data() + text.size(), seconds);
    constexpr std::int64_t kSecondsMax = 253'402'300'799;  // 9999-12-31T23:59:59Z
    if (ec != std::errc() || end != text.data() + text.size() || text.empty()) return bad();
    if (seconds < -kSecondsMax || seconds > kSecondsMax) return bad();
    return seconds * kSecondUs;
  }
  c.year = year;
  if (c.month < 1 || c.month > 12 || c.day < 1 || c.day > 31) return bad();
  if (civil_from_us(us_from_civil(c)).day != c.day) return bad();  // no such day in that month
  if (text.size() == 10) return us_from_civil(c);
  if ((text[10] != 'T' && text[10] != ' ' && text[10] != 't') || !digits(text, 11, 2, c.hour) ||
      text.size() < 16 || text[13] != ':' || !digits(text, 14, 2, c.minute)) {
    return bad();
  }
  std::size_t i = 16;
  if (i < text.size() && text[i] == ':') {
    if (!digits(text, i + 1, 2, c.second)) return bad();
    i += 3;
    if (i < text.size() && (text[i] == '.' || text[i] == ',')) {
      unsigned scale = 100'000;
      for (++i; i < text.size() && text[i] >= '0' && text[i] <= '9'; ++i) {
        c.micros += static_cast<unsigned>(text[i] - '0') * scale;
        scale /= 10;
      }
    }
  }
  if (c.hour > 24 || c.minute > 59 || c.second > 60) return bad();
  std::int64_t us = us_from_civil(c);
  if (i == text.size() || ((text[i] == 'Z' || text[i] == 'z') && i + 1 == text.size())) return us;
  unsigned hours = 0, minutes = 0;
  if ((text[i] != '+' && text[i] != '-') || !digits(text, i + 1, 2, hours)) return bad();
  std::size_t j = i + 3;
  if (j < text.size() && text[j] == ':') ++j;
  if (j < text.size() && (!digits(text, j, 2, minutes) || j + 2 != text.size())) return bad();
  if (hours > 23 || minutes > 59) return bad();
  const std::int64_t offset = (hours * 60 + minutes) * 60 * kSecondUs;
  us += text[i] == '+' ? -offset : offset;
  return us;
}

Result<std::int64_t> parse_duration(std::string_view text) {
  const auto scale_of = [](std::string_view unit) -> std::int64_t {
    if (unit == "ms") return 1000;
    if (unit == "s") return kSecondUs;
    if (unit == "m") return 60 * kSecondUs;
    if (unit == "h") return kHourUs;
    if (unit == "d") return kDayUs;
    if (unit == "w") return 7 * kDayUs;
    return 0;
  };
  std::int64_t number = 0;
  const auto [end, ec] = std::from_chars(text.data(), text.data() + text.size(), number);
  const std::string_view unit = text.substr(static_cast<std::size_t>(end - text.data()));
  const std::int64_t scale = scale_of(unit);
  if (ec != std::errc() || number < 0 || number > 1'000'000 || scale == 0) {
    return fail(ErrorCode::usage, "duration", std::string(text), "not a duration",
                "give a number with ms, s, m, h, d or w, e.g. 24h");
  }
  return number * scale;
}

struct TimeResolver::Zone {
  absl::TimeZone zone = absl::UTCTimeZone();
  bool utc = true;
};

TimeResolver::TimeResolver() : zone_(std::make_unique<Zone>()) {}
TimeResolver::~TimeResolver() = default;
TimeResolver::TimeResolver(TimeResolver&&) noexcept = default;
TimeResolver& TimeResolver::operator=(TimeResolver&&) noexcept = default;

Result<TimeResolver> TimeResolver::make(std::string_view zone, State state, int first_year) {
  TimeResolver resolver;
  resolver.state_ = state;
  resolver.first_year_ = first_year;
  if (!zone.empty() && zone != "UTC" && zone != "utc") {
    if (!absl::LoadTimeZone(absl::string_view(zone.data(), zone.size()), &resolver.zone_->zone)) {
      return fail(ErrorCode::usage, "time zone", std::string(zone), "unknown",
                  "give an IANA name such as Europe/Berlin (package tzdata)");
    }
    resolver.zone_->utc = false;
  }
  return resolver;
}

/// The latest year that has this day and puts it at most a day behind the anchor.
std::int32_t TimeResolver::year_of_first(std::int64_t time) const {
  const std::int64_t limit = state_.anchor_us + kDayUs;
  std::int64_t year = civil_from_us(limit).year;
  while (year > 1970 && (move_to_year(time, year) > limit || !has_day(time, year))) --year;
  return static_cast<std::int32_t>(year);
}

/// Moves the year in force on when its turn has come.
std::int64_t TimeResolver::give_year(std::int64_t time, bool& straggler) {
  constexpr std::int64_t kHalfYearUs = 182 * kDayUs, kMonthUs = 30 * kDayUs;
  if (state_.year == 0) state_.year = first_year_ != 0 ? first_year_ : year_of_first(time);
  const std::int64_t civil_us = move_to_year(time, state_.year);
  if (state_.last_us == 0) return civil_us;
  if (civil_us < state_.last_us - kHalfYearUs) return move_to_year(time, ++state_.year);
  if (civil_us <= state_.last_us + kHalfYearUs) return civil_us;
  // A straggler of the old year, after the year had turned, or a log that was silent for long?
  const std::int64_t older = move_to_year(time, state_.year - 1);
  const bool future = civil_us > state_.anchor_us + kDayUs;
  straggler = older > state_.last_us - (future ? kHalfYearUs : kMonthUs);
  return straggler ? older : civil_us;
}

std::int64_t TimeResolver::resolve_civil(std::int64_t time, TimeForm form) {
  std::int64_t civil_us = time;
  bool straggler = false;
  if (form == TimeForm::yearless) civil_us = give_year(time, straggler);
  std::int64_t us = civil_us;
  bool cacheable = !straggler;
  if (!zone_->utc) {
    const std::int64_t seconds = floor_div(civil_us, kSecondUs);
    const Civil c = civil_from_us(civil_us);
    const absl::CivilSecond cs(c.year, static_cast<int>(c.month), static_cast<int>(c.day),
                               static_cast<int>(c.hour), static_cast<int>(c.minute),
                               static_cast<int>(c.second));
    const auto info = zone_->zone.At(cs);
    const std::int64_t micros = civil_us - seconds * kSecondUs;
    const std::int64_t pre = absl::ToUnixMicros(info.pre) + micros;
    const std::int64_t post = absl::ToUnixMicros(info.post) + micros;
    us = pre;
    if (info.kind == absl::TimeZone::TimeInfo::REPEATED) {
      // The first reading unless time has already gone past it.
      us = pre >= state_.last_us - kSecondUs * 60 ? pre : post;
      cacheable = false;
    } else if (info.kind == absl::TimeZone::TimeInfo::SKIPPED) {
      cacheable = false;
    }
  }
  // A zone's change always falls on a whole quarter of an hour of civil time; near one, no cache.
  if (cacheable && !zone_->utc) {
    const auto transition_near = [&] {
      absl::TimeZone::CivilTransition transition;
      const absl::Time t = absl::FromUnixMicros(us);
      if (zone_->zone.NextTransition(t, &transition) &&
          absl::ToUnixMicros(zone_->zone.At(transition.from).pre) - us < 2 * kHourUs) {
        return true;
      }
      return zone_->zone.PrevTransition(t, &transition) &&
             us - absl::ToUnixMicros(zone_->zone.At(transition.to).pre) < 2 * kHourUs;
    };
    cacheable = !transition_near();
  }
  if (cacheable) {
    cached_from_ = floor_div(time, kHourUs) * kHourUs;
    cached_until_ = cached_from_ + kHourUs;
    cached_form_ = form;
    cached_add_ = us - time;
  }
  if (us > state_.last_us) state_.last_us = us;
  return us;
}

}  // namespace bounced
