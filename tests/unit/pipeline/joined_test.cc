// Messages that begin and end within a batch need no entry: joined by parse and taken by correlate
// at once, everything is counted as without.
#include <gtest/gtest.h>

#include <optional>
#include <vector>

#include "../correlate/scenario.h"
#include "base/message.h"
#include "parse/local_finder.h"

namespace bounced {
namespace {

using correlate::Correlator;
using correlate::test::Outcome;
using correlate::test::Runner;
using correlate::test::Scenario;

/// What the batches lack to be UTC.
constexpr std::int64_t kAddUs = 7'200'000'000;

/// What a parser does as it goes, on a batch that is already there. Times go back by kAddUs.
void find_local(parse::LocalFinder& finder, Batch& batch) {
  finder.start();
  std::size_t at = 0;
  const auto take_event = [&] {
    Event& event = batch.events[at++];
    event.time_us -= kAddUs;
    batch.times.see(event.time_us, TimeForm::local);
    finder.event(batch, event);
  };
  for (Note& note : batch.notes) {
    while (at < note.before_event) take_event();
    note.time_us -= kAddUs;
    batch.times.see(note.time_us, TimeForm::local);
    const std::string_view text = batch.view(note.text);
    if (note.kind == NoteKind::message_id && usable_id(text)) {
      note.text_key = message_fingerprint(text);
    }
    finder.note(batch, note);
  }
  while (at < batch.events.size()) take_event();
  finder.finish(batch);
}

struct Joined {
  parse::LocalFinder finder;
  std::uint64_t whole = 0, taken = 0, left = 0;
  /// What a worker takes for kAddUs, batch by batch.
  std::vector<std::optional<std::int64_t>> guesses = {std::nullopt};
  std::uint64_t batches = 0;

  bool operator()(Correlator& correlator, Batch& batch, std::vector<Event*>& out) {
    find_local(finder, batch);
    for (const LocalMessage& message : batch.local) whole += message.whole;
    const auto guess = guesses[batches++ % guesses.size()];
    if (guess.has_value() && batch.joined) correlate::prepare(batch, *guess);
    if (correlator.apply_joined(batch, kAddUs, out)) {
      ++taken;
      return true;
    }
    ++left;
    correlate::take_back(batch);
    for (Event& event : batch.events) event.time_us += kAddUs;
    for (Note& note : batch.notes) note.time_us += kAddUs;
    return false;
  }
};

void expect_same(unsigned seed, std::size_t entries_max, unsigned cut_every, Joined& joined) {
  Scenario plain(seed, 400, 25), again(seed, 400, 25);
  Runner reference(entries_max), runner(entries_max);
  runner.joined = std::ref(joined);
  const Outcome expected = reference.run(plain, 0);
  const Outcome actual = runner.run(again, cut_every);
  ASSERT_EQ(actual.events, expected.events) << "seed " << seed;
  ASSERT_EQ(actual.stored, expected.stored) << "seed " << seed;
  if (cut_every != 0) return;  // a restart begins to count anew
  EXPECT_EQ(runner.stats().enriched, reference.stats().enriched);
  EXPECT_EQ(runner.stats().not_enriched, reference.stats().not_enriched);
  EXPECT_EQ(runner.stats().open, reference.stats().open);
  EXPECT_EQ(runner.evicted(), reference.evicted());
}

TEST(Joined, IsCountedAsElse) {
  Joined joined;
  for (unsigned seed = 21; seed <= 28; ++seed) expect_same(seed, 1'000'000, 0, joined);
  EXPECT_GT(joined.whole, 1'000u);
  EXPECT_GT(joined.taken, 50u);
  EXPECT_GT(joined.left, 10u) << "some batches must see a new hour begin";
}

/// Whether a worker has prepared the batch, and with a right or a wrong guess, is the same.
TEST(Joined, IsCountedAsElseWhateverWasPrepared) {
  Joined joined;
  joined.guesses = {kAddUs, std::nullopt, 0, kAddUs + 3'600'000'000, kAddUs};
  for (unsigned seed = 51; seed <= 56; ++seed) expect_same(seed, 1'000'000, 0, joined);
  for (unsigned seed = 61; seed <= 64; ++seed) expect_same(seed, 1'000'000, 3, joined);
  for (unsigned seed = 71; seed <= 73; ++seed) expect_same(seed, 800, 0, joined);
  EXPECT_GT(joined.taken, 50u);
  EXPECT_GT(joined.left, 40u);
}

/// What prepare() does to events can be undone whole.
TEST(Joined, TakeBackLeavesEventsAsTheyWere) {
  Scenario scenario(81, 400, 25);
  parse::LocalFinder finder;
  std::size_t given = 0;
  for (auto& builder : scenario.all) {
    Batch& batch = builder->batch;
    find_local(finder, batch);
    if (!batch.joined) continue;
    const std::vector<Event> before(batch.events.begin(), batch.events.end());
    correlate::prepare(batch, kAddUs);
    for (const Event& event : batch.events) given += event.message != 0;
    correlate::prepare(batch, -kAddUs);
    correlate::take_back(batch);
    for (std::size_t i = 0; i < before.size(); ++i) {
      const Event& event = batch.events[i];
      EXPECT_EQ(event.time_us, before[i].time_us);
      EXPECT_EQ(event.message, before[i].message);
      EXPECT_EQ(event.sender_domain, before[i].sender_domain);
      EXPECT_EQ(event.flags, before[i].flags);
      for (const auto text : {&Event::sender, &Event::message_id, &Event::campaign}) {
        EXPECT_EQ(batch.view(event.*text), batch.view(before[i].*text));
      }
    }
  }
  EXPECT_GT(given, 100u);
}

TEST(Joined, IsCountedAsElseWhereTheTableIsAlmostFull) {
  Joined joined;
  for (unsigned seed = 31; seed <= 36; ++seed) expect_same(seed, 800, 0, joined);
  EXPECT_GT(joined.taken, 10u);
  EXPECT_GT(joined.left, 40u);
}

TEST(Joined, IsCountedAsElseAcrossCutsAndRestarts) {
  Joined joined;
  for (unsigned seed = 41; seed <= 44; ++seed) expect_same(seed, 1'000'000, 3, joined);
  EXPECT_GT(joined.taken, 5u);
}

/// More messages than a usual block can hold are left to correlate, all of them.
TEST(Joined, ABatchOfTooManyMessagesIsNotJoined) {
  parse::LocalFinder finder;
  Batch batch;
  finder.start();
  for (std::uint64_t key = 1; key <= 7'000; ++key) {
    Note note;
    note.queue_key = key;
    finder.note(batch, note);
  }
  finder.finish(batch);
  EXPECT_FALSE(batch.joined);
  EXPECT_EQ(batch.note_local.size(), 7'000u);
}

/// Logs whose messages stay for long are not searched in vain; now and then they are tried again.
TEST(Joined, BatchesWithoutLocalMessagesPauseTheSearch) {
  parse::LocalFinder finder;
  std::vector<bool> joined;
  for (int i = 0; i < 20; ++i) {
    Batch batch;
    finder.start();
    Note note;
    note.queue_key = 7;
    finder.note(batch, note);
    finder.finish(batch);
    joined.push_back(batch.joined);
  }
  EXPECT_TRUE(joined[0]);
  EXPECT_FALSE(joined[1]);
  EXPECT_TRUE(joined[16]);
}

}  // namespace
}  // namespace bounced
