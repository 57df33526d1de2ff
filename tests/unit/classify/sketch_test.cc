// The sketch: what becomes of a text, and that a verdict never depends on what it drops.
#include "classify/sketch.h"

#include <gtest/gtest.h>

#include <random>

#include "classify/rule_set.h"
#include "fixtures.h"

namespace bounced::classify {
namespace {

std::string sketch_of(std::string_view raw, const Patterns& patterns = {}) {
  const TellingDigits telling(patterns);
  const SendingIps ours;
  Sketch sketch(telling, ours);
  if (!sketch.run(raw)) return "(none)";
  return std::string(sketch.data(), sketch.size());
}

TEST(Sketch, CodesStayAndWhatVariesGoes) {
  EXPECT_EQ(sketch_of(""), "");
  EXPECT_EQ(sketch_of("550-5.1.1 <Jane.Doe@Shop.Example>: 550 5.1.1 No"),
            "550-5.1.1 <{addr}>: 550 5.1.1 no");
  EXPECT_EQ(sketch_of("host mx1.a.example[192.0.2.1] said: 421 4.7.0 x"),
            "host {host}[{ip}] said: 421 4.7.0 x");
  EXPECT_EQ(sketch_of("mx7.b.example az10-20020a056402354f gsmtp"), "{host}.b.example {id} gsmtp");
  EXPECT_EQ(sketch_of("smtp;550-abc1234d5678"), "smtp;550-abc1234d5678");
  EXPECT_EQ(sketch_of("host a@[192.0.2.1] said: no"), "host a@[192.0.2.1] said: no");
  EXPECT_EQ(sketch_of("Empf\xc3\xa4nger"), "(none)");
  EXPECT_EQ(sketch_of("a\\nb"), "(none)");
  EXPECT_EQ(sketch_of("a#012b"), "(none)");
}

TEST(Sketch, DigitsThatNoPatternLooksAtAreOne) {
  Patterns patterns;
  patterns.literals = {"limit 23 x", "e21", "7th", "status 4"};
  const auto same = [&](std::string_view a, std::string_view b) {
    return sketch_of(a, patterns) == sketch_of(b, patterns);
  };
  EXPECT_TRUE(same("limit 51 x", "limit 38 x"));
  EXPECT_FALSE(same("limit 23 x", "limit 38 x"));
  EXPECT_FALSE(same("limit 3 x", "limit 38 x"));  // lengths stay
  EXPECT_FALSE(same("(e215)", "(e315)"));         // "e21" is in the first
  EXPECT_TRUE(same("(e315)", "(e415)"));
  EXPECT_FALSE(same("17th", "16th"));
  EXPECT_TRUE(same("16th", "18th"));
  EXPECT_FALSE(same("status 45", "status 55"));
  EXPECT_FALSE(same("550 x", "551 x"));
  EXPECT_FALSE(same("5.1.1 x", "5.1.2 x"));
  patterns.regexes = {"code [5-7]"};
  EXPECT_FALSE(same("limit 51 x", "limit 38 x"));
  patterns.regexes = {"code \\d{2,3} [0-9]+ [a-z]"};
  EXPECT_TRUE(same("limit 51 x", "limit 38 x"));
}

/// Every verdict by the long way, of the text and of its sketch.
class SketchVerdicts : public ::testing::Test {
 protected:
  SketchVerdicts() : rules_(load_rules({})) {}
  void SetUp() override {
    if (!rules_) GTEST_SKIP() << rules_.error().message();
    ips_ = SendingIps(options_.sending_ips);
    plain_ = std::make_unique<Classifier>(*rules_, options_);
    sketch_ = std::make_unique<Sketch>(*(*rules_)->telling, ips_);
  }
  void expect_same(const std::string& text) {
    if (!sketch_->run(text)) return;
    const std::string reduced(sketch_->data(), sketch_->size());
    Failure failure;
    failure.diagnostic = text;
    Explanation long_way, short_way;
    const Verdict a = plain_->explain(failure, long_way);
    failure.diagnostic = reduced;
    const Verdict b = plain_->explain(failure, short_way);
    ASSERT_EQ(a.rule, b.rule) << text << "\n" << reduced;
    ASSERT_EQ(a.said, b.said) << text << "\n" << reduced;
    ASSERT_EQ(long_way.smtp_code, short_way.smtp_code) << text << "\n" << reduced;
    ASSERT_EQ(long_way.enhanced, short_way.enhanced) << text << "\n" << reduced;
  }

  Classifier::Options options_{false, {"192.0.2.25", "2001:db8::1"}};
  Result<std::shared_ptr<const RuleSet>> rules_;
  SendingIps ips_;
  std::unique_ptr<Classifier> plain_;
  std::unique_ptr<Sketch> sketch_;
};

TEST_F(SketchVerdicts, RealDiagnosticsChangedAtRandom) {
  const auto& all = testing::real_diagnostics();
  if (all.empty()) GTEST_SKIP() << "no ../shared/data/mta";
  const std::vector<std::string> pieces = {
      "550",          "550-5.1.1",  "5.1.1", " ",          "@",      "a@b.c",
      "1.2.3.4",      "192.0.2.25", "[",     "]",          "said: ", "smtp;",
      "x.y[1.2.3.4]", "name=",      "12",    "12:30",      "::",     ".",
      "host ",        "a1b2c3d4",   ": ",    "2026-11-21", "#",      "-"};
  std::mt19937 random(20261122);
  for (const auto& d : all) expect_same(d.text);
  for (int round = 0; round < 20'000; ++round) {
    std::string text = all[random() % all.size()].text;
    for (unsigned i = random() % 4; i > 0 && !text.empty(); --i) {
      const std::size_t at = random() % text.size();
      if (random() % 3 == 0) {
        text.erase(at, 1 + random() % 4);
      } else {
        text.insert(at, pieces[random() % pieces.size()]);
      }
    }
    expect_same(text);
    if (HasFatalFailure()) return;
  }
}

}  // namespace
}  // namespace bounced::classify
