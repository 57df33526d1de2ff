// copy_short: memcpy() for texts of a few dozen bytes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

namespace bounced {

/// Without the call, and without `rep movs`, which takes longer to start than such a text to copy.
/// Nothing is read or written beyond `size`; the two do not overlap.
[[gnu::always_inline]] inline void copy_short(char* to, const char* from, std::size_t size) {
  if (size >= 16) {
    for (std::size_t i = 0; i + 16 < size; i += 16) std::memcpy(to + i, from + i, 16);
    std::memcpy(to + size - 16, from + size - 16, 16);
  } else if (size >= 8) {
    std::uint64_t head, tail;
    std::memcpy(&head, from, 8);
    std::memcpy(&tail, from + size - 8, 8);
    std::memcpy(to, &head, 8);
    std::memcpy(to + size - 8, &tail, 8);
  } else {
    for (std::size_t i = 0; i < size; ++i) to[i] = from[i];
  }
}

}  // namespace bounced
