// Event: one fact about one recipient, whatever source told it.
#pragma once

#include <cstdint>
#include <string_view>
#include <type_traits>

namespace bounced {

/// A piece of text of the Batch that the Event belongs to (Batch::view). Bit 31 of the offset
/// selects the batch's arena, else the block's own bytes. {0,0} = absent.
struct Text {
  static constexpr std::uint32_t kArenaBit = std::uint32_t{1} << 31;
  std::uint32_t offset = 0;
  std::uint32_t size = 0;
  [[nodiscard]] bool empty() const { return size == 0; }
};

/// 128-bit keyed hash of a normalised address (or of a domain with another key).
struct AddressId {
  std::uint64_t hi = 0;  ///< top bits select the table slot, and the shard of a sharded store
  std::uint64_t lo = 0;
  friend bool operator==(const AddressId& a, const AddressId& b) {
    return a.hi == b.hi && a.lo == b.lo;
  }
  friend bool operator<(const AddressId& a, const AddressId& b) {
    return a.hi != b.hi ? a.hi < b.hi : a.lo < b.lo;
  }
};

/// RFC 3463 class.subject.detail; klass 0 = absent.
struct EnhancedCode {
  std::uint16_t subject = 0;
  std::uint16_t detail = 0;
  std::uint8_t klass = 0;
  [[nodiscard]] bool present() const { return klass != 0; }
  friend bool operator==(const EnhancedCode& a, const EnhancedCode& b) {
    return a.klass == b.klass && a.subject == b.subject && a.detail == b.detail;
  }
};

enum class EventKind : std::uint8_t {
  none,
  delivered,
  relayed,
  deferred,
  bounced,
  expired,
  complained,
  unsubscribed,
  resubscribed,
  suppressed,
  autoreplied,
  discarded,
  probed,
};
inline constexpr std::size_t kEventKinds = 13;
std::string_view to_string(EventKind kind);  // "delivered"
bool from_string(std::string_view text, EventKind& out);

/// Where in the SMTP dialogue the answer came (RFC 5321).
enum class Phase : std::uint8_t { none, connect, helo, mail, rcpt, data, eod };
std::string_view to_string(Phase phase);
bool from_string(std::string_view text, Phase& out);

/// How Event::time_us is to be read until TimeResolver (base/time.h) has made it UTC.
enum class TimeForm : std::uint8_t {
  utc,       ///< microseconds since 1970 UTC
  local,     ///< civil time of the source's zone, as microseconds since 1970
  yearless,  ///< civil time of the source's zone in the (leap) year 2000, microseconds since 1970
};

/// The class that a provider put a failure into, where its own words or codes may say more.
/// 0 = the source gave no hint. Stored: append only.
enum class ProviderHint : std::uint8_t {
  none,
  hard,  ///< permanent, with a server's words or code beside it
  soft,
  blocked,
  full,
  dns,
  transient,
  autoreply,
  challenge,
  no_mailbox,   ///< "no such mailbox", and nothing else was told
  bad_mailbox,  ///< permanent, and nothing else was told; or "no such mailbox" beside other words
  spam,
  content,
  too_big,
  network,
};
inline constexpr std::size_t kProviderHints = 15;
std::string_view to_string(ProviderHint hint);  // "no_mailbox"; "" for none

struct EventFlags {
  /// Deferral without a remote attempt ("delivery temporarily suspended"): attempted = false.
  static constexpr std::uint8_t kNotAttempted = 1;
  /// The line was cut (no closing parenthesis, or over the line limit).
  static constexpr std::uint8_t kTruncated = 2;
  /// status=SOFTBOUNCE: a 5xx kept in the queue by soft_bounce=yes.
  static constexpr std::uint8_t kSoftBounce = 4;
  /// Made by correlate from a queue-manager line, not by a line of its own.
  static constexpr std::uint8_t kSynthesised = 8;
  /// A deferral whose session never reached RCPT (connection, greeting, DNS): the domain's trouble.
  static constexpr std::uint8_t kSession = 16;
  /// The reverse-path is known to be null (<>): `sender` is empty but not unknown.
  static constexpr std::uint8_t kNullSender = 32;
  /// A failure at a host that only passes mail on (smart host, content filter): what it says of
  /// itself is not the recipient domain's trouble.
  static constexpr std::uint8_t kRelay = 64;
  /// Told by a mail that anybody could have written: changes no state until it is matched with a
  /// message that we sent.
  static constexpr std::uint8_t kUnproven = 128;
};

/// One fact about one recipient. Offsets into its Batch, no copies; only valid with that Batch.
struct Event {
  std::uint64_t id = 0;             ///< hash of (file identity, offset, n-th event of the record)
  std::int64_t time_us = 0;         ///< see `time_form`
  std::uint64_t offset = 0;         ///< of the record's first byte in its source (uncompressed)
  AddressId recipient_id;           ///< keyed hash of the normalised recipient
  AddressId domain_id;              ///< keyed hash of the recipient's normalised domain
  std::uint64_t queue_key = 0;      ///< hash of (host, instance, queue id); 0 = no queue id
  std::uint64_t message = 0;        ///< message fingerprint, set by correlate
  std::uint64_t sender_domain = 0;  ///< domain_key() of the sender; 0 = not computed, or no domain
  Text recipient;                   ///< as logged, without <>
  Text sender;                      ///< reverse-path without <>; see EventFlags::kNullSender
  Text queue_id;
  Text message_id;  ///< with <>
  Text mta_host;
  Text mta_ip;
  Text sending_ip;
  Text diagnostic;  ///< the server's (or MTA's) own words
  Text campaign;
  std::uint32_t source = 0;  ///< Names id of the source
  std::uint32_t delay_ms = 0;
  std::uint32_t verdict = 0;  ///< 1 + index into Batch::verdicts; 0 = none
  std::uint16_t tenant = 0;   ///< Names ids, 0 = none
  std::uint16_t stream = 0;
  std::uint16_t smtp_code = 0;
  std::uint16_t mta_port = 0;
  std::uint16_t origin = 0;  ///< 1 + index into Batch::origins (logging host, MTA instance)
  std::uint16_t domain = 0;  ///< 1 + index into Batch::domains; 0 = not listed there
  std::uint16_t host = 0;    ///< 1 + index into Batch::hosts; 0 = not listed there
  std::uint16_t local = 0;   ///< 1 + index into Batch::local; 0 = its message is not listed there
  EnhancedCode enhanced;     ///< 6 bytes
  EventKind kind = EventKind::none;
  Phase phase = Phase::none;
  TimeForm time_form = TimeForm::utc;
  ProviderHint hint = ProviderHint::none;
  std::uint8_t flags = 0;
  std::uint8_t format = 0;  ///< index of the parse row

  [[nodiscard]] bool has(std::uint8_t flag) const { return (flags & flag) != 0; }
  /// Kinds that carry a Verdict.
  [[nodiscard]] bool failing() const {
    return kind == EventKind::deferred || kind == EventKind::bounced || kind == EventKind::expired;
  }
  /// Bounced or expired: a message's final failure.
  [[nodiscard]] bool final_failure() const {
    return kind == EventKind::bounced || kind == EventKind::expired;
  }
};
static_assert(std::is_trivially_copyable_v<Event>);
static_assert(sizeof(Event) <= 192, "an Event is at most three cache lines");

}  // namespace bounced
