// What the policy would do with a verdict, in words.
#pragma once

#include <string>

#include "bounced/event.h"
#include "bounced/policy.h"
#include "bounced/verdict.h"

namespace bounced::cli {

/// "blocks (dead) after 1 message in a row, or 2 over at least 24 h when less sure than 0.95 ..."
std::string describe_policy(const CausePolicy& policy);

/// What one failure of this verdict does to an address: whether it counts, and what it takes.
std::string describe_effect(const Policy& policy, const Verdict& verdict, EventKind kind);

}  // namespace bounced::cli
