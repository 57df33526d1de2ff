// Hyperscan and memo against a plain reference (std::string::find over every rule), and memo on
// against memo off: on every real diagnostic at hand, on all rules' samples and on mutations of
// them.
#include <gtest/gtest.h>

#include <random>

#include "base/text.h"
#include "bounced/limits.h"
#include "classify/normalise.h"
#include "fixtures.h"
#include "reference.h"

namespace bounced::classify {
namespace {

/// The shipped rules (or those in RULES_DIR), compiled once.
const std::shared_ptr<const RuleSet>& shipped() {
  static const std::shared_ptr<const RuleSet> rules = [] {
    RuleSetOptions options;
    if (const char* dir = std::getenv("RULES_DIR")) options.rules_dir = dir;
    auto loaded = load_rules(options);
    if (!loaded) ADD_FAILURE() << loaded.error().message();
    return loaded ? *loaded : nullptr;
  }();
  return rules;
}

std::vector<std::string> sample_texts() {
  std::vector<std::string> texts;
  for (const Rule& rule : shipped()->rules()) {
    for (const auto* list : {&rule.samples, &rule.misses}) {
      for (const Sample& sample : *list) texts.push_back(sample.text);
    }
  }
  return texts;
}

class ReferenceTest : public ::testing::Test {
 protected:
  void SetUp() override { ASSERT_NE(shipped(), nullptr) << "the shipped rules do not load"; }
};

/// Rules and codes alone: words weigh on what these found (learned_test).
TEST_F(ReferenceTest, EqualOnEveryDistinctRealDiagnostic) {
  if (testing::real_diagnostics().empty()) GTEST_SKIP() << "no ../shared/data/mta";
  Classifier classifier(shipped(), {true, {}, false});
  testing::Reference reference(*shipped());
  std::set<std::string> seen;
  Normaliser normaliser;
  for (const auto& d : testing::real_diagnostics()) {
    Normalised n;
    normaliser.run(d.text, 0, n);
    const Failure f = testing::failure_of(d);
    const Verdict v = classifier.classify(f);
    if (!seen.insert(std::string(n.text) + '\n' + std::to_string(n.smtp_code) + d.host).second) {
      continue;
    }
    ASSERT_EQ(rule_name(*shipped(), v.rule), rule_name(*shipped(), reference.winner(f))) << d.text;
  }
  EXPECT_GT(seen.size(), 100u);
}

TEST_F(ReferenceTest, EqualOnSamplesAndMutations) {
  const std::vector<std::string> texts = sample_texts();
  Classifier classifier(shipped(), {true, {}, false});
  testing::Reference reference(*shipped());
  std::mt19937 random(42);
  std::vector<std::string> hosts = {"", "mx.shop.example"};
  const Texts& providers = shipped()->provider_suffixes;
  for (std::size_t i = 0; i < providers.size(); ++i) {
    if (!providers[i].empty()) hosts.push_back("mx." + std::string(providers[i]));
  }
  for (int round = 0; round < 1'000; ++round) {
    std::string text = texts[random() % texts.size()];
    if (round % 3 == 1) text += " " + texts[random() % texts.size()];
    if (round % 3 == 2 && !text.empty()) {
      text.erase(random() % text.size(), 1 + random() % 5);
    }
    Failure f;
    f.diagnostic = text;
    f.mta_host = hosts[random() % hosts.size()];
    f.recipient_domain = hosts[random() % hosts.size()];
    f.phase = static_cast<Phase>(random() % 7);
    f.kind = random() % 2 == 0 ? EventKind::bounced : EventKind::deferred;
    f.hint = static_cast<ProviderHint>(random() % kProviderHints);
    if (random() % 4 == 0) f.smtp_code = random() % 2 == 0 ? 450 : 550;
    if (random() % 4 == 0) f.enhanced = {static_cast<std::uint16_t>(random() % 8), 1, 5};
    ASSERT_EQ(rule_name(*shipped(), classifier.classify(f).rule),
              rule_name(*shipped(), reference.winner(f)))
        << text << " at " << f.mta_host;
  }
}

TEST_F(ReferenceTest, MemoOnEqualsMemoOff) {
  if (testing::real_diagnostics().empty()) GTEST_SKIP() << "no ../shared/data/mta";
  Classifier with(shipped(), {true, {"198.18.255.9"}});
  Classifier without(shipped(), {false, {"198.18.255.9"}});
  for (const auto& d : testing::real_diagnostics()) {
    const Failure f = testing::failure_of(d);
    ASSERT_TRUE(testing::same(with.classify(f), without.classify(f))) << d.text;
  }
  EXPECT_EQ(without.stats().memo_hits, 0u);
  const auto& stats = with.stats();
  EXPECT_EQ(stats.calls, testing::real_diagnostics().size());
  std::cout << stats.calls << " diagnostics, " << stats.scans << " scans, " << stats.by_code
            << " distinct by code\n";
}

TEST_F(ReferenceTest, MemoDoesNotMixWhatAVerdictDependsOn) {
  Classifier with(shipped());
  Classifier without(shipped(), {false, {}});
  const std::vector<std::string> texts = sample_texts();
  std::mt19937 random(1);
  // Few texts, many contexts: nearly every call finds its text in the memo under another context.
  for (int round = 0; round < 20'000; ++round) {
    Failure f;
    f.diagnostic = texts[random() % 40];
    f.smtp_code = static_cast<std::uint16_t>(random() % 3 == 0 ? 450 : random() % 2 == 0 ? 550 : 0);
    f.enhanced.klass = random() % 2 == 0 ? 5 : 0;
    f.enhanced.subject = random() % 3;
    f.enhanced.detail = random() % 3;
    f.phase = static_cast<Phase>(random() % 7);
    f.kind = static_cast<EventKind>(3 + random() % 3);
    f.hint = static_cast<ProviderHint>(random() % kProviderHints);
    f.mta_host = random() % 2 == 0 ? "x.protection.outlook.com" : "mx.shop.example";
    ASSERT_TRUE(testing::same(with.classify(f), without.classify(f)));
  }
  EXPECT_GT(with.stats().memo_hits, 0u);
}

/// Texts that differ in a word or two, by pieces of the patterns too: most are known by another.
TEST_F(ReferenceTest, TextsThatAreAlikeHaveTheirOwnVerdicts) {
  Classifier with(shipped(), {true, {"198.18.255.9"}});
  Classifier without(shipped(), {false, {"198.18.255.9"}});
  std::vector<std::string> texts = sample_texts();
  for (const auto& d : testing::real_diagnostics()) texts.push_back(d.text);
  const std::vector<std::string> words = {
      "550",       "451-4.7.1",   "a@b.example", "<j.d@c.org>:",   "[198.18.255.9]", "192.0.2.1",
      "7",         "43210",       "999",         "(100%)",         "a1b2c3d4e5",     "s3150",
      "mx3.x.org", "[y7.example", "yard12.com,", "x.org[1.2.3.4]", "said:",          "12:30:01",
      "#5.1.1",    "a\\b",        "#012",        "seconds",        "name=x.example", "smtp;550-a"};
  std::mt19937 random(20261122);
  const auto pick = [&](const auto& list) { return std::string(list[random() % list.size()]); };
  const auto piece = [&] {  // of a pattern, as a part of a name
    const std::string literal = pick(shipped()->pattern_texts);
    const std::size_t at = random() % 2 == 0 ? 0 : literal.rfind(' ') + 1;
    const std::string word = literal.substr(at, literal.find(' ', at) - at);
    return random() % 2 == 0 ? word + ".example" : "a." + word;
  };
  const std::size_t few = std::min<std::size_t>(texts.size(), 300);
  for (int round = 0; round < 60'000; ++round) {
    std::string text = texts[random() % 4 == 0 ? random() % texts.size() : random() % few];
    for (unsigned i = random() % 3; i > 0; --i) {
      auto from = text.find_last_of(' ', random() % (text.size() + 1));
      from = from == std::string::npos ? 0 : from + 1;
      const auto size = std::min(text.find(' ', from), text.size()) - from;
      text.replace(from, size, random() % 3 == 0 ? piece() : pick(words));
    }
    Failure f;
    f.diagnostic = text;
    f.mta_host = random() % 4 == 0 ? "x.protection.outlook.com" : "";
    ASSERT_TRUE(testing::same(with.classify(f), without.classify(f))) << text;
  }
  EXPECT_GT(with.stats().memo_hits, 10'000u);
}

/// For every pattern: a name first that it has nothing to do with, then one that is a part of it,
/// where it begins, where it ends and amidst.
TEST_F(ReferenceTest, NoPatternIsMissedForANameThatCameBefore) {
  Classifier with(shipped());
  Classifier without(shipped(), {false, {}});
  const auto expect_same = [&](const std::string& text) {
    Failure f;
    f.diagnostic = text;
    ASSERT_TRUE(testing::same(with.classify(f), without.classify(f))) << text;
  };
  for (std::uint32_t i = 0; i < shipped()->literals; ++i) {
    const std::string literal(shipped()->pattern_texts[i]);
    const std::string head = literal.substr(0, literal.rfind(' ') + 1);
    const std::string tail = literal.substr(std::min(literal.find(' '), literal.size()));
    expect_same("550 5.7.9 well, " + head + "yard.example 7 ok");
    expect_same("550 5.7.9 well, " + literal + "x.example 7 ok");
    expect_same("550 5.7.9 well, yard.example" + tail + " ok");
    expect_same("550 5.7.9 well, x." + literal + " ok");
    expect_same("550 5.7.9 mail for yard.example ok");
    expect_same("550 5.7.9 mail for my-" + literal + "-x.example ok");
    if (HasFatalFailure()) return;
  }
  EXPECT_GT(with.stats().memo_hits, shipped()->literals);
}

}  // namespace
}  // namespace bounced::classify
