// name_slots: which entry of a batch's short list (Batch::domains, Batch::hosts) a name is.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "base/batch.h"
#include "base/hash.h"
#include "parse/scan.h"

namespace bounced::parse {

/// A name's first and last 16 bytes, so all of it up to kWhole bytes; a shorter half has zeros
/// instead. Comparing and hashing them takes no loop, whatever the name's size.
struct Name {
  static constexpr std::size_t kHalf = 16, kWhole = 2 * kHalf;
  std::string_view text;
  alignas(16) std::uint64_t words[kWhole / 8];

  /// `padded`: kHalf bytes from the name's begin, and before its end, may be read.
  BOUNCED_HOT Name(std::string_view name, bool padded) : text(name) {
    const char* begin = name.data();
    char copy[3 * kHalf];
    if (!padded && name.size() < kHalf) {
      std::memset(copy, 0, sizeof copy);
      if (!name.empty()) std::memcpy(copy + kHalf, begin, name.size());  // empty: maybe no pointer
      begin = copy + kHalf;
    }
    const std::size_t kept = name.size() < kHalf ? name.size() : kHalf;
    static constexpr std::array<unsigned char, 3 * kHalf> kMasks = [] {
      std::array<unsigned char, 3 * kHalf> table{};
      for (std::size_t i = 0; i < kHalf; ++i) table[i] = table[2 * kHalf + i] = 0xFF;
      return table;
    }();
    half(begin, kMasks.data() + kHalf - kept, words);
    half(begin + name.size() - kHalf, kMasks.data() + kHalf + kept, words + 2);
  }
  [[nodiscard]] BOUNCED_HOT std::uint64_t hash() const {
    std::uint64_t h = fold_product(words[0] ^ 0x9E3779B97F4A7C15ull, words[1] ^ text.size()) ^
                      fold_product(words[2] ^ 0xBF58476D1CE4E5B9ull, words[3]);
    h *= 0xC2B2AE3D27D4EB4Full;
    return h ^ h >> 32;
  }
  [[nodiscard]] BOUNCED_HOT bool has(const std::uint64_t (&other)[kWhole / 8]) const {
    return ((words[0] ^ other[0]) | (words[1] ^ other[1]) | (words[2] ^ other[2]) |
            (words[3] ^ other[3])) == 0;
  }

 private:
  BOUNCED_HOT static void half(const char* from, const unsigned char* mask, std::uint64_t* to) {
#if defined(__SSE2__)
    const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(from));
    const __m128i kept = _mm_loadu_si128(reinterpret_cast<const __m128i*>(mask));
    _mm_store_si128(reinterpret_cast<__m128i*>(to), _mm_and_si128(bytes, kept));
#else
    for (std::size_t i = 0; i < kHalf / 8; ++i) {
      std::uint64_t kept;
      std::memcpy(&kept, mask + 8 * i, sizeof kept);
      to[i] = load64(from + 8 * i) & kept;
    }
#endif
  }
};

/// Open addressing over a list of at most kNamesMax entries; small, to stay in the nearest cache
/// beside the text. Not thread safe.
class NameSlots {
 public:
  static constexpr std::size_t kSlots = 4096;
  static constexpr std::size_t kNamesMax = kSlots / 4 * 3;

  NameSlots() : slots_(kSlots) {}

  /// Forgets all names.
  void start() { std::memset(slots_.data(), 0, kSlots * sizeof slots_[0]); }

  /// The 1-based number of the entry with this hash that `same(number)` accepts. 0: there is none;
  /// `vacant` is then the place for put(), or nullptr when none is near enough.
  template <class Same>
  BOUNCED_HOT std::uint16_t find(std::uint64_t hash, const Same& same, std::uint32_t*& vacant) {
    const std::uint32_t key = key_of(hash);
    for (std::size_t i = 0; i < kNear; ++i) {
      std::uint32_t& slot = slots_[(hash + i) % kSlots];
      if (slot == 0) {
        vacant = &slot;
        return 0;
      }
      const auto number = static_cast<std::uint16_t>(slot % kSlots);
      if (slot - number == key && same(number)) return number;
    }
    vacant = nullptr;
    return 0;
  }
  /// `number`: 1..kNamesMax.
  void put(std::uint32_t* vacant, std::uint64_t hash, std::size_t number) {
    *vacant = key_of(hash) | static_cast<std::uint32_t>(number);
  }

 private:
  static constexpr std::size_t kNear = 16;  ///< slots looked at: outsiders choose the names
  /// 20 bits of the hash above those of the number.
  [[nodiscard]] static std::uint32_t key_of(std::uint64_t hash) {
    return static_cast<std::uint32_t>(hash >> 44) * std::uint32_t{kSlots};
  }
  std::vector<std::uint32_t> slots_;  ///< 0 = vacant
};
static_assert(NameSlots::kNamesMax < NameSlots::kSlots, "a slot keeps the number in 12 bits");

/// A short list's names by their bytes. Not thread safe.
class NameTable {
 public:
  NameTable() : entries_(new Entry[NameSlots::kNamesMax + 1]) {}
  void start() { slots_.start(); }

  /// The number of the name, 0 when it has none; then add() may give it one.
  /// `same_long(number)`: whether a name over kWhole bytes is that entry's.
  template <class Same>
  BOUNCED_HOT std::uint16_t find(const Name& name, const Same& same_long) {
    hash_ = name.hash();
    const auto same = [&](std::uint16_t number) {
      const Entry& entry = entries_[number];
      return entry.size == name.text.size() && name.has(entry.words) &&
             (name.text.size() <= Name::kWhole || same_long(number));
    };
    return slots_.find(hash_, same, vacant_);
  }
  /// False: the table is full here.
  [[nodiscard]] bool has_room() const { return vacant_ != nullptr; }
  /// After find() did not find it, and with room: the name has this number from now on.
  void add(const Name& name, std::size_t number) {
    Entry& entry = entries_[number];
    std::memcpy(entry.words, name.words, sizeof entry.words);
    entry.size = name.text.size();
    slots_.put(vacant_, hash_, number);
  }

 private:
  struct Entry {
    std::uint64_t words[Name::kWhole / 8];
    std::uint64_t size;
  };
  NameSlots slots_;
  std::unique_ptr<Entry[]> entries_;  ///< by number; those of a batch before are not looked at
  std::uint64_t hash_ = 0;            ///< of the name that find() was last asked for
  std::uint32_t* vacant_ = nullptr;
};

}  // namespace bounced::parse
