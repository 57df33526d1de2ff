#include "pipeline/seen.h"

#include <algorithm>

#include "store/packed_keys.h"

namespace bounced::pipeline {
namespace {

/// Keys in one record of the store: the first is in its key, the others are its value. A record for
/// each key would be sorted, written and merged one by one, and nobody ever asks for one.
constexpr std::size_t kRecordKeys = 4096;
/// Slots sent for ahead: the sets are larger than any cache.
constexpr std::size_t kAhead = 12;
/// Removed from the store with one cut: a day's keys go in many cuts.
constexpr std::size_t kRemovedMax = 32768;

std::uint64_t half(const AddressId& key) {
  return key.hi ^ (key.lo * 0x9E3779B97F4A7C15ull);
}

}  // namespace

Result<void> Seen::load(const store::Store& store) {
  return store.scan_reverse(store::Family::seen, {},
                            [&](std::string_view key, std::string_view value) {
                              if (size_ >= keys_max_) return false;
                              if (key.size() != store::kSeenKeyBytes) return true;
                              auto& keys = days_[store::read_u32_be(key.data())];
                              store::visit_packed_keys(key, value, [&](std::string_view one) {
                                if (keys.insert(half(store::read_id(one.data() + 4))).second)
                                  ++size_;
                              });
                              return true;
                            });
}

/// False: it was known, on whatever day.
bool Seen::add(std::uint64_t key, Keys& young) {
  for (const auto& [day, keys] : days_) {
    if (&keys != &young && keys.contains(key)) return false;
  }
  if (!young.insert(key).second) return false;
  ++size_;
  return true;
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
  Keys& young = days_[until_day];
  std::size_t kept = 0;
  for (std::size_t i = 0; i < size; ++i) {
    if (i + kAhead < size) {
      for (const auto& [day, keys] : days_) keys.prefetch(half(batch.keys[i + kAhead]));
    }
    if (!(batch.keys[i] == AddressId{})) {
      if (!add(half(batch.keys[i]), young)) continue;
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
  std::string key, value;
  for (std::size_t i = 0; i < fresh_.size();) {
    const Fresh& first = fresh_[i];
    key.clear();
    value.clear();
    store::append_u32_be(key, first.day);
    store::append_id(key, first.key);
    const std::size_t end = std::min(fresh_.size(), i + kRecordKeys);
    for (++i; i < end && fresh_[i].day == first.day; ++i) store::append_id(value, fresh_[i].key);
    set.put(store::Family::seen, key, value);
  }
  fresh_.clear();
  if (cleaned_ >= day_) return {};
  std::size_t removed = 0;
  auto scanned =
      store.scan(store::Family::seen, {}, clean_from_, [&](std::string_view old, std::string_view) {
        if (old.size() == store::kSeenKeyBytes && store::read_u32_be(old.data()) >= day_)
          return false;
        if (removed++ == kRemovedMax) {
          clean_from_ = old;
          return false;
        }
        set.erase(store::Family::seen, old);
        return true;
      });
  if (scanned && removed <= kRemovedMax) cleaned_ = day_;
  return scanned;
}

}  // namespace bounced::pipeline
