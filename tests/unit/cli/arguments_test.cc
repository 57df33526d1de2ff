#include "cli/arguments.h"

#include <gtest/gtest.h>

#include "base/time.h"

namespace bounced::cli {
namespace {

TEST(Arguments, AMomentIsATimeOrADuration) {
  const std::int64_t now = *parse_time("2026-11-21T12:00:00Z");
  EXPECT_EQ(*parse_moment("--since", "7d", now, Way::back), now - 7 * kDayUs);
  EXPECT_EQ(*parse_moment("--until", "12h", now, Way::on), now + 12 * kHourUs);
  EXPECT_EQ(*parse_moment("--since", "2026-11-21", now, Way::back), now - 12 * kHourUs);
  const auto bad = parse_moment("--since", "yesterday", now, Way::back);
  ASSERT_FALSE(bad);
  EXPECT_EQ(bad.error().exit_status(), 2);
  EXPECT_NE(bad.error().message().find("--since: yesterday"), std::string::npos);
  EXPECT_NE(bad.error().hint.find("7d"), std::string::npos) << "durations are said, too";
}

TEST(Arguments, AnAddressAsItIsPasted) {
  EXPECT_EQ(bare_address("bob@example.com"), "bob@example.com");
  EXPECT_EQ(bare_address(" <Bob@example.com>\n"), "Bob@example.com");
  EXPECT_EQ(bare_address("<>"), "<>");
}

TEST(Arguments, WhatCanBeMailed) {
  for (const char* good : {"bob@example.com", "Bob+x@Example.com.", "\"b ob\"@example.com",
                           "b\xC3\xBC@b\xC3\xBC"
                           "cher.example",
                           "bob@[192.0.2.1]", "o'neil/x=y@a.b"}) {
    EXPECT_TRUE(check_address(good, true)) << good;
  }
  for (const char* bad : {"", "bob", "example.com", "@example.com", "bob@", "Bob <bob@example.com>",
                          "a@b.c, d@e.f", "bob\n@x.y", "\"b\nob\"@x.y", "b ob@x.y"}) {
    const auto checked = check_address(bad, true);
    ASSERT_FALSE(checked) << bad;
    EXPECT_EQ(checked.error().exit_status(), 2);
  }
  EXPECT_TRUE(check_address("root", false)) << "what a log says may be lifted";
}

}  // namespace
}  // namespace bounced::cli
