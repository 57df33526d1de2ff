// Labelled diagnostics of our own, classified with the shipped rules: every label must come out.
// One JSON object a line: diagnostic and cause; smtp_code, enhanced, mta, phase, kind optional, and
// `accept`: other causes that are right, too, where judges differ.
#include <gtest/gtest.h>
#include <simdjson.h>

#include <algorithm>
#include <cctype>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "bounced/classifier.h"
#include "labelled.h"

namespace bounced {
namespace {

std::string text_of(const simdjson::dom::element& object, const char* key) {
  std::string_view text;
  return object[key].get(text) == simdjson::SUCCESS ? std::string(text) : std::string();
}

class Verdicts : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    auto loaded = load_rules({});
    ASSERT_TRUE(loaded) << loaded.error().message();
    rules_ = *loaded;
    read_replies(BOUNCED_SOURCE_DIR "/tests/golden/verdicts", samples_);
    read_replies(BOUNCED_SOURCE_DIR "/rules/replies", learned_);
  }
  static void TearDownTestSuite() { rules_.reset(); }

  static std::shared_ptr<const RuleSet> rules_;
  static std::vector<Labelled> samples_, learned_;
};

std::shared_ptr<const RuleSet> Verdicts::rules_;
std::vector<Labelled> Verdicts::samples_, Verdicts::learned_;

TEST_F(Verdicts, EverySampleGetsItsCause) {
  ASSERT_GE(samples_.size(), 400u);
  Classifier classifier(rules_);
  for (const Labelled& sample : samples_) {
    ASSERT_NE(find_cause(*rules_, sample.cause), Cause::none)
        << sample.where << ": no cause " << sample.cause;
    const Verdict verdict = classifier.classify(sample.failure());
    EXPECT_TRUE(sample.accepts(cause_id(*rules_, verdict.cause)))
        << sample.where << ": " << sample.cause << " is taken for "
        << cause_id(*rules_, verdict.cause) << " by " << rule_name(*rules_, verdict.rule) << ": "
        << sample.diagnostic;
  }
}

// Written to learn from, as many as there are ways to say things: nobody made a rule for each.
TEST_F(Verdicts, MostOfWhatWasLearnedComesOut) {
  ASSERT_GE(learned_.size(), 5000u);
  Classifier classifier(rules_);
  unsigned all = 0, right = 0;
  for (const Labelled& sample : learned_) {
    ++all;
    const Verdict verdict = classifier.classify(sample.failure());
    right += sample.accepts(cause_id(*rules_, verdict.cause)) ? 1 : 0;
  }
  EXPECT_GE(right * 100, all * 93) << right << " of " << all;
}

bool may_be_hard(const RuleSet& rules, const Labelled& sample) {
  const auto hard = [&](const std::string& cause) {
    return cause_info(rules, find_cause(rules, cause)).bounce_class == BounceClass::hard;
  };
  return hard(sample.cause) || std::any_of(sample.accept.begin(), sample.accept.end(), hard);
}

// Replies that no rule was written for and nothing was learned from (tests/golden/blind). Floors
// under what was measured, not the figures themselves.
TEST_F(Verdicts, RepliesThatNobodyHasSeen) {
  const auto hard = [&](const std::string& cause) {
    return cause_info(*rules_, find_cause(*rules_, cause)).bounce_class == BounceClass::hard;
  };
  Classifier classifier(rules_);
  unsigned all = 0, right = 0, dead = 0, false_hard = 0, missed = 0;
  std::vector<Labelled> blind;
  read_replies(BOUNCED_SOURCE_DIR "/tests/golden/blind", blind);
  for (const Labelled& sample : blind) {
    const std::string cause(cause_id(*rules_, classifier.classify(sample.failure()).cause));
    const bool only_hard =
        hard(sample.cause) && std::all_of(sample.accept.begin(), sample.accept.end(), hard);
    ++all;
    right += sample.accepts(cause) ? 1 : 0;
    dead += only_hard ? 1 : 0;
    missed += only_hard && !hard(cause) ? 1 : 0;
    false_hard += !may_be_hard(*rules_, sample) && hard(cause) ? 1 : 0;
  }
  ASSERT_GT(all, 1000u);
  EXPECT_GE(right * 100, all * 90) << right << " of " << all;
  EXPECT_LE(false_hard * 1000, (all - dead) * 12) << false_hard << " of " << all - dead;
  EXPECT_LE(missed * 100, dead * 7) << missed << " of " << dead;
}

