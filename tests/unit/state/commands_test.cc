// What operators, relays and damage do to states; the servers' own words.
#include <gtest/gtest.h>

#include <random>

#include "state/evidence.h"
#include "states_fixture.h"

namespace bounced::state {
namespace {

using namespace testing;  // NOLINT(google-build-using-namespace)

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

/// One line of a clock that was years ahead must not open what no tick has ended.
TEST(States, LookupsKeepABlockWhateverOneLineIsStamped) {
  TempDir dir;
  AddressId id;
  const auto kind = [&](const Opened& o) { return o.states->view().word(id) & 0xff; };
  constexpr auto kDead = static_cast<std::uint64_t>(BlockKind::dead);
  {
    Opened o(dir.path);
    Feed feed;
    feed.use(*o.store);
    id = feed.id("gone@example.com");
    feed.add(EventKind::bounced, "gone@example.com", kT0, 1, Cause::mailbox_unknown);
    feed.add(EventKind::deferred, "gone@example.com", kT0 + 4000 * kDayUs, 2, Cause::mailbox_full);
    feed.add(EventKind::bounced, "gone@example.com", kT0 + 4000 * kDayUs, 3, Cause::spam_content);
    feed.apply(*o.states);
    EXPECT_EQ(kind(o), kDead);
    tick_all(*o.states, kT0 + kDayUs);
    EXPECT_EQ(kind(o), kDead);
    cut(*o.states, o.names, *o.store);
  }
  Opened o(dir.path);
  ASSERT_TRUE(o.states->wait_complete());
  EXPECT_EQ(kind(o), kDead);
  tick_all(*o.states, kT0 + 181 * kDayUs);
  EXPECT_EQ(kind(o), 0u);
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
  event.hint = ProviderHint::blocked;
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
  EXPECT_EQ(read->hint, ProviderHint::blocked);
  EXPECT_FALSE(decode_evidence(bytes.substr(0, bytes.size() - 1)));
}

TEST(Evidence, RandomBytesAreRefusedOrRead) {
  std::mt19937_64 random(7);
  for (int i = 0; i < 20'000; ++i) {
    std::string bytes(random() % 64, '\0');
    for (char& c : bytes) c = static_cast<char>(random());
    if (!bytes.empty()) bytes[0] = static_cast<char>(1 + i % 3);
    (void)decode_evidence(bytes);
    (void)decode_change(bytes.substr(0, 8), bytes);
  }
}

}  // namespace
}  // namespace bounced::state
