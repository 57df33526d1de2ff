// WriteSet: everything a moment changed; it reaches the store whole or not at all.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>
#include <utility>

namespace bounced::store {

/// Column families (DESIGN section 3). The numbers index arrays; names are in store.cc.
enum class Family : std::uint8_t {
  address,    ///< AddressId (16 B big-endian) [domains: own key space] -> state + clear address
  evidence,   ///< AddressId + slot byte -> the server's own words
  by_block,   ///< BlockKind byte + AddressId -> summary, for lists
  rates,      ///< dimension byte + hour + key / 64 (u32 BE each) -> counters
  open,       ///< queue key (u64 BE) -> message still in a queue
  inbox,      ///< accepted, not yet applied events of push sources
  seen,       ///< day (u32 BE) + 16 B -> dedupe key
  due,        ///< time (u64 BE) + AddressId + kind -> time-driven change
  changes,    ///< seq (u64 BE) -> block change
  names,      ///< dictionary byte + id (u32 BE) -> name
  positions,  ///< file key (u64 BE) -> Position
  meta,       ///< version, secret, options, counters
};
inline constexpr std::size_t kFamilies = 12;

/// Growing array of trivial elements: nothing is zeroed, and a large one grows by moving pages
/// (mremap), not bytes. clear() keeps the memory, so that a WriteSet that serves many
/// cuts faults its pages in once.
template <class T>
class RawArray {
 public:
  RawArray() = default;
  RawArray(const RawArray& other) {
    if (other.size_ != 0) std::memcpy(grow(other.size_), other.data_, other.size_ * sizeof(T));
  }
  RawArray(RawArray&& other) noexcept { swap(other); }
  RawArray& operator=(RawArray other) noexcept {
    swap(other);
    return *this;
  }
  ~RawArray();

  [[nodiscard]] const T* data() const { return data_; }
  [[nodiscard]] std::size_t size() const { return size_; }
  [[nodiscard]] bool empty() const { return size_ == 0; }
  [[nodiscard]] const T* begin() const { return data_; }
  [[nodiscard]] const T* end() const { return data_ + size_; }
  [[nodiscard]] const T& operator[](std::size_t i) const { return data_[i]; }
  void clear() { size_ = 0; }
  /// `n` more elements, for the caller to fill.
  T* grow(std::size_t n) {
    if (room_ - size_ < n) enlarge(n);
    T* const at = data_ + size_;
    size_ += n;
    return at;
  }
  [[nodiscard]] T& back() { return data_[size_ - 1]; }
  /// The last `n` elements go.
  void shrink(std::size_t n) { size_ -= n; }
  void swap(RawArray& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
    std::swap(room_, other.room_);
  }

 private:
  void enlarge(std::size_t n);  ///< Throws std::bad_alloc.
  T* data_ = nullptr;
  std::size_t size_ = 0, room_ = 0;
};

/// Append-only list of puts and deletes over all families; a later entry of a key wins.
/// Not thread safe. Memory: one byte arena per family.
class WriteSet {
 public:
  void put(Family family, std::string_view key, std::string_view value) {
    append(family, key, value, false);
  }
  void erase(Family family, std::string_view key) { append(family, key, {}, true); }
  /// A put whose value is written in place: room for `value_max` bytes, to be ended by end_put()
  /// before anything else is added to the family.
  char* begin_put(Family family, std::string_view key, std::size_t value_max);
  void end_put(Family family, const char* value_end);
  /// Takes over all that `other` holds, as if added now; `other` is empty then. Costs nothing where
  /// this set has nothing of a family: memory is exchanged.
  void take(WriteSet& other);

  [[nodiscard]] std::size_t records() const;
  [[nodiscard]] std::size_t bytes() const;
  [[nodiscard]] bool empty() const { return records() == 0; }
  void clear();  ///< keeps capacity

  struct Entry {
    std::uint64_t offset;  ///< of the key in the arena; the value follows
    std::uint32_t value_size;
    std::uint16_t key_size;
    bool erase;
  };
  struct Part {
    RawArray<char> arena;
    RawArray<Entry> entries;
    [[nodiscard]] std::string_view key(const Entry& e) const {
      return {arena.data() + e.offset, e.key_size};
    }
    [[nodiscard]] std::string_view value(const Entry& e) const {
      return {arena.data() + e.offset + e.key_size, e.value_size};
    }
  };
  [[nodiscard]] const Part& part(Family family) const {
    return parts_[static_cast<std::size_t>(family)];
  }

 private:
  void append(Family family, std::string_view key, std::string_view value, bool erase);
  std::array<Part, kFamilies> parts_;
};

}  // namespace bounced::store
