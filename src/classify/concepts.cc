#include "classify/concepts.h"

#include <algorithm>
#include <bit>

namespace bounced::classify {
namespace {

std::uint32_t hash_of(const Word& word, bool beginning) {
  return static_cast<std::uint32_t>(hash_word(word) >> (beginning ? 32 : 0)) | 1u;
}

}  // namespace

Concepts::Concepts(const std::vector<Entry>& entries) {
  slots_.resize(std::bit_ceil(entries.size() * 3 + 1));
  for (const Entry& entry : entries) {
    const std::uint32_t hash = hash_of(entry.word, entry.beginning);
    Slot& free = slots_[slot(hash)];
    if (free.used == 0) free = {hash, entry.meaning, 1};
    if (entry.beginning) lengths_ |= 1u << (entry.word.size % Word::kBytes);
  }
}

/// The one of that hash, or where it would be.
std::size_t Concepts::slot(std::uint32_t hash) const {
  const std::size_t mask = slots_.size() - 1;
  std::size_t i = hash & mask;
  while (slots_[i].used != 0 && slots_[i].hash != hash) i = (i + 1) & mask;
  return i;
}

Concepts::Meaning Concepts::of(const Word& word) const {
  if (slots_.empty()) return {};
  if (const Slot& whole = slots_[slot(hash_of(word, false))]; whole.used != 0) return whole.meaning;
  for (std::size_t n = std::min<std::size_t>(word.size, Word::kBytes - 1); n > 0; --n) {
    if ((lengths_ >> n & 1u) == 0) continue;
    const Slot& begun = slots_[slot(hash_of(word.part(0, n), true))];
    if (begun.used != 0) return begun.meaning;
  }
  return {};
}

std::uint64_t Concepts::fingerprint() const {
  return hash64({reinterpret_cast<const char*>(slots_.data()), slots_.size() * sizeof(Slot)},
                lengths_);
}

}  // namespace bounced::classify
