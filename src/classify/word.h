// Word: a word of a reply as it is weighed.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/bytes.h"
#include "base/copy_short.h"
#include "base/hash.h"

namespace bounced::classify {

/// Lower case, each number one zero, without apostrophes and without what logs mask or old servers
/// leave out (whatever is not ASCII in a word that has ASCII letters, and `?`): `empf?nger` and
/// `empfänger` are one word. Zeros follow. Single Latin letters are no words; those of scripts
/// without blanks are their characters.
struct Word {
  static constexpr std::size_t kBytes = 32;  ///< the rest of a longer one does not count
  std::array<char, kBytes> bytes{};
  std::uint32_t size = 0;
  [[nodiscard]] std::string_view text() const { return {bytes.data(), size}; }
  [[nodiscard]] bool operator==(const Word&) const = default;

  /// Some of its bytes.
  [[nodiscard]] Word part(std::size_t from, std::size_t count) const {
    Word word;
    copy_short(word.bytes.data(), bytes.data() + from, count);
    word.size = static_cast<std::uint32_t>(count);
    return word;
  }
};

/// Numbers without a pattern in them: digits of pi.
inline constexpr std::uint64_t kSalts[] = {
    0x243f6a8885a308d3, 0x13198a2e03707344, 0xa4093822299f31d0, 0x082efa98ec4e6c89,
    0x452821e638d01377, 0xbe5466cf34e90c6c, 0xc0ac29b7c97c50dd, 0x3f84d5b5b5470917};

/// The same on every machine.
inline std::uint64_t hash_word(const Word& word) {
  const auto load = [&](std::size_t at) { return load64(word.bytes.data() + at); };
  const std::uint64_t front = fold_product(load(0) ^ kSalts[0], load(8) ^ kSalts[1]);
  if (word.size <= 16) return front;
  return front ^ fold_product(load(16) ^ kSalts[2], load(24) ^ kSalts[3]);
}

}  // namespace bounced::classify
