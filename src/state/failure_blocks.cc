#include "state/failure_blocks.h"

#include <algorithm>
#include <bit>

#include "base/time.h"

namespace bounced::state {
namespace {

std::int32_t day_of(std::int64_t time_us) {
  return static_cast<std::int32_t>((time_us >= 0 ? time_us : time_us - kDayUs + 1) / kDayUs);
}

/// Failures of one row up to one of them.
struct Count {
  std::uint32_t any = 0, confident = 0, sure = 0;
  std::int64_t any_first = 0, confident_first = 0, sure_first = 0;
  bool incident = false;
};

void add_day_marks(Count& count, const FailureDays& days, std::int64_t reset_us,
                   std::int32_t oldest_kept_day) {
  // A mark counts when its whole day lies behind the reset and before the oldest kept failure.
  const std::int32_t from = reset_us == 0 ? INT32_MIN : day_of(reset_us) + 1;
  for (int k = FailureDays::kDays - 1; k >= 0; --k) {
    const std::int32_t day = days.newest_day - k;
    if ((days.bits >> k & 1) == 0 || day < from || day >= oldest_kept_day) continue;
    if (count.any == 0) count.any_first = (std::int64_t{day} + 1) * kDayUs - 1;
    ++count.any;
  }
}

Count count_row(const AddressState& state, std::size_t last, const CausePolicy& row,
                const Policy& policy) {
  Count count;
  const std::int64_t reset = state.reset_us();
  for (const FailureDays& days : state.days) {
    if (same_row(policy.of(static_cast<Cause>(days.row)), row)) {
      add_day_marks(count, days, reset, day_of(state.failures.front().time_us));
    }
  }
  for (std::size_t i = 0; i <= last; ++i) {
    const FailureRecord& f = state.failures[i];
    if (f.time_us <= reset || (f.flags & FailureRecord::kCounts) == 0) continue;
    if (!same_row(policy.of(static_cast<Cause>(f.cause)), row)) continue;
    if (count.any++ == 0) count.any_first = f.time_us;
    count.incident = count.incident || (f.flags & FailureRecord::kIncident) != 0;
    if (f.confidence < row.confidence_min) continue;
    if (count.confident++ == 0) count.confident_first = f.time_us;
    if ((f.flags & FailureRecord::kIncident) != 0) continue;
    if (count.sure++ == 0) count.sure_first = f.time_us;
  }
  return count;
}

void begin(Term& term, const BlockTerms& terms, const FailureRecord& f, PolicyLevel level,
           std::int64_t domain_us) {
  if (term.count < UINT8_MAX) ++term.count;
  term.cause = f.cause;
  term.since_us = f.time_us;
  std::int64_t length = 0;
  if (level == PolicyLevel::domain) {
    term.since_us = std::int64_t{day_of(f.time_us)} * kDayUs;
    length = domain_us;
  } else if (terms.count != 0) {
    length = terms.terms_us[std::min<std::uint32_t>(term.count, terms.count) - 1];
  }
  term.until_us = length == 0 ? 0 : term.since_us + length;
}

/// `f` makes a dead block, unless one is live.
void begin_dead(Terms& terms, const FailureRecord& f, const Policy& policy, PolicyLevel level) {
  terms.incident = Term{};  // confirmed
  if (!terms.dead.live_at(f.time_us)) return begin(terms.dead, policy.dead, f, level, 0);
  if (terms.dead.count == 1 && f.time_us < terms.dead.since_us) {
    // Told late, and older than what fell off: the first term began with this one.
    terms.dead.count = 0;
    begin(terms.dead, policy.dead, f, level, 0);
  }
}

void begin_soft(Terms& terms, const FailureRecord& f, const Policy& policy, PolicyLevel level) {
  if (terms.soft.live_at(f.time_us)) return;
  const std::uint32_t next = terms.soft.count + 1u;
  const bool dead =
      level == PolicyLevel::address && policy.soft.dead_from != 0 && next >= policy.soft.dead_from;
  if (!dead) return begin(terms.soft, policy.soft, f, level, policy.domain_soft_us);
  if (terms.dead.live_at(f.time_us)) return;
  begin_dead(terms, f, policy, level);
}

void step(Terms& terms, const AddressState& state, std::size_t i, const Policy& policy,
          PolicyLevel level) {
  const FailureRecord& f = state.failures[i];
  if ((f.flags & FailureRecord::kCounts) == 0 || f.time_us <= state.reset_us()) return;
  const CausePolicy& row = policy.of(static_cast<Cause>(f.cause));
  if (row.block != BlockKind::dead && row.block != BlockKind::soft) return;
  if (row.needs_domain_alive && (f.flags & FailureRecord::kAlive) == 0) return;
  const Count count = count_row(state, i, row, policy);
  const std::uint32_t unsure = row.messages_unsure != 0 ? row.messages_unsure : row.messages;
  const std::int64_t span_unsure =
      std::max(row.messages_unsure != 0 ? row.span_unsure_us : row.span_us,
               count.incident ? policy.incident_confirm_us : 0);
  const bool sure_ok = count.sure >= row.messages && f.time_us - count.sure_first >= row.span_us;
  const bool any_ok = count.any >= unsure && f.time_us - count.any_first >= span_unsure;
  if (sure_ok || any_ok) {
    if (row.block == BlockKind::dead) return begin_dead(terms, f, policy, level);
    return begin_soft(terms, f, policy, level);
  }
  const bool but_for_incident =
      count.confident >= row.messages && f.time_us - count.confident_first >= row.span_us;
  if (row.block == BlockKind::dead && but_for_incident && !terms.dead.live_at(f.time_us) &&
      !terms.incident.live_at(f.time_us)) {
    begin(terms.incident, BlockTerms{{policy.incident_us}, 1, 0}, f, PolicyLevel::address, 0);
  }
}

}  // namespace

bool same_row(const CausePolicy& a, const CausePolicy& b) {
  return &a == &b ||
         (a.level == b.level && a.block == b.block && a.messages == b.messages &&
          a.span_us == b.span_us && a.confidence_min == b.confidence_min &&
          a.messages_unsure == b.messages_unsure && a.span_unsure_us == b.span_unsure_us &&
          a.needs_domain_alive == b.needs_domain_alive &&
          a.needs_domain_dead == b.needs_domain_dead);
}

std::uint16_t row_of(const Policy& policy, std::uint16_t cause) {
  const CausePolicy& row = policy.of(static_cast<Cause>(cause));
  for (std::size_t n = 0; n < policy.causes.size(); ++n) {
    if (same_row(policy.causes[n], row)) return static_cast<std::uint16_t>(n);
  }
  return cause;
}

Terms compute_terms(const AddressState& state, std::size_t failures, const Policy& policy,
                    PolicyLevel level) {
  Terms terms;
  const std::int64_t reset = state.reset_us();
  if (state.base.dead.since_us > reset) terms.dead = state.base.dead;
  if (state.base.soft.since_us > reset) terms.soft = state.base.soft;
  if (state.base.incident.since_us > reset) terms.incident = state.base.incident;
  for (std::size_t i = 0; i < failures; ++i) step(terms, state, i, policy, level);
  return terms;
}

void mark_day(AddressState& state, std::uint16_t row, std::int64_t time_us) {
  const std::int32_t day = day_of(time_us);
  auto it = std::lower_bound(state.days.begin(), state.days.end(), row,
                             [](const FailureDays& d, std::uint16_t r) { return d.row < r; });
  if (it == state.days.end() || it->row != row) {
    it = state.days.insert(it, FailureDays{row, day, 0});
  }
  if (day > it->newest_day) {
    const std::int32_t shift = day - it->newest_day;
    it->bits = shift >= FailureDays::kDays ? 0 : it->bits << shift;
    it->newest_day = day;
  }
  const std::int32_t k = it->newest_day - day;
  if (k < FailureDays::kDays) it->bits |= std::uint64_t{1} << k;
}

void drop_before_reset(AddressState& state) {
  const std::int64_t reset = state.reset_us();
  if (reset == 0) return;
  for (Term* term : {&state.base.dead, &state.base.soft, &state.base.incident}) {
    if (term->since_us <= reset) *term = Term{};
  }
  for (FailureDays& days : state.days) {
    const std::int64_t keep = std::int64_t{days.newest_day} - day_of(reset);
    if (keep < FailureDays::kDays) days.bits &= keep <= 0 ? 0 : (std::uint64_t{1} << keep) - 1;
  }
  state.days.erase(std::remove_if(state.days.begin(), state.days.end(),
                                  [](const FailureDays& d) { return d.bits == 0; }),
                   state.days.end());
}

}  // namespace bounced::state
