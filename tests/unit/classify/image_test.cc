// The image of a rule set: the same set, without the work that made it.
#include <gtest/gtest.h>

#include "classify/check.h"
#include "fixtures.h"

namespace bounced {
std::string_view rule_image();
}

namespace bounced::classify {
namespace {

/// The shipped rules, from their texts.
std::shared_ptr<const RuleSet> from_texts(Target target) {
  auto files = read_rule_files({});
  if (!files) return nullptr;
  auto built = RuleSet::build(std::move(*files), "", target);
  return built ? *built : nullptr;
}

void expect_equal(const RuleSet& a, const RuleSet& b) {
  EXPECT_EQ(generation(a), generation(b));
  ASSERT_EQ(a.rule_count(), b.rule_count());
  ASSERT_EQ(a.rules().size(), b.rules().size());
  const auto listed = list_rules(a), other = list_rules(b);
  for (std::size_t r = 0; r < a.rule_count(); ++r) {
    const auto id = static_cast<RuleId>(r + 1);
    EXPECT_EQ(rule_name(a, id), rule_name(b, id));
    EXPECT_EQ(listed[r].where, other[r].where);
    EXPECT_EQ(listed[r].literals, other[r].literals);
  }
  ASSERT_EQ(causes(a).size(), causes(b).size());
  for (const CauseInfo& info : causes(a)) {
    EXPECT_EQ(find_cause(b, info.id), info.cause);
    EXPECT_EQ(cause_info(b, info.cause).advice, info.advice);
    EXPECT_EQ(cause_info(b, info.cause).meaning, info.meaning);
  }
}

/// Every sample by both sets, the long way and through the memo.
void expect_same_verdicts(const std::shared_ptr<const RuleSet>& a,
                          const std::shared_ptr<const RuleSet>& b) {
  Classifier first(a), second(b);
  for (const Rule& rule : a->rules()) {
    for (const auto* list : {&rule.samples, &rule.misses}) {
      for (const Sample& sample : *list) {
        const Failure failure = failure_of(rule, sample);
        EXPECT_TRUE(testing::same(first.classify(failure), second.classify(failure)))
            << sample.text;
        Explanation one, other;
        EXPECT_TRUE(testing::same(first.explain(failure, one), second.explain(failure, other)));
        EXPECT_EQ(one.summary, other.summary);
        const auto span = first.span(failure), same = second.span(failure);
        EXPECT_EQ(std::pair(span.begin, span.end), std::pair(same.begin, same.end));
      }
    }
  }
}

TEST(RuleImage, TheShippedRulesComeFromTheProgramsImage) {
  const auto loaded = RuleSet::from_image(rule_image(), "");
  ASSERT_TRUE(loaded.has_value());
  ASSERT_NE(*loaded, nullptr) << "the build wrote no image";
  const auto built = from_texts(Target::this_cpu);
  ASSERT_NE(built, nullptr);
  expect_equal(*built, **loaded);
  expect_same_verdicts(built, *loaded);
  const auto usual = load_rules({});
  ASSERT_TRUE(usual.has_value());
  EXPECT_EQ(generation(**usual), generation(*built));
}

TEST(RuleImage, ImagesAreReproducibleAndAnImageOfAnImageIsTheSame) {
  const auto built = from_texts(Target::any_cpu);
  ASSERT_NE(built, nullptr);
  EXPECT_TRUE(built->image() == rule_image());
  const auto loaded = RuleSet::from_image(rule_image(), "");
  ASSERT_TRUE(loaded.has_value() && *loaded != nullptr);
  EXPECT_TRUE((*loaded)->image() == rule_image());
}

TEST(RuleImage, RegexesAndOperatorsCausesToo) {
  const std::string text =
      "[[cause]]\nid = \"own.thing\"\nclass = \"soft\"\nfault = \"local\"\n"
      "meaning = \"m\"\nadvice = \"a\"\n"
      "[[rule]]\nid = \"a/b\"\ncause = \"own.thing\"\nany = \"full 7\"\nregex = \"q+z\"\n"
      "provider = [\"b.example\", \"x.b.example\"]\nenhanced = \"5.2.x\"\nphase = \"rcpt\"\n";
  auto files = testing::read_texts({{"r.toml", text, 1}});
  auto built = RuleSet::build(std::move(files), "", Target::any_cpu);
  ASSERT_TRUE(built.has_value());
  const auto loaded = RuleSet::from_image((*built)->image(), "");
  ASSERT_TRUE(loaded.has_value() && *loaded != nullptr);
  Classifier classifier(*loaded);
  Failure f;
  f.diagnostic = "550 5.2.9 xqqz";
  f.mta_host = "mx.x.b.example";
  f.phase = Phase::rcpt;
  const Verdict verdict = classifier.classify(f);
  EXPECT_EQ(verdict.rule, 1u);
  EXPECT_EQ(cause_id(**loaded, verdict.cause), "own.thing");
  f.diagnostic = "550 5.3.9 xqqz";
  EXPECT_NE(classifier.classify(f).rule, 1u);
}

TEST(RuleImage, WhatIsNoImageIsNoSet) {
  const std::string_view image = rule_image();
  const std::size_t step = image.size() / 500 + 1;
  for (std::size_t size = 0; size < image.size(); size += step) {
    const auto cut = RuleSet::from_image(image.substr(0, size), "");
    ASSERT_TRUE(cut.has_value());
    EXPECT_EQ(*cut, nullptr) << size;
  }
  std::string other(image);
  other[16] ^= 1;
  EXPECT_EQ(*RuleSet::from_image(other, ""), nullptr);
}

TEST(RuleImage, AnotherHyperscansDatabasesAreCompiledAnew) {
  std::string image(rule_image());
  // The databases stand last; the second one is empty here or small. The header tells the version.
  const auto built = from_texts(Target::any_cpu);
  ASSERT_NE(built, nullptr);
  std::string bytes;
  ASSERT_TRUE(serialise(built->databases.literals.get(), bytes));
  const auto at = image.find(bytes);
  ASSERT_NE(at, std::string::npos);
  image[at + 5] ^= 1;
  const auto loaded = RuleSet::from_image(image, "");
  ASSERT_TRUE(loaded.has_value() && *loaded != nullptr);
  expect_same_verdicts(built, *loaded);
}

}  // namespace
}  // namespace bounced::classify
