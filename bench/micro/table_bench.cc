// The RAM table and what a batch of events costs in state. Answers are checked before timing.
//   bench_table --benchmark_filter=...   (2 M and 10 M addresses; the latter needs about 2 GiB)
#include <benchmark/benchmark.h>

#include <cstdio>
#include <cstdlib>
#include <memory>
#include <random>

#include "base/hash.h"
#include "state/failure_blocks.h"
#include "state/state.h"
#include "state/table.h"

namespace {

using namespace bounced;
using namespace bounced::state;

constexpr std::int64_t kT0 = 1'790'000'000'000'000;

AddressId id_of(std::uint64_t n) {
  return hash128({reinterpret_cast<const char*>(&n), sizeof n}, public_secret());
}

/// One state as it is in life: one or two failures, half of them dead, a clear address of 24 bytes.
std::string state_of(std::uint64_t n, const Policy& policy) {
  AddressState s;
  Fact f;
  f.kind = EventKind::bounced;
  f.source = 1;
  f.time_us = kT0 + static_cast<std::int64_t>(n % 86'400) * 1'000'000;
  f.position = n * 460 % 4'000'000'000;
  f.message = n * 0x9e3779b97f4a7c15u;
  Verdict v;
  v.cause = n % 2 == 0 ? Cause::mailbox_unknown : Cause::mailbox_full;
  v.confidence = 98;
  decide(s, f, v, policy, PolicyLevel::address);
  if (n % 4 == 1) {
    f.time_us += 86'400'000'000;
    ++f.message;
    decide(s, f, v, policy, PolicyLevel::address);
  }
  char text[64];
  std::snprintf(text, sizeof text, "user%08llu@example%03llu.com",
                static_cast<unsigned long long>(n), static_cast<unsigned long long>(n % 1000));
  s.text = text;
  std::string bytes;
  encode(s, bytes);
  return bytes;
}

/// Built once per size and shared: filling 10 M takes longer than measuring.
Table& table_of(std::uint64_t addresses) {
  static std::unique_ptr<Table> table;
  static std::uint64_t size = 0;
  if (size != addresses) {
    table.reset();
    table = std::make_unique<Table>();
    size = addresses;
    const Policy policy = load_policy().value();
    for (std::uint64_t n = 0; n < addresses; ++n) {
      table->put(id_of(n), state_of(n, policy), false, true);
    }
    for (std::uint64_t n = 0; n < addresses; n += 9973) {
      if (table->find(id_of(n)) == nullptr || table->find(id_of(n + addresses)) != nullptr) {
        std::fprintf(stderr, "bench_table: wrong answer for %llu\n",
                     static_cast<unsigned long long>(n));
        std::exit(1);
      }
    }
  }
  return *table;
}

std::vector<AddressId> ids(std::uint64_t from, std::uint64_t below, std::size_t n) {
  std::mt19937_64 random(3);
  std::vector<AddressId> out;
  out.reserve(n);
  for (std::size_t i = 0; i < n; ++i) out.push_back(id_of(from + random() % (below - from)));
  return out;
}

void find_all(benchmark::State& bench, bool hit) {
  const auto addresses = static_cast<std::uint64_t>(bench.range(0));
  Table& table = table_of(addresses);
  const auto who = hit ? ids(0, addresses, 1 << 20) : ids(addresses, 2 * addresses, 1 << 20);
  std::size_t i = 0, found = 0;
  for (auto _ : bench) {
    const std::size_t mask = who.size() - 1;
    table.prefetch_slot(who[(i + 20) & mask]);
    table.prefetch_entry(who[(i + 8) & mask]);
    Entry* entry = table.find(who[i++ & mask]);
    if (entry != nullptr) found += entry->size;
  }
  benchmark::DoNotOptimize(found);
  if (!hit && found != 0) bench.SkipWithError("a miss was found");
  bench.SetItemsProcessed(bench.iterations());
  bench.counters["B/address"] =
      static_cast<double>(table.bytes()) / static_cast<double>(table.size());
}
void BM_TableHit(benchmark::State& bench) {
  find_all(bench, true);
}
void BM_TableMiss(benchmark::State& bench) {
  find_all(bench, false);
}

/// Decode, a third failure, encode, put: what a failing event does to a known address.
void BM_TableUpdate(benchmark::State& bench) {
  const auto addresses = static_cast<std::uint64_t>(bench.range(0));
  Table& table = table_of(addresses);
  const Policy policy = load_policy().value();
  const auto who = ids(0, addresses, 1 << 20);
  AddressState s;
  std::string bytes;
  std::size_t i = 0;
  Fact f;
  f.kind = EventKind::bounced;
  f.source = 1;
  Verdict v;
  v.cause = Cause::mailbox_full;
  v.confidence = 98;
  for (auto _ : bench) {
    const std::size_t mask = who.size() - 1;
    table.prefetch_slot(who[(i + 20) & mask]);
    table.prefetch_entry(who[(i + 8) & mask]);
    const AddressId& id = who[i++ & mask];
    Entry* entry = table.find(id);
    if (entry == nullptr || !decode_into(entry->view(), s)) bench.SkipWithError("lost");
    f.time_us = kT0 + 10 * 86'400'000'000 + static_cast<std::int64_t>(i);
    f.message = i;
    benchmark::DoNotOptimize(decide(s, f, v, policy, PolicyLevel::address));
    bytes.clear();
    encode(s, bytes);
    table.put(id, bytes, false, true);
  }
  bench.SetItemsProcessed(bench.iterations());
}

/// A batch of 1,024 events through States::apply; `failing` of 1,000 are refused, the others
/// delivered to addresses of which nothing is known. append_to every 64 batches.
void states_apply(benchmark::State& bench, unsigned failing) {
  const auto addresses = static_cast<std::uint64_t>(bench.range(0));
  store::Names names;
  static const Policy policy = load_policy().value();
  Options options;
  options.rule_name = [](const Verdict&) { return std::string_view("generic/user-unknown"); };
  States states(policy, names, options);
  (void)states.open(nullptr);
  BlockPool pool(1, 4096);
  Batch batch;
  batch.block = pool.take();
  const Text mx[] = {batch.add("mx1.example.com"), batch.add("mta5.am0.yahoodns.net"),
                     batch.add("gmail-smtp-in.l.google.com")};
  const Text to = batch.add("user00012345@example123.com"), sender = batch.add("news@esp.example");
  const Text diag = batch.add(
      "host mx1.example.com[192.0.2.7] said: 550 5.1.1 <user00012345@example123.com>: Recipient "
      "address rejected: User unknown in virtual mailbox table (in reply to RCPT TO command)");
  Verdict v;
  v.cause = Cause::mailbox_unknown;
  v.bounce_class = BounceClass::hard;
  v.confidence = 98;
  batch.verdicts.assign(1, v);
  std::mt19937_64 random(5);
  std::vector<Event> events(1 << 20);
  std::uint64_t n = 0;
  for (Event& e : events) {
    const bool fails = random() % 1000 < failing;
    const std::uint64_t who = random() % addresses;
    // Those that fail are a twentieth of all, as in life; the others have no state.
    e.recipient_id = id_of(fails ? who % (addresses / 20 + 1) : addresses + who);
    e.domain_id = id_of(~(who % 1000));
    e.kind = fails ? EventKind::bounced : EventKind::delivered;
    e.time_us = kT0 + static_cast<std::int64_t>(++n) * 100;
    e.message = n;
    e.offset = n * 460;
    e.source = 1;
    e.recipient = to;
    e.sender = sender;
    e.mta_host = mx[who % 3];
    if (fails) {
      e.diagnostic = diag;
      e.verdict = 1;
      e.smtp_code = 550;
      e.enhanced = {1, 1, 5};
    }
  }
  std::vector<Event*> pointers(1024);
  std::vector<std::uint8_t> counted;
  store::WriteSet set;
  std::size_t at = 0, batches = 0;
  for (auto _ : bench) {
    for (Event*& p : pointers) p = &events[at++ & (events.size() - 1)];
    if (!states.apply(batch, pointers, &counted)) bench.SkipWithError("apply failed");
    if (++batches % 64 == 0) {
      bench.PauseTiming();
      set.clear();
      states.append_to(set);
      states.committed();
      bench.ResumeTiming();
    }
  }
  bench.SetItemsProcessed(bench.iterations() * 1024);
}
void BM_ApplyDelivered(benchmark::State& bench) {
  states_apply(bench, 0);
}
void BM_ApplyMixed(benchmark::State& bench) {
  states_apply(bench, 50);
}
void BM_ApplyFailing(benchmark::State& bench) {
  states_apply(bench, 1000);
}

/// Per dirty record of a cut: an address with its evidence, list entry, due entry and change.
void BM_AppendTo(benchmark::State& bench) {
  const auto addresses = static_cast<std::uint64_t>(bench.range(0));
  static const Policy policy = load_policy().value();
  store::Names names;
  States states(policy, names, {});
  (void)states.open(nullptr);
  BlockPool pool(1, 4096);
  Batch batch;
  batch.block = pool.take();
  const Text to = batch.add("user00012345@example123.com");
  const Text diag = batch.add("550 5.1.1 user unknown");
  Verdict v;
  v.cause = Cause::mailbox_full;
  v.confidence = 98;
  batch.verdicts.assign(1, v);
  std::mt19937_64 random(7);
  std::vector<Event> events(4096);
  std::vector<Event*> pointers;
  for (Event& e : events) pointers.push_back(&e);
  store::WriteSet set;
  std::uint64_t n = 0;
  std::size_t records = 0;
  for (auto _ : bench) {
    bench.PauseTiming();
    for (int round = 0; round < 16; ++round) {
      for (Event& e : events) {
        e.recipient_id = id_of(random() % addresses);
        e.kind = EventKind::bounced;
        e.time_us = kT0 + static_cast<std::int64_t>(++n);
        e.message = n;
        e.recipient = to;
        e.diagnostic = diag;
        e.verdict = 1;
      }
      (void)states.apply(batch, pointers, nullptr);
    }
    set.clear();
    bench.ResumeTiming();
    states.append_to(set);
    states.committed();
    records += set.records();
  }
  bench.SetItemsProcessed(static_cast<std::int64_t>(records));
}

BENCHMARK(BM_TableHit)->Arg(2'000'000)->Arg(10'000'000);
BENCHMARK(BM_TableMiss)->Arg(2'000'000)->Arg(10'000'000);
BENCHMARK(BM_TableUpdate)->Arg(2'000'000)->Arg(10'000'000);
BENCHMARK(BM_ApplyDelivered)->Arg(2'000'000);
BENCHMARK(BM_ApplyMixed)->Arg(2'000'000);
BENCHMARK(BM_ApplyFailing)->Arg(2'000'000);
BENCHMARK(BM_AppendTo)->Arg(2'000'000);

}  // namespace
