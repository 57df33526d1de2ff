// What words weigh: features, learning, and the vote of words, rules and codes.
#include "classify/learned.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "bounced/classifier.h"
#include "classify/learn.h"
#include "classify/rule_file.h"
#include "classify/rule_set.h"
#include "fixtures.h"

namespace bounced::classify {
namespace {

Reply reply(std::string_view text, std::uint16_t code = 550) {
  Reply made;
  made.text = text;
  made.smtp_code = code;
  return made;
}

std::vector<Feature> all_of(const Features& features) {
  std::vector<Feature> all;
  features.all({}, all);
  return all;
}

std::set<std::string> names_of(const Reply& reply) {
  Features features;
  features.read(reply);
  std::set<std::string> names;
  for (const Feature& feature : all_of(features)) names.insert(features.name(feature, reply));
  return names;
}

std::multiset<std::uint32_t> hashes(std::string_view text, std::uint16_t code = 550) {
  Features features;
  features.read(reply(text, code));
  std::multiset<std::uint32_t> all;
  for (const Feature& feature : all_of(features)) all.insert(feature.hash);
  return all;
}

TEST(Features, WhatLogsMaskIsLeftOut) {
  EXPECT_EQ(hashes("empfänger unbekannt"), hashes("empf?nger unbekannt"));
  EXPECT_EQ(hashes("empfänger unbekannt"), hashes("empf??nger unbekannt"));
  EXPECT_EQ(hashes("doesn't exist"), hashes("doesnt exist"));
  EXPECT_NE(hashes("empfänger unbekannt"), hashes("empfanger unbekannt"));
}

TEST(Features, NumbersAreOne) {
  EXPECT_EQ(hashes("ticket 12 x9y"), hashes("ticket 48291 x77y"));
  EXPECT_NE(hashes("ticket 12"), hashes("ticket twelve"));
  EXPECT_NE(hashes("ticket 12", 550), hashes("ticket 12", 552));
}

TEST(Features, CharactersAreTheWordsOfScriptsWithoutBlanks) {
  const std::set<std::string> names = names_of(reply("邮箱已满 full"));
  for (const char* name : {"邮", "邮 箱", "满 full", "full", "550", "5xx", "no enhanced code"}) {
    EXPECT_EQ(names.count(name), 1u) << name;
  }
}

TEST(Features, AnyBytesAreRead) {
  Features features;
  std::string text;
  for (int round = 0; round < 3000; ++round) {
    text += static_cast<char>(round * 37 + round / 7);
    features.read(reply(text));
    ASSERT_LE(all_of(features).size(), Features::kWordsMax * (Features::kOfWord + 1) + 7);
  }
  features.read(reply("{"));
  features.read(reply("{addr"));
  features.read(reply("\xe9"));
  features.read(reply(""));
  EXPECT_EQ(all_of(features).size(), 7u);
}

TEST(Features, BeginningsAndEndsOfAWord) {
  const std::set<std::string> names = names_of(reply("unreachable gone неизвестен"));
  for (const char* name : {"unr...", "unrea...", "unreacha...", "...able", "gon...", "gone",
                           "неи...", "неизв...", "неизвест...", "...стен"}) {
    EXPECT_EQ(names.count(name), 1u) << name;
  }
  EXPECT_EQ(names.count("...gone"), 0u) << "a word is not its own end";
}

TEST(Features, AWordAndAPairCountOnce) {
  EXPECT_EQ(hashes("gone gone gone"), hashes("gone gone"));
  EXPECT_EQ(hashes("is gone is gone is"), hashes("is gone is"));
  EXPECT_NE(hashes("gone gone"), hashes("gone"));
}

TEST(Features, OfARuleOnlyWhereOneHolds) {
  Features features;
  Reply made = reply("gone");
  features.read(made);
  EXPECT_TRUE(features.rules().empty());
  made.ruled = {Cause::mailbox_unknown, 95, 12};
  features.read(made);
  EXPECT_EQ(features.rules().size(), 2u);
}

Lesson lesson(const char* text, Cause cause) {
  Lesson made;
  made.diagnostic = text;
  made.cause = cause;
  return made;
}

std::vector<Lesson> lessons() {
  std::vector<Lesson> all;
  for (int i = 0; i < 4; ++i) {
    all.push_back(lesson("550 nobody of that name", Cause::mailbox_unknown));
    all.push_back(lesson("550 we know nobody called so", Cause::mailbox_unknown));
    all.push_back(lesson("550 your host is not welcome", Cause::sender_ip_listed));
    all.push_back(lesson("550 we welcome no such host", Cause::sender_ip_listed));
    all.push_back(lesson("550 please confirm that you are human", Cause::notice_challenge));
  }
  return all;
}

TEST(Learned, WordsDecideAndABonusHolds) {
  const Learned learned = learn(lessons(), {});
  ASSERT_FALSE(learned.empty());
  Weigher weigher(learned);
  const Reply nobody = reply("nobody here");
  const auto words = weigher.weigh(nobody, Cause::unknown_permanent, 0);
  EXPECT_EQ(words.cause, Cause::mailbox_unknown);
  EXPECT_GT(words.margin, 0);
  EXPECT_GT(words.by_words, 0);
  const auto reasons = weigher.reasons(nobody, 3);
  ASSERT_FALSE(reasons.empty());
  EXPECT_EQ(reasons[0].feature, "nobody");
  EXPECT_EQ(weigher.weigh(reply("nobody here"), Cause::mailbox_full, 1000).cause,
            Cause::mailbox_full);
}

/// Two causes of the same words: close to each other, and both far from the rest.
TEST(Learned, HowFarCausesOfOneKindLeadAllOthers) {
  auto all = lessons();
  for (int i = 0; i < 2; ++i)
    all.push_back(lesson("550 nobody of that name", Cause::mailbox_moved));
  const Learned learned = learn(all, {});
  Weigher weigher(learned);
  const auto words = weigher.weigh(reply("nobody of that name"), Cause::unknown_permanent, 0);
  ASSERT_EQ(words.cause, Cause::mailbox_unknown);
  const auto bit = [](Cause cause) { return Weigher::Causes{1} << static_cast<unsigned>(cause); };
  EXPECT_EQ(weigher.over_others(0), words.margin);
  EXPECT_EQ(weigher.over_others(bit(Cause::sender_ip_listed)), words.margin);
  EXPECT_GT(weigher.over_others(bit(Cause::mailbox_moved)), words.margin);
  EXPECT_EQ(weigher.over_others(~Weigher::Causes{0}), 0);
}

/// The same words and codes, told to the sender's name and to the recipient's.
TEST(Learned, ThePhaseWithACodeDecides) {
  std::vector<Lesson> all;
  for (int i = 0; i < 16; ++i) {
    for (const std::uint16_t code : {550, 450}) {
      for (const Phase phase : {Phase::mail, Phase::rcpt}) {
        Lesson told = lesson("qwertz", Cause::none);
        told.smtp_code = code;
        told.phase = phase;
        told.cause = (code == 550) == (phase == Phase::rcpt) ? Cause::mailbox_unknown
                                                             : Cause::sender_rejected;
        all.push_back(told);
      }
    }
  }
  const Learned learned = learn(all, {});
  Weigher weigher(learned);
  for (const Lesson& told : all) {
    Reply asked = reply("qwertz");
    asked.smtp_code = told.smtp_code;
    asked.phase = told.phase;
    EXPECT_EQ(weigher.weigh(asked, Cause::unknown_permanent, 0).cause, told.cause);
  }
}

TEST(Learned, HowFarARuleIsToBeTrusted) {
  auto all = lessons();
  for (int i = 0; i < 8; ++i) {  // a weak rule is always wrong, a sure one always right
    Lesson taught = lesson(i % 2 == 0 ? "550 qwertz" : "550 zxcvb", Cause::policy_local);
    taught.ruled = {Cause::mailbox_unknown, 60, 4};
    all.push_back(taught);
    taught.cause = Cause::mailbox_full;
    taught.ruled = {Cause::mailbox_full, 97, 40};
    all.push_back(taught);
  }
  const Learned learned = learn(all, {});
  Weigher weigher(learned);
  Reply asked = reply("qwertz");
  asked.ruled = {Cause::mailbox_unknown, 60, 4};
  EXPECT_EQ(weigher.weigh(asked, Cause::mailbox_unknown, 0).cause, Cause::policy_local);
  asked.ruled = {Cause::mailbox_full, 97, 40};
  EXPECT_EQ(weigher.weigh(asked, Cause::mailbox_full, 0).cause, Cause::mailbox_full);
}

/// More words than are kept, so that they push each other out.
TEST(Learned, WhatWasMetBeforeMakesNoDifference) {
  auto all = lessons();
  const Learned learned = learn(all, {});
  Weigher worn(learned);
  std::mt19937 random(7);
  const char* const words[] = {"nobody", "host", "welcome", "name", "human", "such"};
  for (int i = 0; i < 3000; ++i) {
    std::string text;
    for (int w = 0; w < 4; ++w) {
      text += w % 2 == 0 ? words[random() % 6]
                         : "w" + std::string(1 + random() % 9, 'a' + random() % 26);
      text += ' ';
    }
    Weigher fresh(learned);
    const auto one = worn.weigh(reply(text), Cause::policy_local, 3);
    const auto other = fresh.weigh(reply(text), Cause::policy_local, 3);
    ASSERT_EQ(one.cause, other.cause) << text;
    ASSERT_EQ(one.margin, other.margin) << text;
  }
}

Concepts concepts_of(const std::vector<std::pair<std::string_view, std::string_view>>& rows) {
  std::vector<std::string> names;
  std::vector<Concepts::Entry> entries;
  for (const auto& [name, words] : rows) {
    EXPECT_TRUE(read_concept(name, words, names, entries)) << name;
  }
  return Concepts(entries);
}

Concepts::Meaning meaning_of(const Concepts& concepts, std::string_view text) {
  Features features;
  features.read(reply(text));
  return concepts.of(features.word(features.words().front()));
}

TEST(Concepts, OfWholeWordsAndOfTheLongestBeginning) {
  const Concepts concepts = concepts_of({{"not", "no nicht 没"},
                                         {"user", "user* empf*"},
                                         {"not user", "userless"},
                                         {"known", "userk*"}});
  using Meaning = Concepts::Meaning;
  EXPECT_EQ(meaning_of(concepts, "nicht"), (Meaning{1, 0}));
  EXPECT_EQ(meaning_of(concepts, "nichts"), (Meaning{0, 0}));
  EXPECT_EQ(meaning_of(concepts, "users"), (Meaning{2, 0}));
  EXPECT_EQ(meaning_of(concepts, "userless"), (Meaning{1, 2}));
  EXPECT_EQ(meaning_of(concepts, "userkit"), (Meaning{3, 0}));
  EXPECT_EQ(meaning_of(concepts, "没"), (Meaning{1, 0}));
  EXPECT_EQ(meaning_of(concepts, "empf?nger"), meaning_of(concepts, "empfänger"));
  EXPECT_EQ(meaning_of(Concepts(), "nicht"), (Meaning{0, 0}));
}

TEST(Concepts, WhatIsNoWordIsNamed) {
  for (const auto& [name, words, told] :
       {std::tuple{"user", "one-two", "is not one word"},
        std::tuple{"a b c", "no", "more than two"},
        std::tuple{"user", "x@example.com", "is taken for what varies"},
        std::tuple{"user", "no", "another meaning"}}) {
    std::vector<std::string> names;
    std::vector<Concepts::Entry> entries;
    ASSERT_TRUE(read_concept("not", "no", names, entries));
    const auto read = read_concept(name, words, names, entries);
    ASSERT_FALSE(read) << words;
    EXPECT_NE(read.error().message().find(told), std::string::npos) << read.error().message();
  }
}

TEST(Learned, AWordOfTheSameMeaningIsUnderstood) {
  const Concepts concepts = concepts_of({{"not", "nobody niemand"}, {"host", "host rechner"}});
  const Learned plain = learn(lessons(), {}), learned = learn(lessons(), concepts);
  EXPECT_EQ(Weigher(plain).weigh(reply("niemand"), Cause::unknown_permanent, 0).cause, Cause::none);
  EXPECT_EQ(Weigher(learned).weigh(reply("niemand"), Cause::unknown_permanent, 0).cause,
            Cause::mailbox_unknown);
  EXPECT_EQ(Weigher(learned).weigh(reply("rechner"), Cause::unknown_permanent, 0).cause,
            Cause::sender_ip_listed);
  EXPECT_NE(plain.fingerprint(), learned.fingerprint());
}

TEST(Learned, CodesAloneSayNothingAndNobodyFailsNotByWords) {
  const Learned learned = learn(lessons(), {});
  Weigher weigher(learned);
  EXPECT_EQ(weigher.weigh(reply("qwertz zxcvb"), Cause::unknown_permanent, 0).cause, Cause::none);
  EXPECT_EQ(weigher.weigh(reply("confirm that you are human"), Cause::policy_local, 0).cause,
            Cause::none);
  EXPECT_EQ(weigher.weigh(reply("confirm that you are human"), Cause::notice_challenge, 8).cause,
            Cause::notice_challenge);
}

TEST(Learned, TheSameLessonsMakeTheSameModel) {
  EXPECT_EQ(learn(lessons(), {}).fingerprint(), learn(lessons(), {}).fingerprint());
  auto other = lessons();
  other.push_back(lesson("550 nobody", Cause::mailbox_full));
  EXPECT_NE(learn(other, {}).fingerprint(), learn(lessons(), {}).fingerprint());
}

TEST(Learned, NothingLearnedSaysNothing) {
  const Learned nothing;
  Weigher weigher(nothing);
  EXPECT_EQ(weigher.weigh(reply("nobody here"), Cause::mailbox_full, 0).cause, Cause::none);
}

/// One weak rule of ours and one of an operator.
std::shared_ptr<const RuleSet> rules_with_words() {
  RuleFiles files;
  read_rule_text(testing::shipped_causes(), "causes", 0, files);
  read_rule_text(
      "[[rule]]\nid=\"t/weak\"\ncause=\"mailbox.unknown\"\nconfidence=0.6\nany=[\"host\"]\n",
      "ours", 0, files);
  read_rule_text(
      "[[rule]]\nid=\"o/final\"\ncause=\"mailbox.unknown\"\nconfidence=0.6\nany=[\"my host\"]\n",
      "theirs", 1, files);
  files.learned = learn(lessons(), {});
  auto set = RuleSet::build(std::move(files), "");
  return set ? *set : nullptr;
}

TEST(Learned, WordsOverruleAWeakRuleButNoOperators) {
  const auto rules = rules_with_words();
  ASSERT_NE(rules, nullptr);
  Classifier classifier(rules), without(rules, {true, {}, false});
  Failure failure;
  failure.diagnostic = "550 your host is not welcome, we welcome no such host";
  Explanation why;
  const Verdict verdict = classifier.explain(failure, why);
  EXPECT_EQ(rule_name(*rules, verdict.rule), "learned/sender.ip_listed");
  EXPECT_EQ(classifier.classify(failure).rule, verdict.rule);
  EXPECT_LT(verdict.confidence, 95);
  ASSERT_FALSE(why.words.empty());
  EXPECT_FALSE(why.matches.at(0).won);
  const Classifier::Span span = classifier.span(failure);
  EXPECT_LT(span.begin, span.end);
  EXPECT_EQ(rule_name(*rules, without.classify(failure).rule), "t/weak");
  failure.diagnostic = "550 my host is not welcome, we welcome no such host";
  EXPECT_EQ(rule_name(*rules, classifier.classify(failure).rule), "o/final");
}

/// Of the program itself: what the issue of a bare code is must not become a dead mailbox.
TEST(Learned, WordsThatNobodyKnowsLeaveTheCode) {
  const auto rules = load_rules({});
  ASSERT_TRUE(rules);
  Classifier classifier(*rules);
  for (const char* text : {"550", "550 5.0.0", "550 qwertz zxcvb", "554 qqq", "550 5.7.1 zzyzx"}) {
    Failure failure;
    failure.diagnostic = text;
    const Verdict verdict = classifier.classify(failure);
    EXPECT_FALSE(verdict.hard()) << text;
    EXPECT_EQ(rule_name(**rules, verdict.rule).substr(0, 5), "code/") << text;
  }
}

}  // namespace
}  // namespace bounced::classify
