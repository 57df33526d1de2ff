// Rates: time per event on the apply thread.
// Arguments: recipient domains (zipf-like), sender domains, campaigns, failing events in percent.
#include <benchmark/benchmark.h>

#include <cmath>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "base/address.h"
#include "rates/rates.h"

namespace bounced::rates {
namespace {

constexpr std::size_t kBatches = 64, kEvents = 2000;

struct Input {
  std::unique_ptr<Batch> batch = std::make_unique<Batch>();
  std::vector<Event*> events;
};

Input make_batch(const benchmark::State& state, BlockPool& pool, std::mt19937_64& random,
                 std::int64_t time_us) {
  Input input;
  Batch& batch = *input.batch;
  batch.block = pool.take();
  batch.events.resize(kEvents);
  const AddressHasher hasher;
  std::uniform_real_distribution<double> uniform(0, 1);
  for (Event& event : batch.events) {
    const auto domain = static_cast<int>(std::pow(state.range(0), uniform(random)));
    const std::string recipient = "user" + std::to_string(random() % 1'000'000) + "@domain" +
                                  std::to_string(domain) + ".example.com";
    event.recipient = batch.add(recipient);
    hasher.ids(recipient, event.recipient_id, event.domain_id);
    const auto pick = [&random](std::int64_t n) {
      return std::to_string(random() % static_cast<std::uint64_t>(n));
    };
    event.sender = batch.add("bounce+" + std::to_string(random()) + "@news" + pick(state.range(1)) +
                             ".example.org");
    if (state.range(2) > 0) event.campaign = batch.add("campaign-" + pick(state.range(2)));
    event.kind = EventKind::delivered;
    event.time_us = time_us;
    event.stream = static_cast<std::uint16_t>(random() % 3);
    event.tenant = 1;
    if (static_cast<std::int64_t>(random() % 100) < state.range(3)) {
      event.kind = random() % 8 < 5 ? EventKind::deferred : EventKind::bounced;
      event.mta_host = batch.add("mx" + pick(40) + ".mail.example.net");
      Verdict verdict;
      verdict.cause = static_cast<Cause>(random() % kBuiltinCauses);
      verdict.bounce_class = BounceClass::hard;
      batch.set_verdict(event, verdict);
    }
  }
  for (Event& event : batch.events) input.events.push_back(&event);
  return input;
}

void BM_rates_apply(benchmark::State& state) {
  BlockPool pool(kBatches, 64);
  std::mt19937_64 random(1);
  std::vector<Input> inputs;
  for (std::size_t b = 0; b < kBatches; ++b) {
    inputs.push_back(make_batch(state, pool, random,
                                1'700'000'000'000'000 + static_cast<std::int64_t>(b) * 1'000'000));
  }
  store::Names names;
  Rates rates(names, {});
  const std::vector<std::uint8_t> counted(kEvents, true);
  std::size_t i = 0, events = 0;
  for (auto _ : state) {
    benchmark::DoNotOptimize(rates.apply(*inputs[i].batch, inputs[i].events, counted));
    events += kEvents;
    if (++i == inputs.size()) i = 0;
  }
  const Cell& total = rates.total();
  if (total.sent() + total.deferred != events) state.SkipWithError("events are missing");
  state.SetItemsProcessed(static_cast<std::int64_t>(events));
}
BENCHMARK(BM_rates_apply)
    ->Args({10'000, 1, 0, 0})
    ->Args({10'000, 20, 10, 0})
    ->Args({100'000, 20, 10, 0})
    ->Args({10'000, 20, 10, 13})
    ->Args({10'000, 20, 10, 100});

}  // namespace
}  // namespace bounced::rates
