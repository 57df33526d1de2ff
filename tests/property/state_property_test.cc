// Properties of decide and of the codec: whatever happens, in whatever order.
#include <gtest/gtest.h>
#include <rapidcheck.h>
#include <rapidcheck/gtest.h>

#include <algorithm>
#include <random>

#include "facts.h"
#include "state/failure_blocks.h"

namespace bounced::state {
namespace {

using testing::bytes_of;
using testing::default_policy;
using testing::kT0;

struct Told {
  Fact fact;
  Verdict verdict;
};

Cause any_cause() {
  return static_cast<Cause>(*rc::gen::inRange<int>(1, kBuiltinCauses));
}

/// But for our own refusal come back: that is no failure, and counted however often it is told.
Cause any_failing_cause() {
  const Cause cause = any_cause();
  return cause == Cause::local_suppressed ? Cause::unknown_temporary : cause;
}

/// A failure of message `n`: what depends on the message alone is derived from it, as in life.
Told failure(std::uint64_t n, Cause cause, int days) {
  Told t;
  t.fact = testing::fact(*rc::gen::element(EventKind::bounced, EventKind::expired),
                         kT0 + *rc::gen::inRange<std::int64_t>(0, days * kDayUs), n);
  t.fact.domain_delivery_us = *rc::gen::element<std::int64_t>(0, t.fact.time_us - kDayUs);
  t.fact.incident = *rc::gen::inRange(0, 8) == 0;
  t.fact.outage = *rc::gen::inRange(0, 8) == 0;
  t.fact.sending_domain = static_cast<std::uint32_t>(*rc::gen::inRange(1, 4));
  t.verdict = testing::verdict(cause, *rc::gen::element(60, 94, 95, 100));
  return t;
}

std::vector<Told> failures(int max, int days) {
  std::vector<Told> all;
  const int n = *rc::gen::inRange(0, max + 1);
  const int few = *rc::gen::inRange(0, 3);
  for (int i = 0; i < n; ++i) {
    const Cause cause = few == 0 ? any_failing_cause()
                                 : *rc::gen::element(Cause::mailbox_unknown, Cause::mailbox_full,
                                                     Cause::mailbox_disabled, Cause::domain_down,
                                                     Cause::domain_unknown, Cause::mailbox_filtered,
                                                     Cause::unknown_permanent);
    all.push_back(failure(static_cast<std::uint64_t>(i) + 1, cause, days));
  }
  return all;
}

Told delivery(std::uint64_t message, int days) {
  Told t;
  t.fact = testing::fact(EventKind::delivered,
                         kT0 + *rc::gen::inRange<std::int64_t>(0, days * kDayUs), message);
  return t;
}

AddressState run(const std::vector<Told>& told, PolicyLevel level, AddressState state = {}) {
  for (const Told& t : told) decide(state, t.fact, t.verdict, default_policy(), level);
  return state;
}

template <class T>
std::vector<T> shuffled(std::vector<T> v) {
  std::mt19937_64 random(*rc::gen::arbitrary<std::uint64_t>());
  std::shuffle(v.begin(), v.end(), random);
  return v;
}

PolicyLevel any_level() {
  return *rc::gen::element(PolicyLevel::address, PolicyLevel::domain);
}

bool blocked_by_failures(const AddressState& state) {
  return std::any_of(state.blocks.begin(), state.blocks.end(), [](const BlockRecord& b) {
    return b.kind == BlockKind::dead || b.kind == BlockKind::soft || b.kind == BlockKind::incident;
  });
}

RC_GTEST_PROP(Order, FailuresInAnyOrderGiveTheSameBytes, ()) {
  const auto level = any_level();
  const auto told = failures(limits::kFailuresMax, *rc::gen::element(2, 20, 400, 2000));
  RC_ASSERT(bytes_of(run(told, level)) == bytes_of(run(shuffled(told), level)));
}

RC_GTEST_PROP(Order, FailuresAndDeliveriesOfAKnownAddressInAnyOrder, ()) {
  const auto level = any_level();
  const int days = *rc::gen::element(2, 20, 400);
  auto told = failures(limits::kFailuresMax - 1, days);
  for (int i = *rc::gen::inRange(0, 4); i > 0; --i) {
    told.push_back(delivery(100u + static_cast<unsigned>(i), days));
  }
  // The address has a state before: totals count from the first failure on.
  AddressState known = run({[] {
                             Told t;
                             t.fact = testing::fact(EventKind::bounced, kT0 - kDayUs, 99);
                             t.verdict = testing::verdict(Cause::rate_limited);
                             return t;
                           }()},
                           level);
  RC_ASSERT(bytes_of(run(told, level, known)) == bytes_of(run(shuffled(told), level, known)));
}

RC_GTEST_PROP(Order, DuplicatesFromOtherSourcesInAnyOrder, ()) {
  const auto told = failures(limits::kFailuresMax, 40);
  auto twice = told;
  for (const Told& t : told) {
    if (*rc::gen::arbitrary<bool>()) continue;
    Told again = t;  // a DSN: later, another source, the same words
    again.fact.time_us += *rc::gen::inRange<std::int64_t>(0, kDayUs);
    again.fact.source = 2;
    twice.push_back(again);
  }
  RC_ASSERT(bytes_of(run(twice, PolicyLevel::address)) ==
            bytes_of(run(shuffled(twice), PolicyLevel::address)));
  RC_ASSERT(run(twice, PolicyLevel::address).totals.bounced ==
            run(told, PolicyLevel::address).totals.bounced);
}

RC_GTEST_PROP(Order, ManyDeadRefusalsBeginAtTheEarliest, ()) {
  std::vector<Told> told;
  for (std::uint64_t n = 1; n < 30; ++n) {
    told.push_back(failure(n, Cause::mailbox_unknown, 20));
    told.back().verdict.confidence = 99;
    told.back().fact.incident = false;
  }
  const AddressState state = run(shuffled(told), PolicyLevel::address);
  RC_ASSERT(state.blocks.size() == 1u);
  std::int64_t first = INT64_MAX;
  for (const Told& t : told) first = std::min(first, t.fact.time_us);
  RC_ASSERT(state.blocks[0].since_us == first);
  RC_ASSERT(bytes_of(state) == bytes_of(run(told, PolicyLevel::address)));
}

RC_GTEST_PROP(Replay, AFactToldAgainChangesNothing, ()) {
  const auto level = any_level();
  auto told = failures(limits::kFailuresMax, 40);
  if (*rc::gen::arbitrary<bool>()) {
    told.push_back(delivery(200, 40));
    told.back().fact.time_us += 40 * kDayUs;  // only the newest delivery is remembered
  }
  AddressState state = run(told, level);
  const std::string before = bytes_of(state);
  for (const Told& t : told) {
    const Decision d = decide(state, t.fact, t.verdict, default_policy(), level);
    RC_ASSERT(d.changes.empty());
  }
  RC_ASSERT(bytes_of(state) == before);
}

RC_GTEST_PROP(Never, OurOwnTroubleNeverBlocks, ()) {
  static const std::string_view prefixes[] = {"sender.", "auth.",   "content.",
                                              "spam.",   "policy.", "rate.",
                                              "notice.", "local.",  "protocol."};
  const auto level = any_level();
  AddressState state;
  const int n = *rc::gen::inRange(1, 60);
  for (int i = 0; i < n; ++i) {
    const Cause cause = *rc::gen::suchThat(rc::gen::exec(any_cause), [](Cause c) {
      const auto id = builtin_cause_id(c);
      return std::any_of(std::begin(prefixes), std::end(prefixes),
                         [&](std::string_view p) { return id.substr(0, p.size()) == p; });
    });
    const Told t = failure(static_cast<std::uint64_t>(i) + 1, cause, 2000);
    const Decision d = decide(state, t.fact, t.verdict, default_policy(), level);
    RC_ASSERT(d.changes.empty());
    RC_ASSERT(state.blocks.empty());
  }
}

RC_GTEST_PROP(Never, DeferralsNeverBlock, ()) {
  const auto level = any_level();
  AddressState state;
  const int n = *rc::gen::inRange(1, 60);
  for (int i = 0; i < n; ++i) {
    Told t = failure(static_cast<std::uint64_t>(i) + 1, any_cause(), 2000);
    t.fact.kind = EventKind::deferred;
    RC_ASSERT(decide(state, t.fact, t.verdict, default_policy(), level).changes.empty());
  }
  RC_ASSERT(state.blocks.empty());
  RC_ASSERT(streak(state).count == 0u);
}

RC_GTEST_PROP(Delivery, LiftsFailureBlocksAndNoOthers, ()) {
  AddressState state = run(failures(20, 400), PolicyLevel::address);
  for (const EventKind kind : {EventKind::complained, EventKind::unsubscribed}) {
    if (*rc::gen::arbitrary<bool>()) {
      decide(state, testing::fact(kind, kT0, 300), Verdict{}, default_policy(),
             PolicyLevel::address);
    }
  }
  if (*rc::gen::arbitrary<bool>()) {
    BlockRecord manual;
    manual.kind = BlockKind::manual;
    manual.since_us = kT0;
    manual.actor = 1;
    decide_block(state, manual, kT0);
  }
  std::size_t others = 0;
  for (const BlockRecord& b : state.blocks) {
    others +=
        b.kind != BlockKind::dead && b.kind != BlockKind::soft && b.kind != BlockKind::incident;
  }
  testing::deliver_at(state, kT0 + 500 * kDayUs, 400);
  RC_ASSERT(!blocked_by_failures(state));
  if (!state.empty()) RC_ASSERT(state.blocks.size() == others);
  RC_ASSERT(state.dead_terms == 0);
  RC_ASSERT(state.days.empty());
}

RC_GTEST_PROP(Blocks, NoneWithoutAFinalFailureOfACountingCauseSinceTheLastDelivery, ()) {
  const auto level = any_level();
  auto told = failures(limits::kFailuresMax, 400);
  if (*rc::gen::arbitrary<bool>()) told.push_back(delivery(200, 400));
  const AddressState state = run(shuffled(told), level);
  if (blocked_by_failures(state)) RC_ASSERT(streak(state).count > 0u);
}

RC_GTEST_PROP(Blocks, MoreFailuresNeverUnblock, ()) {
  // Of one row and a time: a further failure that begins no new term keeps every block as it is.
  const auto level = any_level();
  auto told = failures(limits::kFailuresMax, 30);
  std::sort(told.begin(), told.end(),
            [](const Told& a, const Told& b) { return a.fact.time_us < b.fact.time_us; });
  AddressState state;
  bool blocked = false;
  for (Told& t : told) {
    t.fact.domain_delivery_us = 0;  // a delivery does unblock a domain
    decide(state, t.fact, t.verdict, default_policy(), level);
    const bool now = blocked_by_failures(state);
    RC_ASSERT(now || !blocked);
    blocked = now;
  }
}

RC_GTEST_PROP(Blocks, ChangesTellExactlyWhatIsThere, ()) {
  // A reader of the change feed ends with the same set of blocks.
  const auto level = any_level();
  auto told = failures(30, 800);
  for (int i = *rc::gen::inRange(0, 4); i > 0; --i) {
    told.push_back(delivery(1000u + static_cast<unsigned>(i), 800));
  }
  AddressState state;
  std::vector<BlockRecord> feed;
  const auto key = [](const BlockRecord& b) { return std::tuple(b.kind, b.scope, b.scope_id); };
  const auto follow = [&](const Decision& d) {
    for (const BlockChange& c : d.changes) {
      const auto it = std::find_if(feed.begin(), feed.end(),
                                   [&](const BlockRecord& b) { return key(b) == key(c.record); });
      RC_ASSERT((it == feed.end()) == (c.action == BlockChange::Action::block));
      if (it != feed.end()) feed.erase(it);
      if (c.action != BlockChange::Action::unblock) feed.push_back(c.record);
    }
  };
  for (const Told& t : shuffled(told)) {
    follow(decide(state, t.fact, t.verdict, default_policy(), level));
    if (*rc::gen::inRange(0, 5) == 0) follow(decide_at(state, t.fact.time_us, default_policy()));
  }
  RC_ASSERT(feed.size() == state.blocks.size());
}

RC_GTEST_PROP(Codec, RoundTrip, ()) {
  AddressState state = run(shuffled(failures(40, *rc::gen::element(20, 2000))), any_level());
  if (*rc::gen::arbitrary<bool>()) testing::deliver_at(state, kT0 + kDayUs, 500);
  if (*rc::gen::arbitrary<bool>()) decide_unblock(state, ~0u, kT0 + 3 * kDayUs);
  state.text = *rc::gen::string<std::string>();
  state.evidence = *rc::gen::arbitrary<std::uint32_t>();
  const std::string bytes = bytes_of(state);
  const auto back = decode(bytes);
  RC_ASSERT(back.has_value());
  RC_ASSERT(bytes_of(*back) == bytes);
  RC_ASSERT(back->text == state.text);
}

RC_GTEST_PROP(Codec, RandomBytesNeverCrashAndCutOnesAreRefused, ()) {
  auto bytes = *rc::gen::container<std::string>(rc::gen::arbitrary<char>());
  if (*rc::gen::arbitrary<bool>()) {  // or a good one with a few bytes changed
    AddressState state = run(failures(8, 20), PolicyLevel::address);
    state.text = "someone@example.com";
    bytes = bytes_of(state);
    for (int i = 0; i < 3; ++i) {
      bytes[*rc::gen::inRange<std::size_t>(0, bytes.size())] = *rc::gen::arbitrary<char>();
    }
  }
  const auto state = decode(bytes);
  if (state) {
    RC_ASSERT(state->failures.size() <= limits::kFailuresMax);
    RC_ASSERT(state->blocks.size() <= limits::kBlocksPerAddressMax);
    RC_ASSERT(decode(bytes_of(*state)).has_value());
  }
}

}  // namespace
}  // namespace bounced::state
