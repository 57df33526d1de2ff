// Evidence waiting for the next cut: at most one value per (address, slot).
#pragma once

#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "base/batch.h"
#include "bounced/verdict.h"

namespace bounced::state {

/// Final failures and the recipient's own acts go round slots 0..7, deferrals have 8 and 9: a
/// message that is tried for days must not push out what its predecessors died of.
inline constexpr std::uint8_t kEvidenceFinals = 8;
inline std::uint8_t evidence_slot_of_deferral(std::uint64_t message) {
  return static_cast<std::uint8_t>(kEvidenceFinals + (message & 1));
}

/// Byte arena of chains: one chain per dirty address. Not thread safe. A value is encoded where it
/// will stay; chunks are kept from cut to cut, so that their pages are faulted in once.
class PendingEvidence {
 public:
  /// Encodes what `event` says into the chain that starts at `head` (0 = none; updated). A value
  /// of the same slot in this chain is replaced.
  void add(std::uint32_t& head, std::uint8_t slot, const Batch& batch, const Event& event,
           const Verdict& verdict, std::string_view rule);
  struct Item {
    std::uint8_t slot = 0;
    std::string_view value;
  };
  /// Takes the item at `offset` and steps to the next; false at the end (0).
  bool next(std::uint32_t& offset, Item& out) const;
  void clear();
  [[nodiscard]] std::size_t bytes() const { return used_; }
  [[nodiscard]] std::size_t records() const { return records_; }

 private:
  static constexpr unsigned kChunkBits = 20;
  static constexpr std::uint32_t kChunkBytes = std::uint32_t{1} << kChunkBits;
  [[nodiscard]] char* at(std::uint32_t offset) const {
    return chunks_[offset >> kChunkBits].get() + (offset & (kChunkBytes - 1));
  }
  /// Offset of room for the largest record; in one chunk.
  std::uint32_t room();

  std::vector<std::unique_ptr<char[]>> chunks_;
  std::uint32_t used_ = 0;  ///< end of the last record; offset 0 ends a chain
  std::size_t records_ = 0;
};

}  // namespace bounced::state
