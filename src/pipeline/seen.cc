#include "pipeline/seen.h"

#include <algorithm>

namespace bounced::pipeline {
namespace {

constexpr std::size_t kKeyBytes = 4 + 16;
/// Removed from the store with one cut: a day's keys go in many cuts.
constexpr std::size_t kRemovedMax = 4096;

std::uint64_t half(const AddressId& key) {
  return key.hi ^ (key.lo * 0x9E3779B97F4A7C15ull);
}

}  // namespace

Result<void> Seen::load(const store::Store& store) {
  return store.scan_reverse(store::Family::seen, {}, [&](std::string_view key, std::string_view) {
    if (key.size() != kKeyBytes) return true;
    if (size_ >= keys_max_) return false;
    add(half(store::read_id(key.data() + 4)), store::read_u32_be(key.data()));
    return true;
  });
}

bool Seen::knows(std::uint64_t key) const {
  for (const auto& [day, keys] : days_) {
    if (keys.contains(key)) return true;
  }
  return false;
}

void Seen::add(std::uint64_t key, std::uint32_t day) {
  if (days_[day].insert(key).second) ++size_;
}

void Seen::make_room() {
  while (!days_.empty() && (days_.begin()->first < day_ || size_ >= keys_max_)) {
    const auto first = days_.begin();
    if (first->first >= day_) forgotten_ += first->second.size();
    size_ -= first->second.size();
    days_.erase(first);
  }
}

std::size_t Seen::take(Batch& batch, std::uint32_t until_day) {
  make_room();
  const std::size_t size = std::min(batch.events.size(), batch.keys.size());
  std::size_t kept = 0;
  for (std::size_t i = 0; i < size; ++i) {
    if (!(batch.keys[i] == AddressId{})) {
      const std::uint64_t key = half(batch.keys[i]);
      if (knows(key)) continue;
      add(key, until_day);
      fresh_.push_back({batch.keys[i], until_day});
    }
    if (kept != i) batch.events[kept] = batch.events[i];
    ++kept;
  }
  batch.events.resize(kept);
  batch.keys.clear();  // by event no more; and nobody asks again
  return size - kept;
}

Result<void> Seen::append_to(store::WriteSet& set, const store::Store& store) {
  std::string key;
  for (const Fresh& fresh : fresh_) {
    key.clear();
    store::append_u32_be(key, fresh.day);
    store::append_id(key, fresh.key);
    set.put(store::Family::seen, key, {});
  }
  fresh_.clear();
  if (cleaned_ >= day_) return {};
  std::size_t removed = 0;
  auto scanned =
      store.scan(store::Family::seen, {}, {}, [&](std::string_view old, std::string_view) {
        if (old.size() == kKeyBytes && store::read_u32_be(old.data()) >= day_) return false;
        if (removed == kRemovedMax) return false;
        ++removed;
        set.erase(store::Family::seen, old);
        return true;
      });
  if (scanned && removed < kRemovedMax) cleaned_ = day_;
  return scanned;
}

}  // namespace bounced::pipeline
