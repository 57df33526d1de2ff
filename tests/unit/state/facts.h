// Short hands for the state tests.
#pragma once

#include <string>
#include <vector>

#include "base/time.h"
#include "state/decide.h"
#include "state/state.h"

namespace bounced::state::testing {

inline constexpr std::int64_t kT0 = 20'000 * kDayUs + 9 * kHourUs;

inline const Policy& default_policy() {
  static const Policy policy = load_policy().value();
  return policy;
}

inline Verdict verdict(Cause cause, int confidence = 98) {
  Verdict v;
  v.cause = cause;
  v.confidence = static_cast<std::uint8_t>(confidence);
  return v;
}

inline Fact fact(EventKind kind, std::int64_t time_us, std::uint64_t message) {
  Fact f;
  f.kind = kind;
  f.time_us = time_us;
  f.message = message;
  f.position = message * 100;
  f.source = 1;
  f.sending_domain = 7;
  f.tenant = 3;
  f.stream = 5;
  return f;
}

inline Decision fail_at(AddressState& state, Cause cause, std::int64_t time_us,
                        std::uint64_t message, int confidence = 98,
                        PolicyLevel level = PolicyLevel::address) {
  return decide(state, fact(EventKind::bounced, time_us, message), verdict(cause, confidence),
                default_policy(), level);
}

inline Decision deliver_at(AddressState& state, std::int64_t time_us, std::uint64_t message,
                           PolicyLevel level = PolicyLevel::address) {
  return decide(state, fact(EventKind::delivered, time_us, message), Verdict{}, default_policy(),
                level);
}

inline std::string bytes_of(const AddressState& state) {
  std::string out;
  encode(state, out);
  return out;
}

inline const BlockRecord* block_of(const AddressState& state, BlockKind kind) {
  for (const BlockRecord& b : state.blocks) {
    if (b.kind == kind) return &b;
  }
  return nullptr;
}

}  // namespace bounced::state::testing
