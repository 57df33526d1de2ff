// AddressState: what is kept per address (and, under its own key, per domain).
//
// Invariants:
//  1. `failures` is sorted by (time, message), no two share `message`; at most kFailuresMax, the
//     newest by event time. What falls off lives on in totals, `days` and `base` only.
//  2. Failure blocks (dead, soft, incident with actor 0) are a pure function of failures, days,
//     base, last delivery, cleared_us and policy: the order in which sources arrive does not
//     matter while no more than kFailuresMax newer failures have been told.
//  3. A block of another kind is added and ended by its own events only.
//
// What the bound of kFailuresMax means: counts and spans that need more history than the kept
// failures see what fell off as days (one message a day, at the day's end: never too early), and
// the blocks that it had begun as `base`. Both are summaries that do not depend on order, but for
// this: a failure told after kFailuresMax newer ones cannot be recognised as a duplicate.
#pragma once

#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

#include "bounced/cause.h"
#include "bounced/event.h"
#include "bounced/policy.h"
#include "bounced/result.h"

namespace bounced::state {

/// One final failure of one message.
struct FailureRecord {
  static constexpr std::uint8_t kExpired = 1;   ///< else refused for good
  static constexpr std::uint8_t kIncident = 2;  ///< happened during an incident at its provider
  static constexpr std::uint8_t kCounts = 4;    ///< policy counts its cause for this level
  static constexpr std::uint8_t kAlive = 8;     ///< others at the domain were being delivered
  static constexpr std::uint8_t kLate = 16;     ///< the message had been taken with a 250 before
  std::int64_t time_us = 0;
  std::uint64_t message = 0;   ///< fingerprint
  std::uint64_t position = 0;  ///< Event::offset
  std::uint32_t source = 0;    ///< Names id
  std::uint16_t cause = 0;
  std::uint8_t confidence = 0;  ///< percent
  std::uint8_t flags = 0;
};

struct BlockRecord {
  std::int64_t since_us = 0;
  std::int64_t until_us = 0;   ///< 0 = no end
  std::uint32_t scope_id = 0;  ///< Names id by scope; 0 for global
  std::uint32_t actor = 0;     ///< Names id: who set a manual block; 0 = policy
  std::uint16_t cause = 0;
  BlockKind kind = BlockKind::none;
  BlockScope scope = BlockScope::global;
};

/// Days on which failures of one policy row happened that are no longer kept one by one.
struct FailureDays {
  static constexpr int kDays = 64;
  std::uint16_t row = 0;        ///< lowest cause of the policy row
  std::int32_t newest_day = 0;  ///< days since 1970 UTC
  std::uint64_t bits = 0;       ///< bit k: day newest_day - k
};

/// Terms of one kind of failure block within the streak.
struct Term {
  std::uint8_t count = 0;  ///< blocks begun so far
  std::uint16_t cause = 0;
  std::int64_t since_us = 0;  ///< of the newest
  std::int64_t until_us = 0;  ///< 0 = no end
  [[nodiscard]] bool live_at(std::int64_t t) const {
    return count != 0 && (until_us == 0 || t < until_us);
  }
};
struct Terms {
  Term dead, soft, incident;
};

struct Totals {  // counted from the first failure on; saturating
  std::uint32_t delivered = 0, bounced = 0, expired = 0, deferred = 0, complained = 0,
                suppressed = 0;
};

struct AddressState {
  std::int64_t first_us = 0;          ///< of the first event that made a state
  std::int64_t last_delivery_us = 0;  ///< 0 = none since
  std::uint64_t last_delivery_message = 0;
  /// Oldest delivery since a late failure that is not believed yet, and when it will be; 0 = none.
  std::int64_t held_us = 0, held_until_us = 0;
  std::uint64_t held_message = 0;
  /// What last_delivery was before a held one took its place: should that one come back yet.
  bool has_prior = false;
  std::int64_t prior_us = 0;
  std::uint64_t prior_message = 0;
  std::int64_t last_event_us = 0;  ///< newest event other than a delivery
  Totals totals;
  std::uint32_t evidence = 0;   ///< number written so far; slot = n mod kEvidenceMax
  std::uint8_t dead_terms = 0;  ///< dead blocks begun in this streak
  std::uint8_t soft_terms = 0;
  std::int64_t cleared_us = 0;    ///< failures up to here were lifted by the operator
  std::int64_t lifted_us = 0;     ///< the same for filtered, complaint and the like
  std::int64_t lapsed_us = 0;     ///< `until` of the failure block that ended by time
  Terms base;                     ///< begun by failures that fell off, in this streak
  std::vector<FailureDays> days;  ///< sorted by row
  std::vector<FailureRecord> failures;
  std::vector<BlockRecord> blocks;
  std::string text;  ///< the clear address (domain), as first seen

