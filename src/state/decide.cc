// decide: how one fact changes a state. The rules of counting are in failure_blocks.h.
#include "state/decide.h"

#include <algorithm>
#include <array>
#include <limits>
#include <tuple>

#include "state/failure_blocks.h"

namespace bounced::state {
namespace {

using Action = BlockChange::Action;

void bump(std::uint32_t& n) {
  if (n != std::numeric_limits<std::uint32_t>::max()) ++n;
}

bool failure_kind(BlockKind kind) {
  return kind == BlockKind::dead || kind == BlockKind::soft || kind == BlockKind::incident;
}

/// Strictest first.
int rank(BlockKind kind) {
  switch (kind) {
    case BlockKind::manual:
      return 0;
    case BlockKind::complaint:
      return 1;
    case BlockKind::dead:
      return 2;
    case BlockKind::provider:
      return 3;
    case BlockKind::unsubscribe:
      return 4;
    case BlockKind::filtered:
      return 5;
    case BlockKind::soft:
      return 6;
    case BlockKind::incident:
      return 7;
    case BlockKind::none:
      break;
  }
  return 8;
}

auto sort_key(const BlockRecord& b) {
  return std::tuple(rank(b.kind), b.scope, b.actor == 0, b.since_us, b.scope_id, b.actor, b.cause);
}

bool same(const BlockRecord& a, const BlockRecord& b) {
  return a.since_us == b.since_us && a.until_us == b.until_us && a.scope_id == b.scope_id &&
         a.actor == b.actor && a.cause == b.cause && a.kind == b.kind && a.scope == b.scope;
}

/// Keeps blocks in one order, so that equal sets have equal bytes; the weakest beyond the bound
/// falls off.
void insert_sorted(AddressState& state, const BlockRecord& block, Decision& out) {
  const auto at = std::lower_bound(
      state.blocks.begin(), state.blocks.end(), block,
      [](const BlockRecord& a, const BlockRecord& b) { return sort_key(a) < sort_key(b); });
  state.blocks.insert(at, block);
  if (state.blocks.size() > limits::kBlocksPerAddressMax) {
    const BlockRecord weakest = state.blocks.back();
    state.blocks.pop_back();
    out.changes.push_back({Action::unblock, weakest, block.since_us});
  }
}

void touch(AddressState& state, std::int64_t time_us) {
  if (state.first_us == 0 || time_us < state.first_us) state.first_us = time_us;
  state.last_event_us = std::max(state.last_event_us, time_us);
}

/// Makes the derived block of one kind equal to `term`.
void settle(AddressState& state, BlockKind kind, const Term& term, std::int64_t time_us,
            Decision& out) {
  const auto it =
      std::find_if(state.blocks.begin(), state.blocks.end(),
                   [kind](const BlockRecord& b) { return b.kind == kind && b.actor == 0; });
  const bool wanted = term.count != 0 && (term.until_us == 0 || term.until_us > state.lapsed_us);
  const BlockRecord block{term.since_us, term.until_us, 0, 0, term.cause, kind, BlockScope::global};
  if (it == state.blocks.end()) {
    if (!wanted) return;
    insert_sorted(state, block, out);
    out.changes.push_back({Action::block, block, time_us});
    return;
  }
  if (wanted && same(*it, block)) return;
  const BlockRecord old = *it;
  state.blocks.erase(it);
  if (!wanted) {
    out.changes.push_back({Action::unblock, old, time_us});
    return;
  }
  insert_sorted(state, block, out);
  if (old.until_us != 0 && old.until_us <= block.since_us) {
    // The next term: its predecessor had ended by time, whether a tick has said so or not.
    out.changes.push_back({Action::unblock, old, old.until_us});
    out.changes.push_back({Action::block, block, time_us});
  } else {
    out.changes.push_back({Action::change, block, time_us});
  }
}

/// Recomputes what failures make; the only place that begins or ends derived blocks, but for time.
void recompute(AddressState& state, const Policy& policy, PolicyLevel level, std::int64_t time_us,
               Decision& out) {
  drop_before_reset(state);
  const Terms terms = compute_terms(state, state.failures.size(), policy, level);
  state.dead_terms = terms.dead.count;
  state.soft_terms = terms.soft.count;
  std::int64_t lapsed = 0;
  for (const Term* term : {&terms.dead, &terms.soft, &terms.incident}) {
    if (term->until_us != 0 && term->until_us <= state.lapsed_us) {
      lapsed = std::max(lapsed, term->until_us);
    }
  }
  state.lapsed_us = lapsed;
  settle(state, BlockKind::dead, terms.dead, time_us, out);
  settle(state, BlockKind::soft, terms.soft, time_us, out);
  settle(state, BlockKind::incident, terms.incident, time_us, out);
}

// --- late failures: messages that were taken with a 250 and came back ---------------------------
//
// An address that has done so is believed a 250 only when policy.late_quiet_us has passed after it
// without another: until then the delivery is held, and ends nothing.

bool late(const FailureRecord& f) {
  return (f.flags & FailureRecord::kLate) != 0;
}

/// What ends with a delivery at that time.
void end_streak(AddressState& state, std::int64_t delivered_us, const Policy& policy,
                PolicyLevel level, Decision& out) {
  for (std::size_t i = state.blocks.size(); i-- > 0;) {
    const BlockRecord block = state.blocks[i];
    if (block.actor == 0 || !failure_kind(block.kind) || block.since_us > delivered_us) continue;
    state.blocks.erase(state.blocks.begin() + static_cast<std::ptrdiff_t>(i));
    out.changes.push_back({Action::unblock, block, delivered_us});
  }
  recompute(state, policy, level, delivered_us, out);
}

void set_last(AddressState& state, std::int64_t time_us, std::uint64_t message) {
  state.last_delivery_us = time_us;
  state.last_delivery_message = message;
}

void set_prior(AddressState& state, bool has, std::int64_t time_us, std::uint64_t message) {
  state.has_prior = has;
  state.prior_us = time_us;
  state.prior_message = message;
}

void forget_held(AddressState& state) {
  state.held_us = state.held_until_us = 0;
  state.held_message = 0;
}

/// The held delivery is believed once its time has passed.
void believe_held(AddressState& state, std::int64_t now_us, const Policy& policy, Decision& out) {
  if (state.held_us == 0 || now_us < state.held_until_us) return;
  out.dirty = true;
  const std::int64_t delivered_us = state.held_us;
  if (delivered_us > state.last_delivery_us) {
    set_prior(state, true, state.last_delivery_us, state.last_delivery_message);
    set_last(state, delivered_us, state.held_message);
  }
  forget_held(state);
  end_streak(state, delivered_us, policy, PolicyLevel::address, out);
}

void hold(AddressState& state, std::int64_t time_us, std::uint64_t message, const Policy& policy) {
  if (state.held_us != 0 && state.held_us <= time_us) return;
  state.held_us = time_us;
  state.held_message = message;
  state.held_until_us = time_us + policy.late_quiet_us;
}

/// Whether a delivery must wait; `refuted`: nor will it ever be believed.
bool must_wait(const AddressState& state, std::int64_t time_us, const Policy& policy,
               bool& refuted) {
  bool waits = false;
  refuted = false;
  for (const FailureRecord& f : state.failures) {
    if (!late(f)) continue;
    waits = waits || (f.time_us < time_us && f.time_us > state.reset_us());
    refuted = refuted || (f.time_us >= time_us && f.time_us - time_us < policy.late_quiet_us);
  }
  return waits && policy.late_quiet_us != 0;
}

/// A message that had been taken came back: what was delivered shortly before it proves nothing,
/// and what was delivered after it must wait.
void on_late_failure(AddressState& state, const Fact& fact, const Policy& policy) {
  if (policy.late_quiet_us == 0) return;
  if (state.held_us != 0 && state.held_us <= fact.time_us) forget_held(state);
  if (state.has_prior && state.last_delivery_message == fact.message) {
    // Believed too soon: told of only now.
    set_last(state, state.prior_us, state.prior_message);
    set_prior(state, false, 0, 0);
  }
  if (state.last_delivery_us <= fact.time_us) return;
  hold(state, state.last_delivery_us, state.last_delivery_message, policy);
  set_last(state, fact.delivered_us, fact.message);
  set_prior(state, false, 0, 0);
}

Decision on_delivered(AddressState& state, const Fact& fact, const Policy& policy,
                      PolicyLevel level) {
  Decision out;
  if (level == PolicyLevel::address && fact.failed_later) {
    for (FailureRecord& f : state.failures) {
      if (f.message != fact.message || late(f)) continue;
      f.flags |= FailureRecord::kLate;
      out.dirty = true;
    }
  }
  // Totals count from the first failure on; an older delivery says nothing about it.
  if (level == PolicyLevel::address && (state.empty() || fact.time_us < state.first_us)) return out;
  if (fact.time_us == state.last_delivery_us && fact.message == state.last_delivery_message) {
    return out;
  }
  if (state.held_us != 0 && fact.time_us == state.held_us && fact.message == state.held_message) {
    return out;
  }
  out.dirty = true;
  bump(state.totals.delivered);
  bool refuted = false;
  if (level == PolicyLevel::address && must_wait(state, fact.time_us, policy, refuted)) {
    if (!refuted) hold(state, fact.time_us, fact.message, policy);
    return out;
  }
  if (std::tie(fact.time_us, fact.message) <
      std::tie(state.last_delivery_us, state.last_delivery_message)) {
    return out;
  }
  set_last(state, fact.time_us, fact.message);
  set_prior(state, false, 0, 0);
  end_streak(state, fact.time_us, policy, level, out);
  return out;
}

/// Adds a block that has no end and that only its own kind of event, or the operator, ends.
/// Of several tellings the earliest is kept.
void add_lasting(AddressState& state, BlockKind kind, BlockScope scope, std::uint32_t scope_id,
                 std::uint16_t cause, std::int64_t time_us, Decision& out) {
  if (time_us <= state.lifted_us) return;
  const auto it = std::find_if(state.blocks.begin(), state.blocks.end(), [&](const BlockRecord& b) {
    return b.kind == kind && b.scope == scope && b.scope_id == scope_id && b.actor == 0;
  });
  BlockRecord block{time_us, 0, scope_id, 0, cause, kind, scope};
  if (it == state.blocks.end()) {
    insert_sorted(state, block, out);
    out.changes.push_back({Action::block, block, time_us});
    return;
  }
  if (std::tie(it->since_us, it->cause) <= std::tie(block.since_us, block.cause)) return;
  state.blocks.erase(it);
  insert_sorted(state, block, out);
  out.changes.push_back({Action::change, block, time_us});
}

/// Unsubscribed and resubscribed: the newest word per stream wins, in whatever order they come.
/// The record holds the newest unsubscription as `since` and the resubscription as `until`.
Decision on_subscription(AddressState& state, const Fact& fact, const Verdict& verdict) {
  Decision out;
  const bool leave = fact.kind == EventKind::unsubscribed;
  const auto it = std::find_if(state.blocks.begin(), state.blocks.end(), [&](const BlockRecord& b) {
    return b.kind == BlockKind::unsubscribe && b.scope_id == fact.stream && b.actor == 0;
  });
  BlockRecord block{leave ? fact.time_us : 0, leave ? 0 : fact.time_us, fact.stream, 0, 0,
                    BlockKind::unsubscribe,   BlockScope::stream};
  if (leave) block.cause = static_cast<std::uint16_t>(verdict.cause);
  if (leave && fact.time_us <= state.lifted_us) return out;
  BlockRecord old;
  const bool had = it != state.blocks.end();
  if (had) {
    old = *it;
    if (old.since_us > block.since_us) {
      block.since_us = old.since_us;
      block.cause = old.cause;
    }
    block.until_us = std::max(block.until_us, old.until_us);
    state.blocks.erase(it);
  }
  if (block.since_us > block.until_us) block.until_us = 0;  // left again since
  if (had && same(old, block) && state.first_us <= fact.time_us &&
      state.last_event_us >= fact.time_us) {
    insert_sorted(state, block, out);
    return out;  // told before
  }
  touch(state, fact.time_us);
  const bool was = old.kind != BlockKind::none && old.until_us == 0;
  const bool is = block.until_us == 0;
  insert_sorted(state, block, out);
  if (is && !same(old, block)) {
    out.changes.push_back({was ? Action::change : Action::block, block, fact.time_us});
  } else if (was && !is) {
    out.changes.push_back({Action::unblock, old, fact.time_us});
  }
  out.dirty = true;
  return out;
}

FailureRecord record_of(const Fact& fact, const Verdict& verdict, const Policy& policy,
                        PolicyLevel level) {
  FailureRecord f;
  f.time_us = fact.time_us;
  f.message = fact.message;
  f.position = fact.position;
  f.source = fact.source;
  f.cause = static_cast<std::uint16_t>(verdict.cause);
  f.confidence = verdict.confidence;
  // Only the owner's own word is certain: NXDOMAIN may be a slip at the registrar.
  if (verdict.cause == Cause::domain_unknown) {
    f.confidence = fact.null_mx ? 100 : std::min<std::uint8_t>(f.confidence, 99);
  }
  if (fact.kind == EventKind::expired) f.flags |= FailureRecord::kExpired;
  if (fact.incident) f.flags |= FailureRecord::kIncident;
  if (fact.delivered_us != 0 && level == PolicyLevel::address) f.flags |= FailureRecord::kLate;
  const CausePolicy& row = policy.of(verdict.cause);
  // A relay of ours knows what DNS says of the domain; its own trouble is not the domain's, and
  // what it takes is no delivery that would say so.
  const bool ours =
      (verdict.cause == Cause::relay_denied && !fact.own_mx) ||
      (verdict.cause != Cause::domain_unknown && fact.relay && level == PolicyLevel::domain);
  const bool outage = level == PolicyLevel::domain && fact.outage;
  if (row.level == level && row.messages != 0 && row.block != BlockKind::none && !ours && !outage) {
    f.flags |= FailureRecord::kCounts;
  }
  if (row.needs_domain_alive && fact.domain_delivery_us != 0 &&
      fact.time_us - fact.domain_delivery_us <= row.span_us) {
    f.flags |= FailureRecord::kAlive;
  }
  return f;
}

/// Whether the message had been taken before is known of the failure, not of who tells it.
auto telling(const FailureRecord& f) {
  const auto flags = static_cast<std::uint8_t>(f.flags & ~FailureRecord::kLate);
  return std::tuple(f.time_us, 255 - f.confidence, f.cause, flags, f.source, f.position);
}
bool before(const FailureRecord& a, const FailureRecord& b) {
  return std::tie(a.time_us, a.message) < std::tie(b.time_us, b.message);
}

/// The same failure told again. An address keeps the earliest telling (a DSN must not move a
/// failure behind a delivery), a domain the latest (a message fails there for many recipients;
/// the newest kFailuresMax by their latest time do not depend on order). True when it was known.
bool merge_duplicate(AddressState& state, const FailureRecord& f, PolicyLevel level,
                     bool& changed) {
  const auto it = std::find_if(state.failures.begin(), state.failures.end(),
                               [&](const FailureRecord& o) { return o.message == f.message; });
  if (it == state.failures.end()) return false;
  const bool better =
      level == PolicyLevel::address ? telling(f) < telling(*it) : telling(*it) < telling(f);
  const auto both_late = static_cast<std::uint8_t>((f.flags | it->flags) & FailureRecord::kLate);
  changed = better || (both_late & ~it->flags) != 0;
  it->flags |= both_late;
  if (better) {
    *it = f;
    it->flags |= both_late;
    std::sort(state.failures.begin(), state.failures.end(), before);
  }
  return true;
}

void add_failure(AddressState& state, const FailureRecord& f, const Policy& policy,
                 PolicyLevel level) {
  state.failures.insert(std::upper_bound(state.failures.begin(), state.failures.end(), f, before),
                        f);
  if (state.failures.size() <= limits::kFailuresMax) return;
  // The oldest falls off: what it had begun becomes the base, its day is kept.
  const FailureRecord oldest = state.failures.front();
  if ((oldest.flags & FailureRecord::kCounts) != 0 && oldest.time_us > state.reset_us()) {
    state.base = compute_terms(state, 1, policy, level);
    mark_day(state, row_of(policy, oldest.cause), oldest.time_us);
  }
  state.failures.erase(state.failures.begin());
}

Decision on_failure(AddressState& state, const Fact& fact, const Verdict& verdict,
                    const Policy& policy, PolicyLevel level) {
  Decision out;
  if (level == PolicyLevel::domain && fact.domain_delivery_us > state.last_delivery_us) {
    state.last_delivery_us = fact.domain_delivery_us;
    state.last_delivery_message = 0;
    out.dirty = true;
  }
  const FailureRecord f = record_of(fact, verdict, policy, level);
  bool changed = false;
  out.duplicate = merge_duplicate(state, f, level, changed);
  if (policy.of(verdict.cause).block == BlockKind::filtered && level == PolicyLevel::address &&
      (f.flags & FailureRecord::kCounts) != 0) {
    // Also when older than the last delivery: that one may have come from another sender. And also
    // when another telling of the failure has another cause: whichever comes first.
    add_lasting(state, BlockKind::filtered, BlockScope::sending_domain, fact.sending_domain,
                f.cause, fact.time_us, out);
  }
  const bool known_time =
      state.first_us != 0 && state.first_us <= fact.time_us && fact.time_us <= state.last_event_us;
  if (out.duplicate && !changed && !out.dirty && out.changes.empty() && known_time) return out;
  out.dirty = true;
  touch(state, fact.time_us);
  if (!out.duplicate) {
    bump(fact.kind == EventKind::expired ? state.totals.expired : state.totals.bounced);
    add_failure(state, f, policy, level);
  }
  if (late(f)) on_late_failure(state, fact, policy);
  recompute(state, policy, level, fact.time_us, out);
  return out;
}

Decision on_suppressed(AddressState& state, const Fact& fact, const Verdict& verdict) {
  Decision out;
  if (fact.provider) {
    touch(state, fact.time_us);
    add_lasting(state, BlockKind::provider, BlockScope::global, 0,
                static_cast<std::uint16_t>(verdict.cause), fact.time_us, out);
  }
  if (state.empty()) return out;
  bump(state.totals.suppressed);
  out.dirty = true;
  return out;
}

Decision on_complained(AddressState& state, const Fact& fact, const Verdict& verdict) {
  Decision out;
  touch(state, fact.time_us);
  bump(state.totals.complained);
  add_lasting(state, BlockKind::complaint, BlockScope::tenant, fact.tenant,
              static_cast<std::uint16_t>(verdict.cause), fact.time_us, out);
  out.dirty = true;
  return out;
}

bool notice(Cause cause) {
  return cause == Cause::notice_autoreply || cause == Cause::notice_challenge ||
         cause == Cause::notice_subscription;
}

}  // namespace

namespace {

Decision decide_kind(AddressState& state, const Fact& fact, const Verdict& verdict,
                     const Policy& policy, PolicyLevel level) {
  switch (fact.kind) {
    case EventKind::delivered:
      return on_delivered(state, fact, policy, level);
    case EventKind::deferred:
    case EventKind::bounced:
    case EventKind::expired:
      break;
    case EventKind::complained:
      return on_complained(state, fact, verdict);
    case EventKind::unsubscribed:
    case EventKind::resubscribed:
      return on_subscription(state, fact, verdict);
    case EventKind::suppressed:
      return on_suppressed(state, fact, verdict);
    case EventKind::none:
    case EventKind::relayed:
    case EventKind::autoreplied:
    case EventKind::discarded:
    case EventKind::probed:
      return {};
  }
  // Whatever the kind says: our own refusal come back is no failure, nor is a notice.
  if (verdict.cause == Cause::local_suppressed) return on_suppressed(state, fact, verdict);
  if (notice(verdict.cause)) return {};
  if (fact.kind != EventKind::deferred) return on_failure(state, fact, verdict, policy, level);
  Decision out;
  out.dirty = true;
  touch(state, fact.time_us);
  bump(state.totals.deferred);
  return out;
}

}  // namespace

Decision decide(AddressState& state, const Fact& fact, const Verdict& verdict, const Policy& policy,
                PolicyLevel level) {
  if (state.held_us == 0 || fact.time_us < state.held_until_us) {
    return decide_kind(state, fact, verdict, policy, level);
  }
  Decision believed;
  believe_held(state, fact.time_us, policy, believed);
  Decision out = decide_kind(state, fact, verdict, policy, level);
  out.dirty = true;
  out.changes.insert(out.changes.begin(), believed.changes.begin(), believed.changes.end());
  return out;
}

Decision decide_at(AddressState& state, std::int64_t now_us, const Policy& policy) {
  Decision out;
  believe_held(state, now_us, policy, out);
  for (std::size_t i = state.blocks.size(); i-- > 0;) {
    const BlockRecord block = state.blocks[i];
    // An ended unsubscription stays: it remembers the resubscription.
    if (block.until_us == 0 || block.until_us > now_us || block.kind == BlockKind::unsubscribe) {
      continue;
    }
    state.blocks.erase(state.blocks.begin() + static_cast<std::ptrdiff_t>(i));
    out.changes.push_back({Action::unblock, block, block.until_us});
    if (block.actor == 0) state.lapsed_us = std::max(state.lapsed_us, block.until_us);
    out.dirty = true;
  }
  return out;
}

Decision decide_block(AddressState& state, const BlockRecord& record, std::int64_t now_us) {
  Decision out;
  const auto it = std::find_if(state.blocks.begin(), state.blocks.end(), [&](const BlockRecord& b) {
    return b.kind == record.kind && b.scope == record.scope && b.scope_id == record.scope_id &&
           (b.actor != 0) == (record.actor != 0);
  });
  if (it != state.blocks.end()) {
    if (same(*it, record)) return out;
    state.blocks.erase(it);
    insert_sorted(state, record, out);
    out.changes.push_back({Action::change, record, now_us});
  } else {
    insert_sorted(state, record, out);
    out.changes.push_back({Action::block, record, now_us});
  }
  touch(state, now_us);
  out.dirty = true;
  return out;
}

Decision decide_unblock(AddressState& state, std::uint32_t kind_mask, std::int64_t now_us,
                        std::span<const BlockRecord> only) {
  Decision out;
  const auto asked = [&](const BlockRecord& b) {
    return (kind_mask >> static_cast<unsigned>(b.kind) & 1) != 0 &&
           (b.until_us == 0 || b.until_us > now_us) &&
           (only.empty() || std::any_of(only.begin(), only.end(),
                                        [&](const BlockRecord& o) { return same(o, b); }));
  };
  // Derived failure blocks rest on the same failures: lifting one kind lifts them all.
  const bool failures = std::any_of(
      state.blocks.begin(), state.blocks.end(),
      [&](const BlockRecord& b) { return asked(b) && b.actor == 0 && failure_kind(b.kind); });
  for (std::size_t i = state.blocks.size(); i-- > 0;) {
    const BlockRecord block = state.blocks[i];
    if (!asked(block) && !(failures && block.actor == 0 && failure_kind(block.kind))) continue;
    out.changes.push_back({Action::unblock, block, now_us});
    state.blocks.erase(state.blocks.begin() + static_cast<std::ptrdiff_t>(i));
    out.dirty = true;
    // An older fact told again must not bring back what was lifted.
    if (block.actor != 0) continue;
    std::int64_t& mark = failure_kind(block.kind) ? state.cleared_us : state.lifted_us;
    mark = std::max(mark, now_us);
  }
  if (!out.dirty) return out;
  touch(state, now_us);
  if (failures) {
    drop_before_reset(state);
    state.dead_terms = state.soft_terms = 0;
    state.lapsed_us = 0;
  }
  return out;
}

Decision decide_answered(AddressState& state, std::int64_t now_us, const Policy& policy) {
  Decision out;
  const CausePolicy& row = policy.of(Cause::domain_unknown);
  for (FailureRecord& f : state.failures) {
    if (f.time_us > now_us || (f.flags & FailureRecord::kCounts) == 0) continue;
    if (!same_row(policy.of(static_cast<Cause>(f.cause)), row)) continue;
    f.flags &= static_cast<std::uint8_t>(~FailureRecord::kCounts);
    out.dirty = true;
  }
  const auto of_row = [&](const FailureDays& d) {
    return same_row(policy.of(static_cast<Cause>(d.row)), row);
  };
  state.days.erase(std::remove_if(state.days.begin(), state.days.end(), of_row), state.days.end());
  if (state.base.dead.count != 0) {
    state.base.dead = Term{};
    out.dirty = true;
  }
  if (out.dirty) recompute(state, policy, PolicyLevel::domain, now_us, out);
  return out;
}

Streak streak(const AddressState& state) {
  Streak out;
  for (const FailureRecord& f : state.failures) {
    if (f.time_us <= state.reset_us() || (f.flags & FailureRecord::kCounts) == 0) continue;
    if (out.count++ == 0) out.since_us = f.time_us;
  }
  return out;
}

namespace {

/// The strictest of the blocks that are live by `is_live`.
template <class Live>
BlockRecord strictest(const AddressState& state, const Live& is_live) {
  const BlockRecord* best = nullptr;
  for (const BlockRecord& b : state.blocks) {
    if (!is_live(b)) continue;
    if (best == nullptr ||
        std::tuple(rank(b.kind), b.scope) < std::tuple(rank(best->kind), best->scope)) {
      best = &b;
    }
  }
  return best == nullptr ? BlockRecord{} : *best;
}

}  // namespace

BlockRecord effective_block(const AddressState& state, std::int64_t now_us) {
  return strictest(state, [now_us](const BlockRecord& b) {
    return b.since_us <= now_us && (b.until_us == 0 || b.until_us > now_us);
  });
}

BlockRecord standing_block(const AddressState& state) {
  return strictest(state, [](const BlockRecord& b) {
    return b.kind != BlockKind::unsubscribe || b.until_us == 0;
  });
}

}  // namespace bounced::state
