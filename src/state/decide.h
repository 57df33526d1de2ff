// decide: every rule about what blocks an address. Pure: no clock, no I/O, no globals.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "bounced/event.h"
#include "bounced/policy.h"
#include "bounced/verdict.h"
#include "state/address_state.h"

namespace bounced::state {

/// What decide needs of an event besides its verdict.
struct Fact {
  EventKind kind = EventKind::none;
  std::int64_t time_us = 0;
  std::uint64_t message = 0;
  std::uint64_t position = 0;
  std::uint32_t source = 0;
  std::uint16_t tenant = 0, stream = 0;
  std::uint32_t sending_domain = 0;  ///< Names id
  bool attempted = true;
  bool bulk_stream = true;  ///< complaints block the tenant's bulk streams
  // What the surroundings say at that moment of event time:
  std::int64_t domain_delivery_us = 0;  ///< last delivery to anybody at the domain; 0 = none known
  bool outage = false;                  ///< too many unrelated domains fail from this sending host
  bool incident = false;  ///< hard verdicts at the answering provider far over their base rate
  bool null_mx = false;   ///< domain.unknown by the owner's own word (RFC 7505), not by NXDOMAIN
  bool own_mx = true;     ///< the domain's own MX answered, not another port or a relay of ours
  bool relay = false;     ///< failed at a host of ours that only passes mail on
  /// Of a failure: when this very message had been taken with a 250; 0 = never, as far as we know.
  std::int64_t delivered_us = 0;
  bool failed_later = false;  ///< of a delivery: the message is known to have failed after all
  bool provider = false;      ///< kind suppressed: the provider's suppression, not ours
};

/// A block that began, changed or ended: one record of the change feed.
struct BlockChange {
  enum class Action : std::uint8_t { block, change, unblock };
  Action action = Action::block;
  BlockRecord record;        ///< for unblock: the block that ended
  std::int64_t time_us = 0;  ///< event time of the cause
};

struct Decision {
  bool dirty = false;      ///< the state changed at all
  bool duplicate = false;  ///< this failure was already told by another source: count nothing
  std::vector<BlockChange> changes;
};

/// Applies one fact to `state` (address level, or domain level when `level` says so).
Decision decide(AddressState& state, const Fact& fact, const Verdict& verdict, const Policy& policy,
                PolicyLevel level);
/// Time-driven part: ends blocks whose `until` <= now (event-time watermark or Clock).
Decision decide_at(AddressState& state, std::int64_t now_us, const Policy& policy);
/// Operator's hand: block or lift. Unblock ends every live block of the kinds given that is also
/// one of `only`, if that is given. (Blocks that rest on the same failures end together.)
Decision decide_block(AddressState& state, const BlockRecord& record, std::int64_t now_us);
Decision decide_unblock(AddressState& state, std::uint32_t kind_mask, std::int64_t now_us,
                        std::span<const BlockRecord> only = {});

/// A domain's DNS answered (again): ends what domain.unknown had begun.
Decision decide_answered(AddressState& state, std::int64_t now_us, const Policy& policy);

/// Failures in a row: those after the last delivery whose cause counts.
struct Streak {
  std::uint32_t count = 0;
  std::int64_t since_us = 0;
};
Streak streak(const AddressState& state);

/// The strictest block that is live at `now`; kind none when the address may be mailed.
/// Strictness: manual > complaint > dead > provider > unsubscribe > filtered > soft > incident;
/// global before scoped.
BlockRecord effective_block(const AddressState& state, std::int64_t now_us);
/// The strictest block that nothing has ended yet, for who knows the time himself. Ends are told by
/// ticks: a single line that is stamped years ahead must not open what it is about.
BlockRecord standing_block(const AddressState& state);

}  // namespace bounced::state
