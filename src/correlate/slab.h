// Slab: objects by index in chunks that never move.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "base/huge_pages.h"

namespace bounced::correlate {

/// Indexes start at 1. The object freed last is handed out first: it is the warm one.
/// Freed objects keep what they own (buffers), to be reused. Not thread safe.
template <class T>
class Slab {
 public:
  [[gnu::always_inline]] std::uint32_t take() {
    if (free_.empty()) [[unlikely]]
      return take_fresh();
    const std::uint32_t index = free_.back();
    free_.pop_back();
    return index;
  }
  void give_back(std::uint32_t index) { free_.push_back(index); }

  T& operator[](std::uint32_t index) {
    return chunks_[(index - 1) >> kChunkLog2][(index - 1) & kChunkMask];
  }
  const T& operator[](std::uint32_t index) const {
    return chunks_[(index - 1) >> kChunkLog2][(index - 1) & kChunkMask];
  }
  /// Highest index ever taken.
  [[nodiscard]] std::uint32_t used() const { return used_; }

 private:
  [[gnu::noinline]] std::uint32_t take_fresh() {
    if ((used_ & kChunkMask) == 0) chunks_.emplace_back(kChunkSize);
    return ++used_;
  }

  /// 2 MiB of messages: a huge page.
  static constexpr unsigned kChunkLog2 = 13;
  static constexpr std::uint32_t kChunkSize = 1u << kChunkLog2;
  static constexpr std::uint32_t kChunkMask = kChunkSize - 1;
  std::vector<std::vector<T, HugePages<T>>> chunks_;
  std::vector<std::uint32_t> free_;
  std::uint32_t used_ = 0;
};

}  // namespace bounced::correlate
