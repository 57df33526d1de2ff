// Failure blocks: which dead, soft and incident blocks a state's failures make (DESIGN section 5).
//
// Rules of counting, all pure functions of the state and the policy:
//  1. Only failures newer than the last delivery (and than the operator's unblock) count.
//  2. Causes whose policy rows are equal count together; rows never feed each other.
//  3. A failure is `sure` when its confidence reaches the row's minimum and no incident was going
//     on at its provider. `messages` over `span` sure ones begin a block; else
//     `messages_unsure` over `span_unsure` of any.
//  4. The block begins at the failure that completes the count. While it is live further failures
//     change nothing; the first one after its end begins the next term at once. A delivery ends
//     the streak and with it the terms: an address that took mail starts anew.
//  5. The n-th soft block of a streak is a dead one from `dead_from` on (addresses only).
//  6. A dead block that only failures of an incident would make is an incident block; a second
//     failure incident_confirm (and the row's unsure span) later confirms it.
//  7. A domain's blocks begin at the start of their day (UTC): thousands of failures a second
//     from several sources must not make `since` depend on who came first.
#pragma once

#include "bounced/policy.h"
#include "state/address_state.h"

namespace bounced::state {

bool same_row(const CausePolicy& a, const CausePolicy& b);
/// The lowest cause that shares `cause`'s row.
std::uint16_t row_of(const Policy& policy, std::uint16_t cause);

/// Terms begun by the first `failures` kept failures (in time order), starting from `base`.
Terms compute_terms(const AddressState& state, std::size_t failures, const Policy& policy,
                    PolicyLevel level);

/// Marks a day of a row; days older than the window fall off.
void mark_day(AddressState& state, std::uint16_t row, std::int64_t time_us);

/// Forgets summaries that the reset (delivery, operator) has made void, so that equal knowledge
/// has equal bytes.
void drop_before_reset(AddressState& state);

}  // namespace bounced::state