  [[nodiscard]] bool empty() const { return first_us == 0; }
  /// Failures up to here do not count: delivered since, or lifted by the operator.
  [[nodiscard]] std::int64_t reset_us() const {
    return last_delivery_us > cleared_us ? last_delivery_us : cleared_us;
  }
};

/// Versioned codec; also the layout that the RAM table keeps.
void encode(const AddressState& state, std::string& out);
Result<AddressState> decode(std::string_view bytes);
/// The same into `out`, whose capacity is used again; false (and `out` undefined) when malformed.
bool decode_into(std::string_view bytes, AddressState& out);

/// What the fixed head of an encoded state lets one change in place, without decoding.
/// Little endian: version, flags, two counts, delivered (u32), first_us; then, with kDelivery,
/// last_delivery_us and last_delivery_message. The rest is varints.
struct EncodedHead {
  static constexpr std::uint8_t kVersion = 1;
  static constexpr std::uint8_t kDelivery = 1;  ///< the delivery pair is there
  static constexpr std::uint8_t kStreak = 2;    ///< a delivery changes more than the pair
  static constexpr std::size_t kSizeMin = 16;

  enum class Counted : std::uint8_t {
    unchanged,  ///< older than the state, or told before
    in_place,   ///< done, with the bytes that encode(decide(..)) would give
    decode,     ///< the state must be decoded and decided
  };
  /// False: damaged, or of another version. The others read, and write, where it says they may.
  static bool valid(std::string_view bytes) {
    return bytes.size() >= kSizeMin && bytes[0] == kVersion &&
           (static_cast<std::uint8_t>(bytes[1]) & ~(kDelivery | kStreak)) == 0 &&
           ((bytes[1] & kDelivery) == 0 || bytes.size() >= kSizeMin + 16);
  }
  static std::int64_t last_delivery(const char* bytes) {  ///< 0 = none
    return (bytes[1] & kDelivery) != 0 ? read<std::int64_t>(bytes + kSizeMin) : 0;
  }
  static Counted count_delivery(char* bytes, std::int64_t time_us, std::uint64_t message);

  // Those that may change the size write the new bytes to `out`, whose old ones go; false: decode.
  /// The first delivery to an address that has failed, where it begins and ends nothing.
  static bool add_delivery(std::string_view bytes, std::int64_t time_us, std::uint64_t message,
                           std::string& out);
  /// A deferral: time of the newest event and the counter.
  static bool add_deferral(std::string_view bytes, std::int64_t time_us, std::string& out);
  /// The state of an address that was deferred once, after 1970.
  static void first_deferral(std::int64_t time_us, std::string_view text, std::string& out);
  /// The state of a domain without failures. `hour_us` is not 0.
  static void quiet_domain(std::int64_t hour_us, std::string_view text, std::string& out);
  /// Moves it on to a later hour; false (and nothing done) when the pair is missing, or
  /// would be.
  static bool move_delivery(char* bytes, std::int64_t hour_us);

 private:
  template <class T>
  static T read(const char* at) {
    T value;
    std::memcpy(&value, at, sizeof value);
    return value;
  }
};

inline EncodedHead::Counted EncodedHead::count_delivery(char* bytes, std::int64_t time_us,
                                                        std::uint64_t message) {
  const auto flags = static_cast<std::uint8_t>(bytes[1]);
  if (time_us < read<std::int64_t>(bytes + 8)) return Counted::unchanged;
  if ((flags & kDelivery) == 0) return Counted::decode;
  const auto last = read<std::int64_t>(bytes + kSizeMin);
  const auto last_message = read<std::uint64_t>(bytes + kSizeMin + 8);
  if (last == time_us && last_message == message) return Counted::unchanged;
  const bool newest = last < time_us || (last == time_us && last_message < message);
  if (newest && (flags & kStreak) != 0) return Counted::decode;
  const auto delivered = read<std::uint32_t>(bytes + 4);
  const std::uint32_t more = delivered + (delivered != UINT32_MAX);
  std::memcpy(bytes + 4, &more, sizeof more);
  if (newest) {
    std::memcpy(bytes + kSizeMin, &time_us, sizeof time_us);
    std::memcpy(bytes + kSizeMin + 8, &message, sizeof message);
  }
  return Counted::in_place;
}

}  // namespace bounced::state
