// TextKey: short texts as 64-bit keys, and the few looks at domains that the hot path takes.
// Private to this folder.
#pragma once

#include <array>
#include <cstdint>
#include <cstring>
#include <string_view>

#include "base/hash.h"

namespace bounced::rates {

/// Keyed hash of a short text, inline: two multiplications for the usual domain. The key is new in
/// every process, so outsiders cannot make two texts meet; answers depend on it no further.
class TextKey {
 public:
  TextKey() {
    const Secret secret = random_secret();
    std::memcpy(words_.data(), secret.data(), sizeof words_);
  }
  std::uint64_t operator()(std::string_view text) const {
    const char* at = text.data();
    std::size_t left = text.size();
    // Keyed, so that no difference in bytes makes up for one in length.
    std::uint64_t hash = words_[0] + words_[1] * left;
    for (; left > 16; at += 16, left -= 16) {
      hash = fold_product(read(at) ^ words_[1], read(at + 8) ^ hash);
    }
    std::uint64_t a = 0, b = 0;
    if (left >= 8) {
      a = read(at);
      b = read(at + left - 8);
    } else if (left >= 4) {
      a = read_half(at);
      b = read_half(at + left - 4);
    } else if (left > 0) {
      a = static_cast<unsigned char>(at[0]);
      b = std::uint64_t{static_cast<unsigned char>(at[left / 2])} << 8 |
          static_cast<unsigned char>(at[left - 1]);
    }
    return fold_product(a ^ words_[2], b ^ hash);
  }

 private:
  static std::uint64_t read(const char* at) {
    std::uint64_t word;
    std::memcpy(&word, at, sizeof word);
    return word;
  }
  static std::uint64_t read_half(const char* at) {
    std::uint32_t word;
    std::memcpy(&word, at, sizeof word);
    return word;
  }
  std::array<std::uint64_t, 3> words_{};
};

/// ASCII without upper case letters: lower-casing would give the same bytes.
inline bool plain_lower_case(std::string_view text) {
  constexpr std::uint64_t kHigh = 0x8080808080808080ull, kOnes = 0x0101010101010101ull;
  std::uint64_t bad = 0;
  for (std::size_t i = 0; i < text.size(); i += 8) {
    std::uint64_t word = 0;
    if (text.size() >= 8) {  // the last word overlaps the one before
      std::memcpy(&word, text.data() + (i + 8 <= text.size() ? i : text.size() - 8), 8);
    } else {
      std::memcpy(&word, text.data(), text.size());
    }
    const std::uint64_t low = word & ~kHigh;
    const std::uint64_t from_a = low + (0x80 - 'A') * kOnes;
    const std::uint64_t past_z = low + (0x80 - 'Z' - 1) * kOnes;
    bad |= word | (from_a & ~past_z);
  }
  return (bad & kHigh) == 0;
}

}  // namespace bounced::rates
