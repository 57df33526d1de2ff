// Records of the inbox: what goes in comes out; what is damaged is counted and read no further.
#include "parse/push.h"

#include <gtest/gtest.h>

#include <cstring>
#include <random>

#include "base/hash.h"

namespace bounced::parse {
namespace {

constexpr std::int64_t kNow = 1'795'000'000'000'000;

Event full_event(Batch& batch) {
  Event e;
  e.kind = EventKind::bounced;
  e.time_us = kNow - 5;
  e.recipient_id = {1, 2};
  e.domain_id = {3, 4};
  e.recipient = batch.add("a@example.com");
  e.sender = batch.add("news@esp.example");
  e.queue_id = batch.add("4XyZ");
  e.message_id = batch.add("<1@esp.example>");
  e.mta_host = batch.add("mx.example.com");
  e.mta_ip = batch.add("192.0.2.1");
  e.sending_ip = batch.add("198.51.100.1");
  e.diagnostic = batch.add("550 5.1.1 gone");
  e.campaign = batch.add("spring");
  e.queue_key = ~0ull;
  e.message = ~0ull - 1;
  e.smtp_code = 550;
  e.enhanced = {1, 1, 5};
  e.delay_ms = 1200;
  e.mta_port = 25;
  e.phase = Phase::rcpt;
  e.hint = ProviderHint::blocked;
  e.flags = EventFlags::kNullSender;
  batch.origins.push_back({batch.add("acme"), batch.add("bulk"), 0});
  e.origin = 1;
  return e;
}

/// A block with these records' events, as a feeder makes it.
struct Blocks {
  BlockPool pool{1};
  Batch batch;
  Blocks() { batch.block = pool.take(); }
  ~Blocks() { batch.clear(); }
  bool add(std::uint64_t sequence, std::string_view events) {
    PushIds ids;
    ids.number = 7;
    ids.source = 11;
    ids.tenant = 12;
    ids.stream = 13;
    ids.format = static_cast<std::uint8_t>(find_push_format("sendgrid"));
    return append_push_block(*batch.block, {sequence, kNow, 20'000}, {ids}, events);
  }
};

TEST(Push, EveryFieldComesBack) {
  Batch in;
  in.events.push_back(full_event(in));
  in.keys.push_back({5, 6});
  Event small;
  small.kind = EventKind::delivered;
  small.recipient = in.add("b@example.com");
  small.time_us = kNow + kPushAheadUs + 1;
  in.events.push_back(small);
  std::string events;
  EXPECT_FALSE(append_push_event(events, 7, in, 0, kNow));
  EXPECT_TRUE(append_push_event(events, 7, in, 1, kNow)) << "far ahead";
  Blocks out;
  ASSERT_TRUE(out.add(41, events));
  parse_push({}, out.batch);
  ASSERT_EQ(out.batch.events.size(), 2u);
  ASSERT_EQ(out.batch.keys.size(), 2u);
  EXPECT_EQ(out.batch.keys[0], (AddressId{5, 6}));
  EXPECT_EQ(out.batch.keys[1], AddressId{});
  const Event& a = in.events[0];
  const Event& b = out.batch.events[0];
  for (Text Event::*text :
       {&Event::recipient, &Event::sender, &Event::queue_id, &Event::message_id, &Event::mta_host,
        &Event::mta_ip, &Event::sending_ip, &Event::diagnostic, &Event::campaign}) {
    EXPECT_EQ(in.view(a.*text), out.batch.view(b.*text));
  }
  EXPECT_EQ(b.kind, a.kind);
  EXPECT_EQ(b.time_us, a.time_us);
  EXPECT_EQ(b.recipient_id, a.recipient_id);
  EXPECT_EQ(b.domain_id, a.domain_id);
  EXPECT_EQ(b.queue_key, a.queue_key);
  EXPECT_EQ(b.message, a.message);
  EXPECT_EQ(b.smtp_code, a.smtp_code);
  EXPECT_EQ(b.enhanced, a.enhanced);
  EXPECT_EQ(b.delay_ms, a.delay_ms);
  EXPECT_EQ(b.mta_port, a.mta_port);
  EXPECT_EQ(b.phase, a.phase);
  EXPECT_EQ(b.hint, a.hint);
  EXPECT_EQ(b.flags, a.flags);
  EXPECT_EQ(b.sender_domain, domain_key("news@esp.example"));
  ASSERT_NE(out.batch.origin(b.origin), nullptr);
  EXPECT_EQ(out.batch.view(out.batch.origin(b.origin)->instance), "bulk");
  EXPECT_EQ(b.source, 11u);
  EXPECT_EQ(b.tenant, 12u);
  EXPECT_EQ(b.stream, 13u);
  EXPECT_EQ(b.offset, 41u);
  EXPECT_EQ(formats()[b.format].name, "sendgrid");
  EXPECT_EQ(out.batch.events[1].time_us, kNow);
  EXPECT_EQ(out.batch.counts.unparsed, 0u);
}

TEST(Push, LongTextsAreCut) {
  Batch in;
  Event e;
  e.kind = EventKind::bounced;
  e.recipient = in.add("a@example.com");
  e.diagnostic = in.add(std::string(100'000, 'x'));
  in.events.push_back(e);
  std::string events;
  append_push_event(events, 7, in, 0, kNow);
  EXPECT_LT(events.size(), kPushEventBytesMax);
  Blocks out;
  ASSERT_TRUE(out.add(1, events));
  parse_push({}, out.batch);
  ASSERT_EQ(out.batch.events.size(), 1u);
  EXPECT_EQ(out.batch.events[0].diagnostic.size, kPushTextBytesMax);
}

TEST(Push, HeadsAreReadOrRefused) {
  const PushSource one{"hook", "sendgrid", "acme", "bulk", 86'400'000'000};
  const PushSource two{"other", "push", "", "", 0};
  std::string record;
  append_push_head(record, kNow, {{7, &one}, {9, &two}});
  const std::string whole = record + "events";
  std::string_view in = whole;
  const auto head = read_push_head(in);
  ASSERT_TRUE(head);
  EXPECT_EQ(in, "events");
  EXPECT_EQ(head->accepted_us, kNow);
  EXPECT_EQ(head->sources.at(7).stream, "bulk");
  EXPECT_EQ(head->sources.at(9).name, "other");
  for (std::size_t cut = 0; cut < record.size(); ++cut) {
    std::string_view part = std::string_view(record).substr(0, cut);
    EXPECT_FALSE(read_push_head(part)) << cut;
  }
  std::string later = record;
  later[0] = 99;
  std::string_view other = later;
  EXPECT_FALSE(read_push_head(other)) << "another version";
}

TEST(Push, RangesOfABlock) {
  Blocks out;
  ASSERT_TRUE(out.add(5, ""));
  ASSERT_TRUE(out.add(6, ""));
  const PushRange range = push_range(*out.batch.block);
  EXPECT_EQ(range.begin, 5u);
  EXPECT_EQ(range.end, 7u);
  EXPECT_EQ(range.until_day, 20'000u);
  EXPECT_FALSE(out.add(8, std::string(out.batch.block->capacity, 'x'))) << "no room";
}

TEST(Push, DamageIsCountedAndNothingOutsideIsRead) {
  Batch in;
  in.events.push_back(full_event(in));
  in.keys.push_back({5, 6});
  std::string events;
  for (int i = 0; i < 4; ++i) append_push_event(events, 7, in, 0, kNow);
  std::mt19937 random(1);
  std::size_t unparsed = 0;
  for (int round = 0; round < 5000; ++round) {
    Blocks out;
    std::string damaged = events;
    for (int i = 0; i < 3; ++i) {
      damaged[random() % damaged.size()] = static_cast<char>(random());
    }
    ASSERT_TRUE(out.add(1, damaged.substr(0, random() % (damaged.size() + 1))));
    Block& block = *out.batch.block;
    if (round % 3 == 0) block.data[random() % 40] = static_cast<char>(random());
    parse_push({}, out.batch);
    (void)push_range(block);
    for (const Event& e : out.batch.events) {
      for (Text Event::*text : {&Event::recipient, &Event::diagnostic, &Event::campaign}) {
        ASSERT_LE((e.*text).offset + (e.*text).size, block.size);
      }
    }
    ASSERT_EQ(out.batch.counts.lines, out.batch.events.size() + out.batch.counts.unparsed);
    unparsed += out.batch.counts.unparsed;
  }
  EXPECT_GT(unparsed, 1000u);
}

}  // namespace
}  // namespace bounced::parse
