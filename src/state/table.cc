#include "state/table.h"

#include <sys/mman.h>

#include <algorithm>
#include <bit>
#include <cassert>
#include <cstdlib>
#include <cstring>
#include <new>

namespace bounced::state {
namespace {

std::uint32_t units_for(std::size_t size) {
  return static_cast<std::uint32_t>((Entry::kHead + size + 7) / 8);
}

}  // namespace

static_assert(sizeof(Entry) <= Entry::kHead + 4 && offsetof(Entry, units_flags) == 26);

Table::Table() : free_(kUnitsMax + 1, 0), free_bits_((kUnitsMax + 64) / 64, 0) {
  for (Sub& sub : subs_) sub.buckets = make_buckets(1);
  slot_bytes_ = subs_.size() * sizeof(Bucket);
}

Table::~Table() {
  for (Sub& sub : subs_) std::free(sub.buckets);
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

Table::Bucket* Table::make_buckets(std::size_t n) {
  void* const buckets = std::aligned_alloc(alignof(Bucket), n * sizeof(Bucket));
  if (buckets == nullptr) throw std::bad_alloc();
  return static_cast<Bucket*>(std::memset(buckets, 0, n * sizeof(Bucket)));
}

void Table::insert_slot(Sub& sub, std::uint32_t tag, std::uint32_t ref) {
  std::uint32_t b = home(sub, tag);
  while (sub.buckets[b].full()) b = sub.next(b);
  Bucket& bucket = sub.buckets[b];
  const unsigned slot = bucket.size();
  bucket.tags[slot] = tag;
  bucket.refs[slot] = ref;
}

void Table::grow(Sub& sub) {
  Bucket* const old = sub.buckets;
  const std::size_t buckets = std::size_t{sub.mask()} + 1;
  sub.buckets = make_buckets(buckets * 2);
  --sub.shift;
  slot_bytes_ += buckets * sizeof(Bucket);
  for (const Bucket* bucket = old; bucket != old + buckets; ++bucket) {
    const unsigned size = bucket->size();
    for (unsigned i = 0; i < size; ++i) insert_slot(sub, bucket->tags[i], bucket->refs[i]);
  }
  std::free(old);
}

/// Fills the hole with the bucket's last one. A bucket that was full and is not any more would end
/// searches too early: it takes one that had to go past it, which leaves a hole where that was.
void Table::erase_slot(Place place) {
  Sub& sub = place.sub;
  --sub.count;
  --count_;
  while (true) {
    Bucket& bucket = place.in();
    const bool was_full = bucket.full();
    const unsigned last = bucket.size() - 1;
    bucket.tags[place.slot] = bucket.tags[last];
    bucket.refs[place.slot] = bucket.refs[last];
    bucket.tags[last] = 0;
    if (!was_full) return;
    const Place from = past(sub, place.bucket);
    if (from.slot == kSlots) return;
    bucket.tags[last] = from.in().tags[from.slot];
    bucket.refs[last] = from.ref();
    place.bucket = from.bucket;
    place.slot = from.slot;
  }
}

/// The first entry behind `bucket` that its home or one before it could have held; slot kSlots when
/// there is none.
Table::Place Table::past(Sub& sub, std::uint32_t bucket) {
  const std::uint32_t mask = sub.mask();
  for (std::uint32_t b = sub.next(bucket);; b = sub.next(b)) {
    const Bucket& other = sub.buckets[b];
    const unsigned size = other.size();
    for (unsigned slot = 0; slot < size; ++slot) {
      const std::uint32_t wanted = home(sub, other.tags[slot]);
      if (((b - wanted) & mask) >= ((b - bucket) & mask)) return {sub, b, slot};
    }
    if (size < kSlots) return {sub, b, kSlots};
  }
}

Table::Place Table::place_of(const AddressId& id, const Entry* entry) {
  Sub& sub = subs_[sub_of(id)];
  const std::uint32_t tag = tag_of(id);
  for (std::uint32_t b = home(sub, tag);; b = sub.next(b)) {
    const Bucket& bucket = sub.buckets[b];
    for (unsigned same = bucket.same(tag); same != 0; same &= same - 1) {
      if (at(bucket.refs[first(same)]) == entry) return {sub, b, first(same)};
    }
  }
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
    std::uint32_t& slot = place_of(id, entry).ref();
    std::memcpy(static_cast<void*>(fresh), entry, Entry::kHead);
    live_units_ -= entry->units();
    push_free(slot, entry->units());
    slot = ref;
    fresh->units_flags = static_cast<std::uint16_t>(taken << 3 | (fresh->units_flags & 7));
  } else {
    Sub& sub = subs_[sub_of(id)];
    // At five eighths one bucket in eight is full, and half-way there next to none: hardly anybody
    // looks at a second one. At three quarters it is one in four.
    if ((std::size_t{sub.count} + 1) * 8 > (std::size_t{sub.mask()} + 1) * kSlots * 5) grow(sub);
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
      erase_slot(place_of(entry->id(), entry));
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
    for (std::uint32_t b = 0; b <= sub.mask(); ++b) {
      const Bucket& bucket = sub.buckets[b];
      const unsigned size = bucket.size();
      for (unsigned i = 0; i < size; ++i) visit(*at(bucket.refs[i]));
    }
  }
}

}  // namespace bounced::state
