#include "pipeline/state_stage.h"

#include <algorithm>
#include <numeric>

namespace bounced::pipeline {

StateStage::StateStage(Engine::Impl& engine) : engine_(engine), thread_([this] { run(); }) {}

StateStage::~StateStage() {
  queue_.close();
  thread_.join();
}

void StateStage::push(std::unique_ptr<Batch> batch, std::shared_ptr<LaneInfo> lane) {
  Work work;
  work.batch = std::move(batch);
  work.lane = std::move(lane);
  push(std::move(work));
}

void StateStage::push(std::unique_ptr<Cut> cut) {
  Work work;
  work.kind = Work::Kind::cut;
  work.cut = std::move(cut);
  push(std::move(work));
}

void StateStage::push_committed() {
  if (idle()) return committed();
  Work work;
  work.kind = Work::Kind::committed;
  push(std::move(work));
}

void StateStage::tick(std::int64_t watermark_us) {
  if (idle()) return fire(watermark_us);
  Work work;
  work.kind = Work::Kind::tick;
  work.watermark_us = watermark_us;
  push(std::move(work));
}

void StateStage::push(Work work) {
  ++pushed_;
  queue_.push(std::move(work));
}

void StateStage::apply_now(Batch& batch) {
  wait_idle();
  apply(batch);
}

void StateStage::wait_idle() {
  for (std::uint64_t done = done_.load(std::memory_order_acquire); done != pushed_;
       done = done_.load(std::memory_order_acquire)) {
    done_.wait(done, std::memory_order_acquire);
  }
}

void StateStage::run() {
  name_thread("state");
  while (std::optional<Work> work = queue_.pop()) {
    take(*work);
    work.reset();
    done_.fetch_add(1, std::memory_order_release);
    done_.notify_one();
  }
}

void StateStage::take(Work& work) {
  switch (work.kind) {
    case Work::Kind::batch:
      apply(*work.batch);
      leave_figures();
      return engine_.put_batch(std::move(work.batch), *work.lane);
    case Work::Kind::cut:
      return complete(std::move(work.cut));
    case Work::Kind::committed:
      return committed();
    case Work::Kind::tick:
      return fire(work.watermark_us);
  }
}

void StateStage::committed() {
  engine_.states->committed();
  engine_.rates->committed();
  measure();
}

void StateStage::fire(std::int64_t watermark_us) {
  if (failed()) return;
  const Result<bool> more = engine_.states->tick(watermark_us);
  more_due_.store(more && *more, std::memory_order_release);
  if (!more) {
    failed_.store(true, std::memory_order_release);
    engine_.die(more.error());
  }
  measure();
}

void StateStage::apply(Batch& batch) {
  if (failed() || batch.run.empty()) return;
  if (engine_.states != nullptr) {
    if (Result<void> applied = apply_states(batch); !applied) {
      failed_.store(true, std::memory_order_release);
      engine_.die(applied.error());
      return;
    }
    measure();
  } else {
    for (const Event* event : batch.run) ++events_[static_cast<std::size_t>(event->kind)];
  }
  if (engine_.options.on_events) engine_.options.on_events(batch, batch.run);
}

/// Of failures, but not of expiries that correlate told: their attempts were counted.
void StateStage::count_hits(const Batch& batch, std::size_t from, std::size_t to) {
  for (std::size_t i = from; i < to; ++i) {
    const Event& event = *batch.run[i];
    if (event.verdict == 0 || event.has(EventFlags::kSynthesised)) continue;
    engine_.hits.note(*batch.verdict(event), event.time_us);
  }
}

/// In parts that fit in the nearest cache: rates find the events where states left them.
Result<void> StateStage::apply_states(const Batch& batch) {
  constexpr std::size_t kPart = 128;
  const std::size_t n = batch.run.size();
  counted_.assign(n, 0);
  const state::Counts before = engine_.states->counts();
  if (auto begun = engine_.states->begin(batch, batch.run); !begun) return begun;
  engine_.rates->begin(batch, n);
  for (std::size_t from = 0; from < n; from += kPart) {
    const std::size_t to = std::min(from + kPart, n);
    engine_.states->part(batch, batch.run, from, to, counted_);
    if (auto done = engine_.rates->part(batch, batch.run, from, to, counted_); !done) return done;
    if (!batch.verdicts.empty()) count_hits(batch, from, to);
  }
  engine_.rates->end();
  for (std::size_t kind = 0; kind < kEventKinds; ++kind) {
    events_[kind] += engine_.states->counts().by_kind[kind] - before.by_kind[kind];
  }
  return engine_.states->end();
}

void StateStage::complete(std::unique_ptr<Cut> cut) {
  if (failed()) {
    Message message;
    message.kind = Message::Kind::committed;
    message.committed = fail(ErrorCode::cancelled, "cut", "engine", "an event was not applied");
    message.cut = std::move(cut);
    message.cut->set.clear();
    return engine_.inbox.push(std::move(message));
  }
  engine_.states->append_to(cut->set);
  engine_.rates->append_to(cut->set);
  engine_.names.append_to(cut->set);
  engine_.hits.append_to(cut->set);
  measure();
  engine_.cuts.push(std::move(cut));
}

void StateStage::measure() {
  if (engine_.states == nullptr) return;
  dirty_bytes_.store(engine_.states->dirty_bytes() + engine_.rates->passing_bytes(),
                     std::memory_order_relaxed);
  dirty_records_.store(engine_.states->dirty_records() + engine_.rates->dirty_records(),
                       std::memory_order_relaxed);
}

StateStage::Figures StateStage::figures() const {
  Figures now;
  std::copy_n(events_, kEventKinds, now.events);
  if (engine_.states == nullptr) return now;
  now.counts = engine_.states->counts();
  now.states = engine_.states->stats();
  now.total = engine_.rates->total();
  return now;
}

void StateStage::leave_figures() {
  constexpr std::int64_t kIntervalUs = 20'000;
  const std::int64_t now_us = monotonic_us();
  if (now_us - left_us_ < kIntervalUs) return;
  left_us_ = now_us;
  Figures now = figures();
  const std::lock_guard lock(left_mutex_);
  left_ = now;
}

void StateStage::add_to(Metrics& metrics) {
  Figures now;
  const bool all = idle();
  if (all) {
    now = figures();
  } else {
    const std::lock_guard lock(left_mutex_);
    now = left_;
  }
  // What was left behind may be older than what was told when the stage was last idle.
  const std::uint64_t received = std::accumulate(now.events, now.events + kEventKinds, 0ull);
  if (!all && received <= metrics.state.received) return;
  std::copy_n(now.events, kEventKinds, metrics.events);
  metrics.state.received = metrics.state.sent = received;
  if (engine_.states == nullptr) return;
  metrics.counts = now.counts;
  metrics.states = now.states;
  metrics.total = now.total;
}

}  // namespace bounced::pipeline
