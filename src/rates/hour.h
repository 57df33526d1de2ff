// Hour: all cells of one hour in RAM. Private to this folder.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "rates/fields.h"
#include "rates/rates.h"

namespace bounced::rates {

/// Open addressing u64 -> u32, at most half full; the few operations that counters need.
class IndexMap {
 public:
  static constexpr std::uint32_t kNone = UINT32_MAX;
  IndexMap() : slots_(kFirst), mask_(kFirst - 1) {}

  [[nodiscard]] std::uint32_t find(std::uint64_t key) const {
    const Slot* const slots = slots_.data();
    for (std::size_t i = home(key);; i = (i + 1) & mask_) {
      if (slots[i].value == kNone || slots[i].key == key) return slots[i].value;
    }
  }
  /// `key` must be absent.
  void insert(std::uint64_t key, std::uint32_t value) {
    if (++size_ * 2 > slots_.size()) grow();
    place({key, value});
  }
  [[nodiscard]] std::size_t size() const { return size_; }
  [[nodiscard]] const void* address_of(std::uint64_t key) const { return &slots_[home(key)]; }

 private:
  static constexpr std::size_t kFirst = 16;
  static constexpr std::size_t kSmall = std::size_t{1} << 15;  ///< 512 KiB
  struct Slot {
    std::uint64_t key = 0;
    std::uint32_t value = kNone;
  };
  [[nodiscard]] std::size_t home(std::uint64_t key) const {
    return (key * 0x9e3779b97f4a7c15ULL) >> shift_;
  }
  void place(const Slot& slot) {
    std::size_t i = home(slot.key);
    while (slots_[i].value != kNone) i = (i + 1) & mask_;
    slots_[i] = slot;
  }
  // Every hour begins anew, and half of its keys come in its first minutes: small maps grow by 4.
  [[gnu::noinline]] void grow() {
    const unsigned bits = slots_.size() < kSmall ? 2 : 1;
    std::vector<Slot> old(slots_.size() << bits);
    old.swap(slots_);
    shift_ -= bits;
    mask_ = slots_.size() - 1;
    for (const Slot& slot : old) {
      if (slot.value != kNone) place(slot);
    }
  }
  std::vector<Slot> slots_;
  std::size_t mask_;
  std::size_t size_ = 0;
  unsigned shift_ = 60;  ///< 64 - log2(slots)
};

/// One dimension of one hour.
class Cells {
 public:
  struct Slot {
    std::uint32_t key = 0, key2 = 0;
    bool dirty = false;  ///< beside Cell::delivered: the usual event touches these two alone
    Cell cell;
  };

  /// Number of the slot of {key, key2}; of {0, key2} ("other") when `own_max` keys have their own.
  std::uint32_t index(std::uint32_t key, std::uint32_t key2, std::uint32_t own_max) {
    const std::uint64_t both = std::uint64_t{key} << 32 | key2;
    const std::uint32_t found = by_key_.find(both);
    if (found != IndexMap::kNone) return found;
    if (key != 0 && full(own_max)) return index(0, key2, own_max);
    const auto fresh = static_cast<std::uint32_t>(slots_.size());
    slots_.push_back({key, key2, false, {}});
    by_key_.insert(both, fresh);
    if (key != 0) ++own_;
    return fresh;
  }
  [[nodiscard]] bool full(std::uint32_t own_max) const { return own_ >= own_max; }

  [[gnu::always_inline]] Cell& touch(std::uint32_t index) {
    Slot& slot = slots_[index];
    if (!slot.dirty) [[unlikely]]
      mark(index);
    return slot.cell;
  }
  [[nodiscard]] std::uint32_t key(std::uint32_t index) const { return slots_[index].key; }
  [[nodiscard]] std::size_t dirty() const { return dirty_.size(); }
  [[nodiscard]] const void* address_of(std::uint32_t index) const { return slots_.data() + index; }

  /// Calls visit(slot) for each dirty slot and makes it clean.
  template <class Visit>
  void take_dirty(Visit&& visit) {
    for (const std::uint32_t index : dirty_) {
      slots_[index].dirty = false;
      visit(slots_[index]);
    }
    dirty_.clear();
  }
  /// A cell as stored; clean.
  void load(const Row& row) { slots_[index(row.key, row.key2, UINT32_MAX)].cell = row.cell; }

 private:
  [[gnu::noinline]] void mark(std::uint32_t index) {
    slots_[index].dirty = true;
    dirty_.push_back(index);
  }

  std::vector<Slot> slots_;
  std::vector<std::uint32_t> dirty_;
  IndexMap by_key_;
  std::uint32_t own_ = 0;  ///< slots with a key other than 0
};

struct Hour {
  std::uint32_t number = 0;   ///< hours since 1970 UTC
  std::uint64_t touched = 0;  ///< grows; the newest two stay in RAM
  std::array<Cells, kDimensions> dimensions;
  IndexMap domain_by_id;  ///< AddressId::lo of the domain -> slot in Dimension::domain
  /// TextKey of the text as it came -> slot in Dimension::sender, campaign, mta.
  IndexMap sender_by_text, campaign_by_text, host_by_text;

  Cells& of(Dimension dimension) { return dimensions[static_cast<std::size_t>(dimension)]; }
  [[nodiscard]] const Cells& of(Dimension dimension) const {
    return dimensions[static_cast<std::size_t>(dimension)];
  }
  [[nodiscard]] std::size_t dirty() const {
    std::size_t n = 0;
    for (const Cells& cells : dimensions) n += cells.dirty();
    return n;
  }
};

}  // namespace bounced::rates
