// Evidence: what a server said about an address, one value per (address, slot). A blind put: the
// newest of a slot wins, in a cut as in the store.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/batch.h"
#include "bounced/limits.h"
#include "bounced/verdict.h"

namespace bounced::state {

/// Final failures and the recipient's own acts go round slots 0..7, deferrals have 8 and 9: a
/// message that is tried for days must not push out what its predecessors died of.
inline constexpr std::uint8_t kEvidenceFinals = 8;
inline std::uint8_t evidence_slot_of_deferral(std::uint64_t message) {
  return static_cast<std::uint8_t>(kEvidenceFinals + (message & 1));
}

/// Most bytes that encode_evidence() writes.
inline constexpr std::size_t kEvidenceTextMax = 1024;  ///< of each text but the diagnostic
inline constexpr std::size_t kEvidenceBytesMax =
    160 + 8 * kEvidenceTextMax + limits::kDiagnosticBytesMax;

/// Encodes what `event` says, in the server's own words, into `out`; returns the end.
char* encode_evidence(char* out, const Batch& batch, const Event& event, const Verdict& verdict,
                      std::string_view rule);

}  // namespace bounced::state
