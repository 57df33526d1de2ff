// Rule files: what is wrong is named by file and line; databases are cached and checked.
#include "classify/rule_file.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>

#include "classify/check.h"
#include "fixtures.h"

namespace bounced::classify {
namespace {

namespace fs = std::filesystem;

class TempDir {
 public:
  TempDir() {
    std::string name = (fs::temp_directory_path() / "bounced-classify-XXXXXX").string();
    path = mkdtemp(name.data());
  }
  ~TempDir() { fs::remove_all(path); }
  void write(const std::string& name, const std::string& text) const {
    std::ofstream(path / name, std::ios::binary) << text;
  }
  fs::path path;
};

std::vector<std::string> problems(const std::string& text) {
  std::vector<std::string> out;
  for (const Problem& p : testing::read_texts({{"r.toml", text, 0}}).problems) {
    out.push_back(p.text());
  }
  return out;
}

void expect_problem(const std::string& text, const std::string& expected) {
  const auto found = problems(text);
  ASSERT_EQ(found.size(), 1u) << ::testing::PrintToString(found);
  EXPECT_EQ(found[0], expected);
}

TEST(RuleFile, ProblemsNameFileAndLine) {
  expect_problem(
      "[[rule]]\nid = \"a/b\"\ncause = \"mailbox.full\"\nany = \"full\"\nsmtpcode = \"550\"\n",
      "r.toml:5: a/b: unknown key `smtpcode`");
  expect_problem(
      "[[rule]]\nid = \"a/b\"\ncause = \"mailbox.full\"\nany = \"full\"\nphases = \"rcpt\"\n",
      "r.toml:5: a/b: unknown key `phases`; did you mean `phase`?");
  expect_problem("[[rule]]\nid = \"a/b\"\ncause = \"mailbox.ful\"\nany = \"full\"\n",
                 "r.toml:1: a/b: no such cause: `mailbox.ful`; did you mean `mailbox.full`?");
  expect_problem(
      "[[rule]]\nid = \"a/b\"\ncause = \"mailbox.full\"\nany = \"full\"\nsmtp = [\"55\"]\n",
      "r.toml:5: a/b: no reply code: `55`; like \"550\", \"55x\" or \"5xx\"");
  expect_problem(
      "[[rule]]\nid = \"a/b\"\ncause = \"mailbox.full\"\nany = \"full\"\nenhanced = \"5.1\"\n",
      "r.toml:5: a/b: no enhanced code: `5.1`; like \"5.4.1\", \"5.7.x\" or \"x.2.2\"");
  expect_problem("[[rule]]\nid = \"a/b\"\ncause = \"mailbox.full\"\nany = [\"full\", 3]\n",
                 "r.toml:4: a/b: `any` holds something that is no string");
  expect_problem("[[rule]]\nid = \"a/b\"\ncause = \"mailbox.full\"\n",
                 "r.toml:1: a/b: a rule needs `any`, `all`, `regex` or a predicate");
  expect_problem(
      "[[rule]]\nid = \"a/b\"\ncause = \"mailbox.full\"\nregex = \"a(b\"\n",
      "r.toml:1: a/b: regex `a(b`: Missing close parenthesis for group started at index 1.");
  expect_problem("[[rule]]\nid = \"a/b\"\ncause = \"mailbox.full\"\nregex = \"a*\"\n",
                 "r.toml:1: a/b: regex `a*`: it matches the empty text");
  expect_problem("[[rules]]\nid = \"a/b\"\n",
                 "r.toml:1: unknown key `rules`; a rule file holds [[rule]] and [[cause]] tables");
  const auto syntax = problems("[[rule]]\nid = \"a/b\"\n\n\n\n\ncause = = 3\n");
  ASSERT_EQ(syntax.size(), 1u);
  EXPECT_EQ(syntax[0].rfind("r.toml:7: ", 0), 0u) << syntax[0];
}

TEST(RuleFile, LiteralsMustBeInNormalForm) {
  const std::string head = "[[rule]]\nid = \"a/b\"\ncause = \"mailbox.full\"\nany = ";
  expect_problem(
      head + "\"Full\"\n",
      "r.toml:1: a/b: literal `Full` never matches: the normaliser makes it `full`; write it "
      "as the normaliser does");
  expect_problem(
      head + "\"from 192.0.2.1\"\n",
      "r.toml:1: a/b: literal `from 192.0.2.1` never matches: the normaliser makes it `from "
      "{ip}`; write it as the normaliser does");
  expect_problem(
      head + "\"550 full\"\n",
      "r.toml:1: a/b: literal `550 full` never matches: the normaliser makes it `full`; codes "
      "are taken off the text: use `smtp` and `enhanced`");
  EXPECT_TRUE(problems(head + "[\" rbl \", \"from [{ip}]\", \"(s3150)\"]\n").empty());
}

TEST(RuleFile, DuplicatesAndMissingCauses) {
  const std::string rule = "[[rule]]\nid = \"a/b\"\ncause = \"mailbox.full\"\nany = \"full\"\n";
  expect_problem(rule + rule, "r.toml:5: a/b: duplicate id, first at r.toml:1");
  RuleFiles none;
  RuleSet::validate(none);
  EXPECT_EQ(none.problems.size(), kBuiltinCauses - 1u);
}

TEST(RuleFile, Patterns) {
  CodePattern code;
  EXPECT_TRUE(parse_code_pattern("5xx", code) && code.matches(599) && !code.matches(450));
  EXPECT_TRUE(parse_code_pattern("55x", code) && code.matches(552) && !code.matches(540));
  EXPECT_FALSE(parse_code_pattern("5x0", code));
  EnhancedPattern enhanced;
  EXPECT_TRUE(parse_enhanced_pattern("x.2.2", enhanced));
  EXPECT_TRUE(enhanced.matches({2, 2, 4}) && enhanced.matches({2, 2, 5}));
  EXPECT_FALSE(enhanced.matches({2, 1, 5}) || enhanced.matches({}));
  EXPECT_TRUE(parse_enhanced_pattern("5.7.x", enhanced));
  EXPECT_TRUE(enhanced.matches({7, 509, 5}));
  EXPECT_FALSE(parse_enhanced_pattern("3.1.1", enhanced));
}

TEST(RuleFile, LoadNamesTheFirstProblem) {
  TempDir dir;
  dir.write("causes.toml", testing::shipped_causes());
  dir.write("policy.toml", "not = \"ours\"");
  dir.write("x.toml",
            "\n\n\n\n[[rule]]\nid = \"x/y\"\nwrong = 1\ncause = \"mailbox.full\"\nany = \"q\"\n");
  RuleSetOptions options;
  options.rules_dir = dir.path;
  const auto bad = load_rules(options);
  ASSERT_FALSE(bad.has_value());
  EXPECT_EQ(bad.error().code, ErrorCode::data);
  EXPECT_EQ(bad.error().message(), "bounced: load rules: " + (dir.path / "x.toml").string() +
                                       ":7: x/y: unknown key `wrong`; see `bounced rules check`");
  options.rules_dir = (dir.path / "nowhere").string();
  const auto missing = load_rules(options);
  ASSERT_FALSE(missing.has_value());
  EXPECT_EQ(missing.error().code, ErrorCode::io);
}

TEST(RuleFile, OperatorsDirectoriesInOrder) {
  TempDir base, first, second;
  base.write("causes.toml", testing::shipped_causes());
  const auto rule = [](const std::string& id) {
    return "[[rule]]\nid = \"" + id + "\"\ncause = \"mailbox.full\"\nany = \"full\"\n";
  };
  base.write("a.toml", rule("base/x"));
  first.write("a.toml", rule("first/x"));
  second.write("a.toml", rule("second/x"));
  RuleSetOptions options;
  options.rules_dir = base.path;
  options.operator_dirs = {first.path, second.path};
  const auto rules = load_rules(options);
  ASSERT_TRUE(rules.has_value()) << rules.error().message();
  Classifier classifier(*rules);
  Failure f;
  f.diagnostic = "550 full";
  EXPECT_EQ(rule_name(**rules, classifier.classify(f).rule), "first/x");
}

TEST(RuleFile, DatabaseIsCachedAndADamagedCacheIsMadeAnew) {
  TempDir dir;
  const std::string text =
      "[[rule]]\nid = \"a/b\"\ncause = \"mailbox.full\"\nany = \"full\"\nregex = \"q+z\"\n";
  const auto first = testing::make_rules({{"r.toml", text, 0}}, dir.path);
  ASSERT_NE(first, nullptr);
  EXPECT_FALSE(first->databases.from_cache);
  const auto second = testing::make_rules({{"r.toml", text, 0}}, dir.path);
  EXPECT_TRUE(second->databases.from_cache);
  fs::path file;
  for (const auto& entry : fs::directory_iterator(dir.path)) file = entry.path();
  for (const std::uintmax_t at : {std::uintmax_t{3}, fs::file_size(file) - 5}) {
    std::fstream stream(file, std::ios::in | std::ios::out | std::ios::binary);
    stream.seekp(static_cast<std::streamoff>(at));
    stream.put('!');
    stream.close();
    const auto third = testing::make_rules({{"r.toml", text, 0}}, dir.path);
    EXPECT_FALSE(third->databases.from_cache);
    EXPECT_TRUE(testing::make_rules({{"r.toml", text, 0}}, dir.path)->databases.from_cache);
  }
  fs::resize_file(file, 20);
  EXPECT_FALSE(testing::make_rules({{"r.toml", text, 0}}, dir.path)->databases.from_cache);
  // Other patterns, another file; an unwritable folder is no error.
  const std::string other = "[[rule]]\nid = \"a/c\"\ncause = \"mailbox.full\"\nany = \"other\"\n";
  EXPECT_FALSE(testing::make_rules({{"r.toml", other, 0}}, dir.path)->databases.from_cache);
  EXPECT_NE(testing::make_rules({{"r.toml", text, 0}}, "/proc/nowhere"), nullptr);
}

TEST(Check, SamplesAndMisses) {
  const std::string causes = testing::shipped_causes();
  const auto report = check_rule_text(causes, R"([[rule]]
id = "a/one"
cause = "mailbox.full"
any = "full"
samples = ["550 mailbox full", "550 nothing here"]
misses = ["550 full of joy"]
[[rule]]
id = "a/two"
cause = "mailbox.unknown"
any = "box"
samples = ["550 no box, full"]
)");
  std::vector<std::string> errors;
  for (const Problem& p : report.problems) {
    if (p.level == Problem::Level::error) errors.push_back(p.text());
  }
  ASSERT_EQ(errors.size(), 3u) << ::testing::PrintToString(errors);
  EXPECT_EQ(errors[0].rfind("rules.toml:5: a/one: sample \"550 nothing here\" does not match", 0),
            0u);
  EXPECT_EQ(errors[1].rfind("rules.toml:6: a/one: miss \"550 full of joy\" is won by this rule", 0),
            0u);
  EXPECT_EQ(errors[2].rfind("rules.toml:11: a/two: sample \"550 no box, full\" is won by a/one", 0),
            0u);
  EXPECT_EQ(report.samples, 3u);
  EXPECT_EQ(report.misses, 1u);
}

TEST(Check, ShadowedAndUnreachable) {
  const auto report = check_rule_text(testing::shipped_causes(), R"([[rule]]
id = "a/strong"
cause = "mailbox.full"
any = ["box is full"]
smtp = "5xx"
samples = "552 box is full"
[[rule]]
id = "a/weak"
cause = "mailbox.unknown"
any = ["the box is full", "no box"]
smtp = "5xx"
kind = "bounced"
samples = "550 no box"
[[rule]]
id = "a/never"
cause = "mailbox.unknown"
any = ["box is full"]
samples = "550 box is full"
)");
  bool shadowed = false, unreached = false;
  for (const Problem& p : report.problems) {
    shadowed = shadowed || (p.rule == "a/never" && p.level == Problem::Level::error &&
                            p.message.find("won by a/strong") != std::string::npos);
    unreached = unreached ||
                (p.rule == "routing.loop" && p.message == "no rule's sample reaches this cause" &&
                 p.file == "causes.toml" && p.line > 0);
  }
  EXPECT_TRUE(shadowed);
  EXPECT_TRUE(unreached);
}

TEST(Check, CategoriesInTheWrongColumn) {
  std::string causes = testing::shipped_causes();
  const std::string from = "category_temporary = \"Others\"";
  causes.replace(causes.find(from), from.size(), "category_temporary = \"Bad Mailbox\"");
  const auto report = check_rule_text(causes, "");
  ASSERT_GE(report.errors(), 1u);
  EXPECT_NE(report.problems[0].message.find("of the permanent list"), std::string::npos);
}

TEST(Check, ListsRules) {
  const auto rules = testing::make_rules(
      "[[rule]]\nid = \"a/b\"\ncause = \"mailbox.full\"\nany = \"full\"\nnot = \"x\"\nregex = "
      "\"q+z\"\n");
  ASSERT_NE(rules, nullptr);
  const auto listing = list_rules(*rules);
  ASSERT_EQ(listing.size(), 1u);
  EXPECT_EQ(listing[0].where, "test.toml:1");
  EXPECT_EQ(listing[0].literals, (std::vector<std::string>{"full", "-x", "/q+z/"}));
}

}  // namespace
}  // namespace bounced::classify
