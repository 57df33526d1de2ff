// Filter: which ids the store may hold that are not in RAM. Cache-line blocked Bloom filter.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "bounced/event.h"

namespace bounced::state {

/// 12 bits a key, all of a key's bits in one 64-byte line: one cache miss per question, about 1 %
/// wrong "maybe". Grows by layers, each twice the last. Never forgets. Not thread safe.
class Filter {
 public:
  /// Room for about `keys` before a layer is added.
  void reserve(std::size_t keys);
  void add(const AddressId& id);
  [[nodiscard]] bool maybe(const AddressId& id) const;
  [[nodiscard]] bool empty() const { return count_ == 0; }
  [[nodiscard]] std::size_t bytes() const;
  [[nodiscard]] std::size_t count() const { return count_; }

 private:
  struct alignas(64) Line {
    std::uint64_t words[8] = {};
  };
  struct Layer {
    std::vector<Line> lines;
    std::size_t room = 0;
  };
  std::vector<Layer> layers_;
  std::size_t count_ = 0;
  std::size_t next_room_ = std::size_t{1} << 16;
};

}  // namespace bounced::state
