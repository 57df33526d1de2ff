// Every row of the default policy, with times just below and just above each threshold.
#include <gtest/gtest.h>

#include "facts.h"

namespace bounced::state {
namespace {

using testing::block_of;
using testing::bytes_of;
using testing::default_policy;
using testing::deliver_at;
using testing::fact;
using testing::fail_at;
using testing::kT0;
using testing::verdict;
constexpr std::int64_t kEps = 1;

/// Failures of one row at the given times; the kind of block that results.
struct Row {
  const char* name;
  Cause cause;
  int confidence;
  std::vector<std::int64_t> at;  ///< after kT0, one message each
  BlockKind block;
  std::int64_t length;  ///< of the block; 0 = no end
};

class AddressRow : public ::testing::TestWithParam<Row> {};

TEST_P(AddressRow, Blocks) {
  const Row& row = GetParam();
  AddressState state;
  std::uint64_t message = 0;
  for (const std::int64_t t : row.at) {
    EXPECT_TRUE(state.blocks.empty()) << "blocked too early";
    fail_at(state, row.cause, kT0 + t, ++message, row.confidence);
  }
  if (row.block == BlockKind::none) {
    EXPECT_TRUE(state.blocks.empty());
    return;
  }
  ASSERT_EQ(state.blocks.size(), 1u);
  const BlockRecord& b = state.blocks[0];
  EXPECT_EQ(b.kind, row.block);
  EXPECT_EQ(b.since_us, kT0 + row.at.back());
  EXPECT_EQ(b.until_us, row.length == 0 ? 0 : b.since_us + row.length);
  EXPECT_EQ(b.cause, static_cast<std::uint16_t>(row.cause));
  EXPECT_EQ(b.scope, BlockScope::global);
}

const std::int64_t kDead = 180 * kDayUs;
const std::int64_t kSoft = 60 * kDayUs;
INSTANTIATE_TEST_SUITE_P(
    Default, AddressRow,
    ::testing::Values(
        Row{"unknown", Cause::mailbox_unknown, 95, {0}, BlockKind::dead, kDead},
        Row{"syntax", Cause::mailbox_syntax, 100, {0}, BlockKind::dead, kDead},
        Row{"moved", Cause::mailbox_moved, 95, {0}, BlockKind::dead, kDead},
        Row{"unsure_once", Cause::mailbox_unknown, 94, {0}, BlockKind::none, 0},
        Row{"unsure_below", Cause::mailbox_unknown, 94, {0, kDayUs - kEps}, BlockKind::none, 0},
        Row{"unsure_at", Cause::mailbox_unknown, 94, {0, kDayUs}, BlockKind::dead, kDead},
        Row{"disabled_once", Cause::mailbox_disabled, 99, {0}, BlockKind::none, 0},
        Row{"disabled_below",
            Cause::mailbox_disabled,
            99,
            {0, 7 * kDayUs - kEps},
            BlockKind::none,
            0},
        Row{"disabled_at", Cause::mailbox_disabled, 99, {0, 7 * kDayUs}, BlockKind::soft, kSoft},
        Row{"full_inactive_at",
            Cause::mailbox_full_inactive,
            99,
            {0, 7 * kDayUs},
            BlockKind::soft,
            kSoft},
        Row{"full_four",
            Cause::mailbox_full,
            99,
            {0, kDayUs, 2 * kDayUs, 20 * kDayUs},
            BlockKind::none,
            0},
        Row{"full_below",
            Cause::mailbox_full,
            99,
            {0, kDayUs, 2 * kDayUs, 3 * kDayUs, 14 * kDayUs - kEps},
            BlockKind::none,
            0},
        Row{"full_at",
            Cause::mailbox_full,
            99,
            {0, kDayUs, 2 * kDayUs, 3 * kDayUs, 14 * kDayUs},
            BlockKind::dead,
            kDead}),
    [](const auto& param) { return param.param.name; });

TEST(Decide, ExpiryCountsLikeARefusal) {
  AddressState state;
  for (int i = 0; i < 5; ++i) {
    decide(state, fact(EventKind::expired, kT0 + i * 4 * kDayUs, static_cast<unsigned>(i) + 1),
           verdict(Cause::mailbox_full), default_policy(), PolicyLevel::address);
  }
  EXPECT_NE(block_of(state, BlockKind::dead), nullptr);
  EXPECT_EQ(state.totals.expired, 5u);
  EXPECT_EQ(state.totals.bounced, 0u);
}

TEST(Decide, UnknownPermanentNeedsTheDomainAlive) {
  for (const std::int64_t ago : {std::int64_t{0}, 7 * kDayUs, 7 * kDayUs + kEps}) {
    AddressState state;
    for (int i = 0; i < 3; ++i) {
      const std::int64_t t = kT0 + i * 4 * kDayUs;
      Fact f = fact(EventKind::bounced, t, static_cast<unsigned>(i) + 1);
      f.domain_delivery_us = ago == 0 ? 0 : t - ago;
      decide(state, f, verdict(Cause::unknown_permanent), default_policy(), PolicyLevel::address);
    }
    EXPECT_EQ(block_of(state, BlockKind::soft) != nullptr, ago == 7 * kDayUs) << ago;
  }
}

TEST(Decide, UnknownPermanentSpan) {
  for (const std::int64_t span : {7 * kDayUs - kEps, 7 * kDayUs}) {
    AddressState state;
    std::uint64_t message = 0;
    for (const std::int64_t t : {std::int64_t{0}, kDayUs, span}) {
      Fact f = fact(EventKind::bounced, kT0 + t, ++message);
      f.domain_delivery_us = kT0 + t - kHourUs;
      decide(state, f, verdict(Cause::unknown_permanent), default_policy(), PolicyLevel::address);
    }
    EXPECT_EQ(block_of(state, BlockKind::soft) != nullptr, span == 7 * kDayUs);
  }
}

TEST(Decide, FilteredBlocksForThatSendingDomainAndSurvivesDeliveries) {
  AddressState state;
  fail_at(state, Cause::mailbox_filtered, kT0, 1);
  ASSERT_EQ(state.blocks.size(), 1u);
  EXPECT_EQ(state.blocks[0].kind, BlockKind::filtered);
  EXPECT_EQ(state.blocks[0].scope, BlockScope::sending_domain);
  EXPECT_EQ(state.blocks[0].scope_id, 7u);
  EXPECT_EQ(state.blocks[0].until_us, 0);
  deliver_at(state, kT0 + kDayUs, 2);
  EXPECT_EQ(state.blocks.size(), 1u);
  AddressState late;  // told after the delivery: the same
  fail_at(late, Cause::mailbox_full, kT0 - kDayUs, 9);
  deliver_at(late, kT0 + kDayUs, 2);
  fail_at(late, Cause::mailbox_filtered, kT0, 1);
  EXPECT_NE(block_of(late, BlockKind::filtered), nullptr);
}

TEST(Decide, DeadTerms) {
  AddressState state;
  fail_at(state, Cause::mailbox_unknown, kT0, 1);
  fail_at(state, Cause::mailbox_unknown, kT0 + kDead - kEps, 2);  // inside: changes nothing
  EXPECT_EQ(state.blocks[0].until_us, kT0 + kDead);
  const auto again = fail_at(state, Cause::mailbox_unknown, kT0 + kDead, 3);
  ASSERT_EQ(state.blocks.size(), 1u);
  EXPECT_EQ(state.blocks[0].until_us, kT0 + kDead + 365 * kDayUs);
  EXPECT_EQ(again.changes.size(), 2u);  // the old one had ended, the new one begins
  fail_at(state, Cause::mailbox_unknown, kT0 + kDead + 365 * kDayUs, 4);
  EXPECT_EQ(state.blocks[0].until_us, 0);
  EXPECT_EQ(state.dead_terms, 3);
  deliver_at(state, kT0 + 2000 * kDayUs, 5);
  EXPECT_TRUE(state.blocks.empty());
  fail_at(state, Cause::mailbox_unknown, kT0 + 2001 * kDayUs, 6);
  EXPECT_EQ(state.blocks[0].until_us, kT0 + 2001 * kDayUs + kDead) << "alive in between";
}

TEST(Decide, SoftTheThirdTimeDead) {
  AddressState state;
  fail_at(state, Cause::mailbox_disabled, kT0, 1);
  std::int64_t t = kT0 + 7 * kDayUs;
  fail_at(state, Cause::mailbox_disabled, t, 2);
  ASSERT_NE(block_of(state, BlockKind::soft), nullptr);
  t += kSoft;
  fail_at(state, Cause::mailbox_disabled, t - kEps, 3);
  EXPECT_EQ(state.soft_terms, 1);
  fail_at(state, Cause::mailbox_disabled, t, 4);
  EXPECT_EQ(state.soft_terms, 2);
  EXPECT_EQ(block_of(state, BlockKind::dead), nullptr);
  t += kSoft;
  fail_at(state, Cause::mailbox_disabled, t, 5);
  const auto* dead = block_of(state, BlockKind::dead);
  ASSERT_NE(dead, nullptr);
  EXPECT_EQ(dead->since_us, t);
  EXPECT_EQ(dead->until_us, t + kDead);
  EXPECT_EQ(effective_block(state, t).kind, BlockKind::dead);
}

TEST(Decide, IncidentHoldsThenConfirmsOrLifts) {
  const auto incident = [](AddressState& s, std::int64_t t, std::uint64_t m, int confidence = 98) {
    Fact f = fact(EventKind::bounced, t, m);
    f.incident = true;
    return decide(s, f, verdict(Cause::mailbox_unknown, confidence), default_policy(),
                  PolicyLevel::address);
  };
  AddressState state;
  incident(state, kT0, 1, 90);
  EXPECT_TRUE(state.blocks.empty()) << "would have made no dead block either";
  state = {};
  incident(state, kT0, 1);
  ASSERT_EQ(state.blocks.size(), 1u);
  EXPECT_EQ(state.blocks[0].kind, BlockKind::incident);
  EXPECT_EQ(state.blocks[0].until_us, kT0 + 7 * kDayUs);
  incident(state, kT0 + kDayUs - kEps, 2);
  EXPECT_EQ(block_of(state, BlockKind::dead), nullptr);
  AddressState lifted = state;
  incident(state, kT0 + kDayUs, 3);
  ASSERT_EQ(state.blocks.size(), 1u);
  EXPECT_EQ(state.blocks[0].kind, BlockKind::dead);
  EXPECT_EQ(decide_at(lifted, kT0 + 7 * kDayUs - kEps, default_policy()).changes.size(), 0u);
  EXPECT_EQ(decide_at(lifted, kT0 + 7 * kDayUs, default_policy()).changes.size(), 1u);
  EXPECT_TRUE(lifted.blocks.empty());
  // A sure one outside the incident needs no confirmation.
  AddressState sure;
  incident(sure, kT0, 1);
  fail_at(sure, Cause::mailbox_unknown, kT0 + kHourUs, 2);
  EXPECT_NE(block_of(sure, BlockKind::dead), nullptr);
  EXPECT_EQ(block_of(sure, BlockKind::incident), nullptr);
}

TEST(Decide, TickBeforeOrAfterTheNextTermEndsEqual) {
  AddressState a, b;
  fail_at(a, Cause::mailbox_unknown, kT0, 1);
  b = a;
  decide_at(a, kT0 + kDead, default_policy());
  EXPECT_TRUE(a.blocks.empty());
  fail_at(a, Cause::rate_limited, kT0 + kDead + 1, 2);  // recomputes; nothing may come back
  fail_at(b, Cause::rate_limited, kT0 + kDead + 1, 2);
  EXPECT_TRUE(a.blocks.empty());
  fail_at(a, Cause::mailbox_unknown, kT0 + kDead + 2, 3);
  fail_at(b, Cause::mailbox_unknown, kT0 + kDead + 2, 3);
  decide_at(b, kT0 + kDead + 2, default_policy());
  EXPECT_EQ(testing::bytes_of(a), testing::bytes_of(b));
}

TEST(Decide, DomainRows) {
  struct Case {
    Cause cause;
    int confidence;
    bool null_mx;
    std::vector<std::int64_t> at;
    BlockKind block;
  };
  const std::int64_t day = kDayUs;
  const Case cases[] = {
      {Cause::domain_unknown, 100, false, {0}, BlockKind::none},
      {Cause::domain_unknown, 50, true, {0}, BlockKind::dead},
      {Cause::domain_unknown, 100, false, {0, day - 1}, BlockKind::none},
      {Cause::domain_unknown, 100, false, {0, day}, BlockKind::dead},
      {Cause::domain_down, 90, false, {0, 1, 2, 7 * day}, BlockKind::none},
      {Cause::domain_down, 90, false, {0, 1, 2, 3, 7 * day - 1}, BlockKind::none},
      {Cause::domain_down, 90, false, {0, 1, 2, 3, 7 * day}, BlockKind::soft},
      {Cause::system_full, 90, false, {0, 1, 2, 3, 7 * day}, BlockKind::soft},
      {Cause::network_expired, 90, false, {0, 1, 2, 3, 7 * day}, BlockKind::soft},
      {Cause::routing_loop, 90, false, {0, 1, 2, 3, 7 * day}, BlockKind::soft},
      {Cause::relay_denied, 90, false, {0, 1, 2, 3, 7 * day}, BlockKind::soft},
  };
  for (const Case& c : cases) {
    AddressState state;
    std::uint64_t message = 0;
    for (const std::int64_t t : c.at) {
      Fact f = fact(EventKind::bounced, kT0 + t, ++message);
      f.null_mx = c.null_mx;
      decide(state, f, verdict(c.cause, c.confidence), default_policy(), PolicyLevel::domain);
    }
    SCOPED_TRACE(std::string(builtin_cause_id(c.cause)) + " " + std::to_string(c.at.size()));
    ASSERT_EQ(state.blocks.size(), c.block == BlockKind::none ? 0u : 1u);
    if (c.block == BlockKind::none) continue;
    EXPECT_EQ(state.blocks[0].kind, c.block);
    const std::int64_t last = kT0 + c.at.back();
    EXPECT_EQ(state.blocks[0].since_us, last - last % day)
        << "a domain's block begins with its day";
    EXPECT_EQ(state.blocks[0].until_us,
              c.block == BlockKind::dead ? 0 : state.blocks[0].since_us + 30 * day);
    // The address itself is not to blame.
    AddressState address;
    for (const std::int64_t t : c.at) fail_at(address, c.cause, kT0 + t, ++message);
    EXPECT_TRUE(address.blocks.empty());
  }
}

TEST(Decide, DomainOutageForeignRelayAndDeliveryDoNotCount) {
  const auto run = [](auto change) {
    AddressState state;
    for (unsigned i = 0; i < 6; ++i) {
      Fact f = fact(EventKind::bounced, kT0 + i * 2 * kDayUs, i + 1);
      change(f);
      decide(state, f, verdict(Cause::relay_denied), default_policy(), PolicyLevel::domain);
    }
    return !state.blocks.empty();
  };
  EXPECT_TRUE(run([](Fact&) {}));
  EXPECT_FALSE(run([](Fact& f) { f.outage = true; }));
  EXPECT_FALSE(run([](Fact& f) { f.own_mx = false; }));
  EXPECT_FALSE(run([](Fact& f) { f.relay = true; }));
  EXPECT_FALSE(run([](Fact& f) { f.domain_delivery_us = f.time_us - kDayUs; }));
  EXPECT_TRUE(run([](Fact& f) { f.domain_delivery_us = kT0 - kDayUs; }));
}

TEST(Decide, DomainDeadEndsWhenDnsAnswers) {
  AddressState state;
  fail_at(state, Cause::domain_unknown, kT0, 1, 98, PolicyLevel::domain);
  fail_at(state, Cause::domain_unknown, kT0 + 2 * kDayUs, 2, 98, PolicyLevel::domain);
  ASSERT_NE(block_of(state, BlockKind::dead), nullptr);
  const auto d = decide_answered(state, kT0 + 3 * kDayUs, default_policy());
  EXPECT_EQ(d.changes.size(), 1u);
  EXPECT_TRUE(state.blocks.empty());
  EXPECT_FALSE(decide_answered(state, kT0 + 3 * kDayUs, default_policy()).dirty);
}

TEST(Decide, RowsDoNotFeedEachOtherButTheirCausesDo) {
  AddressState state;
  for (unsigned i = 0; i < 4; ++i) fail_at(state, Cause::mailbox_full, kT0 + i * 5 * kDayUs, i + 1);
  fail_at(state, Cause::mailbox_disabled, kT0 + 16 * kDayUs, 9);
  EXPECT_TRUE(state.blocks.empty());
  fail_at(state, Cause::mailbox_full_inactive, kT0 + 23 * kDayUs, 10);
  EXPECT_NE(block_of(state, BlockKind::soft), nullptr);
}

TEST(Decide, MailboxFullDailyBlocksAlthoughOnlyEightAreKept) {
  AddressState state;
  int day = 0;
  for (; day < 40 && state.blocks.empty(); ++day) {
    fail_at(state, Cause::mailbox_full, kT0 + day * kDayUs, static_cast<unsigned>(day) + 1);
  }
  ASSERT_NE(block_of(state, BlockKind::dead), nullptr);
  EXPECT_EQ(state.failures.size(), limits::kFailuresMax);
  const std::int64_t since = block_of(state, BlockKind::dead)->since_us;
  EXPECT_GE(since - kT0, 14 * kDayUs) << "never too early";
  EXPECT_LE(since - kT0, 15 * kDayUs) << "at most a day late";
  for (; day < 120; ++day) {
    fail_at(state, Cause::mailbox_full, kT0 + day * kDayUs, static_cast<unsigned>(day) + 1);
    ASSERT_EQ(block_of(state, BlockKind::dead)->since_us, since);
  }
}

TEST(Decide, BusyDomainBlocksAlthoughOnlyEightAreKept) {
  AddressState state;
  std::uint64_t message = 0;
  std::int64_t t = kT0;
  for (; t < kT0 + 20 * kDayUs && state.blocks.empty(); t += 10 * 60 * kSecondUs) {
    fail_at(state, Cause::domain_down, t, ++message, 90, PolicyLevel::domain);
  }
  ASSERT_NE(block_of(state, BlockKind::soft), nullptr);
  EXPECT_GE(t - kT0, 7 * kDayUs);
  EXPECT_LE(t - kT0, 8 * kDayUs);
}

TEST(Decide, ComplaintUnsubscribeAndBack) {
  AddressState state;
  const auto apply = [&](EventKind kind, std::int64_t t, std::uint16_t stream = 5) {
    Fact f = fact(kind, t, 1);
    f.stream = stream;
    return decide(state, f, Verdict{}, default_policy(), PolicyLevel::address);
  };
  apply(EventKind::complained, kT0);
  ASSERT_EQ(state.blocks.size(), 1u);
  EXPECT_EQ(state.blocks[0].kind, BlockKind::complaint);
  EXPECT_EQ(state.blocks[0].scope, BlockScope::tenant);
  EXPECT_EQ(state.blocks[0].scope_id, 3u);
  EXPECT_EQ(state.blocks[0].until_us, 0);
  state = {};
  apply(EventKind::unsubscribed, kT0);
  EXPECT_EQ(effective_block(state, kT0).kind, BlockKind::unsubscribe);
  EXPECT_EQ(effective_block(state, kT0).scope_id, 5u);
  EXPECT_TRUE(apply(EventKind::resubscribed, kT0 + 1, 6).changes.empty()) << "another stream";
  EXPECT_EQ(apply(EventKind::resubscribed, kT0 + 1).changes.size(), 1u);
  EXPECT_EQ(effective_block(state, kT0 + 1).kind, BlockKind::none);
  EXPECT_FALSE(apply(EventKind::unsubscribed, kT0).dirty) << "told again";
  EXPECT_EQ(effective_block(state, kT0 + 2).kind, BlockKind::none);
  apply(EventKind::unsubscribed, kT0 + 3);
  EXPECT_EQ(effective_block(state, kT0 + 3).kind, BlockKind::unsubscribe);
}

TEST(Decide, KindsThatChangeNothing) {
  for (const EventKind kind : {EventKind::relayed, EventKind::discarded, EventKind::probed,
                               EventKind::autoreplied, EventKind::none}) {
    AddressState state;
    fail_at(state, Cause::mailbox_full, kT0, 1);
    const std::string before = testing::bytes_of(state);
    const auto d = decide(state, fact(kind, kT0 + 1, 2), verdict(Cause::mailbox_unknown),
                          default_policy(), PolicyLevel::address);
    EXPECT_FALSE(d.dirty);
    EXPECT_EQ(testing::bytes_of(state), before) << to_string(kind);
  }
}

TEST(Decide, SuppressedCountsInTotalsOnly) {
  AddressState state;
  Fact f = fact(EventKind::suppressed, kT0, 1);
  EXPECT_FALSE(
      decide(state, f, verdict(Cause::local_suppressed), default_policy(), PolicyLevel::address)
          .dirty);
  EXPECT_TRUE(state.empty());
  fail_at(state, Cause::mailbox_full, kT0, 2);
  f.kind = EventKind::bounced;  // seen again as a bounce in some log
  decide(state, f, verdict(Cause::local_suppressed), default_policy(), PolicyLevel::address);
  EXPECT_EQ(state.totals.suppressed, 1u);
  EXPECT_EQ(state.totals.bounced, 1u);
  EXPECT_EQ(state.failures.size(), 1u);
  f.kind = EventKind::suppressed;
  f.provider = true;
  decide(state, f, verdict(Cause::local_suppressed), default_policy(), PolicyLevel::address);
  EXPECT_NE(block_of(state, BlockKind::provider), nullptr);
}

TEST(Decide, SameFailureToldTwiceIsOne) {
  AddressState state;
  fail_at(state, Cause::mailbox_full, kT0 + 5, 1);
  Fact dsn = fact(EventKind::bounced, kT0 + kHourUs, 1);
  dsn.source = 2;
  const auto d =
      decide(state, dsn, verdict(Cause::mailbox_full), default_policy(), PolicyLevel::address);
  EXPECT_TRUE(d.duplicate);
  EXPECT_EQ(state.last_event_us, kT0 + kHourUs);
  EXPECT_EQ(state.totals.bounced, 1u);
  EXPECT_EQ(state.failures.size(), 1u);
  EXPECT_EQ(state.failures[0].time_us, kT0 + 5);
}

TEST(Decide, FilteredBlocksWhicheverTellingComesFirst) {
  const auto tell = [](AddressState& state, Cause cause, std::int64_t time_us) {
    fail_at(state, cause, time_us, 1);
  };
  AddressState one, other, last;
  tell(one, Cause::domain_down, kT0);
  tell(one, Cause::mailbox_filtered, kT0 + 1);
  tell(other, Cause::mailbox_filtered, kT0 + 1);
  tell(other, Cause::domain_down, kT0);
  fail_at(last, Cause::rate_limited, kT0 + 2, 2);
  tell(last, Cause::domain_down, kT0);
  tell(last, Cause::mailbox_filtered, kT0 + 1);
  fail_at(one, Cause::rate_limited, kT0 + 2, 2);
  fail_at(other, Cause::rate_limited, kT0 + 2, 2);
  EXPECT_NE(block_of(one, BlockKind::filtered), nullptr);
  EXPECT_EQ(bytes_of(one), bytes_of(other));
  EXPECT_EQ(bytes_of(one), bytes_of(last));
}

TEST(Decide, OldFailureTouchesHistoryAndTotalsOnly) {
  AddressState state;
  fail_at(state, Cause::mailbox_full, kT0 - kDayUs, 1);
  deliver_at(state, kT0, 2);
  const auto d = fail_at(state, Cause::mailbox_unknown, kT0 - 1, 3);
  EXPECT_TRUE(d.changes.empty());
  EXPECT_TRUE(state.blocks.empty());
  EXPECT_EQ(state.failures.size(), 2u);
  EXPECT_EQ(state.totals.bounced, 2u);
  EXPECT_EQ(streak(state).count, 0u);
}

TEST(Decide, ManualBlockAndUnblock) {
  AddressState state;
  fail_at(state, Cause::mailbox_unknown, kT0, 1);
  BlockRecord manual;
  manual.kind = BlockKind::manual;
  manual.since_us = kT0 + 1;
  manual.actor = 4;
  EXPECT_EQ(decide_block(state, manual, kT0 + 1).changes.size(), 1u);
  EXPECT_FALSE(decide_block(state, manual, kT0 + 1).dirty);
  EXPECT_EQ(effective_block(state, kT0 + 2).kind, BlockKind::manual);
  deliver_at(state, kT0 + 3, 2);
  EXPECT_EQ(state.blocks.size(), 1u) << "a delivery does not lift the operator's block";
  decide_unblock(state, 1u << static_cast<unsigned>(BlockKind::manual), kT0 + 4);
  EXPECT_TRUE(state.blocks.empty());

  AddressState dead;
  fail_at(dead, Cause::mailbox_unknown, kT0, 1);
  fail_at(dead, Cause::mailbox_filtered, kT0, 2);
  EXPECT_EQ(decide_unblock(dead, 1u << static_cast<unsigned>(BlockKind::filtered), kT0 + 1)
                .changes.size(),
            1u);
  EXPECT_NE(block_of(dead, BlockKind::dead), nullptr);
  EXPECT_EQ(decide_unblock(dead, ~0u, kT0 + kHourUs).changes.size(), 1u);
  fail_at(dead, Cause::mailbox_full, kT0 + 2, 3);  // recomputes
  fail_at(dead, Cause::mailbox_filtered, kT0, 2);
  EXPECT_TRUE(dead.blocks.empty()) << "what was lifted does not come back with an old fact";
  fail_at(dead, Cause::mailbox_unknown, kT0 + kDayUs, 5);
  EXPECT_NE(block_of(dead, BlockKind::dead), nullptr);
}

TEST(Decide, UnblockOfSomeLeavesTheOthers) {
  AddressState state;
  fail_at(state, Cause::mailbox_unknown, kT0, 1);
  for (std::uint32_t sender = 1; sender < 4; ++sender) {
    Fact f = fact(EventKind::bounced, kT0 + sender, 10 + sender);
    f.sending_domain = sender;
    decide(state, f, verdict(Cause::mailbox_filtered), default_policy(), PolicyLevel::address);
  }
  ASSERT_EQ(state.blocks.size(), 4u);
  const std::vector<BlockRecord> only = {*block_of(state, BlockKind::filtered)};
  const Decision lifted = decide_unblock(state, ~0u, kT0 + kDayUs, only);
  ASSERT_EQ(lifted.changes.size(), 1u);
  EXPECT_EQ(lifted.changes[0].record.scope_id, only[0].scope_id);
  EXPECT_EQ(state.blocks.size(), 3u);
  EXPECT_NE(block_of(state, BlockKind::dead), nullptr);
}

/// A failure of a message that a 250 had taken at `delivered_us`.
Fact late_failure(std::int64_t time_us, std::uint64_t message, std::int64_t delivered_us) {
  Fact f = fact(EventKind::bounced, time_us, message);
  f.delivered_us = delivered_us;
  return f;
}

TEST(Late, A250EndsAStreakOnlyAfterSoLongWithoutAReturn) {
  const Policy& policy = default_policy();
  const std::int64_t quiet = policy.late_quiet_us;
  ASSERT_EQ(quiet, 3 * kDayUs);
  AddressState state;
  const auto returned = [&](int week, std::uint64_t message) {
    const std::int64_t t = kT0 + week * 7 * kDayUs;
    decide(state, fact(EventKind::delivered, t, message), {}, policy, PolicyLevel::address);
    return decide(state, late_failure(t + kHourUs, message, t), verdict(Cause::mailbox_full),
                  policy, PolicyLevel::address);
  };
  for (int week = 0; week < 5; ++week) {
    returned(week, 100 + static_cast<std::uint64_t>(week));
    EXPECT_EQ(streak(state).count, static_cast<unsigned>(week) + 1);
  }
  EXPECT_NE(block_of(state, BlockKind::dead), nullptr) << "five in a row over four weeks";
  const std::int64_t last = kT0 + 35 * kDayUs;
  EXPECT_TRUE(deliver_at(state, last, 200).changes.empty());
  EXPECT_TRUE(deliver_at(state, last + kDayUs, 201).changes.empty()) << "nor does the next one";
  EXPECT_FALSE(decide_at(state, last + quiet - 1, policy).dirty);
  AddressState by_delivery = state;
  const Decision ended = decide_at(state, last + quiet, policy);
  EXPECT_EQ(ended.changes.size(), 1u);
  EXPECT_EQ(streak(state).count, 0u);
  EXPECT_EQ(block_of(state, BlockKind::dead), nullptr);
  EXPECT_EQ(state.last_delivery_us, last) << "the oldest of those held";
  deliver_at(by_delivery, last + quiet, 202);
  EXPECT_EQ(streak(by_delivery).count, 0u) << "by the next event, where no tick has come";
  AddressState at_once;
  Policy impatient = policy;
  impatient.late_quiet_us = 0;
  decide(at_once, late_failure(kT0, 1, kT0 - kHourUs), verdict(Cause::mailbox_full), impatient,
         PolicyLevel::address);
  decide(at_once, fact(EventKind::delivered, kT0 + kHourUs, 2), {}, impatient,
         PolicyLevel::address);
  EXPECT_EQ(streak(at_once).count, 0u);
}

TEST(Late, WhicheverIsToldFirst) {
  const std::int64_t delivered = kT0 + kDayUs, returned = delivered + kHourUs;
  const auto begin = [] {
    AddressState state;
    fail_at(state, Cause::mailbox_full, kT0, 1);
    return state;
  };
  AddressState log_first = begin(), mail_first = begin();
  Fact delivery = fact(EventKind::delivered, delivered, 2);
  decide(log_first, delivery, {}, default_policy(), PolicyLevel::address);
  decide(log_first, late_failure(returned, 2, delivered), verdict(Cause::mailbox_full),
         default_policy(), PolicyLevel::address);
  decide(mail_first, fact(EventKind::bounced, returned, 2), verdict(Cause::mailbox_full),
         default_policy(), PolicyLevel::address);
  delivery.failed_later = true;
  decide(mail_first, delivery, {}, default_policy(), PolicyLevel::address);
  EXPECT_EQ(bytes_of(log_first), bytes_of(mail_first));
  // Another 250, which came before the return was told of, waits all the same.
  AddressState late = log_first;
  deliver_at(log_first, returned + kDayUs, 3);
  AddressState told_late = begin();
  decide(told_late, fact(EventKind::delivered, delivered, 2), {}, default_policy(),
         PolicyLevel::address);
  deliver_at(told_late, returned + kDayUs, 3);
  decide(told_late, late_failure(returned, 2, delivered), verdict(Cause::mailbox_full),
         default_policy(), PolicyLevel::address);
  EXPECT_EQ(bytes_of(log_first), bytes_of(told_late));
  EXPECT_EQ(log_first.held_us, returned + kDayUs);
  EXPECT_EQ(decode(bytes_of(log_first)).value().held_until_us, log_first.held_until_us);
}

TEST(Late, WhatWasBelievedTooSoonIsNotAnyMore) {
  AddressState state;
  decide(state, late_failure(kT0, 1, kT0 - kHourUs), verdict(Cause::mailbox_full), default_policy(),
         PolicyLevel::address);
  const std::int64_t delivered = kT0 + 7 * kDayUs;
  deliver_at(state, delivered, 2);
  decide_at(state, delivered + 4 * kDayUs, default_policy());
  EXPECT_EQ(streak(state).count, 0u);
  EXPECT_TRUE(decode(bytes_of(state)).value().has_prior);
  decide(state, late_failure(delivered + kHourUs, 2, delivered), verdict(Cause::mailbox_full),
         default_policy(), PolicyLevel::address);
  EXPECT_EQ(streak(state).count, 2u) << "its return was told of four days later";
}

TEST(Decide, BlocksAreBounded) {
  AddressState state;
  for (unsigned i = 0; i < 100; ++i) {
    Fact f = fact(EventKind::complained, kT0 + i, i);
    f.tenant = static_cast<std::uint16_t>(i);
    decide(state, f, Verdict{}, default_policy(), PolicyLevel::address);
  }
  EXPECT_EQ(state.blocks.size(), limits::kBlocksPerAddressMax);
}

TEST(Codec, DeliveryInPlaceEqualsDecide) {
  AddressState state;
  fail_at(state, Cause::mailbox_full, kT0, 1);
  state.text = "a@example.com";
  deliver_at(state, kT0 + 10, 2);
  std::string bytes = testing::bytes_of(state);
  struct Step {
    std::int64_t t;
    std::uint64_t m;
    EncodedHead::Counted counted;
  };
  const Step steps[] = {{kT0 + 20, 3, EncodedHead::Counted::in_place},
                        {kT0 + 15, 4, EncodedHead::Counted::in_place},
                        {kT0 + 20, 3, EncodedHead::Counted::unchanged},
                        {kT0 + 20, 9, EncodedHead::Counted::in_place},
                        {kT0 - 1, 5, EncodedHead::Counted::unchanged}};
  for (const Step& s : steps) {
    EXPECT_EQ(EncodedHead::count_delivery(bytes.data(), s.t, s.m), s.counted);
    deliver_at(state, s.t, s.m);
    EXPECT_EQ(bytes, testing::bytes_of(state));
  }
  fail_at(state, Cause::mailbox_unknown, kT0 + 30, 6);
  bytes = testing::bytes_of(state);
  EXPECT_EQ(EncodedHead::count_delivery(bytes.data(), kT0 + 40, 7), EncodedHead::Counted::decode);
}

TEST(Codec, RefusesNewerAndCut) {
  AddressState state;
  fail_at(state, Cause::mailbox_unknown, kT0, 1);
  state.text = "a@example.com";
  std::string bytes = testing::bytes_of(state);
  for (std::size_t n = 0; n < bytes.size(); ++n) {
    EXPECT_FALSE(decode(std::string_view(bytes).substr(0, n))) << n;
  }
  EXPECT_FALSE(decode(bytes + "x"));
  bytes[0] = 2;
  const auto newer = decode(bytes);
  ASSERT_FALSE(newer);
  EXPECT_NE(newer.error().message().find("newer"), std::string::npos);
}

}  // namespace
}  // namespace bounced::state
