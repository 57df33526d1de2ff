// bytes: a few bytes at a time, as numbers.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>

namespace bounced {

/// Eight bytes, the first one lowest.
[[gnu::always_inline]] inline std::uint64_t load64(const char* p) {
  std::uint64_t word;
  std::memcpy(&word, p, sizeof word);
  return word;
}

/// memcmp() == 0 without its call; `size` is mostly 8..40.
inline bool equal_bytes(const char* a, const char* b, std::size_t size) {
  if (size < 8) {
    for (std::size_t i = 0; i < size; ++i) {
      if (a[i] != b[i]) return false;
    }
    return true;
  }
  for (std::size_t i = 0; i + 8 <= size; i += 8) {
    if (load64(a + i) != load64(b + i)) return false;
  }
  return load64(a + size - 8) == load64(b + size - 8);
}

/// Which bits of two numbers the first n of their 16 bytes are, by n: no branch on a text's size.
struct FirstBytes {
  std::uint64_t head = 0, tail = 0;
};
inline constexpr std::array<FirstBytes, 17> kFirstBytes = [] {
  std::array<FirstBytes, 17> masks{};
  for (std::size_t n = 1; n < masks.size(); ++n) {
    masks[n] = masks[n - 1];
    (n <= 8 ? masks[n].head : masks[n].tail) |= std::uint64_t{0xff} << ((n - 1) % 8 * 8);
  }
  return masks;
}();

}  // namespace bounced
