// Hour: all cells of one hour in RAM. Private to this folder.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "base/index_table.h"
#include "base/prefetch.h"
#include "rates/fields.h"
#include "rates/rates.h"

namespace bounced::rates {

/// Open addressing u64 -> u32, at most half full; the few operations that counters need.
class IndexMap {
 public:
  static constexpr std::uint32_t kNone = UINT32_MAX;
  struct Slot {
    std::uint64_t key = 0;
    std::uint32_t value = kNone;
    std::uint32_t hint = kNone;  ///< the caller's; costs nothing
  };
  IndexMap() : slots_(kFirst), mask_(kFirst - 1) {}

  [[nodiscard]] std::uint32_t find(std::uint64_t key) const {
    const Slot* const slots = slots_.data();
    for (std::size_t i = home(key);; i = (i + 1) & mask_) {
      if (slots[i].value == kNone || slots[i].key == key) return slots[i].value;
    }
  }
  /// Null when absent; valid until the next insert.
  [[nodiscard]] Slot* at(std::uint64_t key) {
    return const_cast<Slot*>(std::as_const(*this).at(key));
  }
  [[nodiscard]] const Slot* at(std::uint64_t key) const {
    const Slot* const slots = slots_.data();
    for (std::size_t i = home(key);; i = (i + 1) & mask_) {
      if (slots[i].value == kNone) return nullptr;
      if (slots[i].key == key) return slots + i;
    }
  }
  /// `key` must be absent.
  void insert(std::uint64_t key, std::uint32_t value) {
    if (++size_ * 2 > slots_.size()) grow();
    place({key, value, kNone});
  }
  [[nodiscard]] std::size_t size() const { return size_; }
  /// Room for `keys`. Only while empty.
  void reserve(std::size_t keys) {
    unsigned bits = 0;
    while (slots_.size() << bits < 2 * keys) ++bits;
    if (bits != 0) widen(bits);
  }
  void clear() { *this = IndexMap(); }
  [[nodiscard]] const void* address_of(std::uint64_t key) const { return &slots_[home(key)]; }

 private:
  static constexpr std::size_t kFirst = 16;
  static constexpr std::size_t kSmall = std::size_t{1} << 15;  ///< 512 KiB
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
    const std::vector<Slot> old = widen(bits);
    for (const Slot& slot : old) {
      if (slot.value != kNone) place(slot);
    }
  }
  std::vector<Slot> widen(unsigned bits) {
    std::vector<Slot> slots(slots_.size() << bits);
    slots.swap(slots_);
    shift_ -= bits;
    mask_ = slots_.size() - 1;
    return slots;
  }
  std::vector<Slot> slots_;
  std::size_t mask_;
  std::size_t size_ = 0;
  unsigned shift_ = 60;  ///< 64 - log2(slots)
};

/// One dimension of one hour. Cells of neighbouring keys are stored together, in one record.
class Cells {
 public:
  /// Most cells count deliveries alone: a whole Cell is kept for those that count something else,
  /// or more than fits in here.
  struct Slot {
    std::uint32_t key = 0, key2 = 0;
    std::uint32_t delivered = 0;            ///< lower half
    std::uint32_t others : 31 = kNoOthers;  ///< index into others_
    std::uint32_t dirty : 1 = 0;
  };

  /// Number of the slot of {key, key2}; of {0, key2} ("other") when `own_max` keys have their own.
  std::uint32_t index(std::uint32_t key, std::uint32_t key2, std::uint32_t own_max) {
    const Slot* const slots = slots_.data();
    const std::uint32_t found = by_key_.find(both(key, key2), [=](std::uint32_t n) {
      return slots[n - 1].key == key && slots[n - 1].key2 == key2;
    });
    if (found != 0) return found - 1;
    if (key != 0 && full(own_max)) return index(0, key2, own_max);
    return make(key, key2);
  }
  [[nodiscard]] bool full(std::uint32_t own_max) const { return own_ >= own_max; }

