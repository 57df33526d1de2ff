// Workers: parse a block, then classify its failures, both stateless; any worker, any block.
#include <algorithm>

#include "pipeline/engine_impl.h"

namespace bounced::pipeline {

void classify(Batch& batch, Classifier& classifier, const RuleSet& rules) {
  for (Event& event : batch.events) {
    if (event.kind == EventKind::suppressed) {
      batch.set_verdict(event,
                        verdict_of(rules, Cause::local_suppressed, Severity::permanent, 100));
      continue;
    }
    if (!event.failing() && event.kind != EventKind::probed) continue;
    if (event.kind == EventKind::probed && event.smtp_code < 400) continue;
    Failure failure;
    failure.diagnostic = batch.view(event.diagnostic).substr(0, limits::kDiagnosticBytesMax);
    failure.smtp_code = event.smtp_code;
    failure.enhanced = event.enhanced;
    failure.phase = event.phase;
    failure.kind = event.kind;
    failure.hint = event.hint;
    failure.mta_host = batch.view(event.mta_host);
    failure.recipient_domain = raw_domain(batch.view(event.recipient));
    batch.set_verdict(event, classifier.classify(failure));
  }
}

namespace {

/// What apply wants to know of texts, while they are in this core's cache.
void name_hosts(Batch& batch) {
  for (const Text& host : batch.hosts) {
    batch.providers.push_back(state::provider_key(batch.view(host)));
  }
}

/// What correlate can do ahead of the batch's turn, for lanes whose batches are taken whole.
void prepare(Batch& batch, const LaneInfo& lane) {
  if (!batch.joined || !batch.times.form().has_value()) return;
  const std::int64_t add_us = lane.add_us.load(std::memory_order_relaxed);
  if (add_us != LaneInfo::kNotKnown) correlate::prepare(batch, add_us);
}

}  // namespace

std::unique_ptr<Batch> Engine::Impl::take_batch() {
  const std::lock_guard lock(spare_mutex);
  if (spare.empty()) return std::make_unique<Batch>();
  std::unique_ptr<Batch> batch = std::move(spare.back());
  spare.pop_back();
  return batch;
}

void Engine::Impl::put_batch(std::unique_ptr<Batch> batch, LaneInfo& lane) {
  lane.in_flight.fetch_sub(1, std::memory_order_acq_rel);
  batch->clear();
  {
    const std::lock_guard lock(spare_mutex);
    spare.push_back(std::move(batch));
  }
  if (lane.group == nullptr) return;
  // Under the lock, or a feeder that has just looked and is about to sleep would miss it.
  const std::lock_guard lock(lane.group->mutex);
  lane.group->changed.notify_all();
}

Worker::Worker(Engine::Impl& engine) : engine_(engine) {
  renew();
  const std::lock_guard lock(engine_.metrics_mutex);
  slot_ = engine_.worker_stats.size();
  engine_.worker_stats.emplace_back();
}

void Worker::renew() {
  if (classifier_) before_.add(classifier_->stats());
  {
    const std::lock_guard lock(engine_.rules_mutex);
    version_ = engine_.rules_version.load(std::memory_order_relaxed);
    rules_ = engine_.rules;
  }
  classifier_.emplace(rules_, Classifier::Options{true, engine_.options.sending_ips});
}

void Worker::take(BlockPtr block) {
  std::unique_ptr<Batch> batch = engine_.take_batch();
  batch->block = std::move(block);
  parse::parse(engine_.context, *batch);
  if (version_ != engine_.rules_version.load(std::memory_order_acquire)) renew();
  classify(*batch, *classifier_, *rules_);
  name_hosts(*batch);
  prepare(*batch, *engine_.registry.lane(batch->block->lane));
  {
    Classifier::Stats stats = before_;
    stats.add(classifier_->stats());
    const std::lock_guard lock(engine_.metrics_mutex);
    engine_.worker_stats[slot_] = stats;
  }
  Message message;
  message.kind = Message::Kind::batch;
  message.batch = std::move(batch);
  engine_.inbox.push(std::move(message));
}

void Engine::Impl::work(std::size_t index) {
  name_thread("worker" + std::to_string(index));
  std::optional<Worker> worker;  // its tables are made for the first block: there may be none
  while (std::optional<BlockPtr> block = blocks.pop()) {
    if (!worker) worker.emplace(*this);
    worker->take(std::move(*block));
  }
}

}  // namespace bounced::pipeline
