// Rules and policy: loaded when the engine starts, and again while it runs.
//
// A reload compiles aside, on the thread of who asks. Then, on apply's thread and while states are
// idle, names of new causes are interned and the policy is exchanged; from the next block on
// workers classify with the new rules. Batches that were classified before keep their verdicts:
// numbers of causes never change, and RuleHits knows the names of both sets.
#include <algorithm>

#include "classify/check.h"
#include "pipeline/engine_impl.h"

namespace bounced::pipeline {
namespace {

/// In order of number: new causes get the next ids of the dictionary.
void intern_causes(const RuleSet& rules, store::Names& names) {
  for (const CauseInfo& info : causes(rules)) {
    if (static_cast<std::uint16_t>(info.cause) < kFirstCustomCause) continue;
    names.intern(store::Dictionary::cause, info.id);
  }
}

Verdict expired_by(const RuleSet& rules) {
  return verdict_of(rules, Cause::network_expired, Severity::temporary, 90);
}

}  // namespace

/// Rules that name their causes as the store does, and the policy for them.
Result<void> Engine::Impl::open_rules() {
  options.rules.known_causes = names.all(store::Dictionary::cause);
  auto loaded = load_rules(options.rules);
  if (!loaded) return tl::unexpected(loaded.error());
  auto policy = state::load_policy(options.policy_file, causes(**loaded));
  if (!policy) return tl::unexpected(policy.error());
  publish_rules(*loaded, *policy);
  return {};
}

void Engine::Impl::begin_rules() {
  intern_causes(*rules, names);
  hits.bind(rules);
}

void Engine::Impl::publish_rules(std::shared_ptr<const RuleSet> set, const Policy& policy) {
  const std::lock_guard lock(rules_mutex);
  rules = std::move(set);
  // Kept, because who asked for one may still look at it; a few KB each.
  if (policies.empty() || !(policies.back() == policy)) policies.push_back(policy);
  rules_version.fetch_add(1, std::memory_order_release);
}

Result<void> Engine::Impl::ask(std::function<Result<void>(state::States*, store::Names&)> run) {
  auto request = std::make_shared<ChangeRequest>();
  request->run = std::move(run);
  request->durable = false;
  auto answer = request->answer.get_future();
  {
    const std::lock_guard lock(mutex);
    if (stopped) return fail(ErrorCode::cancelled, "change", "engine", "stopping");
    Message message;
    message.kind = Message::Kind::change;
    message.change = request;
    inbox.push(std::move(message));
  }
  return answer.get();
}

Result<RuleReload> Engine::reload_rules() {
  Impl& m = *impl_;
  const std::lock_guard one_at_a_time(m.reload_mutex);
  const std::int64_t begun_us = monotonic_us();
  RuleSetOptions options = m.options.rules;
  auto asked = m.ask([&](state::States*, store::Names& names) -> Result<void> {
    options.known_causes = names.all(store::Dictionary::cause);
    return {};
  });
  if (!asked) return tl::unexpected(asked.error());
  auto loaded = classify::load_checked(options);
  if (!loaded) return tl::unexpected(loaded.error());
  auto policy = state::load_policy(m.options.policy_file, causes(*loaded->rules));
  if (!policy) return tl::unexpected(policy.error());
  RuleReload report{loaded->rule_count, loaded->samples, true, 0};
  report.changed =
      generation(*loaded->rules) != generation(*rules()) || !(*policy == this->policy());
  asked = m.ask([&](state::States* states, store::Names& names) -> Result<void> {
    intern_causes(*loaded->rules, names);
    m.correlator->set_expired(expired_by(*loaded->rules));
    if (states != nullptr) states->set_policy(*policy);
    m.hits.bind(loaded->rules);
    m.publish_rules(loaded->rules, *policy);
    return {};
  });
  if (!asked) return tl::unexpected(asked.error());
  report.elapsed_us = monotonic_us() - begun_us;
  return report;
}

std::vector<RuleHit> Engine::rule_hits() const {
  // A moment old at most (a cut's interval): who only looks never waits for states.
  if (impl_->store != nullptr) return impl_->hits.at_cut(SIZE_MAX);
  std::vector<RuleHit> hits;
  (void)impl_->ask([&](state::States*, store::Names&) -> Result<void> {
    hits = impl_->hits.all();
    return {};
  });
  return hits;
}

std::vector<RuleHit> Engine::rule_hits_at_cut(std::size_t most) const {
  return impl_->hits.at_cut(most);
}

std::shared_ptr<const RuleSet> Engine::rules() const {
  const std::lock_guard lock(impl_->rules_mutex);
  return impl_->rules;
}

const Policy& Engine::policy() const {
  const std::lock_guard lock(impl_->rules_mutex);
  return impl_->policies.back();
}

}  // namespace bounced::pipeline
