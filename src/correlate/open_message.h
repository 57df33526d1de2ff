// OpenMessage: what is known of a message that is still in a queue, and of the recipients that it
// could not reach yet.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>
#include <memory>
#include <string>
#include <string_view>

#include "base/copy_short.h"
#include "base/message.h"
#include "bounced/event.h"
#include "bounced/result.h"
#include "bounced/verdict.h"

namespace bounced::correlate {

/// The texts of a message, in the order of the codec.
enum class Field : std::uint8_t { sender, message_id, sasl_user, campaign, mx_failure };
inline constexpr std::size_t kFields = 5;

/// Longest text kept per field; what is longer is cut.
inline constexpr std::array<std::uint16_t, kFields> kFieldBytesMax = {
    kSenderBytesMax, kMessageIdBytesMax, kSaslUserBytesMax, kCampaignBytesMax, 512};
inline constexpr std::size_t kLastWordsBytesMax = 512;

/// Bytes that are written whole: keeps its memory, never fills it with zeros.
struct TextBuffer {
  std::unique_ptr<char[]> bytes;
  std::uint16_t size = 0;
  std::uint16_t capacity = 0;
  operator std::string_view() const { return {bytes.get(), size}; }
};

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
  TextBuffer texts;

  [[nodiscard]] std::string_view part(Part wanted) const {
    std::size_t at = 0;
    for (std::uint8_t i = 0; i < wanted; ++i) at += sizes[i];
    return {texts.bytes.get() + at, sizes[wanted]};
  }
  void set_parts(const std::array<std::string_view, kParts>& parts);
  /// As new, but for the buffer, which is kept unless it is a large one.
  void reset(const AddressId& recipient);
  /// Takes in one more attempt's verdict.
  void judge(const Verdict& verdict);
};

/// True for causes after which an expiry must not count (DESIGN section 5): our own fault, our
/// content, or a rate limit.
bool exempts(const Verdict& verdict);
/// How specific a cause is about the recipient: mailbox over domain over system, network, routing
/// over unknown.
int specificity(const Verdict& verdict);

/// Four cache lines; what is not text lies in the first two. Texts lie inline, in the order of
/// their arrival; those that do not fit go together to `overflow`, so that they are always one
/// contiguous piece. There is room for the usual sender, Message-ID, campaign and user together.
struct alignas(64) OpenMessage {
  static constexpr std::size_t kPlaces = kFields - 1;
  static constexpr std::size_t kInlineBytes = 148;
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
  std::int64_t first_us = 0;        ///< event time of the first record seen
  std::uint64_t fingerprint = 0;    ///< 0 = not computed yet
  std::uint64_t sender_domain = 0;  ///< domain_key() of the sender; 0 = not computed yet
  std::unique_ptr<std::string> overflow;
  std::uint32_t first_recipient = 0;  ///< 0 = nobody is deferred
  std::uint32_t last_recipient = 0;
  std::uint32_t copy_stamp = 0;  ///< apply() call whose batch holds the texts `where` says
  std::uint32_t nrcpt = 0;
  std::uint32_t index = 0;  ///< its own slab index
  std::uint16_t used = 0;   ///< bytes of text
  std::uint16_t tenant = 0;
  std::uint16_t stream = 0;
  std::uint16_t done = 0;  ///< recipients with a final outcome; saturating
  std::uint8_t flags = 0;
  /// The texts lie where `where` says, and nowhere else: most messages are over before their batch
  /// is, and need no copy.
  bool loose = false;
  /// Text::offset of sender, message id, user and campaign in the batch of `copy_stamp`: either of
  /// the line that told it, or of a copy in the arena.
  std::array<std::uint32_t, kPlaces> where{};
  struct Piece {
    std::uint16_t offset = 0, size = 0;
  };
  std::array<Piece, kFields> pieces{};
  char bytes[kInlineBytes];

  [[nodiscard]] bool has(std::uint8_t flag) const { return (flags & flag) != 0; }
  [[nodiscard]] const char* data() const { return overflow ? overflow->data() : bytes; }
  /// Not for loose ones.
  [[nodiscard]] std::string_view text(Field field) const {
    const Piece piece = pieces[static_cast<std::size_t>(field)];
    return {data() + piece.offset, piece.size};
  }
  /// Not of an MX failure.
  [[nodiscard]] std::uint32_t& place(Field field) { return where[static_cast<std::size_t>(field)]; }
  /// False when it was that text already. Else `where` is no longer to be trusted.
  [[gnu::always_inline]] bool set_text(Field field, std::string_view value) {
    const auto number = static_cast<std::size_t>(field);
    value = value.substr(0, kFieldBytesMax[number]);
    if (text(field) == value) return false;
    if (field != Field::mx_failure) copy_stamp = 0;
    if (overflow || used + value.size() > kInlineBytes) {
      rebuild(field, value);
      return true;
    }
    copy_short(bytes + used, value.data(), value.size());
    pieces[number] = {used, static_cast<std::uint16_t>(value.size())};
    used = static_cast<std::uint16_t>(used + value.size());
    return true;
  }
  /// A text that stays in the batch for now; `value` is not empty.
  [[gnu::always_inline]] void set_loose(Field field, Text value) {
    const auto number = static_cast<std::size_t>(field);
    place(field) = value.offset;
    pieces[number].size =
        static_cast<std::uint16_t>(std::min<std::uint32_t>(value.size, kFieldBytesMax[number]));
  }
  /// As new, but for kListed and kStored, which belong to the key's place in the store.
  [[gnu::always_inline]] void reset(std::uint64_t new_key, std::int64_t time_us) {
    key = new_key;
    first_us = time_us;
    fingerprint = sender_domain = 0;
    loose = false;
    if (overflow) overflow.reset();
    first_recipient = last_recipient = 0;
    copy_stamp = 0;
    nrcpt = 0;
    used = tenant = stream = done = 0;
    flags = static_cast<std::uint8_t>((flags & (kListed | kStored)) | kAlive);
    pieces = {};
  }

 private:
  void rebuild(Field field, std::string_view value);
};
static_assert(sizeof(OpenMessage) == 256, "four cache lines");

}  // namespace bounced::correlate
