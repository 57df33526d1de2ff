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

TEST_F(SentTest, AMailThatComesFirstWaitsForTheLog) {
  const TempDir dir;
  auto store = store::Store::open(dir.path, {});
  ASSERT_TRUE(store.has_value());
  const auto cut = [&](Sent& sent) {
    store::WriteSet set;
    ASSERT_TRUE(sent.append_to(set).has_value());
    ASSERT_TRUE((*store)->commit(set, true).has_value());
    sent.committed();
  };
  {
    Sent sent(10);
    ASSERT_TRUE(sent.open(**store).has_value());
    std::vector<Event> mails = {
        from_mail("ann@a.example", "<m1@e.example>"), from_mail("ann@a.example", "<m1@e.example>"),
        from_mail("bob@a.example", "", "Q2"), from_mail("eve@a.example", "<m9@e.example>")};
    mails[0].diagnostic = batch_.add("550 5.1.1 no such user");
    mails[0].smtp_code = 550;
    Verdict verdict;
    verdict.cause = Cause::mailbox_unknown;
    verdict.rule = 7;
    batch_.set_verdict(mails[0], verdict);
    EXPECT_TRUE(apply(sent, mails).empty());
    EXPECT_EQ(sent.stats().waiting, 3u) << "the same again is the same";
    cut(sent);
  }
  Sent sent(10);
  ASSERT_TRUE(sent.open(**store).has_value());
  std::vector<Event> log = {event(EventKind::deferred, "ann@a.example", "<m1@e.example>", "Q1"),
                            event(EventKind::delivered, "ann@a.example", "<m1@e.example>", "Q1"),
                            event(EventKind::relayed, "bob@a.example", "<m2@e.example>", "Q2")};
  const auto run = apply(sent, log);
  ASSERT_EQ(run.size(), 5u);
  EXPECT_EQ(run[0], &log[0]);
  EXPECT_EQ(run[1], &log[1]) << "behind the outcome, not behind an attempt";
  EXPECT_EQ(batch_.view(run[2]->diagnostic), "550 5.1.1 no such user");
  EXPECT_EQ(run[2]->smtp_code, 550);
  EXPECT_EQ(run[2]->message, log[1].message);
  EXPECT_FALSE(run[2]->has(EventFlags::kUnproven));
  ASSERT_NE(batch_.verdict(*run[2]), nullptr);
  EXPECT_EQ(batch_.verdict(*run[2])->rule, 7u);
  EXPECT_EQ(batch_.view(run[4]->recipient), "bob@a.example");
  EXPECT_EQ(run[4]->message, message_fingerprint("<m2@e.example>"));
  ASSERT_EQ(batch_.revisions.size(), 1u) << "ann's delivery failed after all";
  EXPECT_EQ(batch_.revision(2)->time_us, log[1].time_us);
  cut(sent);
  Sent again(10);
  ASSERT_TRUE(again.open(**store).has_value());
  EXPECT_EQ(again.stats().waiting, 1u) << "eve's";
}

