// Deliveries counted by the batch's lists, and looked up in groups, against one event at a time.
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <optional>
#include <random>

#include "base/hash.h"
#include "facts.h"

namespace bounced::state {
namespace {

using testing::default_policy;
using testing::kT0;

/// Everything that a cut would write, by family and key; no value = erased.
using Written = std::map<std::string, std::optional<std::string>>;

Written written(States& states) {
  store::WriteSet set;
  states.append_to(set);
  states.committed();
  Written out;
  for (std::size_t f = 0; f < store::kFamilies; ++f) {
    const auto& part = set.part(static_cast<store::Family>(f));
    for (const auto& entry : part.entries) {
      std::optional<std::string>& value = out[std::to_string(f) + std::string(entry.key())];
      value.reset();
      if (!entry.erase) value = std::string(entry.value());
    }
  }
  return out;
}

struct Made {
  EventKind kind = EventKind::none;
  std::int64_t time_us = 0;
  std::string address, host, origin;
  std::uint64_t message = 0;
  Cause cause = Cause::none;
  bool listed = true;
};

/// Hosts that share the few places of one set of providers, so that some must go.
std::vector<std::string> crowded_hosts() {
  std::vector<std::string> out;
  for (int i = 0; out.size() < 12; ++i) {
    const std::string host = "mx.p" + std::to_string(i) + ".example";
    if (provider_key(host) % 2048 == 7) out.push_back(host);
  }
  return out;
}

std::vector<Made> random_events(std::mt19937_64& random, std::size_t n, std::int64_t& time_us) {
  static const std::vector<std::string> crowded = crowded_hosts();
  const Cause causes[] = {Cause::mailbox_unknown, Cause::mailbox_full, Cause::domain_down,
                          Cause::domain_unknown,  Cause::rate_limited, Cause::notice_autoreply};
  const auto below = [&](std::uint64_t bound) { return random() % bound; };
  std::vector<Made> out(n);
  for (Made& e : out) {
    const std::uint64_t who = below(below(2) == 0 ? 40 : 4'000);
    e.address = "u" + std::to_string(who) + "@d" + std::to_string(who % 30) + ".example";
    const std::uint64_t where = below(100);
    e.host = where < 12   ? crowded[below(crowded.size())]
             : where < 16 ? ""
                          : "mx" + std::to_string(where % 7) + ".p" + std::to_string(where % 5);
    e.origin = "out" + std::to_string(below(100) == 0 ? below(80) : 0);
    e.message = 1 + below(3'000);
    e.listed = below(60) != 0;
    time_us += static_cast<std::int64_t>(below(30)) * kSecondUs;
    const std::uint64_t when = below(300);  // late, early, and from before 1970
    e.time_us = when < 5    ? time_us - static_cast<std::int64_t>(below(3 * 3600)) * kSecondUs
                : when == 5 ? time_us + kHourUs
                : when == 6 ? -static_cast<std::int64_t>(below(10'000)) * kSecondUs
                            : time_us;
    const std::uint64_t what = below(100);
    e.kind = what < 80   ? EventKind::delivered
             : what < 88 ? EventKind::deferred
             : what < 96 ? EventKind::bounced
                         : static_cast<EventKind>(below(kEventKinds));
    if (e.kind != EventKind::delivered) e.cause = causes[below(std::size(causes))];
  }
  return out;
}

/// As parse would have it: with lists of what the events name, or without.
class Batches {
 public:
  Batches() { batch_.block = pool_.take(); }

  void add(const Made& made, bool lists) {
    Event e;
    e.kind = made.kind;
    e.time_us = made.time_us;
    e.message = made.message;
    e.id = made.message * 7919;
    e.source = 1;
    e.recipient = batch_.add(made.address);
    e.mta_host = batch_.add(made.host);
    e.smtp_code = 550;
    EXPECT_TRUE(hasher_.ids(made.address, e.recipient_id, e.domain_id));
    const std::uint64_t origin = hash64(made.origin, 1);
    e.origin = number(batch_.origins, [&](const Origin& o) { return o.hash == origin; });
    if (e.origin > batch_.origins.size()) batch_.origins.push_back({{}, {}, origin});
    if (lists && made.listed) list(e, made);
    if (made.cause != Cause::none) {
      Verdict v = testing::verdict(made.cause);
      v.bounce_class = BounceClass::hard;
      batch_.set_verdict(e, v);
    }
    events_.push_back(e);
  }
  std::vector<std::uint8_t> apply(States& states, std::size_t part) {
    std::vector<Event*> pointers;
    for (Event& e : events_) pointers.push_back(&e);
    std::vector<std::uint8_t> counted(pointers.size());
    EXPECT_TRUE(states.begin(batch_, pointers));
    for (std::size_t from = 0; from < pointers.size(); from += part) {
      states.part(batch_, pointers, from, std::min(from + part, pointers.size()), counted);
    }
    EXPECT_TRUE(states.end());
    events_.clear();
    batch_.clear();
    batch_.block = pool_.take();
    return counted;
  }

 private:
  template <class List, class Same>
  static std::uint16_t number(const List& list, const Same& same) {
    const auto found = std::find_if(list.begin(), list.end(), same);
    return static_cast<std::uint16_t>(found - list.begin() + 1);
  }
  void list(Event& e, const Made& made) {
    e.domain = number(batch_.domains, [&](const BatchDomain& d) { return d.id == e.domain_id; });
    if (e.domain > batch_.domains.size()) {
      const Text text = batch_.add(made.address.substr(made.address.find('@') + 1));
      batch_.domains.push_back({e.domain_id, text});
    }
    if (made.host.empty()) return;
    e.host = number(batch_.hosts, [&](Text text) { return batch_.view(text) == made.host; });
    if (e.host <= batch_.hosts.size()) return;
    batch_.hosts.push_back(e.mta_host);
    batch_.providers.push_back(provider_key(made.host));
  }

  BlockPool pool_{2, 4096};
  Batch batch_;
  std::vector<Event> events_;
  AddressHasher hasher_{public_secret()};
};

/// The first key that differs; none when they are equal.
std::string difference(const Written& a, const Written& b) {
  for (const Written* both : {&a, &b}) {
    for (const auto& [key, value] : *both) {
      if (a.count(key) == 0 || b.count(key) == 0 || a.at(key) != b.at(key)) return key;
    }
  }
  return {};
}

void equal_counts(const Counts& a, const Counts& b) {
  for (std::size_t k = 0; k < kEventKinds; ++k) EXPECT_EQ(a.by_kind[k], b.by_kind[k]) << k;
  EXPECT_EQ(a.duplicates, b.duplicates);
  EXPECT_EQ(a.hard, b.hard);
  EXPECT_EQ(a.blocks_begun, b.blocks_begun);
  EXPECT_EQ(a.blocks_ended, b.blocks_ended);
}

TEST(PlainDeliveries, ABatchIsItsEventsOneByOne) {
  for (std::uint64_t seed = 1; seed <= 40; ++seed) {
    std::mt19937_64 random(seed);
    store::Names names;
    States together(default_policy(), names, {}), single(default_policy(), names, {});
    ASSERT_TRUE(together.open(nullptr) && single.open(nullptr));
    Batches batches;
    std::int64_t time_us = kT0 + 50 * 60 * kSecondUs;
    for (int round = 0; round < 6; ++round) {
      const auto events = random_events(random, 1 + random() % 1'500, time_us);
      std::vector<std::uint8_t> one_by_one;
      for (const Made& e : events) {
        batches.add(e, false);
        one_by_one.push_back(batches.apply(single, 1)[0]);
      }
      for (const Made& e : events) batches.add(e, true);
      ASSERT_EQ(batches.apply(together, 1 + random() % 400), one_by_one) << "seed " << seed;
      equal_counts(together.counts(), single.counts());
      ASSERT_EQ(difference(written(together), written(single)), "") << seed << " " << round;
    }
  }
}

}  // namespace
}  // namespace bounced::state
