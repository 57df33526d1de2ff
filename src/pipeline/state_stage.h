// StateStage: the second half of apply. Correlate is done with a whole batch on apply's thread;
// states and rates take it, in the same order, on this one.
//
// Invariant: states, rates and names belong to this stage's thread while it has work, and to
// apply's thread while it is idle. So whatever else wants them (changes, runs of a part of a batch)
// waits until it is idle, and there is nothing to lock. A cut is work, and so are its end and a
// tick: each takes its place in the queue, and so its instant, and nobody waits for it. Figures are
// left behind after a batch: a backlog whose states must be read from the store keeps the stage
// busy for long, and who only watches must neither wait for it nor hold it up.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

#include "pipeline/engine_impl.h"

namespace bounced::pipeline {

class StateStage {
 public:
  explicit StateStage(Engine::Impl& engine);
  ~StateStage();
  StateStage(const StateStage&) = delete;
  StateStage& operator=(const StateStage&) = delete;

  /// Hands over a batch of which correlate has taken every record; `Batch::run` says which events
  /// are to be applied. It goes back to the pools afterwards. `lane` outlives the engine's threads.
  void push(std::unique_ptr<Batch> batch, std::shared_ptr<LaneInfo> lane);
  /// Hands over a cut that holds what correlate and the positions say of all batches pushed so far.
  /// It goes on to the committer with what states, rates and names have to add, or comes back to
  /// apply as failed.
  void push(std::unique_ptr<Cut> cut);
  /// That cut's write has returned.
  void push_committed();
  /// Fires what is due by then, a bounded part of it, in its turn; at once on the caller's thread
  /// when the stage is idle.
  void tick(std::int64_t watermark_us);
  /// The last tick left something for the next one.
  [[nodiscard]] bool more_due() const { return more_due_.load(std::memory_order_acquire); }
  /// Applies batch.run at once, on the caller's thread; the batch stays the caller's.
  void apply_now(Batch& batch);

  /// Apply's thread only.
  [[nodiscard]] bool idle() const { return done_.load(std::memory_order_acquire) == pushed_; }
  void wait_idle();
  /// Something could not be applied; from then on nothing is.
  [[nodiscard]] bool failed() const { return failed_.load(std::memory_order_acquire); }

  // As of the last batch; any time.
  [[nodiscard]] std::size_t dirty_bytes() const {
    return dirty_bytes_.load(std::memory_order_relaxed);
  }
  [[nodiscard]] std::size_t dirty_records() const {
    return dirty_records_.load(std::memory_order_relaxed);
  }
  /// After a cut or a change.
  void measure();
  /// What was applied: as of now when the stage is idle, else as of a batch a moment ago.
  void add_to(Metrics& metrics);

 private:
  struct Work {
    enum class Kind : std::uint8_t { batch, cut, committed, tick };
    Kind kind = Kind::batch;
    std::unique_ptr<Batch> batch;
    std::shared_ptr<LaneInfo> lane;  ///< of the batch
    std::unique_ptr<Cut> cut;
    std::int64_t watermark_us = 0;
  };
  /// What is told of states and rates.
  struct Figures {
    std::uint64_t events[kEventKinds] = {};
    state::Counts counts;
    state::States::Stats states;
    rates::Cell total;
  };
  void push(Work work);
  void run();
  void take(Work& work);
  void committed();
  void fire(std::int64_t watermark_us);
  [[nodiscard]] Figures figures() const;
  void leave_figures();
  void apply(Batch& batch);
  void count_hits(const Batch& batch, std::size_t from, std::size_t to);
  Result<void> apply_states(const Batch& batch);
  void complete(std::unique_ptr<Cut> cut);

  Engine::Impl& engine_;
  BlockingQueue<Work> queue_;
  std::uint64_t pushed_ = 0;  ///< apply's thread
  std::atomic<std::uint64_t> done_{0};
  std::atomic<bool> failed_{false};
  std::atomic<std::size_t> dirty_bytes_{0}, dirty_records_{0};
  std::vector<std::uint8_t> counted_;
  std::uint64_t events_[kEventKinds] = {};
  std::atomic<bool> more_due_{false};
  std::int64_t left_us_ = 0;  ///< when `left_` was written
  std::mutex left_mutex_;
  Figures left_;
  std::thread thread_;  ///< last: it uses all of the above
};

}  // namespace bounced::pipeline