  [[gnu::always_inline]] void add_delivered(std::uint32_t index, std::uint32_t n) {
    Slot& slot = slots_[index];
    slot.delivered += n;
    if (slot.dirty == 0) [[unlikely]]
      mark(slot);
    if (slot.delivered < n) [[unlikely]]
      others(index).delivered += std::uint64_t{1} << 32;
  }
  /// One delivery less, where there is one.
  void take_delivered_back(std::uint32_t index) {
    Slot& slot = slots_[index];
    if (slot.delivered == 0) {
      if (slot.others == kNoOthers || others_[slot.others].delivered == 0) return;
      others_[slot.others].delivered -= std::uint64_t{1} << 32;
    }
    --slot.delivered;
    if (slot.dirty == 0) mark(slot);
  }
  /// What it counts but for deliveries, to be changed.
  Cell& others(std::uint32_t index) {
    Slot& slot = slots_[index];
    if (slot.dirty == 0) mark(slot);
    if (slot.others == kNoOthers) add_others(slot);
    return others_[slot.others];
  }
  [[nodiscard]] std::uint32_t key(std::uint32_t index) const { return slots_[index].key; }
  /// Whether `index` is a slot, and that of {key, 0}: a guess costs no look-up.
  [[nodiscard]] bool is(std::uint32_t index, std::uint32_t key) const {
    return index < slots_.size() && slots_[index].key == key && slots_[index].key2 == 0;
  }
  /// Sends for what is(index, ..) looks at.
  void prefetch(std::uint32_t index) const {
    if (index < slots_.size()) bounced::prefetch(slots_.data() + index);
  }
  /// Sends for what index(key, 0) looks at first.
  void prefetch_find(std::uint32_t key) const { by_key_.prefetch(both(key, 0)); }
  /// Sends for what others(index) changes.
  void prefetch_others(std::uint32_t index) const {
    const std::uint32_t number = slots_[index].others;
    if (number != kNoOthers) bounced::prefetch(others_.data() + number);
  }
  /// Records that the next take_dirty() makes.
  [[nodiscard]] std::size_t dirty() const { return dirty_.size(); }
  [[nodiscard]] const void* address_of(std::uint32_t index) const { return slots_.data() + index; }

  /// Calls visit(group number, its cells in order of key) for each group with a changed cell, and
  /// makes it clean. Cells that count nothing yet are not told.
  template <class Visit>
  void take_dirty(Visit&& visit) {
    std::vector<std::uint32_t> members, next_members;
    std::vector<GroupCell> cells;
    if (!dirty_.empty()) gather(groups_[dirty_[0]], next_members);
    for (std::size_t i = 0; i < dirty_.size(); ++i) {
      members.swap(next_members);
      if (i + 1 < dirty_.size()) gather(groups_[dirty_[i + 1]], next_members);
      cells.clear();
      for (const std::uint32_t member : members) {
        Slot& slot = slots_[member];
        slot.dirty = 0;
        const Cell* const others = slot.others == kNoOthers ? nullptr : &others_[slot.others];
        const std::uint64_t more = others == nullptr ? 0 : others->delivered;
        if (slot.delivered == 0 && (others == nullptr || others->empty())) continue;
        cells.push_back({slot.key, slot.key2, more + slot.delivered, others});
      }
      std::sort(cells.begin(), cells.end());
      groups_[dirty_[i]].dirty = false;
      visit(groups_[dirty_[i]].number, std::span<const GroupCell>(cells));
    }
    dirty_.clear();
  }
  /// A cell as stored; clean.
  void load(const Row& row) {
    Slot& slot = slots_[index(row.key, row.key2, UINT32_MAX)];
    slot.delivered = static_cast<std::uint32_t>(row.cell.delivered);
    Cell others = row.cell;
    others.delivered -= slot.delivered;
    if (others.empty()) return;
    add_others(slot);
    others_.back() = others;
  }

  [[nodiscard]] std::size_t size() const { return slots_.size(); }
  /// Room for about as many cells as `other` has.
  void reserve_like(const Cells& other) {
    slots_.reserve(other.slots_.size());
    next_.reserve(other.next_.size());
    others_.reserve(other.others_.size());
    by_key_.reserve(other.by_key_.size());
  }