TEST_F(SentTest, ADeliveryAndAFailureOfOneMessageAreJoinedInEitherOrder) {
  const TempDir dir;
  auto store = store::Store::open(dir.path, {});
  ASSERT_TRUE(store.has_value());
  for (const bool failure_first : {false, true}) {
    const std::string id = failure_first ? "<m1@e.example>" : "<m2@e.example>";
    Event delivery = event(EventKind::delivered, "ann@a.example", id);
    delivery.sender = batch_.add("b@two.example");
    delivery.stream = 3;
    Event failure = event(EventKind::bounced, "ann@a.example", id);
    failure.time_us += 5 * kDayUs;
    failure.mta_host = batch_.add("mx.a.example");
    Verdict verdict;
    verdict.cause = Cause::mailbox_full;
    verdict.bounce_class = BounceClass::soft;
    batch_.set_verdict(failure, verdict);
    for (int n = 0; n < 3; ++n) {  // the third telling is no news
      Sent sent(10);
      ASSERT_TRUE(sent.open(**store).has_value());
      std::vector<Event> events = {(n == 0) == failure_first ? failure : delivery};
      apply(sent, events);
      ASSERT_EQ(batch_.revisions.size(), n == 1 ? 1u : 0u) << failure_first << n;
      store::WriteSet set;
      ASSERT_TRUE(sent.append_to(set).has_value());
      ASSERT_TRUE((*store)->commit(set, true).has_value());
      if (n != 1) continue;
      const Revision& other = batch_.revisions.front();
      EXPECT_EQ(other.time_us, failure_first ? failure.time_us : delivery.time_us);
      EXPECT_EQ(other.cause, failure_first ? Cause::mailbox_full : Cause::none);
      EXPECT_EQ(batch_.view(other.sender), failure_first ? "" : "@two.example");
      EXPECT_EQ(other.stream, failure_first ? 0 : 3);
      EXPECT_EQ(batch_.view(other.mta_host), failure_first ? "mx.a.example" : "");
    }
  }
}

TEST_F(SentTest, AReportThatNamesNobodyIsAboutTheOnlyRecipient) {
  for (const bool keeps : {false, true}) {
    Sent sent(10, keeps);
    std::vector<Event> log = {event(EventKind::delivered, "ann@a.example", "<m1@e.example>"),
                              event(EventKind::delivered, "bob@a.example", "<m2@e.example>"),
                              event(EventKind::delivered, "cid@a.example", "<m2@e.example>")};
    apply(sent, log);
    std::vector<Event> reports;
    for (const char* id : {"<m1@e.example>", "<m2@e.example>", "<m3@e.example>"}) {
      Event e = from_mail("x@a.example", id);
      e.kind = EventKind::complained;
      e.recipient = {};
      e.recipient_id = e.domain_id = {};
      reports.push_back(e);
    }
    const auto run = apply(sent, reports);
    ASSERT_EQ(run.size(), keeps ? 1u : 0u);
    EXPECT_EQ(sent.stats().redacted, keeps ? 2u : 3u);
    if (!keeps) continue;
    EXPECT_EQ(run[0]->recipient_id, log[0].recipient_id);
    EXPECT_EQ(run[0]->domain_id, log[0].domain_id);
    EXPECT_EQ(batch_.view(run[0]->recipient), "ann@a.example");
  }
}

TEST(Waiting, WhatIsMalformedIsNotTaken) {
  BlockPool pool(1, 64);
  Batch batch;
  batch.block = pool.take();
  batch.block->size = 0;
  Event e, out;
  e.kind = EventKind::bounced;
  e.recipient = batch.add("a@b.example");
  std::string bytes;
  append_event(bytes, batch, e);
  EXPECT_TRUE(read_event(bytes, batch, out));
  for (std::size_t size = 0; size < bytes.size(); ++size) {
    EXPECT_FALSE(read_event(std::string_view(bytes).substr(0, size), batch, out)) << size;
  }
  EXPECT_FALSE(read_event(bytes + "x", batch, out));
  batch.clear();
}

TEST(Waiting, IsBounded) {
  Waiting waiting;
  const std::string event(100'000, 'x');
  for (std::uint32_t n = 1; n < 1000; ++n) waiting.add(n, n, 0, event);
  EXPECT_LT(waiting.size(), Waiting::kBytesMax / event.size() + 1);
  std::uint32_t day = 0;
  EXPECT_TRUE(waiting.take(1, day).empty()) << "the oldest went first";
  EXPECT_EQ(waiting.take(999, day).size(), event.size());
  EXPECT_EQ(day, 999u);
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
    Sent sent(10, false, smart);
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
    ASSERT_TRUE(sent.open(**store).has_value());
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
  ASSERT_TRUE(sent.open(**store).has_value());
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
