// Templates of texts, and the literals that rules for them may look for.
#include <gtest/gtest.h>

#include "classify/normalise.h"
#include "classify/templates.h"

namespace bounced::classify {
namespace {

TEST(Templates, WordsThatVaryBecomeVariable) {
  TemplateMiner miner;
  const std::size_t first = miner.add("mailbox for user anna is frozen");
  EXPECT_EQ(miner.add("mailbox for user bob is frozen"), first);
  EXPECT_EQ(miner.text(first), "mailbox for user {*} is frozen");
  EXPECT_EQ(miner.add("mailbox for user carol is frozen"), first);
  EXPECT_NE(miner.add("mailbox for user anna is frozen solid"), first) << "another length";
  EXPECT_NE(miner.add("greetings from the far end here"), first) << "other words";
  EXPECT_EQ(miner.size(), 3u);
}

TEST(Templates, BeginningsThatVaryDoNotKeepTextsApart) {
  TemplateMiner miner;
  const std::size_t first = miner.add("x17-3 is the ticket of this refusal");
  EXPECT_EQ(miner.add("x99-8 is the ticket of this refusal"), first);
  EXPECT_EQ(miner.text(first), "{*} is the ticket of this refusal");
}

TEST(Templates, MemoryIsBounded) {
  TemplateMiner::Options options;
  options.templates_max = 10;
  TemplateMiner miner(options);
  std::size_t none = 0;
  for (int i = 0; i < 100; ++i) {
    const std::string n(static_cast<std::size_t>(i % 50) + 1, 'q');
    none += miner.add(n + " " + n + "a " + n + "b") == TemplateMiner::kNone ? 1 : 0;
  }
  EXPECT_EQ(miner.size(), 10u);
  EXPECT_EQ(none, 80u);
  EXPECT_EQ(miner.add(""), TemplateMiner::kNone);
}

TEST(Templates, LiteralsAreWhatTheNormaliserLeavesAlone) {
  TemplateMiner miner;
  const std::size_t number =
      miner.add("<{addr}>: mailbox frozen, case 4711 of the registry office");
  const std::vector<std::string> literals = literals_of(miner.words(number));
  ASSERT_EQ(literals.size(), 2u);
  EXPECT_EQ(literals[0], "of the registry office");
  EXPECT_EQ(literals[1], "mailbox frozen, case");
  Normaliser normaliser;
  Normalised normal;
  for (const std::string& literal : literals) {
    normaliser.run(literal, 0, normal);
    EXPECT_EQ(normal.text, literal);
  }
  EXPECT_TRUE(literals_of({"{addr}", "x", "{*}"}).empty());
}

}  // namespace
}  // namespace bounced::classify
