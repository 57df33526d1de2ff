// States with a real store: cut and reopen, eviction, due entries, the read view.
#include <gtest/gtest.h>

#include <random>

#include "base/hash.h"
#include "states_fixture.h"
#include "store/varint.h"

namespace bounced::state {
namespace {

using namespace testing;  // NOLINT(google-build-using-namespace)

/// A seeded life of `addresses` addresses at 50 domains, `n` events.
void live(Feed& feed, std::uint64_t seed, std::size_t n, std::size_t addresses,
          const std::function<void(std::size_t)>& after_each) {
  std::mt19937_64 random(seed);
  const Cause causes[] = {Cause::mailbox_unknown, Cause::mailbox_full,    Cause::mailbox_disabled,
                          Cause::domain_down,     Cause::domain_unknown,  Cause::rate_limited,
                          Cause::spam_content,    Cause::mailbox_filtered};
  for (std::size_t i = 0; i < n; ++i) {
    const std::uint64_t who = random() % addresses;
    const std::string address =
        "user" + std::to_string(who) + "@d" + std::to_string(who % 50) + ".example";
    const std::int64_t t = kT0 + static_cast<std::int64_t>(i) * 120 * kSecondUs;
    const std::uint64_t roll = random() % 100;
    if (roll < 70) {
      feed.add(EventKind::delivered, address, t, i + 1);
    } else if (roll < 80) {
      feed.add(EventKind::deferred, address, t, i + 1, Cause::rate_greylist);
    } else if (roll < 98) {
      Event& e =
          feed.add(roll < 96 ? EventKind::bounced : EventKind::expired, address, t, i + 1,
                   causes[random() % std::size(causes)], 90 + static_cast<int>(random() % 11));
      e.sender = feed.batch.add("news@sender" + std::to_string(random() % 3) + ".example");
    } else {
      Event& e =
          feed.add(roll == 98 ? EventKind::complained : EventKind::unsubscribed, address, t, i + 1);
      e.tenant = 1;
      e.stream = 2;
    }
    after_each(i);
  }
}

TEST(States, CutAndReopenGivesTheSame) {
  TempDir dir;
  Feed feed;
  {
    Opened o(dir.path);
    feed.use(*o.store);
    feed.add(EventKind::bounced, "Dead@Example.com", kT0, 1, Cause::mailbox_unknown);
    feed.add(EventKind::delivered, "alive@example.com", kT0 + 1, 2);
    feed.add(EventKind::deferred, "slow@example.com", kT0 + 2, 3, Cause::rate_greylist);
    const auto counted = feed.apply(*o.states);
    EXPECT_EQ(counted, (std::vector<std::uint8_t>{1, 1, 1}));
    EXPECT_EQ(o.states->counts().hard, 1u);
    EXPECT_EQ(o.states->counts().blocks_begun, 1u);
    cut(*o.states, o.names, *o.store);
    EXPECT_EQ(o.states->dirty_records(), 0u);
  }
  Opened o(dir.path);
  EXPECT_TRUE(o.states->stats().complete);
  const auto dead = o.states->find(feed.id("dead@example.com"));
  ASSERT_TRUE(dead && *dead);
  EXPECT_EQ((*dead)->text, "Dead@Example.com");
  EXPECT_EQ((*dead)->blocks.size(), 1u);
  EXPECT_EQ((*dead)->failures.size(), 1u);
  const auto alive = o.states->find(feed.id("alive@example.com"));
  ASSERT_TRUE(alive);
  EXPECT_FALSE(*alive) << "delivered, nothing known: no state";
  const auto slow = o.states->find(feed.id("slow@example.com"));
  ASSERT_TRUE(slow && *slow);
  EXPECT_EQ((*slow)->totals.deferred, 1u);
  const auto domain = o.states->find_domain(feed.domain("x@example.com"));
  ASSERT_TRUE(domain && *domain);
  EXPECT_EQ((*domain)->text, "example.com");
  EXPECT_EQ(o.states->view().word(feed.id("dead@example.com")) & 0xff,
            static_cast<std::uint64_t>(BlockKind::dead));
  EXPECT_EQ(o.states->view().word(feed.id("alive@example.com")), 0u);
  EXPECT_EQ(o.states->stats().addresses, 2u);
  EXPECT_EQ(o.states->stats().last_seq, 1u);

  // The evidence, in the server's own words; the lists; the feed.
  std::size_t evidence = 0;
  ASSERT_TRUE(o.store->scan(store::Family::evidence, {}, {}, [&](auto, auto value) {
    const auto e = decode_evidence(value);
    EXPECT_TRUE(e);
    if (e->kind == EventKind::bounced) {
      EXPECT_EQ(e->diagnostic, "550 5.1.1 said the server to Dead@Example.com");
      EXPECT_EQ(e->rule, "test/rule");
      EXPECT_EQ(e->smtp_code, 550);
      EXPECT_EQ(e->verdict.cause, Cause::mailbox_unknown);
      EXPECT_EQ(e->time_us, kT0);
    }
    ++evidence;
    return true;
  }));
  EXPECT_EQ(evidence, 2u);
  ASSERT_TRUE(o.store->scan(store::Family::changes, {}, {}, [&](auto key, auto value) {
    const auto change = decode_change(key, value);
    EXPECT_TRUE(change);
    EXPECT_EQ(change->seq, 1u);
    EXPECT_EQ(change->id, feed.id("dead@example.com"));
    EXPECT_EQ(change->change.record.kind, BlockKind::dead);
    EXPECT_FALSE(decode_change(key, value.substr(0, value.size() - 1)));
    return true;
  }));
  std::size_t listed = 0;
  ASSERT_TRUE(o.store->scan(store::Family::by_block, std::string(1, 1), {}, [&](auto key, auto) {
    EXPECT_EQ(store::read_id(key.data() + 1), feed.id("dead@example.com"));
    ++listed;
    return true;
  }));
  EXPECT_EQ(listed, 1u);
}

TEST(States, TheStoreDoesNotDependOnCutsRestartsOrTheBound) {
  std::map<std::string, std::string> first;
  std::string secret_dir;
  TempDir plain, chopped, tight;
  // All three share one secret: the store directory is copied while it is new.
  { open_store(plain.path); }
  fs::copy(plain.path, chopped.path, fs::copy_options::recursive);
  fs::copy(plain.path, tight.path, fs::copy_options::recursive);
  constexpr std::size_t kEvents = 100'000, kAddresses = 40'000;
  {
    Opened o(plain.path);
    Feed feed;
    feed.use(*o.store);
    live(feed, 1, kEvents, kAddresses, [&](std::size_t i) {
      if (i % 64 == 63) feed.apply(*o.states);
    });
    feed.apply(*o.states);
    tick_all(*o.states, kT0 + 4000 * kDayUs);
    cut(*o.states, o.names, *o.store);
    first = dump(*o.store);
    EXPECT_GT(first.size(), kAddresses);
  }
  {
    auto o = std::make_unique<Opened>(chopped.path);
    Feed feed;
    feed.use(*o->store);
    live(feed, 1, kEvents, kAddresses, [&](std::size_t i) {
      if (i % 37 == 36) feed.apply(*o->states);
      if (i % 2500 == 2499) {
        feed.apply(*o->states);
        cut(*o->states, o->names, *o->store);
      }
      if (i % 15'000 == 14'999) {
        o.reset();
        o = std::make_unique<Opened>(chopped.path);
      }
    });
    feed.apply(*o->states);
    tick_all(*o->states, kT0 + 4000 * kDayUs);
    cut(*o->states, o->names, *o->store);
    EXPECT_EQ(dump(*o->store), first);
  }
  {
    Opened o(tight.path, 0);  // one chunk is the least
    Feed feed;
    feed.use(*o.store);
    live(feed, 1, kEvents, kAddresses, [&](std::size_t i) {
      if (i % 64 != 63) return;
      feed.apply(*o.states);
      if (i % 1024 == 1023) cut(*o.states, o.names, *o.store);
    });
    feed.apply(*o.states);
    EXPECT_GT(o.states->stats().evictions, 1000u);
    tick_all(*o.states, kT0 + 4000 * kDayUs);
    cut(*o.states, o.names, *o.store);
    EXPECT_EQ(dump(*o.store), first);
  }
}

TEST(States, BoundHoldsAtFourTimesAndAllAnswersAreRight) {
  TempDir dir;
  constexpr std::size_t kBound = std::size_t{6} << 20;
  constexpr std::uint64_t kAddresses = 200'000;  // about 25 MiB of states
  Opened o(dir.path, kBound);
  Feed feed;
  feed.use(*o.store);
  const auto address = [](std::uint64_t n) {
    return "somebody" + std::to_string(n) + "@d" + std::to_string(n % 100) + ".example";
  };
  std::size_t peak = 0;
  for (std::uint64_t n = 0; n < kAddresses; ++n) {
    feed.add(EventKind::bounced, address(n), kT0 + static_cast<std::int64_t>(n), n + 1,
             n % 2 == 0 ? Cause::mailbox_unknown : Cause::mailbox_full);
    if (n % 1000 != 999) continue;
    feed.apply(*o.states);
    cut(*o.states, o.names, *o.store);
    peak = std::max(peak, o.states->stats().table_bytes);
  }
  EXPECT_LE(peak, kBound);
  EXPECT_GT(o.states->stats().evictions, kAddresses / 2);
  EXPECT_EQ(o.states->stats().addresses, kAddresses);
  // A second failure and a delivery of evicted ones find what was known.
  for (std::uint64_t n = 0; n < 4000; n += 4) {
    feed.add(EventKind::delivered, address(n), kT0 + kDayUs, kAddresses + n);
    feed.add(EventKind::bounced, address(n + 1), kT0 + kDayUs, kAddresses + n + 1,
             Cause::mailbox_full);
    feed.add(EventKind::bounced, address(n + 2), kT0 + static_cast<std::int64_t>(n) + 2, n + 3,
             Cause::mailbox_unknown);  // told again
  }
  feed.apply(*o.states);
  EXPECT_EQ(o.states->counts().duplicates, 1000u);
  cut(*o.states, o.names, *o.store);
  for (std::uint64_t n = 0; n < 4000; n += 4) {
    const auto lifted = o.states->find(feed.id(address(n)));
    ASSERT_TRUE(lifted && *lifted) << n;
    EXPECT_TRUE((*lifted)->blocks.empty());
    EXPECT_EQ((*lifted)->totals.delivered, 1u);
    EXPECT_EQ(o.states->view().word(feed.id(address(n))), 0u);
    const auto twice = o.states->find(feed.id(address(n + 1)));
    ASSERT_TRUE(twice && *twice);
    EXPECT_EQ((*twice)->failures.size(), 2u);
    const auto same = o.states->find(feed.id(address(n + 2)));
    ASSERT_TRUE(same && *same);
    EXPECT_EQ((*same)->failures.size(), 1u);
    EXPECT_NE(o.states->view().word(feed.id(address(n + 2))), 0u);
  }
  EXPECT_LE(o.states->stats().table_bytes, kBound);
}

std::string numbered(std::uint64_t n) {
  return "u" + std::to_string(n) + "@e.example";
}

/// A store in which numbered(0), (1), ... have bounced once each, by message n + 1, and are
/// blocked.
void fill(const std::string& dir, Feed& feed, std::uint64_t addresses) {
  Opened o(dir);
  feed.use(*o.store);
  for (std::uint64_t n = 0; n < addresses; ++n) {
    feed.add(EventKind::bounced, numbered(n), kT0, n + 1, Cause::mailbox_unknown);
    if (n % 1000 == 999) feed.apply(*o.states);
  }
  cut(*o.states, o.names, *o.store);
  ASSERT_EQ(o.states->stats().blocked, addresses);
}

TEST(States, WhatIsDueAtOnceIsFiredInParts) {
  TempDir dir;
  Feed feed;
  constexpr std::uint64_t kAddresses = 7000;
  static_assert(kAddresses > 3 * States::kTickEntries && kAddresses < 4 * States::kTickEntries);
  fill(dir.path, feed, kAddresses);
  Options options;
  options.open_wait_us = 0;  // most states are still in the store
  store::Names names;
  auto store = open_store(dir.path);
  States states(default_policy(), names, options);
  ASSERT_TRUE(states.open(store.get()));
  const std::int64_t later = kT0 + 4000 * kDayUs;
  for (std::uint64_t part = 1; part <= 3; ++part) {
    const Result<bool> more = states.tick(later);
    ASSERT_TRUE(more && *more);
    EXPECT_EQ(states.counts().blocks_ended, part * States::kTickEntries);
    // Another event takes its turn between the parts, and what is cut is gone for good.
    feed.add(EventKind::delivered, numbered(kAddresses + part), kT0 + kDayUs, kAddresses + part);
    feed.apply(states);
    cut(states, names, *store);
  }
  const Result<bool> more = states.tick(later);
  ASSERT_TRUE(more);
  EXPECT_FALSE(*more);
  ASSERT_TRUE(states.wait_complete());
  EXPECT_EQ(states.stats().blocked, 0u);
}

TEST(States, AMissWhileTheScanRunsAsksTheStore) {
  TempDir dir;
  Feed feed;
  constexpr std::uint64_t kAddresses = 60'000;
  fill(dir.path, feed, kAddresses);
  store::Names names;
  auto store = open_store(dir.path);
  States states(default_policy(), names, {});
  ASSERT_TRUE(states.open(store.get()));
  // Whether or not the scan is through: the answer is the same.
  for (std::uint64_t n = 0; n < 2000; ++n) {
    feed.add(EventKind::delivered, numbered(n * 29), kT0 + kDayUs, kAddresses + n);
  }
  feed.apply(states);
  EXPECT_EQ(states.counts().blocks_ended, 2000u);
  for (int i = 0; i < 100'000 && !states.stats().complete; ++i) ASSERT_TRUE(states.tick(0));
  ASSERT_TRUE(states.view().complete());
  for (std::uint64_t n = 0; n < 2000; ++n) {
    ASSERT_EQ(states.view().word(feed.id(numbered(n * 29))), 0u) << "the scan's word is older";
    ASSERT_NE(states.view().word(feed.id(numbered(n * 29 + 1))), 0u);
  }
}

TEST(States, LookupsSeeABlockWhoseStateWasWantedBeforeTheScanCameToIt) {
  TempDir dir;
  Feed feed;
  constexpr std::uint64_t kAddresses = 60'000, kTouched = 2000;
  fill(dir.path, feed, kAddresses);
  store::Names names;
  auto store = open_store(dir.path);
  Options options;
  options.open_wait_us = 0;
  States states(default_policy(), names, options);
  ASSERT_TRUE(states.open(store.get()));
  ASSERT_FALSE(states.stats().complete);
  // The same bounce again: counted as a duplicate, it changes nothing and publishes nothing.
  for (std::uint64_t n = 0; n < kTouched; ++n) {
    feed.add(EventKind::bounced, numbered(n * 29), kT0, n * 29 + 1, Cause::mailbox_unknown);
  }
  feed.apply(states);
  ASSERT_GT(states.stats().cold_fetches, 0u);
  ASSERT_FALSE(states.stats().complete);
  ASSERT_TRUE(states.wait_complete());
  EXPECT_TRUE(states.stats().complete);
  EXPECT_TRUE(states.view().complete());
  EXPECT_EQ(states.stats().blocked, kAddresses);
  EXPECT_EQ(states.stats().addresses, kAddresses);
  for (std::uint64_t n = 0; n < kAddresses; ++n) {
    ASSERT_NE(states.view().word(feed.id(numbered(n))), 0u) << n;
  }
}

TEST(States, TickEndsBlocksInOrderAlsoAfterARestart) {
  TempDir dir;
  Feed feed;
  {
    Opened o(dir.path);
    feed.use(*o.store);
    feed.add(EventKind::bounced, "a@x.example", kT0, 1, Cause::mailbox_unknown);
    feed.add(EventKind::bounced, "b@x.example", kT0 + kDayUs, 2, Cause::mailbox_unknown);
    feed.apply(*o.states);
    cut(*o.states, o.names, *o.store);
  }
  Opened o(dir.path);
  tick_all(*o.states, kT0 + 180 * kDayUs - 1);
  EXPECT_EQ(o.states->stats().blocked, 2u);
  tick_all(*o.states, kT0 + 180 * kDayUs);
  EXPECT_EQ(o.states->view().word(feed.id("a@x.example")), 0u);
  EXPECT_NE(o.states->view().word(feed.id("b@x.example")), 0u);
  tick_all(*o.states, kT0 + 500 * kDayUs);
  EXPECT_EQ(o.states->stats().blocked, 0u);
  EXPECT_EQ(o.states->stats().last_seq, 4u);
  cut(*o.states, o.names, *o.store);
  for (const auto family : {store::Family::due, store::Family::by_block}) {
    std::size_t left = 0;
    ASSERT_TRUE(o.store->scan(family, {}, {}, [&](auto, auto) { return ++left, true; }));
    EXPECT_EQ(left, 0u);
  }
}

TEST(States, DomainLevelBlockAndItsEnd) {
  TempDir dir;
  Opened o(dir.path);
  Feed feed;
  feed.use(*o.store);
  for (int day = 0; day < 12; ++day) {
    for (int i = 0; i < 20; ++i) {
      feed.add(EventKind::expired, "u" + std::to_string(i) + "@down.example",
               kT0 + day * kDayUs + i, static_cast<std::uint64_t>(day * 100 + i + 1),
               Cause::domain_down);
    }
    feed.apply(*o.states);
    cut(*o.states, o.names, *o.store);
  }
  const AddressId domain = feed.domain("u0@down.example");
  EXPECT_EQ(o.states->view().word(domain) & 0xff, static_cast<std::uint64_t>(BlockKind::soft));
  const auto address = o.states->find(feed.id("u0@down.example"));
  ASSERT_TRUE(address && *address);
  EXPECT_TRUE((*address)->blocks.empty());
  feed.add(EventKind::delivered, "other@down.example", kT0 + 12 * kDayUs, 9999);
  feed.apply(*o.states);
  EXPECT_EQ(o.states->view().word(domain), 0u);
}

TEST(States, OutageOfOurOwnNetworkBlocksNoDomain) {
  TempDir dir;
  Opened o(dir.path);
  Feed feed;
  feed.use(*o.store);
  for (int day = 0; day < 12; ++day) {
    for (int d = 0; d < 10; ++d) {
      Event& e = feed.add(EventKind::expired, "u@down" + std::to_string(d) + ".example",
                          kT0 + day * kDayUs + d, static_cast<std::uint64_t>(day * 100 + d + 1),
                          Cause::domain_down);
      e.mta_host = feed.batch.add("mx.down" + std::to_string(d) + ".example");
    }
    feed.apply(*o.states);
  }
  int blocked = 0;
  for (int d = 0; d < 10; ++d) {
    blocked += o.states->view().word(feed.domain("u@down" + std::to_string(d) + ".example")) != 0;
  }
  // The first ones fail before it is known that many do; five never make an outage.
  EXPECT_LE(blocked, 5);
  EXPECT_EQ(o.states->view().word(feed.domain("u@down9.example")), 0u);
}

TEST(States, IncidentAtOneProvider) {
  TempDir dir;
  auto o = std::make_unique<Opened>(dir.path);
  Feed feed;
  feed.use(*o->store);
  std::uint64_t message = 0;
  std::int64_t t = kT0;
  for (int hour = 0; hour < 48; ++hour, t += kHourUs) {  // 1 % hard for two days
    for (int i = 0; i < 300; ++i) {
      const std::string who = "n" + std::to_string(hour) + "." + std::to_string(i) + "@p.example";
      if (i % 100 == 0) {
        feed.add(EventKind::bounced, who, t + i, ++message, Cause::mailbox_unknown);
      } else {
        feed.add(EventKind::delivered, who, t + i, ++message);
      }
    }
    feed.apply(*o->states);
  }
  cut(*o->states, o->names, *o->store);
  o.reset();
  o = std::make_unique<Opened>(dir.path);  // the base survives
  for (int i = 0; i < 1000; ++i) {         // then everybody is unknown
    feed.add(EventKind::bounced, "m" + std::to_string(i) + "@p.example", t + i, ++message,
             Cause::mailbox_unknown);
  }
  feed.apply(*o->states);
  const auto kind = [&](int i) {
    return static_cast<BlockKind>(
        o->states->view().word(feed.id("m" + std::to_string(i) + "@p.example")) & 0xff);
  };
  EXPECT_EQ(kind(10), BlockKind::dead) << "not yet known";
  EXPECT_EQ(kind(999), BlockKind::incident);
  feed.add(EventKind::bounced, "m999@p.example", t + 25 * kHourUs, ++message,
           Cause::mailbox_unknown);
  feed.apply(*o->states);
  EXPECT_EQ(kind(999), BlockKind::dead) << "confirmed";
  tick_all(*o->states, t + 8 * kDayUs);
  EXPECT_EQ(kind(998), BlockKind::none) << "lifted";
}

/// Records of providers as the version before wrote them: all days, and their sums.
TEST(States, OldRecordsOfProvidersAreRead) {
  TempDir dir;
  const std::uint64_t provider = provider_key("mx1.example.net");
  std::string key = "state/provider/";
  store::append_u64_be(key, provider);
  const std::int64_t hour = kT0 / kHourUs, day = hour / 24;
  std::string old;
  const auto number = [](std::string& out, std::uint64_t v) { store::append_varint(out, v); };
  for (const std::uint64_t v :
       {std::uint64_t{1}, store::zigzag(hour), store::zigzag(day), std::uint64_t{40},
        std::uint64_t{3}, std::uint64_t{1}, std::uint64_t{70'000}, std::uint64_t{500}}) {
    number(old, v);
  }
  const std::int64_t today = day % 29, before = (day - 5) % 29;
  for (std::int64_t i = 0; i < 29; ++i) {
    number(old, i == today ? 90 : i == before ? 70'000 : 0);
    number(old, i == today ? 4 : i == before ? 500 : 0);
  }
  {
    const auto store = open_store(dir.path);
    store::WriteSet set;
    set.put(store::Family::meta, key, old);
    ASSERT_TRUE(store->commit(set, false));
  }
  Opened o(dir.path);
  Feed feed;
  feed.use(*o.store);
  feed.add(EventKind::delivered, "a@example.com", kT0, 1);
  feed.apply(*o.states);
  cut(*o.states, o.names, *o.store);
  std::string expected;
  for (const std::uint64_t v :
       {std::uint64_t{2}, store::zigzag(hour), store::zigzag(day), std::uint64_t{41},
        std::uint64_t{3}, std::uint64_t{1}, std::uint64_t{91}, std::uint64_t{4},
        std::uint64_t{1} << before, std::uint64_t{70'000}, std::uint64_t{500}}) {
    number(expected, v);
  }
  EXPECT_EQ(o.store->get(store::Family::meta, key).value().value(), expected);
}

}  // namespace
}  // namespace bounced::state
