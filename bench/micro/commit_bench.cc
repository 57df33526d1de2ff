// Commit: CPU and wall time per record of a cut, both ways, and reads behind a replay-like load.
// process_cpu_time counts the helper thread and RocksDB's background threads too.
#include <benchmark/benchmark.h>
#include <stdlib.h>

#include <filesystem>
#include <memory>
#include <random>
#include <string>

#include "bounced/limits.h"
#include "store/names.h"
#include "store/store.h"

namespace bounced::store {
namespace {

/// A store in $BOUNCED_BENCH_DIR (default: the temporary directory), removed at the end.
class BenchStore {
 public:
  BenchStore() {
    const char* root = std::getenv("BOUNCED_BENCH_DIR");
    std::string pattern =
        (root != nullptr ? std::filesystem::path(root) : std::filesystem::temp_directory_path()) /
        "bounced-bench-XXXXXX";
    if (::mkdtemp(pattern.data()) == nullptr) std::abort();
    path_ = pattern;
    reopen();
  }
  void reopen() {
    store_.reset();
    auto opened = Store::open(path_ + "/data", {});
    if (!opened) {
      std::fprintf(stderr, "%s\n", opened.error().message().c_str());
      std::abort();
    }
    store_ = std::move(*opened);
  }
  ~BenchStore() {
    store_.reset();
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  BenchStore(const BenchStore&) = delete;
  BenchStore& operator=(const BenchStore&) = delete;
  Store* operator->() { return store_.get(); }

 private:
  std::string path_;
  std::unique_ptr<Store> store_;
};

/// The shape of a replay's cut: 1/3 states, 1/3 evidence, 1/6 index, the rest rates and changes.
void fill(WriteSet& set, std::size_t records, std::mt19937_64& random, std::uint64_t& sequence) {
  static const std::string words(400, 'w');
  std::string key;
  const std::string_view value = words;
  for (std::size_t i = 0; i < records; i += 6) {
    const AddressId id{random(), random()};
    key.clear();
    append_id(key, id);
    set.put(Family::address, key, value.substr(0, 90 + random() % 20));
    const AddressId second{random(), random()};
    key.clear();
    append_id(key, second);
    set.put(Family::address, key, value.substr(0, 90 + random() % 20));
    append_u8(key, static_cast<std::uint8_t>(random() % 10));
    set.put(Family::evidence, key, value.substr(0, 150));
    key.clear();
    append_id(key, id);
    append_u8(key, 0);
    set.put(Family::evidence, key, value.substr(0, 150));
    key.clear();
    append_u8(key, 1);
    append_id(key, id);
    set.put(Family::by_block, key, value.substr(0, 24));
    key.clear();
    append_u64_be(key, ++sequence);
    set.put(Family::changes, key, value.substr(0, 40));
  }
  key.clear();
  append_u64_be(key, 42);
  set.put(Family::positions, key, value.substr(0, 60));
}

void commit_or_die(BenchStore& store, const WriteSet& set, bool sync) {
  const auto done = store->commit(set, sync);
  if (done) return;
  std::fprintf(stderr, "%s\n", done.error().message().c_str());
  std::abort();
}

void BM_commit(benchmark::State& state) {
  BenchStore store;
  std::mt19937_64 random(1);
  std::uint64_t sequence = 0;
  WriteSet set;
  std::size_t records = 0, bytes = 0;
  for (auto _ : state) {
    state.PauseTiming();
    set.clear();
    fill(set, static_cast<std::size_t>(state.range(0)), random, sequence);
    records += set.records();
    bytes += set.bytes();
    state.ResumeTiming();
    commit_or_die(store, set, true);
  }
  state.SetItemsProcessed(static_cast<std::int64_t>(records));
  state.SetBytesProcessed(static_cast<std::int64_t>(bytes));
  state.counters["cpu_us_per_record"] =
      benchmark::Counter(static_cast<double>(records) / 1e6,
                         benchmark::Counter::kIsRate | benchmark::Counter::kInvert);
}
BENCHMARK(BM_commit)
    ->Iterations(20)
    ->Arg(1'000)
    ->Arg(10'000)
    ->Arg(100'000)
    ->Arg(1'000'000)
    ->Unit(benchmark::kMillisecond)
    ->MeasureProcessCPUTime();

/// 30 cuts of 150,000 records, then how long compaction goes on, and what a Get costs.
void BM_replay_load(benchmark::State& state) {
  for (auto _ : state) {
    BenchStore store;
    std::mt19937_64 random(2);
    std::uint64_t sequence = 0;
    WriteSet set;
    double commit_s = 0;
    for (int cut = 0; cut < state.range(0); ++cut) {
      set.clear();
      fill(set, 150'000, random, sequence);
      commit_or_die(store, set, true);
    }
    commit_s = static_cast<double>(store->stats().commit_us) / 1e6;
    const auto begun = std::chrono::steady_clock::now();
    store->wait_idle();
    const std::chrono::duration<double> idle = std::chrono::steady_clock::now() - begun;
    // 2,000 states per batch are looked up, half of them there.
    std::mt19937_64 again(2);
    std::vector<std::string> keys;
    for (int i = 0; i < 2000; ++i) {
      std::string key;
      append_id(key, i % 2 == 0 ? AddressId{again(), again()} : AddressId{random(), random()});
      keys.push_back(std::move(key));
    }
    const std::vector<std::string_view> unsorted(keys.begin(), keys.end());
    std::sort(keys.begin(), keys.end());
    const std::vector<std::string_view> views(keys.begin(), keys.end());
    std::vector<std::optional<std::string>> values;
    const auto read_begun = std::chrono::steady_clock::now();
    for (int i = 0; i < 20; ++i) {
      if (!store->multi_get(Family::address, views, values)) std::abort();
    }
    const std::chrono::duration<double> many = std::chrono::steady_clock::now() - read_begun;
    const auto get_begun = std::chrono::steady_clock::now();
    for (const std::string_view key : unsorted)
      benchmark::DoNotOptimize(store->get(Family::address, key));
    const std::chrono::duration<double> single = std::chrono::steady_clock::now() - get_begun;
    state.counters["commit_s"] = commit_s;
    state.counters["idle_s"] = idle.count();
    state.counters["multi_get_us"] = many.count() * 1e6 / (20 * 2000);
    state.counters["get_us"] = single.count() * 1e6 / 2000;
  }
}
BENCHMARK(BM_replay_load)
    ->Arg(30)
    ->Arg(90)
    ->Iterations(1)
    ->Unit(benchmark::kMillisecond)
    ->MeasureProcessCPUTime();

/// Opening again: after 10 large cuts (1.5 M records), then with a full WAL to read back.
void BM_open(benchmark::State& state) {
  BenchStore store;
  std::mt19937_64 random(4);
  std::uint64_t sequence = 0;
  WriteSet set;
  for (int cut = 0; cut < 10; ++cut) {
    set.clear();
    fill(set, 150'000, random, sequence);
    commit_or_die(store, set, true);
  }
  for (std::int64_t cut = 0; cut < state.range(0); ++cut) {
    set.clear();
    fill(set, 10'000, random, sequence);
    commit_or_die(store, set, false);
  }
  for (auto _ : state) store.reopen();
}
BENCHMARK(BM_open)->Arg(0)->Arg(40)->Iterations(3)->Unit(benchmark::kMillisecond)->UseRealTime();

void BM_write_set_put(benchmark::State& state) {
  WriteSet set;
  std::mt19937_64 random(3);
  std::uint64_t sequence = 0;
  std::size_t records = 0;
  for (auto _ : state) {
    set.clear();
    fill(set, 100'000, random, sequence);
    records += set.records();
  }
  state.SetItemsProcessed(static_cast<std::int64_t>(records));
}
BENCHMARK(BM_write_set_put)->Unit(benchmark::kMillisecond);

void BM_names_intern_hit(benchmark::State& state) {
  Names names;
  std::vector<std::string> texts;
  for (std::int64_t i = 0; i < state.range(0); ++i) {
    texts.push_back("domain-" + std::to_string(i * 7919) + ".example.net");
    names.intern(Dictionary::domain, texts.back());
  }
  std::size_t i = 0;
  for (auto _ : state) {
    benchmark::DoNotOptimize(names.intern(Dictionary::domain, texts[i]));
    if (++i == texts.size()) i = 0;
  }
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(BM_names_intern_hit)->Arg(100)->Arg(5'000)->Arg(500'000);

}  // namespace
}  // namespace bounced::store