 private:
  static constexpr std::uint32_t kNone = UINT32_MAX;
  static constexpr unsigned kFirstSlotsLog2 = 4;  // many dimensions of many hours have few cells
  static constexpr std::uint32_t kNoOthers = UINT32_MAX >> 1;
  struct Group {
    std::uint32_t number = 0;     ///< key / kKeysPerGroup
    std::uint32_t first = kNone;  ///< slot
    bool dirty = false;
  };

  static std::uint64_t both(std::uint32_t key, std::uint32_t key2) {
    return std::uint64_t{key} << 32 | key2;
  }
  [[gnu::noinline]] std::uint32_t make(std::uint32_t key, std::uint32_t key2) {
    const auto fresh = static_cast<std::uint32_t>(slots_.size());
    const std::uint32_t number = key / kKeysPerGroup;
    std::uint32_t group = by_group_.find(number);
    if (group == IndexMap::kNone) {
      group = static_cast<std::uint32_t>(groups_.size());
      groups_.push_back({number, kNone, false});
      by_group_.insert(number, group);
    }
    Slot& slot = slots_.emplace_back();
    slot.key = key;
    slot.key2 = key2;
    next_.push_back(groups_[group].first);
    groups_[group].first = fresh;
    by_key_.insert(both(key, key2), fresh + 1);
    if (key != 0) ++own_;
    return fresh;
  }
  void add_others(Slot& slot) {
    slot.others = static_cast<std::uint32_t>(others_.size()) & kNoOthers;
    others_.emplace_back();
  }
  /// The slots of a group, and sends for them.
  void gather(const Group& group, std::vector<std::uint32_t>& members) const {
    members.clear();
    for (std::uint32_t at = group.first; at != kNone; at = next_[at]) {
      bounced::prefetch(slots_.data() + at);
      members.push_back(at);
    }
  }
  [[gnu::noinline]] void mark(Slot& slot) {
    slot.dirty = 1;
    const std::uint32_t number = by_group_.find(slot.key / kKeysPerGroup);
    if (groups_[number].dirty) return;
    groups_[number].dirty = true;
    dirty_.push_back(number);
  }

  std::vector<Slot> slots_;
  std::vector<std::uint32_t> next_;  ///< by slot: another one of its group
  std::vector<Cell> others_;         ///< `delivered` without its lower half
  std::vector<Group> groups_;
  std::vector<std::uint32_t> dirty_;    ///< groups
  IndexTable by_key_{kFirstSlotsLog2};  ///< slot number + 1
  IndexMap by_group_;
  std::uint32_t own_ = 0;  ///< slots with a key other than 0
};

struct Hour {
  /// About the memory of an hour with hardly a cell, and of a cell.
  static constexpr std::size_t kBytes = kDimensions * 1024, kCellBytes = 64;

  /// Maps begin about as large as those of `before` (null: small) if that is the hour before:
  /// these are alike, and times that jump must not make room for a busy hour with each jump.
  Hour(std::uint32_t number_in, const Hour* before) : number(number_in) {
    if (before == nullptr || before->number + 1 != number) return;
    for (std::size_t d = 0; d < kDimensions; ++d) {
      dimensions[d].reserve_like(before->dimensions[d]);
    }
  }

  std::uint32_t number = 0;    ///< hours since 1970 UTC
  std::uint64_t touched = 0;   ///< grows; the newest two stay in RAM
  std::size_t left_bytes = 0;  ///< bytes() when another hour was selected
  std::array<Cells, kDimensions> dimensions;
  /// domain_key() of a sender, or TextKey of a campaign as it came -> slot in its dimension.
  IndexMap sender_by_domain, campaign_by_text;

  Cells& of(Dimension dimension) { return dimensions[static_cast<std::size_t>(dimension)]; }
  [[nodiscard]] const Cells& of(Dimension dimension) const {
    return dimensions[static_cast<std::size_t>(dimension)];
  }
  [[nodiscard]] std::size_t dirty() const {
    std::size_t n = 0;
    for (const Cells& cells : dimensions) n += cells.dirty();
    return n;
  }
  [[nodiscard]] std::size_t bytes() const {
    std::size_t n = 0;
    for (const Cells& cells : dimensions) n += cells.size();
    return kBytes + n * kCellBytes;
  }
};

}  // namespace bounced::rates
