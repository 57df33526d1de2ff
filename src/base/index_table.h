// IndexTable: open-addressing map from a 64-bit key to the index of an object that knows its key.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "base/huge_pages.h"
#include "base/prefetch.h"

namespace bounced {

/// Linear probing at a load of at most one half, deletion by backward shift: no tombstones, so
/// that millions of short-lived keys leave no trace. A slot is 8 bytes (20,000 keys: 512 KiB, half
/// of an L2), of the key it holds 32 bits only: the predicate of find() compares whole keys, where
/// the object lies that is wanted next anyway. Keys may repeat. Index 0 means empty. Not thread
/// safe.
class IndexTable {
 public:
  static constexpr unsigned kSlotsLog2 = 10;
  /// Begins with 2^slots_log2 slots; from 1 to 31.
  explicit IndexTable(unsigned slots_log2 = kSlotsLog2)
      : slots_(std::size_t{1} << slots_log2), mask_(slots_.size() - 1), shift_(32 - slots_log2) {}

  /// Index of the first slot that may be `key` and for which same(index) holds; 0 = none.
  template <class Same>
  [[nodiscard]] std::uint32_t find(std::uint64_t key, Same&& same) const {
    const std::uint32_t tag = tag_of(key);
    const Slot* const slots = slots_.data();
    for (std::size_t i = tag >> shift_;; i = next(i)) {
      const Slot& slot = slots[i];
      if (slot.index == 0) return 0;
      if (slot.tag == tag && same(slot.index)) return slot.index;
    }
  }
  /// The index of the first slot that may be `key`; 0 = none. For prefetching.
  [[nodiscard]] std::uint32_t guess(std::uint64_t key) const {
    return find(key, [](std::uint32_t) { return true; });
  }

  void insert(std::uint64_t key, std::uint32_t index) {
    if ((count_ + 1) * 2 > mask_ + 1) grow();
    place({tag_of(key), index});
    ++count_;
  }

  void erase(std::uint64_t key, std::uint32_t index) {
    Slot* const slots = slots_.data();
    std::size_t i = tag_of(key) >> shift_;
    while (slots[i].index != index) {
      if (slots[i].index == 0) return;
      i = next(i);
    }
    --count_;
    // Close the gap: move back every later slot of the run whose home is not behind the gap.
    for (std::size_t j = next(i); slots[j].index != 0; j = next(j)) {
      const std::size_t wanted = slots[j].tag >> shift_;
      if (((j - wanted) & mask_) >= ((j - i) & mask_)) {
        slots[i] = slots[j];
        i = j;
      }
    }
    slots[i].index = 0;
  }

  /// Room for `keys`. Only while empty.
  void reserve(std::size_t keys) {
    std::size_t slots = slots_.size();
    for (; slots < 2 * keys; slots *= 2) --shift_;
    slots_.resize(slots);
    mask_ = slots - 1;
  }
  void prefetch(std::uint64_t key) const { bounced::prefetch(&slots_[tag_of(key) >> shift_]); }
  [[nodiscard]] std::size_t size() const { return count_; }

 private:
  struct Slot {
    std::uint32_t tag = 0;
    std::uint32_t index = 0;
  };

  using Slots = std::vector<Slot, HugePages<Slot>>;

  static std::uint32_t tag_of(std::uint64_t key) {
    return static_cast<std::uint32_t>((key * 0x9E3779B97F4A7C15ull) >> 32);
  }
  [[nodiscard]] std::size_t next(std::size_t i) const { return (i + 1) & mask_; }

  void place(Slot slot) {
    std::size_t i = slot.tag >> shift_;
    while (slots_[i].index != 0) i = next(i);
    slots_[i] = slot;
  }
  [[gnu::noinline]] void grow() {
    Slots old(slots_.size() * 2);
    old.swap(slots_);
    mask_ = slots_.size() - 1;
    --shift_;
    for (const Slot& slot : old) {
      if (slot.index != 0) place(slot);
    }
  }

  Slots slots_;
  std::size_t mask_;
  unsigned shift_;  ///< tag >> shift_ is a slot; tables of more than 2^32 slots do not happen
  std::size_t count_ = 0;
};

}  // namespace bounced
