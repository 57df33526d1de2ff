// Workers: parse a block, then classify its failures, both stateless; any worker, any block.
#include <algorithm>

#include "pipeline/engine_impl.h"

namespace bounced::pipeline {
namespace {

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

/// What apply wants to know of texts, while they are in this core's cache.
void name_hosts(Batch& batch) {
  for (const Text& host : batch.hosts) {
    batch.providers.push_back(state::provider_key(batch.view(host)));
  }
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
  if (lane.group != nullptr) lane.group->changed.notify_all();
}

void Engine::Impl::work(std::size_t index) {
  name_thread("worker" + std::to_string(index));
  Classifier::Options classifier_options;
  classifier_options.sending_ips = options.sending_ips;
  Classifier classifier(rules, classifier_options);
  while (std::optional<BlockPtr> block = blocks.pop()) {
    std::unique_ptr<Batch> batch = take_batch();
    batch->block = std::move(*block);
    parse::parse(context, *batch);
    classify(*batch, classifier, *rules);
    name_hosts(*batch);
    {
      const std::lock_guard lock(metrics_mutex);
      worker_stats[index] = classifier.stats();
    }
    Message message;
    message.kind = Message::Kind::batch;
    message.batch = std::move(batch);
    inbox.push(std::move(message));
  }
}

}  // namespace bounced::pipeline
