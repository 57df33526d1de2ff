// The inbox: durable when accepted, applied once, over restarts and in any order.
#include <gtest/gtest.h>

#include <atomic>
#include <condition_variable>
#include <filesystem>
#include <mutex>

#include "base/time.h"
#include "pipeline/engine.h"
#include "store/names.h"

namespace bounced::pipeline {
namespace {

class InboxTest : public ::testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/bounced-inbox-XXXXXX";
    dir_ = mkdtemp(name);
  }
  void TearDown() override { std::filesystem::remove_all(dir_); }

  [[nodiscard]] Options options() const {
    Options o;
    o.data_dir = dir_ + "/data";
    o.workers = 1;
    o.cut_interval_us = 5'000;
    return o;
  }
  std::unique_ptr<Engine> open(Options o) const {
    auto engine = Engine::open(std::move(o));
    EXPECT_TRUE(engine) << engine.error().message();
    return std::move(*engine);
  }
  static PushId source(Engine& engine) {
    auto id = engine.add_push({"hook", "sendgrid", "acme", "bulk", 3 * kDayUs});
    EXPECT_TRUE(id) << id.error().message();
    return *id;
  }
  static void add(Engine& engine, Batch& batch, const std::string& to, std::uint64_t key,
                  EventKind kind = EventKind::bounced) {
    Event e;
    ASSERT_TRUE(engine.hasher().ids(to, e.recipient_id, e.domain_id));
    e.kind = kind;
    e.time_us = *parse_time("2026-11-20T10:00:00Z") + static_cast<std::int64_t>(key);
    e.recipient = batch.add(to);
    e.message_id = batch.add("<" + std::to_string(key) + "@esp.example>");
    if (kind == EventKind::bounced) {
      e.diagnostic =
          batch.add("550 5.1.1 The email account that you tried to reach does not exist");
      e.smtp_code = 550;
      e.enhanced = {1, 1, 5};
      e.phase = Phase::rcpt;
    }
    batch.events.push_back(e);
    batch.keys.push_back({key, ~key});
  }
  /// As many events of a kind as were applied in the end, when so many are awaited.
  static std::uint64_t applied(Engine& engine, EventKind kind, std::uint64_t awaited) {
    const auto now = [&] { return engine.metrics().events[static_cast<std::size_t>(kind)]; };
    for (int i = 0; i < 500 && now() < awaited; ++i) {
      (void)engine.flush();
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
    return now();
  }
  [[nodiscard]] std::size_t stored(store::Family family) const {
    store::OpenOptions read_only;
    read_only.read_only = true;
    auto store = store::Store::open(dir_ + "/data", read_only);
    EXPECT_TRUE(store);
    std::size_t n = 0;
    EXPECT_TRUE((*store)->scan(family, {}, {}, [&](auto, auto) {
      ++n;
      return true;
    }));
    return n;
  }
  std::string dir_;
};

TEST_F(InboxTest, AcceptedEventsAreAppliedWithAllTheyTold) {
  Options o = options();
  std::mutex mutex;
  std::vector<std::string> told;
  const store::Names* names = nullptr;
  o.on_events = [&](const Batch& batch, std::span<Event* const> events) {
    const std::lock_guard lock(mutex);
    for (const Event* e : events) {
      told.push_back(
          std::string(batch.view(e->recipient)) + "|" + std::string(batch.view(e->message_id)) +
          "|" + std::string(batch.view(e->diagnostic)) + "|" + std::to_string(e->smtp_code) + "|" +
          format_time(e->time_us) + "|" + std::string(parse::formats()[e->format].name) + "|" +
          std::string(names->text(store::Dictionary::source, e->source)) + "|" +
          std::string(names->text(store::Dictionary::tenant, e->tenant)) + "|" +
          std::string(names->text(store::Dictionary::stream, e->stream)) + "|" +
          (batch.verdict(*e) != nullptr && batch.verdict(*e)->hard() ? "hard" : "-"));
    }
  };
  auto engine = open(std::move(o));
  names = &engine->names();
  const PushId id = source(*engine);
  Batch batch;
  add(*engine, batch, "gone@example.com", 1);
  add(*engine, batch, "here@example.com", 2, EventKind::delivered);
  ASSERT_TRUE(engine->accept(id, batch));
  EXPECT_EQ(applied(*engine, EventKind::delivered, 1), 1u);
  EXPECT_EQ(engine->metrics().lag_bytes, 0u) << "of logs, and there is none";
  ASSERT_TRUE(engine->stop());
  ASSERT_EQ(told.size(), 2u);
  EXPECT_EQ(told[0],
            "gone@example.com|<1@esp.example>|550 5.1.1 The email account that you tried to reach "
            "does not exist|550|2026-11-20T10:00:00.000001Z|sendgrid|hook|acme|bulk|hard");
  EXPECT_EQ(told[1],
            "here@example.com|<2@esp.example>||0|2026-11-20T10:00:00.000002Z|sendgrid|hook|acme|"
            "bulk|-");
  engine.reset();
  EXPECT_EQ(stored(store::Family::inbox), 0u);
  EXPECT_EQ(stored(store::Family::seen), 1u) << "one record for the keys of a cut";
}

TEST_F(InboxTest, StreamRulesKnowWhatProvidersTell) {
  std::map<std::string, std::string> streams;
  const store::Names* names = nullptr;
  Options o = options();
  o.streams.resize(3);
  o.streams[0].name = "by pool";
  o.streams[0].instances = {"bulk-pool"};
  o.streams[1].name = "by sender";
  o.streams[1].sender_domains = {"news.example.com"};
  o.streams[2].name = "by campaign";
  o.streams[2].campaigns = {"autumn"};
  o.on_events = [&](const Batch& batch, std::span<Event* const> events) {
    for (const Event* e : events) {
      streams[std::string(batch.view(e->recipient))] =
          names->text(store::Dictionary::stream, e->stream);
    }
  };
  auto engine = open(std::move(o));
  names = &engine->names();
  auto id = engine->add_push({"hook", "sendgrid", "", "", 3 * kDayUs});
  ASSERT_TRUE(id);
  Batch batch;
  for (const char* to :
       {"pool@a.example", "sender@a.example", "campaign@a.example", "none@a.example"}) {
    add(*engine, batch, to, batch.events.size() + 1);
  }
  batch.origins.push_back({batch.add("acme"), batch.add("bulk-pool"), 1});
  batch.events[0].origin = 1;
  batch.events[1].sender = batch.add("x@news.example.com");
  batch.events[2].campaign = batch.add("autumn");
  ASSERT_TRUE(engine->accept(*id, batch));
  EXPECT_EQ(applied(*engine, EventKind::bounced, 4), 4u);
  ASSERT_TRUE(engine->stop());
  EXPECT_EQ(streams["pool@a.example"], "by pool");
  EXPECT_EQ(streams["sender@a.example"], "by sender");
  EXPECT_EQ(streams["campaign@a.example"], "by campaign");
  EXPECT_EQ(streams["none@a.example"], "");
}

TEST_F(InboxTest, ToldAgainChangesNothingAlsoAfterARestart) {
  for (int run = 0; run < 2; ++run) {
    auto engine = open(options());
    const PushId id = source(*engine);
    for (int again = 0; again < 2; ++again) {
      Batch batch;
      for (std::uint64_t key = 1; key <= 5; ++key) {
        add(*engine, batch, "user" + std::to_string(key) + "@example.com", key);
      }
      ASSERT_TRUE(engine->accept(id, batch));
    }
    Batch batch;
    add(*engine, batch, "last@example.com", 100 + static_cast<std::uint64_t>(run));
    ASSERT_TRUE(engine->accept(id, batch));
    const std::uint64_t fresh = run == 0 ? 6 : 1;
    EXPECT_EQ(applied(*engine, EventKind::bounced, fresh), fresh);
    EXPECT_EQ(engine->metrics().push.duplicates, run == 0 ? 5u : 10u);
    ASSERT_TRUE(engine->stop());
  }
}

TEST_F(InboxTest, WhatAnEarlierRunLeftIsApplied) {
  Options o = options();
  {
    // Nothing is applied here: the record stays as a crash would leave it.
    auto engine = open(options());
    const PushId id = source(*engine);
    Batch batch;
    add(*engine, batch, "first@example.com", 1);
    ASSERT_TRUE(engine->accept(id, batch));
    ASSERT_EQ(applied(*engine, EventKind::bounced, 1), 1u);
    ASSERT_TRUE(engine->stop());
  }
  // A record as the writer writes it, under the next sequence.
  {
    store::OpenOptions writable;
    auto store = store::Store::open(dir_ + "/data", writable);
    ASSERT_TRUE(store) << store.error().message();
    const AddressHasher hasher((*store)->secret(), AddressOptions{true});
    Batch batch;
    const std::string to = "left@example.com";
    Event e;
    ASSERT_TRUE(hasher.ids(to, e.recipient_id, e.domain_id));
    e.kind = EventKind::complained;
    e.time_us = *parse_time("2026-11-20T11:00:00Z");
    e.recipient = batch.add(to);
    batch.events.push_back(e);
    std::string record, events, key;
    const parse::PushSource hook{"other", "postmark", "", "", kDayUs};
    parse::append_push_event(events, 7, batch, 0, e.time_us);
    parse::append_push_head(record, e.time_us, {{7, &hook}});
    store::append_u64_be(key, 1);
    store::WriteSet set;
    set.put(store::Family::inbox, key, record + events);
    set.put(store::Family::inbox, std::string("\0\0\0\0\0\0\0\2", 8), "damaged");
    ASSERT_TRUE((*store)->put_now(set));
  }
  auto engine = open(std::move(o));
  EXPECT_EQ(applied(*engine, EventKind::complained, 1), 1u);
  const PushId id = source(*engine);
  Batch batch;
  add(*engine, batch, "next@example.com", 2);
  ASSERT_TRUE(engine->accept(id, batch));
  EXPECT_EQ(applied(*engine, EventKind::bounced, 1), 1u);
  EXPECT_EQ(engine->metrics().push.damaged, 1u);
  ASSERT_TRUE(engine->stop());
  engine.reset();
  EXPECT_EQ(stored(store::Family::inbox), 1u) << "what could not be read stays";
}

TEST_F(InboxTest, ManyCallersShareFewWrites) {
  auto engine = open(options());
  const PushId id = source(*engine);
  constexpr int kThreads = 4, kEach = 500;
  std::atomic<int> answered{0}, refused{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < kEach; ++i) {
        Batch batch;
        const auto key = static_cast<std::uint64_t>(t * kEach + i + 1);
        add(*engine, batch, "u" + std::to_string(key) + "@example.com", key, EventKind::delivered);
        engine->accept(id, batch, [&](const Result<void>& result) {
          if (!result) ++refused;
          ++answered;
        });
      }
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(applied(*engine, EventKind::delivered, kThreads * kEach),
            static_cast<std::uint64_t>(kThreads * kEach));
  EXPECT_EQ(answered, kThreads * kEach);
  EXPECT_EQ(refused, 0);
  const PushMetrics push = engine->metrics().push;
  EXPECT_EQ(push.events, static_cast<std::uint64_t>(kThreads * kEach));
  EXPECT_LT(push.groups, static_cast<std::uint64_t>(kThreads * kEach));
  ASSERT_TRUE(engine->stop());
  bool cancelled = false;
  Batch late;
  add(*engine, late, "late@example.com", 9);
  engine->accept(id, late, [&](const Result<void>& result) {
    cancelled = !result && result.error().code == ErrorCode::cancelled;
  });
  EXPECT_TRUE(cancelled);
}

TEST_F(InboxTest, StampsFarAheadAndNoneBecomeNow) {
  auto engine = open(options());
  const PushId id = source(*engine);
  Batch batch;
  add(*engine, batch, "a@example.com", 1);
  add(*engine, batch, "b@example.com", 2);
  add(*engine, batch, "c@example.com", 3);
  batch.events[0].time_us = *parse_time("2199-01-01T00:00:00Z");
  batch.events[1].time_us = 0;
  ASSERT_TRUE(engine->accept(id, batch));
  EXPECT_EQ(applied(*engine, EventKind::bounced, 3), 3u);
  EXPECT_EQ(engine->metrics().push.clamped, 2u);
  EXPECT_LT(engine->metrics().watermark_us, *parse_time("2190-01-01T00:00:00Z"));
  ASSERT_TRUE(engine->stop());
}

TEST_F(InboxTest, LargeBatchesBecomeSeveralRecordsOfOneWrite) {
  auto engine = open(options());
  const PushId id = source(*engine);
  Batch batch;
  const std::string words(3000, 'x');
  for (std::uint64_t key = 1; key <= 1000; ++key) {
    add(*engine, batch, "u" + std::to_string(key) + "@example.com", key);
    batch.events.back().diagnostic = batch.add("550 " + words + std::to_string(key));
  }
  ASSERT_TRUE(engine->accept(id, batch));
  EXPECT_EQ(applied(*engine, EventKind::bounced, 1000), 1000u);
  EXPECT_EQ(engine->metrics().push.groups, 1u);
  EXPECT_EQ(engine->metrics().lines.unparsed, 0u);
  ASSERT_TRUE(engine->stop());
}

TEST_F(InboxTest, WithoutAStoreNothingIsAccepted) {
  Options o = options();
  o.data_dir.clear();
  auto engine = open(std::move(o));
  EXPECT_FALSE(engine->add_push({"hook", "push", "", "", 0}));
  Batch batch;
  add(*engine, batch, "a@example.com", 1);
  EXPECT_FALSE(engine->accept(0, batch));
}

}  // namespace
}  // namespace bounced::pipeline
