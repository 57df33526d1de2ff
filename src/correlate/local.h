// Messages of one batch (Batch::local): what needs no other batch, hence no order.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "base/batch.h"
#include "base/hash_inline.h"

namespace bounced::correlate {

inline constexpr std::uint64_t kSeedQueue = 0x71756575656B6579ull;

/// hash64() of two words, never 0; inline, because most deliveries need one and its length is
/// constant.
inline std::uint64_t hash_of(std::uint64_t a, std::uint64_t b, std::uint64_t seed) {
  const std::array<std::uint64_t, 2> words = {a, b};
  const std::uint64_t hash = hash64_inline(words.data(), sizeof words, seed);
  return hash == 0 ? 1 : hash;
}

/// What is left of a prepared batch when the records of messages that need no entry are not looked
/// at. Keeps its memory from batch to batch.
struct OpenRecords {
  /// By Event::local: 1 when the message needs no entry. (Not bytes: to a compiler each byte
  /// written may have changed everything else.)
  std::vector<std::uint16_t> accepted;
  std::vector<std::uint32_t> notes, events;  ///< numbers of all others' records, in line order

  /// Fills the lists by `accepted`.
  void list(const Batch& batch);
  /// Number `at` of the list; nullptr behind its end.
  const Note* note(const Batch& batch, std::size_t at) const {
    return at < notes.size() ? &batch.notes[notes[at]] : nullptr;
  }
  const Event* event(const Batch& batch, std::size_t at) const {
    return at < events.size() ? &batch.events[events[at]] : nullptr;
  }
};

/// Takes from an event of a prepared batch what a whole message gave it; its time stays UTC.
void take_back(const Batch& batch, Event& event);

}  // namespace bounced::correlate
