// OpenMessage: what is known of a message that is still in a queue, and of the recipients that it
// could not reach yet.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "bounced/event.h"
#include "bounced/result.h"
#include "bounced/verdict.h"

namespace bounced::correlate {

/// The texts of a message, in the order of the codec.
enum class Field : std::uint8_t { sender, message_id, sasl_user, campaign, mx_failure };
inline constexpr std::size_t kFields = 5;

/// Longest text kept per field; what is longer is cut (RFC 5321 4.5.3.1, RFC 5322 2.1.1).
inline constexpr std::array<std::uint16_t, kFields> kFieldBytesMax = {1024, 998, 256, 256, 512};
inline constexpr std::size_t kLastWordsBytesMax = 512;

/// A recipient whose last attempt was a deferral. Invariant: on the list of exactly one message.
struct DeferredRecipient {
  AddressId id;
  AddressId domain;
  std::int64_t arrived_us = 0;  ///< when the message arrived: time of an attempt less its delay
  std::uint32_t message = 0;    ///< slab index of its OpenMessage
  std::uint32_t next = 0;       ///< list in order of first deferral; 0 = end
  std::uint32_t previous = 0;
  // --- of the last attempt (of the last deferral as long as none was attempted)
  std::uint16_t smtp_code = 0;
  std::uint16_t mta_port = 0;
  EnhancedCode enhanced;
  Phase phase = Phase::none;
  std::uint8_t flags = 0;  ///< EventFlags of that deferral
  std::uint8_t format = 0;
  bool attempted = false;  ///< at least one deferral was an attempt
  Verdict best;            ///< most specific cause among the attempts; ties: the latest
  Verdict exempt;          ///< latest of a cause that keeps the expiry from counting
  /// recipient, queue id, MTA host, MTA IP, last words: back to back.
  enum Part : std::uint8_t { kRecipient, kQueueId, kMtaHost, kMtaIp, kWords, kParts };
  std::array<std::uint16_t, kParts> sizes{};
  std::string texts;

  [[nodiscard]] std::string_view part(Part wanted) const {
    std::size_t at = 0;
    for (std::uint8_t i = 0; i < wanted; ++i) at += sizes[i];
    return std::string_view(texts).substr(at, sizes[wanted]);
  }
  void set_parts(const std::array<std::string_view, kParts>& parts);
  /// Takes in one more attempt's verdict.
  void judge(const Verdict& verdict);
};

/// True for causes after which an expiry must not count (DESIGN section 5): our own fault, our
/// content, or a rate limit.
bool exempts(const Verdict& verdict);
/// How specific a cause is about the recipient: mailbox over domain over system, network, routing
/// over unknown.
int specificity(const Verdict& verdict);

/// Three cache lines. Texts lie inline, in the order of their arrival; those that do not fit go
/// together to `overflow`, so that they are always one contiguous piece.
struct alignas(64) OpenMessage {
  static constexpr std::size_t kInlineBytes = 106;
  enum Flag : std::uint8_t {
    kAlive = 1,
    kSenderKnown = 2,  ///< qmgr has named the reverse-path (an empty sender is the null one)
    kBegun = 4,        ///< qmgr has seen it
    kClient = 8,       ///< smtpd has named the client
    kResolved = 16,    ///< tenant and stream are set
    kListed = 32,      ///< on the list of changed ones
    kStored = 64,      ///< the store holds a record of this key
    kChanged = 128,
  };
  /// What the codec keeps; the rest is derived or about cuts.
  static constexpr std::uint8_t kLasting = kSenderKnown | kBegun | kClient;

  std::uint64_t key = 0;
  std::int64_t first_us = 0;      ///< event time of the first record seen
  std::uint64_t fingerprint = 0;  ///< 0 = not computed yet
  std::unique_ptr<std::string> overflow;
  std::uint32_t first_recipient = 0;  ///< 0 = nobody is deferred
  std::uint32_t last_recipient = 0;
  std::uint32_t copy_stamp = 0;   ///< apply() call whose batch holds a copy of the texts ...
  std::uint32_t copy_offset = 0;  ///< ... here
  std::uint32_t nrcpt = 0;
  std::uint32_t index = 0;  ///< its own slab index
  std::uint16_t used = 0;   ///< bytes of text
  std::uint16_t tenant = 0;
  std::uint16_t stream = 0;
  std::uint8_t flags = 0;
  std::uint16_t done = 0;  ///< recipients with a final outcome; saturating
  struct Piece {
    std::uint16_t offset = 0, size = 0;
  };
  std::array<Piece, kFields> pieces{};
  char bytes[kInlineBytes];

  [[nodiscard]] bool has(std::uint8_t flag) const { return (flags & flag) != 0; }
  [[nodiscard]] const char* data() const { return overflow ? overflow->data() : bytes; }
  [[nodiscard]] std::string_view text(Field field) const {
    const Piece piece = pieces[static_cast<std::size_t>(field)];
    return {data() + piece.offset, piece.size};
  }
  /// False when it was that text already.
  bool set_text(Field field, std::string_view value);
  /// As new, but for kListed and kStored, which belong to the key's place in the store.
  void reset(std::uint64_t new_key, std::int64_t time_us);
};
static_assert(sizeof(OpenMessage) == 192, "three cache lines");

}  // namespace bounced::correlate
