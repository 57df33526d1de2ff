// Table: encoded states in RAM by 128-bit id. 8 bytes a slot, the state's own bytes, 28 beside
// them.
//
// Slots are a 32-bit tag and a 32-bit reference, eight of them in a bucket of one cache line, tags
// first: one comparison of all eight, so that "nothing known" costs one line, some twenty
// instructions and no look at any entry (a tag matches by chance once in 10^8). What does not fit
// goes to the next bucket; one that is not full ends the search. The top 10 bits of the
// id choose one of 1,024 sub-tables, which grow one at a time: no pause over all of them. Entries
// lie in 2 MiB chunks, in blocks of 8-byte units with a free list per size. The clock that evicts
// goes through the chunks, not through the slots: reading in order is cheap, and neighbours that
// went leave one large block, so that grown states find room (free lists alone fragmented: a table
// full of small states had no place for one larger, whatever was evicted).
//
// Thread safety: none; the apply thread's. References and Entry pointers are valid until the next
// put() or evict() of that id.
#pragma once

#include <emmintrin.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <memory>
#include <string_view>
#include <vector>

#include "base/prefetch.h"
#include "bounced/event.h"

namespace bounced::state {

/// What lies before an entry's bytes. Trivial; never moved but by put().
struct Entry {
  static constexpr std::uint16_t kDomain = 1;      ///< id is a domain's
  static constexpr std::uint16_t kReferenced = 2;  ///< second chance for the clock
  static constexpr std::uint16_t kFree = 4;        ///< no entry: a free block
  std::uint64_t hi, lo;
  std::uint32_t epoch;  ///< cut in which it was last changed; clean when that cut is committed
  std::uint32_t dirty;  ///< index into the dirty list of `epoch`
  std::uint16_t size;   ///< of the bytes
  std::uint16_t units_flags;  ///< allocated units << 3 | flags

  [[nodiscard]] AddressId id() const { return {hi, lo}; }
  [[nodiscard]] char* bytes() { return reinterpret_cast<char*>(this) + kHead; }
  [[nodiscard]] std::string_view view() { return {bytes(), size}; }
  [[nodiscard]] bool domain() const { return (units_flags & kDomain) != 0; }
  void set(std::uint16_t flag) { units_flags = static_cast<std::uint16_t>(units_flags | flag); }
  [[nodiscard]] std::uint32_t units() const { return units_flags >> 3; }
  static constexpr std::size_t kHead = 28;
};

class Table {
 public:
  static constexpr std::size_t kChunkBytes = std::size_t{2} << 20;
  static constexpr std::size_t kBytesMax = 60'000;  ///< of one state

  Table();
  ~Table();
  Table(const Table&) = delete;
  Table& operator=(const Table&) = delete;

  void prefetch_slot(const AddressId& id) const { bounced::prefetch(&bucket_of(id)); }
  /// Most likely its entry, if it has one where most have: whose id must be compared. Sends for it.
  [[nodiscard]] Entry* guess(const AddressId& id) const {
    bool more = false;
    return guess(id, more);
  }
  /// False: it is not here. True: it may be, and its first lines are sent for.
  bool prefetch_entry(const AddressId& id) const {
    bool more = false;
    return guess(id, more) != nullptr || more;
  }
  /// nullptr when it is not here.
  [[nodiscard]] Entry* find(const AddressId& id) const {
    const Sub& sub = subs_[sub_of(id)];
    const std::uint32_t tag = tag_of(id);
    for (std::uint32_t b = home(sub, tag);; b = sub.next(b)) {
      const Bucket& bucket = sub.buckets[b];
      for (unsigned same = bucket.same(tag); same != 0; same &= same - 1) {
        Entry* entry = at(bucket.refs[first(same)]);
        if (entry->hi == id.hi && entry->lo == id.lo) return entry;
      }
      if (!bucket.full()) return nullptr;
    }
  }
  /// Inserts or replaces the bytes; epoch, dirty and flags of an entry stay. `moved` tells that the
  /// entry has a new reference. nullptr: no room within the bound; evict and try again, or `force`.
  Entry* put(const AddressId& id, std::string_view bytes, bool domain, bool force);
  [[nodiscard]] Entry* at(std::uint32_t ref) const {
    return reinterpret_cast<Entry*>(chunks_[ref >> kUnitBits] +
                                    std::size_t{ref & kUnitMask} * kUnit);
  }
  /// Clock with a second chance over at most `looks` blocks: drops up to `n` entries of epochs
  /// <= clean_epoch; `gone` sees each before it goes. Returns how many went.
  std::size_t evict(std::size_t n, std::size_t looks, std::uint32_t clean_epoch,
                    const std::function<void(Entry&)>& gone);
  /// Blocks, free ones included: looks for once round.
  [[nodiscard]] std::size_t blocks() const { return blocks_; }

  /// Chunks allowed at the moment; put() beyond needs `force`.
  void set_chunks_max(std::size_t n) { chunks_max_ = n; }
  [[nodiscard]] std::size_t size() const { return count_; }
  [[nodiscard]] std::size_t bytes() const { return chunks_.size() * kChunkBytes + slot_bytes_; }
  [[nodiscard]] std::size_t slot_bytes() const { return slot_bytes_; }
  [[nodiscard]] std::size_t live_bytes() const { return live_units_ * kUnit + slot_bytes_; }
  /// Visits every entry.
  void each(const std::function<void(Entry&)>& visit) const;

