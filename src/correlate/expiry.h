// expiry: what became known of a recipient whose message was given up for its age.
#pragma once

#include "base/batch.h"
#include "correlate/open_message.h"

namespace bounced::correlate {

/// By the recipient's attempts; `unseen` when there was none.
Verdict verdict_of_expiry(const DeferredRecipient& recipient, const Verdict& unseen);

/// Exim's line of an expiry names its recipient, but seldom a reason: its attempts tell, as for an
/// expiry by Postfix's queue manager. Sets the event's words where it has none, and its verdict.
void take_attempts(Batch& batch, Event& event, DeferredRecipient& recipient, const Verdict& unseen);

}  // namespace bounced::correlate
