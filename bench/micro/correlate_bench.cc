// correlate: ns per record (note or event) for the two shapes of a log.
#include <benchmark/benchmark.h>

#include <memory>
#include <random>
#include <string>
#include <vector>

#include "base/batch.h"
#include "base/hash.h"
#include "correlate/correlate.h"

namespace bounced::correlate {
namespace {

/// One record still to be placed into a batch.
struct Record {
  NoteKind kind = NoteKind::begin;
  bool event = false;
  std::uint64_t message = 0;
};

/// Batches of ~1,024 events. `open` messages are interleaved; `real` = client, message-id, from=,
/// to=, removed; else from=, to= and two of five removed.
struct Shape {
  Shape(bool real, std::uint64_t open, std::size_t deliveries) : pool(1024) {
    std::mt19937_64 random(7);
    std::vector<std::uint64_t> ids(open), steps(open);
    std::uint64_t next = 0;
    for (auto& id : ids) id = next++;
    for (std::size_t done = 0; done < deliveries;) {
      const std::size_t slot = random() % open;
      const std::uint64_t step = steps[slot]++;
      static constexpr NoteKind kReal[] = {NoteKind::client, NoteKind::message_id, NoteKind::begin};
      const std::uint64_t begins = real ? 3 : 1;
      if (step < begins) {
        add_note(real ? kReal[step] : NoteKind::begin, ids[slot]);
      } else if (step == begins) {
        add_event(ids[slot]);
        ++done;
      } else {
        if (real || random() % 5 < 2) add_note(NoteKind::removed, ids[slot]);
        ids[slot] = next++;
        steps[slot] = 0;
      }
    }
  }
  Batch& room() {
    if (batches.empty() || batches.back()->events.size() >= 1024 ||
        batches.back()->block->size + 300 > batches.back()->block->capacity) {
      batches.push_back(std::make_unique<Batch>());
      batches.back()->block = pool.take();
      batches.back()->block->size = 0;
    }
    return *batches.back();
  }
  static Text put(Batch& batch, std::string_view text) {
    Block& block = *batch.block;
    std::memcpy(block.data + block.size, text.data(), text.size());
    const Text result{block.size, static_cast<std::uint32_t>(text.size())};
    block.size += static_cast<std::uint32_t>(text.size());
    return result;
  }
  static std::uint64_t key(std::uint64_t message) {
    return hash64({reinterpret_cast<const char*>(&message), sizeof message});
  }
  void add_note(NoteKind kind, std::uint64_t message) {
    Batch& batch = room();
    Note note;
    note.kind = kind;
    note.queue_key = key(message);
    note.time_us = time += 10;
    note.before_event = static_cast<std::uint32_t>(batch.events.size());
    const std::string number = std::to_string(message);
    if (kind == NoteKind::begin) {
      note.text = put(batch, "bounce+" + number + "@bounces.news.example.com");
      note.number = 1;
    } else if (kind == NoteKind::message_id) {
      note.text = put(batch, "<20261121202231." + number + ".4XyZabc@app1.esp.example.com>");
    } else if (kind == NoteKind::client) {
      note.text = put(batch, "app1.esp.example[10.9.0.1]");
    }
    batch.notes.push_back(note);
    ++records;
  }
  void add_event(std::uint64_t message) {
    Batch& batch = room();
    Event event;
    event.kind = message % 12 == 0 ? EventKind::deferred : EventKind::delivered;
    event.queue_key = key(message);
    event.time_us = time += 10;
    event.recipient = put(batch, "r" + std::to_string(message) + "@example.com");
    event.recipient_id = {hash64(std::to_string(message)), message};
    event.mta_port = 25;
    batch.events.push_back(event);
    ++records;
    ++events;
  }
  void forget() {
    const std::string warm(400'000, 'x');
    for (auto& batch : batches) {
      std::unique_ptr<Batch> fresh = std::make_unique<Batch>();
      fresh->add(warm);
      fresh->clear();  // keeps the arena, as a running pipeline does
      fresh->block = std::move(batch->block);
      fresh->events = std::move(batch->events);
      fresh->notes = std::move(batch->notes);
      for (Event& event : fresh->events) event.sender = event.message_id = {};
      batch = std::move(fresh);
    }
  }
  BlockPool pool;
  std::vector<std::unique_ptr<Batch>> batches;
  std::int64_t time = 1'790'000'000'000'000;
  std::size_t records = 0, events = 0;
};

/// Reads the batch as its parser has just left it: near.
std::uint64_t touch(const Batch& batch) {
  std::uint64_t sum = hash64(batch.block->text());
  sum += hash64(
      {reinterpret_cast<const char*>(batch.events.data()), batch.events.size() * sizeof(Event)});
  return sum + hash64({reinterpret_cast<const char*>(batch.notes.data()),
                       batch.notes.size() * sizeof(Note)});
}

/// The first half of the log brings tables and buffers to their steady size, the second is timed.
void run(benchmark::State& state, bool real) {
  Shape shape(real, static_cast<std::uint64_t>(state.range(0)), 200'000);
  std::size_t records = 0, events = 0;
  for (auto _ : state) {
    state.PauseTiming();
    shape.forget();
    store::Names names;
    auto correlator = std::make_unique<Correlator>(Options{}, names);
    std::vector<Event*> out;
    out.reserve(4096);
    for (std::size_t i = 0; i < shape.batches.size(); ++i) {
      Batch& batch = *shape.batches[i];
      const bool timed = i >= shape.batches.size() / 2;
      out.clear();
      benchmark::DoNotOptimize(touch(batch));
      Cursor cursor;
      if (timed) {
        records += batch.events.size() + batch.notes.size();
        events += batch.events.size();
        state.ResumeTiming();
      }
      correlator->apply(batch, cursor, INT64_MAX, out);
      if (timed) state.PauseTiming();
    }
    const Correlator::Stats stats = correlator->stats();
    if (stats.enriched != shape.events) state.SkipWithError("not every event was enriched");
    state.counters["open_at_end"] = static_cast<double>(stats.open);
    correlator.reset();
    state.ResumeTiming();
  }
  state.SetItemsProcessed(static_cast<std::int64_t>(records));
  state.counters["s_per_G_record"] =
      benchmark::Counter(static_cast<double>(records) * 1e-9,
                         benchmark::Counter::kIsRate | benchmark::Counter::kInvert);
  state.counters["records_per_event"] = static_cast<double>(records) / static_cast<double>(events);
}

void BM_CorrelateReal(benchmark::State& state) {
  run(state, true);
}
void BM_CorrelateSparse(benchmark::State& state) {
  run(state, false);
}
BENCHMARK(BM_CorrelateReal)->Arg(256)->Arg(20'000)->Unit(benchmark::kMillisecond);
BENCHMARK(BM_CorrelateSparse)->Arg(256)->Arg(20'000)->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace bounced::correlate
