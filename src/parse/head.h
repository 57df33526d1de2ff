// head: what stands between a line's time and its text, and what it means for Postfix's lines.
#pragma once

#include <cstddef>
#include <cstdint>

#include "parse/postfix_line.h"
#include "parse/scan.h"

namespace bounced::parse {

inline constexpr std::size_t kTagBytesMax = 56;
inline constexpr std::size_t kTagEntries = 128;

/// What a host and tag stand for. The bytes are copied: JSON's do not outlive their line.
struct Tag {
  char bytes[kTagBytesMax];
  std::uint8_t host_size = 0;
  std::uint8_t size = 0;  ///< of host and tag
  bool full = true;
  bool ours = false;  ///< of a Postfix instance, by its name
  Daemon daemon = Daemon::foreign;
  std::uint16_t origin = 0;
  std::uint64_t hash = 0;  ///< of the origin
};

/// A host and tag as the line has them ("mx-out1 postfix/smtp", up to the '['), and their meaning.
struct Head {
  static constexpr std::size_t kBytesMax = 47;
  char bytes[kBytesMax + 1];
  std::uint8_t size = 0;  ///< 0 = unused
  Tag tag;
};
inline constexpr std::size_t kHeads = 128;

/// Two heads of one log differ in their last bytes or their size. Reads 8 bytes before `end`.
BOUNCED_HOT std::size_t head_slot(const char* end, std::size_t size) {
  return ((load64(end - 8) + size) * 0x9E3779B97F4A7C15ull) >> 57;
}

/// Whether the `size` bytes at p are this head.
BOUNCED_HOT bool same_head(const char* p, std::size_t size, const Head& head) {
  if (head.size != size) return false;
#if defined(__SSE2__)
  if (size - 16 <= 16) {  // nearly all: two halves that may overlap
    const auto same = [&](std::size_t at) __attribute__((always_inline)) {
      const auto load = [&](const char* from) __attribute__((always_inline)) {
        return _mm_loadu_si128(reinterpret_cast<const __m128i*>(from + at));
      };
      return _mm_cmpeq_epi8(load(p), load(head.bytes));
    };
    return _mm_movemask_epi8(_mm_and_si128(same(0), same(size - 16))) == 0xFFFF;
  }
#endif
  return size != 0 && equal_bytes(p, head.bytes, size);
}

}  // namespace bounced::parse
