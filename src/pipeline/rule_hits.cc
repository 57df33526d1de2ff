#include "pipeline/rule_hits.h"

#include <algorithm>

namespace bounced::pipeline {
namespace {

constexpr std::string_view kPrefix = "rule/hits/";

/// Every hit in the store; values that nobody of ours wrote are passed over.
template <class Each>
Result<void> scan_hits(const store::Store& store, Each each) {
  return store.scan(
      store::Family::meta, kPrefix, {}, [&](std::string_view key, std::string_view value) {
        if (value.size() != 16) return true;
        each(RuleHit{std::string(key.substr(kPrefix.size())), store::read_u64_be(value.data()),
                     static_cast<std::int64_t>(store::read_u64_be(value.data() + 8))});
        return true;
      });
}

}  // namespace

std::uint32_t RuleHits::slot_of(std::string_view rule) {
  const auto [at, added] =
      slots_.emplace(std::string(rule), static_cast<std::uint32_t>(hits_.size()));
  if (added) {
    hits_.push_back({std::string(rule), 0, 0});
    dirty_.push_back(0);
  }
  return at->second;
}

Result<void> RuleHits::load(const store::Store& store) {
  auto scanned = scan_hits(store, [&](const RuleHit& hit) { hits_[slot_of(hit.rule)] = hit; });
  const std::lock_guard lock(cut_mutex_);
  cut_ = hits_;
  return scanned;
}

void RuleHits::bind(std::shared_ptr<const RuleSet> rules) {
  const std::uint32_t number = generation(*rules);
  if (number == now_.generation) return;
  before_ = std::move(now_);
  now_ = Binding{std::move(rules), number, {}};
}

void RuleHits::note(const Verdict& verdict, std::int64_t time_us) {
  if (verdict.rule == kNoRule) return;
  Binding& binding = verdict.generation == now_.generation ? now_ : before_;
  if (binding.generation != verdict.generation || binding.rules == nullptr) return;
  if (verdict.rule >= binding.slots.size()) binding.slots.resize(verdict.rule + std::size_t{64});
  std::uint32_t& slot = binding.slots[verdict.rule];
  if (slot == 0) {
    const std::string_view rule = rule_name(*binding.rules, verdict.rule);
    if (rule.empty()) return;
    slot = slot_of(rule) + 1;
  }
  RuleHit& hit = hits_[slot - 1];
  ++hit.count;
  hit.last_us = std::max(hit.last_us, time_us);
  if (dirty_[slot - 1] != 0) return;
  dirty_[slot - 1] = 1;
  changed_.push_back(slot - 1);
}

std::string_view RuleHits::name(const Verdict& verdict) const {
  for (const Binding* binding : {&now_, &before_}) {
    if (binding->rules != nullptr && binding->generation == verdict.generation) {
      return rule_name(*binding->rules, verdict.rule);
    }
  }
  return {};
}

void RuleHits::append_to(store::WriteSet& set) {
  if (changed_.empty()) return;
  const std::lock_guard lock(cut_mutex_);
  cut_.resize(hits_.size());
  for (const std::uint32_t index : changed_) {
    const RuleHit& hit = cut_[index] = hits_[index];
    std::string value;
    store::append_u64_be(value, hit.count);
    store::append_u64_be(value, static_cast<std::uint64_t>(hit.last_us));
    set.put(store::Family::meta, std::string(kPrefix) + hit.rule, value);
    dirty_[index] = 0;
  }
  changed_.clear();
}

std::vector<RuleHit> RuleHits::at_cut(std::size_t most) const {
  const std::lock_guard lock(cut_mutex_);
  if (cut_.size() <= most) return cut_;
  std::vector<RuleHit> hits(cut_.begin(), cut_.begin() + static_cast<std::ptrdiff_t>(most));
  RuleHit other{"other", 0, 0};
  for (std::size_t i = most; i < cut_.size(); ++i) {
    other.count += cut_[i].count;
    other.last_us = std::max(other.last_us, cut_[i].last_us);
  }
  hits.push_back(std::move(other));
  return hits;
}

Result<std::vector<RuleHit>> read_rule_hits(const store::Store& store) {
  std::vector<RuleHit> hits;
  auto scanned = scan_hits(store, [&](RuleHit hit) { hits.push_back(std::move(hit)); });
  if (!scanned) return tl::unexpected(scanned.error());
  std::sort(hits.begin(), hits.end(), [](const RuleHit& a, const RuleHit& b) {
    return a.count != b.count ? a.count > b.count : a.rule < b.rule;
  });
  return hits;
}

}  // namespace bounced::pipeline
