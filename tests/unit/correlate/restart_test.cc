// A run that is cut and reloaded at random moments equals the uninterrupted one, byte for byte.
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "correlate/correlate.h"
#include "scenario.h"

namespace bounced::correlate {
namespace {

using test::Outcome;
using test::RecordBuilder;
using test::Runner;
using test::Scenario;
using test::TempDir;

void expect_same(unsigned seed, std::uint64_t keys, std::size_t entries_max, bool bounded) {
  constexpr int kBatches = 25;
  Scenario plain(seed, keys, kBatches);
  Runner reference(entries_max);
  const Outcome expected = reference.run(plain, 0);
  ASSERT_FALSE(expected.events.empty());
  ASSERT_GT(expected.stored.size(), 1u);
  if (bounded) {
    EXPECT_GT(reference.evicted(), 0u) << "the scenario must press against the bound";
  }
  for (const unsigned every : {1u, 3u, 12u}) {
    Scenario again(seed, keys, kBatches);
    Runner runner(entries_max);
    const Outcome actual = runner.run(again, every);
    ASSERT_EQ(actual.events, expected.events) << "seed " << seed << " every " << every;
    ASSERT_EQ(actual.stored, expected.stored) << "seed " << seed << " every " << every;
    if (bounded && every == 1) {
      EXPECT_GT(runner.spilled(), 0u);
    }
  }
}

TEST(Restart, EqualsTheUninterruptedRun) {
  for (unsigned seed = 1; seed <= 3; ++seed) expect_same(seed, 30, 1'000'000, false);
}

TEST(Restart, EqualsItAlsoWhenMessagesAreEvictedAndSpilled) {
  for (unsigned seed = 11; seed <= 13; ++seed) expect_same(seed, 120, 12, true);
}

TEST(Restart, LogicalFormOfARecordHoldsNoKeyedIds) {
  const auto stored = [](std::uint64_t salt, const char* who) {
    RecordBuilder r;
    const Verdict full = test::verdict(Cause::mailbox_full, Fault::recipient);
    r.event(EventKind::deferred, 5, 1, who, "452 full", &full).recipient_id.lo ^= salt;
    store::Names names;
    Correlator correlator({}, names);
    std::vector<Event*> out;
    Cursor cursor;
    correlator.apply(r.batch, cursor, INT64_MAX, out);
    store::WriteSet set;
    correlator.append_to(set);
    std::vector<std::string> all;
    const auto& part = set.part(store::Family::open);
    for (const auto& entry : part.entries) {
      const auto logical = logical_open(entry.key(), entry.value());
      EXPECT_TRUE(logical.has_value());
      all.push_back(*logical);
    }
    return all;
  };
  EXPECT_EQ(stored(0, "a@x").size(), 2u) << "the message and the clock";
  EXPECT_EQ(stored(0, "a@x"), stored(77, "a@x"));
  EXPECT_NE(stored(0, "a@x"), stored(0, "b@x"));
  EXPECT_FALSE(logical_open("12345678", "\x09").has_value());
}

TEST(Restart, ADamagedRecordIsAClearError) {
  TempDir dir;
  auto opened = store::Store::open(dir.path + "/d", {});
  ASSERT_TRUE(opened.has_value());
  store::WriteSet set;
  std::string key;
  store::append_u64_be(key, 0x1234);
  set.put(store::Family::open, key, std::string_view("\x01\x02\x03", 3));
  ASSERT_TRUE((*opened)->commit(set, false).has_value());
  store::Names names;
  Correlator correlator({}, names);
  const auto loaded = correlator.load(**opened);
  ASSERT_FALSE(loaded.has_value());
  EXPECT_EQ(loaded.error().code, ErrorCode::data);
  EXPECT_NE(loaded.error().message().find("1234"), std::string::npos);
}

}  // namespace
}  // namespace bounced::correlate
