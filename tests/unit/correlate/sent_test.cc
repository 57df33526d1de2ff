// Mails are believed when they match what was sent, and only then.
#include "correlate/sent.h"

#include <gtest/gtest.h>

#include <memory>

#include "base/address.h"
#include "base/message.h"
#include "base/time.h"
#include "scenario.h"

namespace bounced::correlate {
namespace {

using test::TempDir;

constexpr std::int64_t kNoonUs = 20'000 * kDayUs + kDayUs / 2;

class SentTest : public ::testing::Test {
 protected:
  SentTest() : pool_(1, 64) {
    batch_.block = pool_.take();
    batch_.block->size = 0;
  }
  ~SentTest() override { batch_.clear(); }

  Event event(EventKind kind, std::string_view recipient, std::string_view message_id,
              std::string_view queue_id = {}) {
    Event e;
    e.kind = kind;
    e.time_us = kNoonUs;
    e.recipient = batch_.add(recipient);
    EXPECT_TRUE(hasher_.ids(recipient, e.recipient_id, e.domain_id));
    e.message_id = batch_.add(message_id);
    e.queue_id = batch_.add(queue_id);
    e.message = message_id.empty() ? 4711 : message_fingerprint(message_id);
    return e;
  }
  Event from_mail(std::string_view recipient, std::string_view message_id,
                  std::string_view queue_id = {}) {
    Event e = event(EventKind::bounced, recipient, message_id, queue_id);
    if (message_id.empty()) e.message = 99;  // of the mail itself
    e.flags |= EventFlags::kUnproven;
    return e;
  }
  /// What is left to be applied.
  std::vector<Event*> apply(Sent& sent, std::vector<Event>& events) {
    std::vector<Event*> run;
    for (Event& e : events) run.push_back(&e);
    EXPECT_TRUE(sent.apply(batch_, run).has_value());
    return run;
  }

