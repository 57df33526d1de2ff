// Hour: all cells of one hour in RAM. Private to this folder.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <span>
#include <vector>

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
    Slot* const slots = slots_.data();
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
    return make(key, key2, both);
  }
  [[nodiscard]] bool full(std::uint32_t own_max) const { return own_ >= own_max; }

  [[gnu::always_inline]] Cell& touch(std::uint32_t index) {
    Slot& slot = slots_[index];
    if (!slot.dirty) [[unlikely]]
      mark(slot);
    return slot.cell;
  }
  [[nodiscard]] std::uint32_t key(std::uint32_t index) const { return slots_[index].key; }
  /// Whether `index` is a slot, and that of {key, 0}: a guess costs no look-up.
  [[nodiscard]] bool is(std::uint32_t index, std::uint32_t key) const {
    return index < slots_.size() && slots_[index].key == key && slots_[index].key2 == 0;
  }
  /// Sends for what index(key, 0) looks at, and for the slot that it guesses to find.
  void prefetch(std::uint32_t key, std::uint32_t guess) const {
    if (guess < slots_.size()) bounced::prefetch(slots_.data() + guess);
    bounced::prefetch(by_key_.address_of(std::uint64_t{key} << 32));
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
        slot.dirty = false;
        if (!slot.cell.empty()) cells.push_back({slot.key, slot.key2, &slot.cell});
      }
      std::sort(cells.begin(), cells.end());
      groups_[dirty_[i]].dirty = false;
      visit(groups_[dirty_[i]].number, std::span<const GroupCell>(cells));
    }
    dirty_.clear();
  }
  /// A cell as stored; clean.
  void load(const Row& row) { slots_[index(row.key, row.key2, UINT32_MAX)].cell = row.cell; }

  /// Room for about as many cells as `other` has.
  void reserve_like(const Cells& other) {
    slots_.reserve(other.slots_.size());
    next_.reserve(other.next_.size());
    by_key_.reserve(other.by_key_.size());
  }

 private:
  struct Group {
    std::uint32_t number = 0;               ///< key / kKeysPerGroup
    std::uint32_t first = IndexMap::kNone;  ///< slot
    bool dirty = false;
  };

  [[gnu::noinline]] std::uint32_t make(std::uint32_t key, std::uint32_t key2, std::uint64_t both) {
    const auto fresh = static_cast<std::uint32_t>(slots_.size());
    const std::uint32_t number = key / kKeysPerGroup;
    std::uint32_t group = by_group_.find(number);
    if (group == IndexMap::kNone) {
      group = static_cast<std::uint32_t>(groups_.size());
      groups_.push_back({number, IndexMap::kNone, false});
      by_group_.insert(number, group);
    }
    slots_.push_back({key, key2, false, {}});
    next_.push_back(groups_[group].first);
    groups_[group].first = fresh;
    by_key_.insert(both, fresh);
    if (key != 0) ++own_;
    return fresh;
  }
  /// The slots of a group, and sends for them.
  void gather(const Group& group, std::vector<std::uint32_t>& members) const {
    members.clear();
    for (std::uint32_t at = group.first; at != IndexMap::kNone; at = next_[at]) {
      const char* const bytes = reinterpret_cast<const char*>(slots_.data() + at);
      bounced::prefetch(bytes);
      bounced::prefetch(bytes + sizeof(Slot) - 1);
      members.push_back(at);
    }
  }
  [[gnu::noinline]] void mark(Slot& slot) {
    slot.dirty = true;
    const std::uint32_t number = by_group_.find(slot.key / kKeysPerGroup);
    if (groups_[number].dirty) return;
    groups_[number].dirty = true;
    dirty_.push_back(number);
  }

  std::vector<Slot> slots_;
  std::vector<std::uint32_t> next_;  ///< by slot: another one of its group
  std::vector<Group> groups_;
  std::vector<std::uint32_t> dirty_;  ///< groups
  IndexMap by_key_, by_group_;
  std::uint32_t own_ = 0;  ///< slots with a key other than 0
};

struct Hour {
  /// Maps begin about as large as those of `before` (null: small): the hours of a day are alike.
  Hour(std::uint32_t number_in, const Hour* before) : number(number_in) {
    if (before == nullptr) return;
    for (std::size_t d = 0; d < kDimensions; ++d) {
      dimensions[d].reserve_like(before->dimensions[d]);
    }
    host_by_text.reserve(before->host_by_text.size());
  }

  std::uint32_t number = 0;   ///< hours since 1970 UTC
  std::uint64_t touched = 0;  ///< grows; the newest two stay in RAM
  std::array<Cells, kDimensions> dimensions;
  /// TextKey of the text as it came -> slot in Dimension::sender, campaign, mta.
  IndexMap sender_by_domain, campaign_by_text, host_by_text;

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
