// What is done on encoded bytes must give the bytes of decode, decide, encode.
#include <gtest/gtest.h>

#include <random>

#include "facts.h"

namespace bounced::state {
namespace {

using testing::bytes_of;
using testing::default_policy;
using testing::fact;
using testing::kT0;
using testing::verdict;

constexpr Cause kCauses[] = {Cause::mailbox_unknown, Cause::mailbox_full, Cause::mailbox_filtered,
                             Cause::unknown_permanent, Cause::rate_limited};

AddressState random_state(std::mt19937_64& random) {
  AddressState state;
  std::int64_t time = kT0;
  const auto steps = random() % 12;
  for (std::uint64_t i = 0; i <= steps; ++i) {
    time += static_cast<std::int64_t>(random() % (20 * kDayUs)) - kDayUs;
    constexpr EventKind kKinds[] = {EventKind::bounced, EventKind::expired, EventKind::deferred,
                                    EventKind::deferred, EventKind::complained};
    const EventKind kind = i > 2 && random() % 4 == 0 ? EventKind::delivered : kKinds[random() % 5];
    Fact f = fact(kind, time, random() % 1000 + 1);
    f.incident = random() % 4 == 0;
    decide(state, f, verdict(kCauses[random() % 5], random() % 3 == 0 ? 80 : 98), default_policy(),
           PolicyLevel::address);
    if (random() % 8 == 0) decide_unblock(state, ~0u, time);
  }
  state.text = "someone@example.com";
  return state;
}

std::int64_t random_time(std::mt19937_64& random, const AddressState& state) {
  switch (random() % 4) {
    case 0:
      return state.first_us - 1;
    case 1:
      return state.last_event_us;
    case 2:
      return state.first_us +
             static_cast<std::int64_t>(
                 random() % static_cast<std::uint64_t>(state.last_event_us - state.first_us + 1));
    default:
      return state.last_event_us + static_cast<std::int64_t>(random() % (9 * kDayUs));
  }
}

TEST(EncodedHead, DeferralEqualsDecide) {
  std::mt19937_64 random(1);
  std::string out;
  int done = 0;
  for (int i = 0; i < 20'000; ++i) {
    AddressState state = random_state(random);
    if (i % 50 == 0) state.totals.deferred = UINT32_MAX - static_cast<std::uint32_t>(i % 3);
    const std::int64_t time = random_time(random, state);
    const std::string before = bytes_of(state);
    const bool fast = EncodedHead::add_deferral(before, time, out);
    decide(state, fact(EventKind::deferred, time, 5), verdict(Cause::rate_recipients),
           default_policy(), PolicyLevel::address);
    EXPECT_EQ(fast, time >= decode(before)->first_us);
    if (fast) {
      ASSERT_EQ(out, bytes_of(state)) << i;
    }
    done += fast;
  }
  EXPECT_GT(done, 10'000);
}

TEST(EncodedHead, DeferralLeavesAStateWithoutTextToDecide) {
  AddressState state;
  decide(state, fact(EventKind::deferred, kT0, 5), verdict(Cause::rate_recipients),
         default_policy(), PolicyLevel::address);
  std::string out;
  EXPECT_FALSE(EncodedHead::add_deferral(bytes_of(state), kT0 + 1, out));
}

TEST(EncodedHead, FirstDeliveryEqualsDecide) {
  std::mt19937_64 random(2);
  std::string out;
  int done = 0;
  for (int i = 0; i < 20'000; ++i) {
    AddressState state = random_state(random);
    const std::int64_t time = random_time(random, state);
    const std::string before = bytes_of(state);
    if (!EncodedHead::add_delivery(before, time, 77, out)) continue;
    const Decision decision = decide(state, fact(EventKind::delivered, time, 77), Verdict{},
                                     default_policy(), PolicyLevel::address);
    ASSERT_EQ(out, bytes_of(state)) << i;
    ASSERT_TRUE(decision.changes.empty());
    ++done;
  }
  EXPECT_GT(done, 500);
}

TEST(EncodedHead, FirstDeferralEqualsDecide) {
  for (const std::string& text :
       {std::string(), std::string("a@b.example"), std::string(320, 'x')}) {
    AddressState state;
    decide(state, fact(EventKind::deferred, kT0, 5), verdict(Cause::rate_recipients),
           default_policy(), PolicyLevel::address);
    state.text = text;
    std::string out = "old";
    EncodedHead::first_deferral(kT0, text, out);
    EXPECT_EQ(out, bytes_of(state));
  }
}

TEST(EncodedHead, QuietDomainEqualsEncode) {
  for (const std::int64_t hour : {kT0, kHourUs, -kHourUs}) {
    AddressState state;
    state.first_us = state.last_delivery_us = hour;
    state.text = "example.com";
    std::string out;
    EncodedHead::quiet_domain(hour, state.text, out);
    EXPECT_EQ(out, bytes_of(state));
    EXPECT_FALSE(EncodedHead::move_delivery(out.data(), 0));
    ASSERT_TRUE(EncodedHead::move_delivery(out.data(), hour + 2 * kHourUs));
    state.last_delivery_us = hour + 2 * kHourUs;
    EXPECT_EQ(out, bytes_of(state));
  }
}

}  // namespace
}  // namespace bounced::state