// What the server calls temporary is never hard and never shown in a permanent category.
TEST_F(Verdicts, TemporaryRepliesAreNeverHard) {
  Classifier classifier(rules_);
  for (const Labelled& sample : samples_) {
    if (sample.smtp_code / 100 != 4) continue;
    const Verdict verdict = classifier.classify(sample.failure());
    EXPECT_FALSE(verdict.hard()) << sample.where;
    EXPECT_EQ(verdict.severity, Severity::temporary) << sample.where;
    EXPECT_EQ(verdict.category, cause_info(*rules_, verdict.cause).category_temporary)
        << sample.where;
  }
}

// A confidence of 90 percent means: right nine times in ten.
TEST_F(Verdicts, ConfidenceIsCalibrated) {
  struct Bin {
    unsigned all = 0, right = 0;
  };
  std::map<unsigned, Bin> bins;  // by tens of percent
  Classifier classifier(rules_);
  for (const Labelled& sample : samples_) {
    const Verdict verdict = classifier.classify(sample.failure());
    Bin& bin = bins[verdict.confidence / 10u];
    ++bin.all;
    bin.right += sample.accepts(cause_id(*rules_, verdict.cause)) ? 1 : 0;
  }
  for (const auto& [tens, bin] : bins) {
    EXPECT_GE(bin.right * 100, bin.all * tens * 10) << "confidence " << tens * 10 << "%";
  }
}

/// Others' labels (../shared, not always at hand): any of several categories is accepted.
struct Accepted {
  Labelled sample;
  std::vector<std::string> categories;  ///< "temporary/mailbox_full"
};

std::vector<Accepted> read_accepted() {
  std::vector<Accepted> all;
  std::ifstream in(BOUNCED_SOURCE_DIR "/../shared/data/replies/labelled.jsonl");
  simdjson::dom::parser parser;
  for (std::string line; std::getline(in, line);) {
    simdjson::dom::element object;
    if (parser.parse(line).get(object) != simdjson::SUCCESS) continue;
    Accepted one;
    one.sample.diagnostic = text_of(object, "diagnostic");
    (void)classify::parse_enhanced(text_of(object, "enhanced"), one.sample.enhanced);
    one.sample.mta = text_of(object, "remote_mta");
    one.sample.smtp_code =
        static_cast<std::uint16_t>(std::strtoul(text_of(object, "smtp_code").c_str(), nullptr, 10));
    simdjson::dom::array accept;
    if (object["accept"].get(accept) != simdjson::SUCCESS) continue;
    for (const auto label : accept) {
      std::string_view text;
      if (label.get(text) == simdjson::SUCCESS) one.categories.emplace_back(text);
    }
    all.push_back(std::move(one));
  }
  return all;
}

bool accepts(const Accepted& one, Category category) {
  std::string snake(to_string(category));
  for (char& c : snake) c = c == ' ' ? '_' : static_cast<char>(std::tolower(c));
  return std::any_of(one.categories.begin(), one.categories.end(), [&](const std::string& label) {
    const std::string name = label.substr(label.find('/') + 1);
    // "temporary/network_error" is Temporary Network Error.
    return name == snake || "temporary_" + name == snake;
  });
}

// On replies that nobody here labelled, sure verdicts are right at least as often as they say, and
// unsure ones not much less often than they say: two standard deviations of so few.
TEST_F(Verdicts, ConfidenceHoldsOnForeignLabels) {
  const std::vector<Accepted> all = read_accepted();
  if (all.empty()) GTEST_SKIP() << "no ../shared/data/replies";
  double claimed[2] = {0, 0}, variance[2] = {0, 0};
  unsigned count[2] = {0, 0}, right[2] = {0, 0};
  Classifier classifier(rules_);
  for (const Accepted& one : all) {
    const Verdict verdict = classifier.classify(one.sample.failure());
    const double p = verdict.confidence / 100.0;
    const std::size_t sure = verdict.confidence >= 90 ? 1 : 0;
    ++count[sure];
    claimed[sure] += p;
    variance[sure] += p * (1 - p);
    right[sure] += accepts(one, verdict.category) ? 1 : 0;
  }
  EXPECT_GE(right[1] * 10, count[1] * 9) << right[1] << " of " << count[1];
  for (const int sure : {0, 1}) {
    EXPECT_GE(right[sure], claimed[sure] - 2 * std::sqrt(variance[sure]))
        << right[sure] << " of " << count[sure] << ", claimed " << claimed[sure];
  }
}

// The same reply without the codes that the log gave beside it must not turn hard by accident.
TEST_F(Verdicts, WithoutCodesNothingElseTurnsHard) {
  Classifier classifier(rules_);
  for (const Labelled& sample : samples_) {
    if (may_be_hard(*rules_, sample)) continue;
    Failure failure = sample.failure();
    failure.smtp_code = 0;
    failure.enhanced = {};
    EXPECT_FALSE(classifier.classify(failure).hard()) << sample.where << ": " << sample.diagnostic;
  }
}

}  // namespace
}  // namespace bounced
