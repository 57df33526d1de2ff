#include "pipeline/state_stage.h"

#include <algorithm>

namespace bounced::pipeline {

StateStage::StateStage(Engine::Impl& engine) : engine_(engine), thread_([this] { run(); }) {}

StateStage::~StateStage() {
  queue_.close();
  thread_.join();
}

void StateStage::push(std::unique_ptr<Batch> batch, std::shared_ptr<LaneInfo> lane) {
  ++pushed_;
  queue_.push({std::move(batch), std::move(lane), nullptr});
}

void StateStage::push(std::unique_ptr<Cut> cut) {
  ++pushed_;
  queue_.push({nullptr, nullptr, std::move(cut)});
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
    if (work->cut != nullptr) {
      complete(std::move(work->cut));
    } else {
      apply(*work->batch);
      engine_.put_batch(std::move(work->batch), *work->lane);
    }
    work.reset();
    done_.fetch_add(1, std::memory_order_release);
    done_.notify_one();
  }
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

void StateStage::add_to(Metrics& metrics) {
  for (std::size_t i = 0; i < kEventKinds; ++i) {
    metrics.events[i] += events_[i];
    metrics.state.received += events_[i];
    metrics.state.sent += events_[i];
    events_[i] = 0;
  }
}

}  // namespace bounced::pipeline
