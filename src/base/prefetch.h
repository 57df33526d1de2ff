// prefetch: sends for a cache line that will be wanted soon.
#pragma once

#include <cstddef>

namespace bounced {

/// Use this, never the builtin alone: g++ 12 takes a function that merely prefetches for one
/// without effect and drops the calls of it. The empty asm is an effect; it costs no instruction.
[[gnu::always_inline]] inline void prefetch(const void* address) {
  __builtin_prefetch(address);
  asm volatile("");
}

/// The same for `size` bytes, a line every 64 of them.
[[gnu::always_inline]] inline void prefetch_lines(const void* address, std::size_t size) {
  const auto* const bytes = static_cast<const char*>(address);
  for (std::size_t at = 0; at < size; at += 64) prefetch(bytes + at);
}

}  // namespace bounced
