// Failures from wherever an operator has them: logs, lines of diagnostics, a store's evidence.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "bounced/classifier.h"
#include "cli/app.h"
#include "state/state.h"

namespace bounced::cli {

/// What is known of one failing event; views live for the call.
struct FailureFacts {
  Failure failure;
  std::string_view address;  ///< the recipient, or only its domain; may be empty
  std::string_view label;    ///< cause that the line itself named; empty for logs and evidence
  std::int64_t time_us = 0;  ///< 0 = not known
};
using FailureVisitor = std::function<void(const FailureFacts&)>;

/// Visits every failure in `files`: logs (of any known format, compressed too) by the pipeline that
/// replay uses, without a store; other files, and - (stdin), line by line: NDJSON objects as
/// `bounced parse` and `classify` have them, or plain diagnostics. Lines of malformed JSON are
/// counted in `malformed`. One thread at a time, in order.
Result<void> visit_files(App& app, const std::vector<std::string>& files,
                         const FailureVisitor& visit, std::uint64_t& malformed);

/// What a store holds of one address: its state, and its evidence, oldest first.
struct History {
  state::AddressState state;
  std::vector<state::Evidence> evidence;
};
Result<void> visit_histories(const Session& session,
                             const std::function<void(const History&)>& visit);

/// Visits the evidence of a store: per address the last failures, not all there ever were.
Result<void> visit_evidence(const Session& session, const FailureVisitor& visit);

}  // namespace bounced::cli
