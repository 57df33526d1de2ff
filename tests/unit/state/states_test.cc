// States with a real store: cut and reopen, eviction, evidence, due entries, the read view.
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <map>
#include <random>

#include "base/hash.h"
#include "facts.h"
#include "state/evidence.h"
#include "store/varint.h"

namespace bounced::state {
namespace {

using testing::default_policy;
using testing::kT0;
namespace fs = std::filesystem;

struct TempDir {
  std::string path;
  TempDir() {
    std::string pattern = (fs::temp_directory_path() / "bounced-state-XXXXXX").string();
    path = ::mkdtemp(pattern.data());
  }
  ~TempDir() { fs::remove_all(path); }
};

/// Makes batches of events the way parse and correlate would.
struct Feed {
  BlockPool pool{4, 4096};
  Batch batch;
  std::vector<Event> events;
  AddressHasher hasher{public_secret()};

  Feed() { batch.block = pool.take(); }
  void use(const store::Store& store) {
    hasher = AddressHasher(store.secret(), AddressOptions{store.fold_local_part()});
  }
  Event& add(EventKind kind, const std::string& address, std::int64_t t, std::uint64_t message,
             Cause cause = Cause::none, int confidence = 98) {
    Event e;
    e.kind = kind;
    e.time_us = t;
    e.message = message;
    e.id = message * 7919;
    e.offset = message;
    e.source = 1;
    e.recipient = batch.add(address);
    e.mta_host = batch.add("mx1.example.net");
    EXPECT_TRUE(hasher.ids(address, e.recipient_id, e.domain_id));
    if (cause != Cause::none) {
      Verdict v = testing::verdict(cause, confidence);
      v.bounce_class = BounceClass::hard;
      batch.set_verdict(e, v);
      e.diagnostic = batch.add("550 5.1.1 said the server to " + address);
      e.smtp_code = 550;
    }
    events.push_back(e);
    return events.back();
  }
  std::vector<std::uint8_t> apply(States& states) {
    std::vector<Event*> pointers;
    for (Event& e : events) pointers.push_back(&e);
    std::vector<std::uint8_t> counted;
    const auto done = states.apply(batch, pointers, &counted);
    EXPECT_TRUE(done) << done.error().message();
    events.clear();
    batch.clear();
    batch.block = pool.take();
    return counted;
  }
  AddressId id(const std::string& address) const {
    AddressId a, d;
    hasher.ids(address, a, d);
    return a;
  }
  AddressId domain(const std::string& address) const {
    AddressId a, d;
    hasher.ids(address, a, d);
    return d;
  }
};

std::unique_ptr<store::Store> open_store(const std::string& dir) {
  auto store = store::Store::open(dir, {});
  EXPECT_TRUE(store) << store.error().message();
  return std::move(*store);
}

void cut(States& states, store::Names& names, store::Store& store) {
  store::WriteSet set;
  states.append_to(set);
  names.append_to(set);
  const auto done = store.commit(set, false);
  ASSERT_TRUE(done) << done.error().message();
  states.committed();
}

/// Everything that counts, decoded only as far as keys and values.
std::map<std::string, std::string> dump(const store::Store& store) {
  std::map<std::string, std::string> all;
  for (const store::Family family :
       {store::Family::address, store::Family::evidence, store::Family::by_block,
        store::Family::due, store::Family::changes}) {
    EXPECT_TRUE(store.scan(family, {}, {}, [&](auto key, auto value) {
      all[std::to_string(static_cast<int>(family)) + std::string(key)] = std::string(value);
      return true;
    }));
  }
  EXPECT_TRUE(store.scan(store::Family::meta, "state/", {}, [&](auto key, auto value) {
    all["meta" + std::string(key)] = std::string(value);
    return true;
  }));
  return all;
}

struct Opened {
  std::unique_ptr<store::Store> store;
  store::Names names;
  std::unique_ptr<States> states;
  explicit Opened(const std::string& dir, std::size_t table_bytes = std::size_t{64} << 20)
      : store(open_store(dir)) {
    EXPECT_TRUE(names.load(*store));
    Options options;
    options.table_bytes = table_bytes;
    options.rule_name = [](RuleId) { return std::string_view("test/rule"); };
    states = std::make_unique<States>(default_policy(), names, options);
    EXPECT_TRUE(states->open(store.get()));
  }
};

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
    ASSERT_TRUE(o.states->tick(kT0 + 4000 * kDayUs));
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
    ASSERT_TRUE(o->states->tick(kT0 + 4000 * kDayUs));
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
    ASSERT_TRUE(o.states->tick(kT0 + 4000 * kDayUs));
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
  ASSERT_TRUE(o.states->tick(kT0 + 180 * kDayUs - 1));
  EXPECT_EQ(o.states->stats().blocked, 2u);
  ASSERT_TRUE(o.states->tick(kT0 + 180 * kDayUs));
  EXPECT_EQ(o.states->view().word(feed.id("a@x.example")), 0u);
  EXPECT_NE(o.states->view().word(feed.id("b@x.example")), 0u);
  ASSERT_TRUE(o.states->tick(kT0 + 500 * kDayUs));
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
  ASSERT_TRUE(o->states->tick(t + 8 * kDayUs));
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

TEST(States, CommandsBlockAndUnblock) {
  store::Names names;
  States states(default_policy(), names, {});
  ASSERT_TRUE(states.open(nullptr));
  Feed feed;
  States::Command command;
  command.address = "Some@Example.com";
  command.record.kind = BlockKind::manual;
  command.time_us = kT0;
  ASSERT_TRUE(states.command(command).value());
  EXPECT_EQ(states.view().word(feed.id("some@example.com")) & 0xff,
            static_cast<std::uint64_t>(BlockKind::manual));
  command.kind = States::Command::Kind::unblock;
  command.time_us = kT0 + 1;
  ASSERT_TRUE(states.command(command).value());
  EXPECT_FALSE(states.command(command).value()) << "nothing left to lift";
  EXPECT_EQ(states.view().word(feed.id("some@example.com")), 0u);
  command.address = "";
  EXPECT_FALSE(states.command(command));
}

TEST(States, CommandsBlockAndUnblockADomain) {
  TempDir dir;
  Opened o(dir.path);
  Feed feed;
  feed.use(*o.store);
  Event& e = feed.add(EventKind::bounced, "a@gone.example", kT0, 1, Cause::domain_unknown);
  e.enhanced = {1, 10, 5};
  feed.apply(*o.states);
  const AddressId domain = feed.domain("a@gone.example");
  ASSERT_EQ(o.states->view().word(domain) & 0xff, static_cast<std::uint64_t>(BlockKind::dead));
  States::Command command;
  command.address = "Gone.Example.";
  command.domain = true;
  command.kind = States::Command::Kind::unblock;
  command.time_us = kT0 + kHourUs;
  EXPECT_TRUE(o.states->command(command).value());
  EXPECT_EQ(o.states->view().word(domain), 0u);
  EXPECT_FALSE(o.states->command(command).value());

  command.kind = States::Command::Kind::block;
  command.record.kind = BlockKind::manual;
  EXPECT_TRUE(o.states->command(command).value());
  feed.add(EventKind::delivered, "b@gone.example", kT0 + 2 * kHourUs, 2);
  feed.apply(*o.states);
  EXPECT_EQ(o.states->view().word(domain) & 0xff, static_cast<std::uint64_t>(BlockKind::manual));
  const auto state = o.states->find_domain(domain);
  ASSERT_TRUE(state && *state);
  EXPECT_EQ((*state)->text, "gone.example");
  command.address = ".";
  EXPECT_FALSE(o.states->command(command));
}

TEST(States, AStateThatCannotBeReadIsNotWrittenOver) {
  TempDir dir;
  // Its head says that a delivery follows, which is not there.
  const std::string damaged = std::string("\x01\x01", 2) + std::string(15, '\0');
  Feed feed;
  AddressId id;
  std::string key;
  {
    auto store = open_store(dir.path);
    feed.use(*store);
    id = feed.id("a@x.example");
    store::append_id(key, id);
    store::WriteSet set;
    set.put(store::Family::address, key, damaged);
    ASSERT_TRUE(store->commit(set, true));
  }
  Opened o(dir.path);
  States::Command command;
  command.address = "a@x.example";
  command.record.kind = BlockKind::manual;
  command.time_us = kT0;
  EXPECT_FALSE(o.states->command(command));
  cut(*o.states, o.names, *o.store);
  EXPECT_EQ(o.store->get(store::Family::address, key).value().value(), damaged);
  feed.add(EventKind::delivered, "a@x.example", kT0, 1);
  std::vector<Event*> events = {&feed.events[0]};
  const auto applied = o.states->apply(feed.batch, events, nullptr);
  ASSERT_FALSE(applied);
  EXPECT_NE(applied.error().message().find("malformed"), std::string::npos);
}

TEST(States, WhatARelayOfOursSaysIsNotTheDomainsWord) {
  TempDir dir;
  Opened o(dir.path);
  Feed feed;
  feed.use(*o.store);
  for (std::uint64_t i = 0; i < 6; ++i) {
    Event& refused =
        feed.add(EventKind::bounced, "a@refused.example",
                 kT0 + static_cast<std::int64_t>(2 * i) * kDayUs, 10 + i, Cause::relay_denied);
    refused.mta_port = 25;
    refused.flags = EventFlags::kRelay;
    Event& down =
        feed.add(EventKind::expired, "a@down.example",
                 kT0 + static_cast<std::int64_t>(2 * i) * kDayUs, 20 + i, Cause::domain_down);
    down.flags = EventFlags::kRelay;
  }
  Event& gone = feed.add(EventKind::bounced, "a@gone.example", kT0, 1, Cause::domain_unknown);
  gone.enhanced = {1, 10, 5};
  feed.apply(*o.states);
  EXPECT_EQ(o.states->view().word(feed.domain("a@refused.example")), 0u);
  EXPECT_EQ(o.states->view().word(feed.domain("a@down.example")), 0u);
  const auto answered = [&](std::uint8_t flags) {
    Event& e =
        feed.add(EventKind::deferred, "a@gone.example", kT0 + kHourUs, 30, Cause::rate_limited);
    e.mta_ip = feed.batch.add("192.0.2.1");
    e.flags = flags;
    feed.apply(*o.states);
    return o.states->view().word(feed.domain("a@gone.example")) == 0;
  };
  EXPECT_FALSE(answered(EventFlags::kRelay));
  EXPECT_TRUE(answered(0));
}

TEST(States, EvidenceOfATriedMessageStaysInItsSlot) {
  TempDir dir;
  Opened o(dir.path);
  Feed feed;
  feed.use(*o.store);
  for (int i = 0; i < 3; ++i) {
    feed.add(EventKind::bounced, "a@x.example", kT0 + i, static_cast<std::uint64_t>(i) + 1,
             Cause::rate_limited);
  }
  for (int i = 0; i < 100; ++i) {
    Event& e =
        feed.add(EventKind::deferred, "a@x.example", kT0 + kHourUs + i, 77, Cause::rate_greylist);
    e.diagnostic = feed.batch.add("450 try " + std::string(static_cast<std::size_t>(i), '.') +
                                  std::to_string(i));
  }
  feed.apply(*o.states);
  EXPECT_LT(o.states->dirty_bytes(), 64u << 10);
  cut(*o.states, o.names, *o.store);
  int finals = 0, deferrals = 0;
  ASSERT_TRUE(o.store->scan(store::Family::evidence, {}, {}, [&](auto key, auto value) {
    const auto e = decode_evidence(value).value();
    (e.kind == EventKind::deferred ? deferrals : finals)++;
    if (e.kind == EventKind::deferred) {
      EXPECT_EQ(key.back(), static_cast<char>(evidence_slot_of_deferral(77)));
      EXPECT_EQ(e.diagnostic.substr(e.diagnostic.size() - 3), ".99");
    }
    return true;
  }));
  EXPECT_EQ(finals, 3);
  EXPECT_EQ(deferrals, 1);
}

TEST(Evidence, KeepsTheWholeEvent) {
  BlockPool pool(1, 4096);
  Batch batch;
  batch.block = pool.take();
  Event event;
  event.kind = EventKind::bounced;
  event.phase = Phase::rcpt;
  event.time_us = kT0;
  event.delay_ms = 1'200;
  event.mta_port = 2525;
  event.tenant = 3;
  event.stream = 4;
  event.format = 0;
  event.offset = 77;
  event.campaign = batch.add("spring");
  event.sending_ip = batch.add("198.51.100.7");
  event.mta_ip = batch.add("192.0.2.7");
  event.diagnostic = batch.add("550 5.1.1 no");
  std::string bytes(kEvidenceBytesMax, '\0');
  const char* const end = encode_evidence(bytes.data(), batch, event, Verdict{}, "own/rule");
  bytes.resize(static_cast<std::size_t>(end - bytes.data()));
  const auto read = decode_evidence(bytes);
  ASSERT_TRUE(read) << read.error().message();
  EXPECT_EQ(read->delay_ms, 1'200u);
  EXPECT_EQ(read->mta_port, 2525);
  EXPECT_EQ(read->tenant, 3);
  EXPECT_EQ(read->stream, 4);
  EXPECT_EQ(read->format, 0);
  EXPECT_EQ(read->campaign, "spring");
  EXPECT_EQ(read->sending_ip, "198.51.100.7");
  EXPECT_EQ(read->mta_ip, "192.0.2.7");
  EXPECT_EQ(read->diagnostic, "550 5.1.1 no");
  EXPECT_EQ(read->offset, 77u);
}

TEST(Evidence, RandomBytesAreRefusedOrRead) {
  std::mt19937_64 random(7);
  for (int i = 0; i < 20'000; ++i) {
    std::string bytes(random() % 64, '\0');
    for (char& c : bytes) c = static_cast<char>(random());
    if (!bytes.empty()) bytes[0] = static_cast<char>(1 + i % 2);
    (void)decode_evidence(bytes);
    (void)decode_change(bytes.substr(0, 8), bytes);
  }
}

}  // namespace
}  // namespace bounced::state
