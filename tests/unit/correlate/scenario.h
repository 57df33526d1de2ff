// What the tests of correlate run: lives of messages, and a correlator with a store behind it.
#pragma once

#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "base/time.h"
#include "correlate/correlate.h"
#include "record_builder.h"

namespace bounced::correlate::test {

using Stored = std::map<std::string, std::string>;

class TempDir {
 public:
  TempDir() {
    std::string pattern = (std::filesystem::temp_directory_path() / "correlate-XXXXXX").string();
    path = mkdtemp(pattern.data());
  }
  ~TempDir() { std::filesystem::remove_all(path); }
  std::string path;
};

/// Plausible and less plausible lives of `keys` messages, interleaved; ids come back.
struct Scenario {
  explicit Scenario(unsigned seed, std::uint64_t keys, int batches) : random(seed) {
    for (int i = 0; i < batches; ++i) {
      all.push_back(std::make_unique<RecordBuilder>(static_cast<std::uint64_t>(i) * 1'000'000));
      fill(*all.back(), keys);
    }
  }
  std::uint64_t below(std::uint64_t n) { return random() % n; }

  void fill(RecordBuilder& r, std::uint64_t keys) {
    for (int i = 0; i < 60; ++i) {
      noise(r, keys);
      for (std::uint64_t n = below(4); n != 0; --n) short_life(r, keys);
    }
  }
  /// Some of the records of a usual message, in their order, with somebody else's between.
  void short_life(RecordBuilder& r, std::uint64_t keys) {
    const std::uint64_t key = 1 + below(4 * keys);
    const std::string word = std::to_string(key) + "." + std::to_string(below(3));
    seconds += 0.01;
    if (below(3) == 0) r.note(NoteKind::client, key, seconds, "app[192.0.2.1]");
    if (below(3) == 0) r.note(NoteKind::sasl_user, key, seconds, "u" + word);
    if (below(2) == 0) r.note(NoteKind::message_id, key, seconds, below(9) == 0 ? "" : "<" + word);
    if (below(4) == 0) r.note(NoteKind::campaign, key, seconds, "c" + word);
    const auto recipients = static_cast<std::uint32_t>(1 + below(2));
    if (below(9) != 0) r.note(NoteKind::begin, key, seconds, "s@" + word, recipients);
    if (below(6) == 0) noise(r, keys);
    for (std::uint32_t n = 0; n < recipients; ++n) {
      const EventKind kind = below(5) == 0 ? EventKind::bounced : EventKind::delivered;
      r.event(kind, key, seconds, "r" + std::to_string(n) + "@y").mta_port = 25;
    }
    if (below(3) != 0) r.note(NoteKind::removed, key, seconds);
  }
  void noise(RecordBuilder& r, std::uint64_t keys) {
    static const Verdict kVerdicts[] = {verdict(Cause::mailbox_full, Fault::recipient),
                                        verdict(Cause::domain_down, Fault::domain),
                                        verdict(Cause::unknown_temporary, Fault::unknown),
                                        verdict(Cause::rate_limited, Fault::sender)};
    seconds += below(150) == 0 ? static_cast<double>(below(20'000)) : 0.5;
    const std::uint64_t key = 1 + below(keys);
    const std::string word = std::to_string(key) + "." + std::to_string(below(3));
    const std::string who = "r" + std::to_string(below(4)) + "@x.example";
    switch (below(12)) {
      case 0:
        r.note(NoteKind::client, key, seconds, "app[192.0.2.1]");
        break;
      case 1:
        r.note(NoteKind::sasl_user, key, seconds, "u" + word);
        break;
      case 2:
        r.note(NoteKind::message_id, key, seconds, "<" + word + "@x>");
        break;
      case 3: {
        const std::string tail(below(8) == 0 ? 400 : 0, 't');
        r.note(NoteKind::begin, key, seconds, "s" + std::to_string(key % 5) + "@x" + tail, 3);
        break;
      }
      case 4:
        r.note(NoteKind::campaign, key, seconds, "c" + word);
        break;
      case 5:
        r.note(NoteKind::removed, key, seconds);
        break;
      case 6:
        r.note(NoteKind::expired, key, seconds);
        break;
      case 7:
        r.note(NoteKind::mx_failure, key, seconds, "mx " + word);
        break;
      case 8:
        r.event(EventKind::delivered, key, seconds, who).mta_port =
            static_cast<std::uint16_t>(below(2) * 25);
        break;
      case 9:
        r.event(EventKind::bounced, key, seconds, who, "550 " + word);
        break;
      default: {
        Event& e =
            r.event(EventKind::deferred, key, seconds, who, "450 " + word, &kVerdicts[below(4)]);
        e.delay_ms = static_cast<std::uint32_t>(below(10'000));
        if (below(4) == 0) e.flags |= EventFlags::kNotAttempted;
      }
    }
  }
  std::mt19937_64 random;
  double seconds = 0;
  std::vector<std::unique_ptr<RecordBuilder>> all;
};

inline std::string describe(const Batch& batch, const Event& e) {
  std::string line = std::to_string(static_cast<int>(e.kind)) + " " + std::to_string(e.id) + " " +
                     std::to_string(e.time_us) + " " + std::to_string(e.message) + " " +
                     std::to_string(e.delay_ms) + " " + std::to_string(e.flags) + " " +
                     std::to_string(e.stream) + " " + std::to_string(e.tenant) + " " +
                     std::to_string(e.sender_domain);
  for (const Text text :
       {e.recipient, e.sender, e.message_id, e.campaign, e.diagnostic, e.queue_id, e.mta_host}) {
    line += "|";
    line += batch.view(text);
  }
  if (const Verdict* v = batch.verdict(e)) {
    line += "|" + std::to_string(static_cast<int>(v->cause));
  }
  return line;
}

struct Outcome {
  std::vector<std::string> events;
  Stored stored;
};

class Runner {
 public:
  Runner(std::size_t entries_max) : entries_max_(entries_max) {
    auto opened = store::Store::open(dir_.path + "/d", {});
    EXPECT_TRUE(opened.has_value()) << (opened ? "" : opened.error().message());
    store_ = std::move(*opened);
    restart();
  }
  void restart() {
    Options options;
    options.entries_max = entries_max_;
    options.expired = verdict(Cause::network_expired, Fault::network);
    options.streams = {{"one", "", {}, {}, {}, {"c1.1"}},
                       {"two", "", {"u2.1", "u3.0"}, {}, {}, {}}};
    names_ = std::make_unique<store::Names>();
    correlator_ = std::make_unique<Correlator>(std::move(options), *names_);
    const auto loaded = correlator_->load(*store_);
    ASSERT_TRUE(loaded.has_value()) << loaded.error().message();
  }
  void cut() {
    store::WriteSet set;
    correlator_->append_to(set);
    ASSERT_TRUE(store_->commit(set, false).has_value());
    spilled_ = std::max(spilled_, correlator_->stats().spilled);
  }
  /// One in `cut_every` slices ends with a cut, every third of those with a restart; 0 = never.
  Outcome run(Scenario& scenario, unsigned cut_every) {
    Outcome result;
    std::mt19937_64 random(cut_every);
    for (auto& builder : scenario.all) {
      Batch& batch = builder->batch;
      Cursor cursor;
      while (cursor.event < batch.events.size() || cursor.note < batch.notes.size()) {
        const bool last = random() % 4 == 0;
        std::int64_t until = INT64_MAX;
        if (!last && cut_every != 0) {
          const bool has_event = cursor.event < batch.events.size();
          until = has_event ? batch.events[cursor.event].time_us : batch.notes[cursor.note].time_us;
        }
        std::vector<Event*> out;
        const bool begins = cursor.event == 0 && cursor.note == 0;
        if (begins && joined && until == INT64_MAX && joined(*correlator_, batch, out)) {
          cursor = {static_cast<std::uint32_t>(batch.events.size()),
                    static_cast<std::uint32_t>(batch.notes.size())};
        } else {
          correlator_->apply(batch, cursor, until, out);
        }
        for (const Event* e : out) result.events.push_back(describe(batch, *e));
        if (cut_every != 0 && random() % cut_every == 0) {
          cut();
          if (random() % 3 == 0) restart();
        }
      }
      EXPECT_TRUE(correlator_->status().has_value());
    }
    cut();
    EXPECT_TRUE(store_
                    ->scan(store::Family::open, {}, {},
                           [&](std::string_view key, std::string_view value) {
                             result.stored.emplace(key, value);
                             return true;
                           })
                    .has_value());
    return result;
  }
  /// Asked first when a batch is to be taken whole: apply_joined() and what it needs.
  std::function<bool(Correlator&, Batch&, std::vector<Event*>&)> joined;

  [[nodiscard]] std::uint64_t spilled() const { return spilled_; }
  [[nodiscard]] Correlator::Stats stats() const { return correlator_->stats(); }
  [[nodiscard]] std::uint64_t evicted() const { return correlator_->stats().evicted; }

 private:
  TempDir dir_;
  std::size_t entries_max_;
  std::unique_ptr<store::Store> store_;
  std::unique_ptr<store::Names> names_;
  std::unique_ptr<Correlator> correlator_;
  std::uint64_t spilled_ = 0;
};

}  // namespace bounced::correlate::test
