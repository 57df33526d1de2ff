// What `rules check` proves beyond each sample, and what a reload demands.
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>

#include "classify/check.h"
#include "classify/measure.h"
#include "fixtures.h"

namespace bounced::classify {
namespace {

class RuleDir {
 public:
  explicit RuleDir(const std::string& text) {
    std::string pattern = (std::filesystem::temp_directory_path() / "rules-XXXXXX").string();
    path_ = mkdtemp(pattern.data());
    std::ofstream(path_ + "/own.toml") << text;
  }
  ~RuleDir() { std::filesystem::remove_all(path_); }
  [[nodiscard]] RuleSetOptions options() const {
    RuleSetOptions options;
    options.operator_dirs = {path_};
    return options;
  }

 private:
  std::string path_;
};

std::string rule(const std::string& literal, const std::string& sample) {
  return "[[rule]]\nid = \"own/one\"\ncause = \"mailbox.full\"\nany = [\"" + literal +
         "\"]\nsamples = [\"" + sample + "\"]\n";
}

std::size_t with(const CheckReport& report, const std::string& words) {
  std::size_t count = 0;
  for (const Problem& p : report.problems) count += p.message.find(words) != std::string::npos;
  return count;
}

TEST(Proofs, AnOverrideIsNoError) {
  const RuleDir dir(rule("user unknown", "550 5.1.1 user unknown"));
  const auto report = check_rules(dir.options());
  ASSERT_TRUE(report.has_value());
  EXPECT_EQ(report->errors(), 0u);
  EXPECT_GT(report->overridden, 0u);
  EXPECT_EQ(with(*report, "takes over"), 1u);
  EXPECT_EQ(report->count(Problem::Level::note), 1u);
}

TEST(Proofs, AReloadWantsSamplesThatWin) {
  const RuleDir good(rule("frobnicated mailbox", "550 frobnicated mailbox"));
  const auto loaded = load_checked(good.options());
  ASSERT_TRUE(loaded.has_value()) << loaded.error().message();
  EXPECT_GT(loaded->samples, 900u);
  const RuleDir bad(rule("frobnicated mailbox", "550 another mailbox"));
  const auto refused = load_checked(bad.options());
  ASSERT_FALSE(refused.has_value());
  EXPECT_NE(refused.error().where.find("own.toml:5"), std::string::npos)
      << refused.error().message();
}

TEST(Proofs, CategoriesThatNobodyShowsAreNamed) {
  const auto report = check_rule_text(testing::shipped_causes(),
                                      rule("frobnicated mailbox", "550 frobnicated mailbox"));
  EXPECT_EQ(report.errors(), 0u);
  EXPECT_EQ(with(report, "of the temporary list is shown by"), 7u);
  EXPECT_EQ(with(report, "of the permanent list is shown by"), 9u);
  EXPECT_GT(with(report, "reaches this cause"), 30u);
}

TEST(Proofs, ATemporaryReplyInAPermanentCategoryIsAnError) {
  std::string causes = testing::shipped_causes();
  const auto at = causes.find("category_temporary = \"Mailbox Full\"");
  ASSERT_NE(at, std::string::npos);
  causes.replace(at, 35, "category_temporary = \"Bad Mailbox\"");
  const auto report =
      check_rule_text(causes, rule("frobnicated mailbox", "450 frobnicated mailbox"));
  EXPECT_GT(report.errors(), 0u);
  EXPECT_EQ(with(report, "is a 4xx, but shows the permanent category"), 1u);
}

TEST(Proofs, RulesAreTriedBeforeTheyAreWritten) {
  const auto good = try_rules({}, rule("frobnicated mailbox", "550 frobnicated mailbox"));
  ASSERT_TRUE(good.has_value());
  EXPECT_TRUE(good->empty());
  const auto greedy = try_rules({}, rule("user unknown", "550 user unknown"));
  ASSERT_TRUE(greedy.has_value());
  ASSERT_EQ(greedy->size(), 1u);
  EXPECT_EQ(greedy->front().level, Problem::Level::note);
}

TEST(Proofs, AMeasurementCountsWhatIsFound) {
  const RuleDir dir(rule("zorbled bandersnatch", "550 zorbled bandersnatch"));
  std::vector<CorpusText> corpus;
  for (int i = 0; i < 300; ++i) {
    corpus.push_back({"550 zorbled bandersnatch report " +
                          std::string(static_cast<std::size_t>(i % 40) + 1, 'x') +
                          std::to_string(i) + "abc",
                      "",
                      0,
                      {},
                      Phase::none,
                      EventKind::bounced});
  }
  MeasureOptions options;
  options.budget_us = 0;
  const auto measured = measure_rules(dir.options(), corpus, options);
  ASSERT_TRUE(measured.has_value()) << measured.error().message();
  EXPECT_EQ(measured->texts, 300u);
  EXPECT_GT(measured->call_ns, measured->memo_hit_ns);
  EXPECT_GT(measured->literal_database_bytes, 10'000u);
  const auto& frequent = measured->frequent;
  const auto ours = std::find_if(frequent.begin(), frequent.end(), [](const LiteralCost& l) {
    return l.literal == "zorbled bandersnatch";
  });
  ASSERT_NE(ours, frequent.end());
  EXPECT_EQ(ours->texts, measured->scanned);
  EXPECT_GE(frequent.front().texts, frequent.back().texts);
}

}  // namespace
}  // namespace bounced::classify
