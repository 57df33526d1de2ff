#include "base/time.h"

#include <gtest/gtest.h>

namespace bounced {
namespace {

std::int64_t at(std::string_view text) {
  return *parse_time(text);
}

// Civil time in the leap year 2000, as parse leaves a stamp without year.
std::int64_t yearless(unsigned month, unsigned day, unsigned hour = 12, unsigned minute = 0) {
  return us_from_civil({2000, month, day, hour, minute, 0, 0});
}

TimeResolver make(std::string_view zone, std::string_view anchor, int year = 0) {
  TimeResolver::State state;
  state.anchor_us = at(anchor);
  auto resolver = TimeResolver::make(zone, state, year);
  EXPECT_TRUE(resolver);
  return std::move(*resolver);
}

TEST(Time, ParsesAndFormats) {
  EXPECT_EQ(format_time(at("2026-11-21T20:22:31.123456Z")), "2026-11-21T20:22:31.123456Z");
  EXPECT_EQ(format_time(at("2026-11-21T20:22:31+02:00")), "2026-11-21T18:22:31Z");
  EXPECT_EQ(format_time(at("2024-02-29")), "2024-02-29T00:00:00Z");
  EXPECT_EQ(at("1700000000"), 1'700'000'000 * kSecondUs);
  for (const char* bad :
       {"", "yesterday", "2026-13-01", "2026-02-30", "2026-11-21T20", "2026-11-21T20:22:31+xx",
        "2026-11-21T20:22:31+24:00", "2026-11-21T20:22:31+01:60", "9223372036854775807"}) {
    EXPECT_FALSE(parse_time(bad)) << bad;
  }
}

TEST(Time, Durations) {
  EXPECT_EQ(*parse_duration("250ms"), 250'000);
  EXPECT_EQ(*parse_duration("2w"), 14 * kDayUs);
  for (const char* bad : {"", "5", "x", "-1s", "5 y"}) EXPECT_FALSE(parse_duration(bad)) << bad;
}

TEST(Time, CivilRoundTrip) {
  for (std::int64_t day = -200'000; day < 200'000; day += 97) {
    const std::int64_t us = day * kDayUs + 12'345'678'901;
    ASSERT_EQ(us_from_civil(civil_from_us(us)), us);
  }
}

TEST(Resolver, YearFromTheAnchor) {
  auto r = make("", "2026-01-03T00:00:00Z");
  EXPECT_EQ(format_time(r.resolve(yearless(12, 31), TimeForm::yearless)), "2025-12-31T12:00:00Z");
  auto tomorrow = make("", "2026-01-03T00:00:00Z");
  EXPECT_EQ(format_time(tomorrow.resolve(yearless(1, 3), TimeForm::yearless)),
            "2026-01-03T12:00:00Z")
      << "up to a day ahead of the anchor is this year";
}

TEST(Resolver, GoesOverNewYearAndBackForStragglers) {
  auto r = make("", "2025-01-01T06:00:00Z");
  EXPECT_EQ(civil_from_us(r.resolve(yearless(12, 31, 23, 59), TimeForm::yearless)).year, 2024);
  EXPECT_EQ(civil_from_us(r.resolve(yearless(1, 1, 0, 0), TimeForm::yearless)).year, 2025);
  EXPECT_EQ(civil_from_us(r.resolve(yearless(12, 31, 23, 59), TimeForm::yearless)).year, 2024);
  EXPECT_EQ(civil_from_us(r.resolve(yearless(1, 1, 0, 1), TimeForm::yearless)).year, 2025);
}

TEST(Resolver, FirstYearWinsOverTheAnchor) {
  auto r = make("", "2026-06-01", 2019);
  EXPECT_EQ(civil_from_us(r.resolve(yearless(5, 1), TimeForm::yearless)).year, 2019);
}

TEST(Resolver, LeapDay) {
  auto leap = make("", "2024-03-05");
  EXPECT_EQ(format_time(leap.resolve(yearless(2, 29), TimeForm::yearless)), "2024-02-29T12:00:00Z");
}

TEST(Resolver, ALeapDayIsOfALeapYear) {
  auto late = make("", "2026-11-22");
  EXPECT_EQ(format_time(late.resolve(yearless(2, 29), TimeForm::yearless)), "2024-02-29T12:00:00Z");
  EXPECT_EQ(format_time(late.resolve(yearless(3, 1), TimeForm::yearless)), "2024-03-01T12:00:00Z");
}

TEST(Resolver, ALogThatWasSilentForLongStaysInItsYear) {
  auto r = make("", "2026-06-01", 2024);
  for (const unsigned month : {2u, 11u, 12u}) {
    EXPECT_EQ(civil_from_us(r.resolve(yearless(month, 10), TimeForm::yearless)).year, 2024);
  }
  EXPECT_EQ(civil_from_us(r.resolve(yearless(1, 1), TimeForm::yearless)).year, 2025);
}

/// `cat mail.log mail.log.1 mail.log.2`: nothing of it is of the future.
TEST(Resolver, AnOlderPartBehindANewerOneIsOfTheYearBefore) {
  auto r = make("", "2026-01-20");
  EXPECT_EQ(civil_from_us(r.resolve(yearless(1, 19), TimeForm::yearless)).year, 2026);
  EXPECT_EQ(civil_from_us(r.resolve(yearless(12, 1), TimeForm::yearless)).year, 2025);
  EXPECT_EQ(civil_from_us(r.resolve(yearless(1, 2), TimeForm::yearless)).year, 2026);
}

TEST(Resolver, StateGoesOnAfterARestart) {
  auto one = make("", "2025-01-02T00:00:00Z");
  one.resolve(yearless(12, 30), TimeForm::yearless);
  auto restarted = TimeResolver::make("", one.state());
  ASSERT_TRUE(restarted);
  for (const auto t : {yearless(12, 31), yearless(1, 1), yearless(1, 2)}) {
    EXPECT_EQ(one.resolve(t, TimeForm::yearless), restarted->resolve(t, TimeForm::yearless));
  }
}

TEST(Resolver, ZonesAndTheRepeatedHour) {
  auto r = make("Europe/Berlin", "2026-12-01");
  const auto local = [](std::string_view text) { return at(text); };  // civil as if UTC
  EXPECT_EQ(format_time(r.resolve(local("2026-07-01T12:00:00Z"), TimeForm::local)),
            "2026-07-01T10:00:00Z");
  EXPECT_EQ(format_time(r.resolve(local("2026-10-25T01:59:00Z"), TimeForm::local)),
            "2026-10-24T23:59:00Z");
  EXPECT_EQ(format_time(r.resolve(local("2026-10-25T02:30:00Z"), TimeForm::local)),
            "2026-10-25T00:30:00Z");
  EXPECT_EQ(format_time(r.resolve(local("2026-10-25T02:10:00Z"), TimeForm::local)),
            "2026-10-25T01:10:00Z")
      << "the clock was set back: the second reading";
  EXPECT_EQ(format_time(r.resolve(local("2026-10-25T03:00:00Z"), TimeForm::local)),
            "2026-10-25T02:00:00Z");
  EXPECT_FALSE(TimeResolver::make("Mars/Olympus", {}));
}

TEST(Resolver, CacheChangesNothing) {
  // Every quarter of an hour of two years, once through a resolver, once each through a fresh one.
  auto r = make("America/New_York", "2027-12-31");
  for (std::int64_t t = at("2026-01-01"); t < at("2027-12-31"); t += 15 * 60 * kSecondUs) {
    TimeResolver::State before = r.state();
    auto fresh = TimeResolver::make("America/New_York", before);
    ASSERT_EQ(r.resolve(t, TimeForm::local), fresh->resolve(t, TimeForm::local)) << format_time(t);
  }
}

}  // namespace
}  // namespace bounced
