#include "state/table.h"

#include <sys/mman.h>

#include <algorithm>
#include <bit>
#include <cassert>
#include <cstdlib>
#include <new>

namespace bounced::state {
namespace {

constexpr unsigned kFirstLog2 = 3;

std::uint32_t units_for(std::size_t size) {
  return static_cast<std::uint32_t>((Entry::kHead + size + 7) / 8);
}

}  // namespace

static_assert(sizeof(Entry) <= Entry::kHead + 4 && offsetof(Entry, units_flags) == 26);

Table::Table() : free_(kUnitsMax + 1, 0), free_bits_((kUnitsMax + 64) / 64, 0) {
  for (Sub& sub : subs_) {
    sub.slots = static_cast<std::uint64_t*>(std::calloc(1u << kFirstLog2, 8));
    if (sub.slots == nullptr) throw std::bad_alloc();
    sub.mask = (1u << kFirstLog2) - 1;
    sub.shift = 32 - kFirstLog2;
    slot_bytes_ += std::size_t{8} << kFirstLog2;
  }
}

Table::~Table() {
  for (Sub& sub : subs_) std::free(sub.slots);
  for (char* chunk : chunks_) std::free(chunk);
}

void Table::add_chunk() {
  // What is left of the last chunk is not lost, but for less than the least block.
  while (kUnitMask + 1 - next_unit_ >= kUnitsMin) {
    const std::uint32_t left = kUnitMask + 1 - next_unit_;
    std::uint32_t n = std::min(left, kUnitsMax);
    if (left > n && left - n < kUnitsMin) n -= kUnitsMin;
    push_free(static_cast<std::uint32_t>((chunks_.size() - 1) << kUnitBits) | next_unit_, n);
    ++blocks_;
    next_unit_ += n;
  }
  void* chunk = std::aligned_alloc(kChunkBytes, kChunkBytes);
  if (chunk == nullptr) throw std::bad_alloc();
  // Random access over gigabytes: a huge page spares a TLB miss per entry.
  madvise(chunk, kChunkBytes, MADV_HUGEPAGE);
  chunks_.push_back(static_cast<char*>(chunk));
  next_unit_ = chunks_.size() == 1 ? 1 : 0;  // reference 0 means "no entry"
}

// A free block: hi = next reference << 32 | previous reference; units and kFree as in an entry.
void Table::push_free(std::uint32_t ref, std::uint32_t units) {
  Entry* block = at(ref);
  const std::uint32_t next = free_[units];
  block->hi = std::uint64_t{next} << 32;
  block->units_flags = static_cast<std::uint16_t>(units << 3 | Entry::kFree);
  if (next != 0) at(next)->hi = (at(next)->hi >> 32 << 32) | ref;
  free_[units] = ref;
  free_bits_[units / 64] |= std::uint64_t{1} << (units % 64);
}

void Table::unlink_free(std::uint32_t ref, std::uint32_t units) {
  const std::uint64_t links = at(ref)->hi;
  const auto next = static_cast<std::uint32_t>(links >> 32);
  const auto previous = static_cast<std::uint32_t>(links);
  if (next != 0) at(next)->hi = (at(next)->hi >> 32 << 32) | previous;
  if (previous != 0) {
    at(previous)->hi = std::uint64_t{next} << 32 | static_cast<std::uint32_t>(at(previous)->hi);
  } else {
    free_[units] = next;
    if (next == 0) free_bits_[units / 64] &= ~(std::uint64_t{1} << (units % 64));
  }
}

/// Of this size, or cut off a larger free block; 0 when there is none.
std::uint32_t Table::take_free(std::uint32_t units) {
  std::size_t word = units / 64;
  std::uint64_t bits = free_bits_[word] & (~std::uint64_t{0} << (units % 64));
  while (bits == 0) {
    if (++word == free_bits_.size()) return 0;
    bits = free_bits_[word];
  }
  const auto found =
      static_cast<std::uint32_t>(word * 64) + static_cast<std::uint32_t>(std::countr_zero(bits));
  const std::uint32_t ref = free_[found];
  unlink_free(ref, found);
  std::uint32_t taken = found;
  if (found - units >= kUnitsMin) {
    taken = units;
    push_free(ref + units, found - units);
    ++blocks_;
  }
  at(ref)->units_flags = static_cast<std::uint16_t>(taken << 3);
  live_units_ += taken;
  return ref;
}

std::uint32_t Table::allocate(std::uint32_t units, bool force) {
  if (free_[units] != 0) return take_free(units);
  if (next_unit_ + units > kUnitMask + 1) {
    if (chunks_.size() >= chunks_max_) {
      const std::uint32_t ref = take_free(units);
      if (ref != 0 || !force) return ref;
    }
    add_chunk();
  }
  const std::uint32_t ref =
      static_cast<std::uint32_t>((chunks_.size() - 1) << kUnitBits) | next_unit_;
  next_unit_ += units;
  bounced::prefetch(at(ref) + 8);  // where the next ones will be
  live_units_ += units;
  ++blocks_;
  at(ref)->units_flags = static_cast<std::uint16_t>(units << 3);
  return ref;
}

void Table::insert_slot(Sub& sub, std::uint32_t tag, std::uint32_t ref) {
  std::uint32_t i = home(sub, tag);
  while (sub.slots[i] != 0) i = (i + 1) & sub.mask;
  sub.slots[i] = std::uint64_t{tag} << 32 | ref;
}

void Table::grow(Sub& sub) {
  const std::uint64_t* old = sub.slots;
  const std::uint32_t old_mask = sub.mask;
  const std::size_t slots = (std::size_t{old_mask} + 1) * 2;
  sub.slots = static_cast<std::uint64_t*>(std::calloc(slots, 8));
  if (sub.slots == nullptr) throw std::bad_alloc();
  sub.mask = static_cast<std::uint32_t>(slots - 1);
  --sub.shift;
  slot_bytes_ += slots * 4;
  for (std::uint32_t i = 0; i <= old_mask; ++i) {
    if (old[i] != 0) {
      insert_slot(sub, static_cast<std::uint32_t>(old[i] >> 32),
                  static_cast<std::uint32_t>(old[i]));
    }
  }
  std::free(const_cast<std::uint64_t*>(old));
}

/// Moves later ones of the run up, so that no probe meets a hole.
void Table::erase_slot(Sub& sub, std::uint32_t i) {
  for (std::uint32_t j = (i + 1) & sub.mask; sub.slots[j] != 0; j = (j + 1) & sub.mask) {
    const std::uint32_t want = home(sub, static_cast<std::uint32_t>(sub.slots[j] >> 32));
    if (((j - want) & sub.mask) >= ((j - i) & sub.mask)) {
      sub.slots[i] = sub.slots[j];
      i = j;
    }
  }
  sub.slots[i] = 0;
  --sub.count;
  --count_;
}

std::uint64_t* Table::slot_of(const AddressId& id, const Entry* entry) const {
  const Sub& sub = subs_[sub_of(id)];
  const std::uint32_t tag = tag_of(id);
  for (std::uint32_t i = home(sub, tag);; i = (i + 1) & sub.mask) {
    if (static_cast<std::uint32_t>(sub.slots[i] >> 32) == tag &&
        at(static_cast<std::uint32_t>(sub.slots[i])) == entry) {
      return &sub.slots[i];
    }
  }
}

std::uint32_t Table::ref_of(const AddressId& id) const {
  const Entry* entry = find(id);
  return entry == nullptr ? 0 : static_cast<std::uint32_t>(*slot_of(id, entry));
}

Entry* Table::put(const AddressId& id, std::string_view bytes, bool domain, bool force) {
  assert(bytes.size() <= kBytesMax);
  const std::uint32_t units = units_for(bytes.size());
  Entry* entry = find(id);
  if (entry != nullptr && entry->units() >= units && entry->units() - units < kUnitsMin) {
    std::memcpy(entry->bytes(), bytes.data(), bytes.size());
    entry->size = static_cast<std::uint16_t>(bytes.size());
    return entry;
  }
  const std::uint32_t ref = allocate(units, force);
  if (ref == 0) return nullptr;
  Entry* fresh = at(ref);
  const std::uint32_t taken = fresh->units();
  if (entry != nullptr) {
    std::uint64_t* slot = slot_of(id, entry);
    std::memcpy(static_cast<void*>(fresh), entry, Entry::kHead);
    live_units_ -= entry->units();
    push_free(static_cast<std::uint32_t>(*slot), entry->units());
    *slot = (*slot >> 32 << 32) | ref;
    fresh->units_flags = static_cast<std::uint16_t>(taken << 3 | (fresh->units_flags & 7));
  } else {
    Sub& sub = subs_[sub_of(id)];
    if ((std::size_t{sub.count} + 1) * 4 > (std::size_t{sub.mask} + 1) * 3) grow(sub);
    insert_slot(sub, tag_of(id), ref);
    ++sub.count;
    ++count_;
    fresh->hi = id.hi;
    fresh->lo = id.lo;
    fresh->epoch = fresh->dirty = 0;
    fresh->units_flags = static_cast<std::uint16_t>(taken << 3 | (domain ? Entry::kDomain : 0));
  }
  std::memcpy(fresh->bytes(), bytes.data(), bytes.size());
  fresh->size = static_cast<std::uint16_t>(bytes.size());
  return fresh;
}

std::size_t Table::evict(std::size_t n, std::size_t looks, std::uint32_t clean_epoch,
                         const std::function<void(Entry&)>& gone) {
  std::size_t went = 0;
  std::uint32_t before = 0;  // the free block that ends where the hand is
  for (; looks > 0 && went < n && count_ > 0; --looks) {
    if (hand_chunk_ >= chunks_.size() || hand_unit_ + kUnitsMin > end_unit(hand_chunk_)) {
      hand_chunk_ = hand_chunk_ + 1 < chunks_.size() ? hand_chunk_ + 1 : 0;
      hand_unit_ = hand_chunk_ == 0 ? 1 : 0;
      before = 0;
    }
    const std::uint32_t ref = static_cast<std::uint32_t>(hand_chunk_ << kUnitBits) | hand_unit_;
    Entry* entry = at(ref);
    std::uint32_t units = entry->units();
    hand_unit_ += units;
    const bool was_free = (entry->units_flags & Entry::kFree) != 0;
    if (!was_free) {
      if (entry->epoch > clean_epoch || (entry->units_flags & Entry::kReferenced) != 0) {
        entry->units_flags = static_cast<std::uint16_t>(entry->units_flags & ~Entry::kReferenced);
        before = 0;
        continue;
      }
      gone(*entry);
      Sub& sub = subs_[sub_of(entry->id())];
      erase_slot(sub, static_cast<std::uint32_t>(slot_of(entry->id(), entry) - sub.slots));
      live_units_ -= units;
      ++went;
    }
    std::uint32_t begin = ref;
    if (before != 0 && at(before)->units() + units <= kUnitsMax) {
      if (was_free) unlink_free(ref, units);
      unlink_free(before, at(before)->units());
      units += at(before)->units();
      begin = before;
      --blocks_;
      push_free(begin, units);
    } else if (!was_free) {
      push_free(begin, units);
    }
    before = begin;
  }
  return went;
}

void Table::each(const std::function<void(Entry&)>& visit) const {
  for (const Sub& sub : subs_) {
    for (std::uint32_t i = 0; i <= sub.mask; ++i) {
      if (sub.slots[i] != 0) visit(*at(static_cast<std::uint32_t>(sub.slots[i])));
    }
  }
}

}  // namespace bounced::state
