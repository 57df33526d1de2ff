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
  /// Its upper half tells names apart.
  [[nodiscard]] BOUNCED_HOT std::uint64_t hash() const {
    constexpr std::uint64_t kOdd = 0x9E3779B97F4A7C15ull;
    return fold_product(words[0] + words[3] * kOdd, words[1] + words[2] * kOdd + text.size()) *
           kOdd;
  }
  [[nodiscard]] BOUNCED_HOT bool has(const std::uint64_t (&other)[kWhole / 8]) const {
#if defined(__SSE2__)
    const auto same = [&](std::size_t at) __attribute__((always_inline)) {
      return _mm_cmpeq_epi8(*reinterpret_cast<const __m128i*>(words + at),
                            *reinterpret_cast<const __m128i*>(other + at));
    };
    return _mm_movemask_epi8(_mm_and_si128(same(0), same(2))) == 0xFFFF;
#else
    return std::memcmp(words, other, sizeof words) == 0;
#endif
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

/// A short list's names by their bytes: open addressing over at most kNamesMax entries; small, to
/// stay in the nearest cache beside the text. Not thread safe.
class NameTable {
 public:
  static constexpr std::size_t kSlots = 4096;
  static constexpr std::size_t kNamesMax = kSlots / 4 * 3;

  NameTable() : slots_(kSlots), entries_(new Entry[kNamesMax + 1]) {}

  /// Forgets all names.
  void start() { std::memset(slots_.data(), 0, kSlots * sizeof slots_[0]); }

  /// The 1-based number of the name, 0 when it has none; then add() may give it one.
  /// `same_long(number)`: whether a name over kWhole bytes is that entry's.
  template <class Same>
  BOUNCED_HOT std::uint16_t find(const Name& name, const Same& same_long) {
    const std::uint64_t hash = name.hash();
    key_ = static_cast<std::uint32_t>(hash >> 20) / kSlots * kSlots;
    std::size_t at = hash >> (64 - kSlotsLog2);
    for (std::size_t i = 0; i < kNear; ++i, at = (at + 1) % kSlots) {
      std::uint32_t& slot = slots_[at];
      if (slot == 0) {
        vacant_ = &slot;
        return 0;
      }
      const auto number = static_cast<std::uint16_t>(slot % kSlots);
      const Entry& entry = entries_[number];
      if (slot - number == key_ && entry.size == name.text.size() && name.has(entry.words) &&
          (name.text.size() <= Name::kWhole || same_long(number))) {
        return number;
      }
    }
    vacant_ = nullptr;
    return 0;
  }
  /// False: the table is full here.
  [[nodiscard]] bool has_room() const { return vacant_ != nullptr; }
  /// After find() did not find it, and with room: the name has this number (1..kNamesMax) from now
  /// on.
  void add(const Name& name, std::size_t number) {
    Entry& entry = entries_[number];
    std::memcpy(entry.words, name.words, sizeof entry.words);
    entry.size = name.text.size();
    *vacant_ = key_ | static_cast<std::uint32_t>(number);
  }

 private:
  static constexpr std::size_t kNear = 16;  ///< slots looked at: outsiders choose the names
  static constexpr unsigned kSlotsLog2 = 12;
  static_assert(kSlots == std::size_t{1} << kSlotsLog2 && kNamesMax < kSlots,
                "a slot keeps the number in 12 bits");
  struct Entry {
    alignas(16) std::uint64_t words[Name::kWhole / 8];
    std::uint64_t size;
  };
  std::vector<std::uint32_t> slots_;  ///< 20 bits of the hash and the number; 0 = vacant
  std::unique_ptr<Entry[]> entries_;  ///< by number; those of a batch before are not looked at
  std::uint32_t key_ = 0;             ///< of the name that find() was last asked for
  std::uint32_t* vacant_ = nullptr;
};

}  // namespace bounced::parse