  AddressHasher hasher_;
  BlockPool pool_;
  Batch batch_;
};

TEST_F(SentTest, AMailIsBelievedForTheMessageAndItsRecipientOnly) {
  Sent sent(10);
  std::vector<Event> log = {event(EventKind::delivered, "ann@a.example", "<m1@e.example>", "Q1")};
  EXPECT_EQ(apply(sent, log).size(), 1u);
  std::vector<Event> mails = {
      from_mail("ann@a.example", "<m1@e.example>"), from_mail("bob@a.example", "<m1@e.example>"),
      from_mail("ann@a.example", "<m2@e.example>"), from_mail("ann@a.example", "", "Q1"),
      from_mail("ann@a.example", "", "Q2")};
  const auto run = apply(sent, mails);
  ASSERT_EQ(run.size(), 2u);
  EXPECT_EQ(run[0], &mails[0]);
  EXPECT_EQ(run[1], &mails[3]);
  EXPECT_EQ(mails[3].message, message_fingerprint("<m1@e.example>")) << "the log's fingerprint";
  EXPECT_FALSE(mails[0].has(EventFlags::kUnproven));
  EXPECT_EQ(sent.stats().matched, 2u);
  EXPECT_EQ(sent.stats().unmatched, 3u);
}

TEST_F(SentTest, ALogWithoutMessageIdIsMatchedByQueueIdUnderItsOwnFingerprint) {
  Sent sent(10);
  std::vector<Event> log = {event(EventKind::bounced, "ann@a.example", "", "Q1")};
  apply(sent, log);
  std::vector<Event> mails = {from_mail("ann@a.example", "<m1@e.example>", "Q1")};
  ASSERT_EQ(apply(sent, mails).size(), 1u);
  EXPECT_EQ(mails[0].message, 4711u);
}

TEST_F(SentTest, WhatMailsSayOfDeliveriesIsLeftToTheLogs) {
  Sent sent(10);
  std::vector<Event> log = {event(EventKind::delivered, "ann@a.example", "<m1@e.example>")};
  apply(sent, log);
  std::vector<Event> mails = {from_mail("ann@a.example", "<m1@e.example>")};
  mails[0].kind = EventKind::delivered;
  EXPECT_TRUE(apply(sent, mails).empty());
}

TEST(HandedOver, TheIdInASmartHostsAnswer) {
  const std::pair<std::string_view, std::string_view> kCases[] = {
      {"250 Ok 0102018f5d3c1a2b-4c5d6e7f-000000", "0102018f5d3c1a2b-4c5d6e7f-000000"},
      {"(250 Ok 0102018f5d3c1a2b-4c5d6e7f-000000)", "0102018f5d3c1a2b-4c5d6e7f-000000"},
      {"250 Ok: queued as LRzXl_NHStOGhQ4kofSm_A", "LRzXl_NHStOGhQ4kofSm_A"},
      {"250 2.0.0 OK: queued as <2026.1@smtp-relay.mailin.fr>", "2026.1@smtp-relay.mailin.fr"},
      {"250 2.0.0 Ok: queued as 8A5B2C1D", "8A5B2C1D"},
      {"250 Great success", ""},
      {"250 2.0.0 OK 87/1A-22345-ABCDEF thanks", ""},
      {"250 ok accepted", ""},
      {"250", ""},
      {"", ""},
  };
  for (const auto& [answer, id] : kCases) EXPECT_EQ(handed_over_id(answer), id) << answer;
}

TEST_F(SentTest, WhatASmartHostTookGoesByItsId) {
  const auto smart = [](std::string_view host, std::uint16_t port) {
    return host == "smtp.esp.example" && port == 587;
  };
  const std::uint64_t name = message_fingerprint("0102018f5d3c1a2b-4c5d6e7f-000000");
  for (const bool log_first : {true, false}) {
    Sent sent(10, smart);
    std::vector<Event> log = {event(EventKind::relayed, "ann@a.example", "<m1@e.example>", "Q1")};
    log[0].mta_host = batch_.add("smtp.esp.example");
    log[0].mta_port = 587;
    log[0].diagnostic = batch_.add("250 Ok 0102018f5d3c1a2b-4c5d6e7f-000000");
    std::vector<Event> hook = {event(EventKind::bounced, "ann@a.example", "", "")};
    hook[0].message = name;
    const auto told = [&](std::vector<Event>& events, bool pushed) {
      std::vector<Event*> run = {&events[0]};
      EXPECT_TRUE(sent.apply(batch_, run, pushed).has_value());
      EXPECT_EQ(run.size(), 1u);
    };
    log_first ? told(log, false) : told(hook, true);
    log_first ? told(hook, true) : told(log, false);
    EXPECT_EQ(hook[0].message, name);
    // The mail that comes back names it by the header, or by the provider's id at its domain.
    for (const std::string_view id :
         {"<m1@e.example>", "<0102018f5d3c1a2b-4c5d6e7f-000000@esp.example>"}) {
      std::vector<Event> mails = {from_mail("ann@a.example", id)};
      ASSERT_EQ(apply(sent, mails).size(), 1u) << id;
      EXPECT_EQ(mails[0].message, name) << id;
    }
    std::vector<Event> others = {from_mail("bob@a.example", "<m1@e.example>")};
    EXPECT_TRUE(apply(sent, others).empty());
  }
}

TEST_F(SentTest, AWebhookWithoutTheProvidersIdIsLedToItByTheHeader) {
  Sent sent(10);
  const std::uint64_t name = message_fingerprint("LRzXl_NHStOG");
  std::vector<Event> early = {
      event(EventKind::deferred, "ann@a.example", "<m1@e.example>", "LRzXl_NHStOG")};
  early[0].message = name;
  std::vector<Event> late = {event(EventKind::bounced, "ann@a.example", "<m1@e.example>")};
  for (auto* events : {&early, &late}) {
    std::vector<Event*> run = {&events->front()};
    ASSERT_TRUE(sent.apply(batch_, run, true).has_value());
  }
  EXPECT_EQ(late[0].message, name);
}

TEST_F(SentTest, RemembersNothingWhereNobodyAsked) {
  Sent sent(0);
  std::vector<Event> events = {event(EventKind::delivered, "ann@a.example", "<m1@e.example>")};
  EXPECT_EQ(apply(sent, events).size(), 1u);
  EXPECT_EQ(sent.stats().remembered, 0u);
  std::vector<Event> mails = {from_mail("ann@a.example", "<m1@e.example>")};
  EXPECT_TRUE(apply(sent, mails).empty());
}

TEST_F(SentTest, SurvivesRestartsAndForgetsOldDays) {
  const TempDir dir;
  auto store = store::Store::open(dir.path, {});
  ASSERT_TRUE(store.has_value());
  {
    Sent sent(10);
    sent.open(**store);
    std::vector<Event> log = {event(EventKind::delivered, "ann@a.example", "<m1@e.example>", "Q1")};
    apply(sent, log);
    store::WriteSet set;
    ASSERT_TRUE(sent.append_to(set).has_value());
    std::vector<Event> mails = {from_mail("ann@a.example", "<m1@e.example>")};
    EXPECT_EQ(apply(sent, mails).size(), 1u) << "while the cut is on its way";
    ASSERT_TRUE((*store)->commit(set, true).has_value());
    sent.committed();
  }
  Sent sent(10);
  sent.open(**store);
  std::vector<Event> mails = {from_mail("ann@a.example", "<m1@e.example>"),
                              from_mail("ann@a.example", "<m1@e.example>")};
  mails[1].time_us += 30 * kDayUs;
  EXPECT_EQ(apply(sent, mails).size(), 1u) << "too long ago for the second";

  std::vector<Event> later = {event(EventKind::delivered, "bob@a.example", "<m9@e.example>")};
  later[0].time_us += 60 * kDayUs;
  apply(sent, later);
  store::WriteSet set;
  ASSERT_TRUE(sent.append_to(set).has_value());
  ASSERT_TRUE((*store)->commit(set, true).has_value());
  std::size_t left = 0;
  ASSERT_TRUE((*store)
                  ->scan(store::Family::sent, {}, {},
                         [&](std::string_view, std::string_view) {
                           ++left;
                           return true;
                         })
                  .has_value());
  EXPECT_EQ(left, 1u) << "the new pair; two old records are gone";
}

}  // namespace
}  // namespace bounced::correlate
