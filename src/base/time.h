// Time stamps: civil time to UTC, years that the log does not tell, and RFC 3339 text.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "bounced/event.h"
#include "bounced/result.h"

namespace bounced {

inline constexpr std::int64_t kSecondUs = 1'000'000;
inline constexpr std::int64_t kHourUs = 3600 * kSecondUs;
inline constexpr std::int64_t kDayUs = 86'400 * kSecondUs;

/// Days since 1970-01-01 of a proleptic Gregorian date (month 1..12, day 1..31).
constexpr std::int64_t days_from_civil(std::int64_t year, unsigned month, unsigned day) {
  year -= month <= 2;
  const std::int64_t era = (year >= 0 ? year : year - 399) / 400;
  const auto yoe = static_cast<unsigned>(year - era * 400);
  const unsigned doy = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1;
  const unsigned doe = yoe * 365 + yoe / 4 - yoe / 100 + doy;
  return era * 146097 + static_cast<std::int64_t>(doe) - 719468;
}

struct Civil {
  std::int64_t year = 1970;
  unsigned month = 1, day = 1, hour = 0, minute = 0, second = 0, micros = 0;
};
Civil civil_from_us(std::int64_t time_us);
std::int64_t us_from_civil(const Civil& civil);

/// "2026-11-21T20:22:31.123456Z"; fraction left out when zero.
std::string format_time(std::int64_t time_us);
/// The same into `out` (at least 32 bytes); returns the length.
std::size_t format_time(std::int64_t time_us, char* out);
/// RFC 3339 with any fraction and offset, a date alone, or Unix seconds; for options and files.
Result<std::int64_t> parse_time(std::string_view text);
/// "90s", "15m", "24h", "7d", "2w" -> microseconds; for options and policy files.
Result<std::int64_t> parse_duration(std::string_view text);

/// Turns the times of one source into UTC, in source order. Deterministic: reads no clock.
/// Not thread safe.
class TimeResolver {
 public:
  /// What a Position keeps so that a restart goes on with the same years.
  struct State {
    std::int64_t anchor_us = 0;  ///< mtime (replay) or clock (tail) when the file was first seen
    std::int64_t last_us = 0;    ///< newest UTC time resolved so far; 0 = none yet
    std::int32_t year = 0;       ///< year in force; 0 = not yet known
  };
  /// `zone`: IANA name; empty = UTC. Error when tzdata does not know it.
  static Result<TimeResolver> make(std::string_view zone, State state, int first_year = 0);
  TimeResolver();
  ~TimeResolver();
  TimeResolver(TimeResolver&&) noexcept;
  TimeResolver& operator=(TimeResolver&&) noexcept;

  /// utc: returned as is. local: the zone's offset at that civil time (a repeated hour takes the
  /// reading nearest after `last`, a skipped one the offset before). yearless: the year in force,
  /// the next one when time would go back by more than six months; the first line takes the latest
  /// year that puts it <= anchor + 1 day. A stamp more than six months ahead is a straggler of the
  /// year before when that is a month ago at most, or when this year's lies behind the anchor.
  std::int64_t resolve(std::int64_t time, TimeForm form) {
    if (form == TimeForm::utc) {
      if (time > state_.last_us) state_.last_us = time;
      return time;
    }
    if (time < cached_from_ || time >= cached_until_ || form != cached_form_) {
      return resolve_civil(time, form);
    }
    const std::int64_t us = time + cached_add_;
    if (us > state_.last_us) state_.last_us = us;
    return us;
  }
  /// What resolve() would add to each time from `oldest` to `newest` as things are, when that is
  /// the same for all and needs no second look.
  [[nodiscard]] std::optional<std::int64_t> added(std::int64_t oldest, std::int64_t newest,
                                                  TimeForm form) const {
    if (form == TimeForm::utc) return 0;
    if (oldest < cached_from_ || newest >= cached_until_ || form != cached_form_) return {};
    return cached_add_;
  }
  [[nodiscard]] const State& state() const { return state_; }

 private:
  std::int64_t resolve_civil(std::int64_t time, TimeForm form);
  std::int64_t give_year(std::int64_t time, bool& straggler);
  [[nodiscard]] std::int32_t year_of_first(std::int64_t time) const;
  State state_;
  int first_year_ = 0;
  // One-hour cache: civil hour -> what to add.
  std::int64_t cached_from_ = INT64_MAX, cached_until_ = INT64_MIN;
  std::int64_t cached_add_ = 0;
  TimeForm cached_form_ = TimeForm::utc;
  struct Zone;
  std::unique_ptr<Zone> zone_;
};

}  // namespace bounced
