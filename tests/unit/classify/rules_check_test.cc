// The shipped rules pass their own check. RULES_DIR names another directory to check instead.
#include <gtest/gtest.h>

#include <cstdlib>
#include <iostream>

#include "classify/check.h"

namespace bounced::classify {
namespace {

TEST(RulesCheck, ShippedRulesAreSound) {
  RuleSetOptions options;
  if (const char* dir = std::getenv("RULES_DIR")) options.rules_dir = dir;
  const auto report = check_rules(options);
  ASSERT_TRUE(report.has_value()) << report.error().message();
  for (const Problem& problem : report->problems) std::cout << problem.text() << "\n";
  std::cout << report->rules << " rules, " << report->samples << " samples, " << report->misses
            << " misses, " << report->problems.size() << " problems\n";
  EXPECT_EQ(report->errors(), 0u);
}

}  // namespace
}  // namespace bounced::classify