 private:
  static constexpr unsigned kSubBits = 10, kUnitBits = 18;
  static constexpr std::size_t kUnit = 8;
  static constexpr std::uint32_t kUnitMask = (std::uint32_t{1} << kUnitBits) - 1;
  static constexpr std::uint32_t kUnitsMax = 8191;  // 13 bits in Entry::units_flags
  static constexpr std::uint32_t kUnitsMin = 4;     // the head of an entry fits
  static_assert(kChunkBytes == kUnit << kUnitBits);

  static constexpr unsigned kSlots = 8;  ///< of a bucket
  /// Its entries come first, then tags of 0. An entry lies in its home bucket, or behind it with
  /// nothing but full ones between.
  struct alignas(64) Bucket {
    std::uint32_t tags[kSlots];
    std::uint32_t refs[kSlots];
    [[nodiscard]] bool full() const { return tags[kSlots - 1] != 0; }
    /// The slots with that tag: the lower bit of a pair each.
    [[nodiscard]] unsigned same(std::uint32_t tag) const {
      const auto* const words = reinterpret_cast<const __m128i*>(tags);
      const __m128i wanted = _mm_set1_epi32(static_cast<int>(tag));
      const __m128i low = _mm_cmpeq_epi32(_mm_load_si128(words), wanted);
      const __m128i high = _mm_cmpeq_epi32(_mm_load_si128(words + 1), wanted);
      return static_cast<unsigned>(_mm_movemask_epi8(_mm_packs_epi32(low, high))) & 0x5555;
    }
    /// The number of its entries.
    [[nodiscard]] unsigned size() const {
      const unsigned empty = same(0);
      return empty == 0 ? kSlots : first(empty);
    }
  };
  struct Sub {
    Bucket* buckets = nullptr;
    std::uint32_t count = 0;
    unsigned shift = 32;  ///< 32 - log2(buckets)
    [[nodiscard]] std::uint32_t mask() const {
      return static_cast<std::uint32_t>((std::uint64_t{1} << (32 - shift)) - 1);
    }
    [[nodiscard]] std::uint32_t next(std::uint32_t bucket) const { return (bucket + 1) & mask(); }
  };
  struct Place {
    Sub& sub;
    std::uint32_t bucket;
    unsigned slot;
    [[nodiscard]] Bucket& in() const { return sub.buckets[bucket]; }
    [[nodiscard]] std::uint32_t& ref() const { return in().refs[slot]; }
  };
  static unsigned first(unsigned same) { return static_cast<unsigned>(__builtin_ctz(same)) / 2; }
  static std::size_t sub_of(const AddressId& id) { return id.hi >> (64 - kSubBits); }
  /// Never 0: that is an empty slot's.
  static std::uint32_t tag_of(const AddressId& id) {
    return static_cast<std::uint32_t>(id.hi >> (32 - kSubBits)) | 1;
  }
  // Buckets stay sorted by tag: the home is the tag's top bits.
  static std::uint32_t home(const Sub& sub, std::uint32_t tag) {
    return static_cast<std::uint32_t>(std::uint64_t{tag} >> sub.shift);
  }
  /// `more`: the home bucket tells nothing, the search would go on.
  Entry* guess(const AddressId& id, bool& more) const {
    const Sub& sub = subs_[sub_of(id)];
    const std::uint32_t tag = tag_of(id);
    const Bucket& bucket = sub.buckets[home(sub, tag)];
    const unsigned same = bucket.same(tag);
    if (same == 0) {
      more = bucket.full();
      if (more) bounced::prefetch(sub.buckets + sub.next(home(sub, tag)));
      return nullptr;
    }
    Entry* const entry = at(bucket.refs[first(same)]);
    const auto* const lines = reinterpret_cast<const char*>(entry);
    bounced::prefetch(lines);
    bounced::prefetch(lines + 64);
    return entry;
  }
  [[nodiscard]] const Bucket& bucket_of(const AddressId& id) const {
    const Sub& sub = subs_[sub_of(id)];
    return sub.buckets[home(sub, tag_of(id))];
  }

  void grow(Sub& sub);
  static Bucket* make_buckets(std::size_t n);
  static void insert_slot(Sub& sub, std::uint32_t tag, std::uint32_t ref);
  void erase_slot(Place place);
  static Place past(Sub& sub, std::uint32_t bucket);
  [[nodiscard]] Place place_of(const AddressId& id, const Entry* entry);
  /// 0 when there is no room; else Entry::units() of the block is set, at least `units`.
  std::uint32_t allocate(std::uint32_t units, bool force);
  std::uint32_t take_free(std::uint32_t units);
  void push_free(std::uint32_t ref, std::uint32_t units);
  void unlink_free(std::uint32_t ref, std::uint32_t units);
  [[nodiscard]] std::uint32_t end_unit(std::size_t chunk) const {
    return chunk + 1 == chunks_.size() ? next_unit_ : kUnitMask + 1;
  }
  void add_chunk();

  std::array<Sub, std::size_t{1} << kSubBits> subs_;
  std::vector<char*> chunks_;
  std::size_t chunks_max_ = SIZE_MAX;
  std::vector<std::uint32_t> free_;          // head of the free list by units; 0 = empty
  std::vector<std::uint64_t> free_bits_;     // which lists are not empty
  std::uint32_t next_unit_ = kUnitMask + 1;  // of the last chunk
  std::size_t count_ = 0, slot_bytes_ = 0, live_units_ = 0, blocks_ = 0;
  std::size_t hand_chunk_ = 0;   // always at the beginning of a block: splitting adds beginnings,
  std::uint32_t hand_unit_ = 1;  // and only the hand itself merges
};

}  // namespace bounced::state
