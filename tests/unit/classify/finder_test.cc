// Finder and Phrases against std::string::find: the same patterns in any text, whichever words were
// met before.
#include "classify/finder.h"

#include <gtest/gtest.h>

#include <random>
#include <set>

#include "fixtures.h"
#include "reference.h"

namespace bounced::classify {
namespace {

using testing::found_by;
using testing::literals_in;

/// Literals ready to be found.
struct Lexicon {
  Texts texts;
  Databases databases;
  Phrases phrases;
  std::size_t size = 0;

  explicit Lexicon(const std::vector<std::string>& literals, const std::string& regex = {})
      : phrases(literals), size(literals.size()) {
    Patterns patterns;
    patterns.literals = literals;
    for (const std::string& literal : literals) texts.add(literal);
    if (!regex.empty()) {
      patterns.regexes.push_back(regex);
      texts.add(regex);
    }
    auto made = make_databases(patterns, "");
    if (made) databases = std::move(*made);
    EXPECT_TRUE(made.has_value());
  }
};

TEST(Phrases, ABlankBetweenTwoWordsMakesAPhrase) {
  for (const char* text : {"user unknown", " a b", "a b ", "a  b", "\xe4\xbf\xa1 b"}) {
    EXPECT_TRUE(Phrases::is_phrase(text)) << text;
  }
  for (const char* text : {"unknown", " ip ", "ip ", " ip", "a", " ", "", "  "}) {
    EXPECT_FALSE(Phrases::is_phrase(text)) << text;
  }
}

TEST(Finder, FindsWordsPartsOfWordsAndPhrases) {
  const Lexicon lexicon({"user unknown", "nknow", " ip ", "ip", "no such user", "er unkno",
                         "unknown ", " user", "is not a very long phrase with many words in it"},
                        "u+n[k]");
  Finder finder(lexicon.databases, lexicon.phrases, lexicon.texts);
  const std::uint32_t regex = 9;
  using List = std::vector<std::uint32_t>;
  for (int round = 0; round < 2; ++round) {
    EXPECT_EQ(found_by(finder, "user unknown"), (List{0, 1, 5, regex}));
    EXPECT_EQ(found_by(finder, "superuser unknowns"), (List{0, 1, 5, regex}));
    EXPECT_EQ(found_by(finder, "user unknown here"), (List{0, 1, 5, 6, regex}));
    EXPECT_EQ(found_by(finder, "user  unknown"), (List{1, regex}));
    EXPECT_EQ(found_by(finder, "ip"), (List{3}));
    EXPECT_EQ(found_by(finder, "the ip is"), (List{2, 3}));
    EXPECT_EQ(found_by(finder, "recipient ip"), (List{3}));
    EXPECT_EQ(found_by(finder, "no such user"), (List{4, 7}));
    EXPECT_EQ(found_by(finder, "no such"), List{});
    EXPECT_EQ(found_by(finder, ""), List{});
    EXPECT_EQ(found_by(finder, " "), List{});
    EXPECT_EQ(found_by(finder, "this is not a very long phrase with many words in its middle"),
              (List{8}));
    EXPECT_EQ(found_by(finder, "this is not a very long phrase with many words on it"), List{});
  }
}

TEST(Finder, WithoutAnyLiteralItFindsNothing) {
  const Lexicon lexicon({});
  Finder finder(lexicon.databases, lexicon.phrases, lexicon.texts);
  EXPECT_TRUE(finder.run("user unknown").empty());
  EXPECT_TRUE(finder.run("user unknown").empty());
}

std::string random_text(std::mt19937& random, std::size_t size, std::string_view letters) {
  std::string text;
  while (text.size() < size) text += letters[random() % letters.size()];
  return text;
}

/// One blank at most at an edge, as rule files are held to.
bool is_literal(std::string_view text) {
  const auto first = text.find_first_not_of(' ');
  return first < 2 && text.find_last_not_of(' ') + 2 >= text.size();
}

/// A few letters and many blanks: words and literals meet in every way there is.
TEST(Finder, EqualToPlainSearchForRandomLiterals) {
  std::mt19937 random(20261122);
  for (int set = 0; set < 60; ++set) {
    const std::string_view letters = set % 3 == 0 ? "ab " : set % 3 == 1 ? "aab  c" : "abcdefgh  ";
    std::set<std::string> distinct;
    for (int i = 0; i < 40; ++i) {
      const std::string literal = random_text(random, 1 + random() % 14, letters);
      if (is_literal(literal)) distinct.insert(literal);
    }
    const Lexicon lexicon(std::vector<std::string>(distinct.begin(), distinct.end()));
    Finder finder(lexicon.databases, lexicon.phrases, lexicon.texts);
    for (int i = 0; i < 200; ++i) {
      const std::string text = random_text(random, random() % 120, letters);
      const auto expected = literals_in(text, lexicon.texts, lexicon.size);
      ASSERT_EQ(found_by(finder, text), expected) << "`" << text << "`";
      ASSERT_EQ(found_by(finder, text), expected) << "again: `" << text << "`";
    }
  }
}

/// More words than are kept, and longer ones: the table grows, is emptied and filled anew.
TEST(Finder, WordsWithoutEndAreForgottenAndFoundAgain) {
  const Lexicon lexicon({"user unknown", "abc", "q7", " zz ", "known x", "b c"});
  Finder finder(lexicon.databases, lexicon.phrases, lexicon.texts);
  std::mt19937 random(7);
  for (int i = 0; i < 4'000; ++i) {
    std::string text = "user unknown";
    for (int word = 0; word < 12; ++word) {
      const bool known = random() % 4 == 0;
      text += ' ' + (known ? std::string("zz") : random_text(random, 1 + random() % 9, "abcq7xz"));
    }
    if (i % 50 == 0) text += ' ' + random_text(random, 60 + random() % 600, "abcq7xz");
    ASSERT_EQ(found_by(finder, text), literals_in(text, lexicon.texts, lexicon.size)) << text;
  }
}

TEST(Finder, EqualToPlainSearchForTheShippedLiterals) {
  const auto loaded = load_rules({});
  ASSERT_TRUE(loaded.has_value());
  const RuleSet& rules = **loaded;
  Finder finder(rules.databases, rules.phrases, rules.pattern_texts);
  std::mt19937 random(42);
  for (int i = 0; i < 1'500; ++i) {
    std::string text;
    for (std::size_t n = 1 + random() % 6; n > 0; --n) {
      if (random() % 4 != 0 && !text.empty()) text += ' ';
      const std::string_view literal = rules.pattern_texts[random() % rules.literals];
      text += literal.substr(random() % 8 == 0 ? random() % literal.size() : 0);
    }
    ASSERT_EQ(found_by(finder, text), literals_in(text, rules.pattern_texts, rules.literals))
        << text;
  }
}

}  // namespace
}  // namespace bounced::classify
