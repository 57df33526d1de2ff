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
