// Concepts: words of many languages that mean the same to a reply.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "classify/word.h"

namespace bounced::classify {

/// So that what was learned of `user` helps with `utilisateur`, of which little was learned. A
/// table, made once (rules/replies/concepts.toml); immutable. Thread safety: any.
class Concepts {
 public:
  /// Numbers of what a word means, from 1 up; 0 = nothing (more). `unknown` is `not` and `known`.
  using Meaning = std::array<std::uint8_t, 2>;
  struct Entry {
    Word word;
    bool beginning = false;  ///< it stands for all words that begin with it
    Meaning meaning{};
  };

  Concepts() = default;
  explicit Concepts(const std::vector<Entry>& entries);

  /// Of the whole word, else of its longest beginning.
  [[nodiscard]] Meaning of(const Word& word) const;
  /// Changes with anything that of() depends on.
  [[nodiscard]] std::uint64_t fingerprint() const;

  /// Passes its parts to a writer or a reader of images.
  template <class Self, class Walk>
  static void walk(Self& self, Walk& walk) {
    walk.list(self.slots_);
    walk.value(self.lengths_);
  }

 private:
  struct Slot {
    std::uint32_t hash = 0;
    Meaning meaning{};
    std::uint16_t used = 0;  ///< 0 = empty
  };
  [[nodiscard]] std::size_t slot(std::uint32_t hash) const;

  std::vector<Slot> slots_;    ///< open addressing
  std::uint32_t lengths_ = 0;  ///< bit n is set where a beginning has n bytes
};

}  // namespace bounced::classify
