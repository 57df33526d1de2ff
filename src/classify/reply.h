// reply_of: which codes and phase count for a failure.
#pragma once

#include "bounced/classifier.h"
#include "classify/learned.h"
#include "classify/normalise.h"

namespace bounced::classify {

/// The server's own words win over what the log says beside them; a quoted reply's codes count
/// only when there are no others.
inline Reply reply_of(const Failure& failure, const Normalised& normalised) {
  Reply reply;
  reply.text = normalised.text;
  reply.smtp_code = normalised.smtp_code != 0 ? normalised.smtp_code : failure.smtp_code;
  reply.enhanced = normalised.enhanced.present() ? normalised.enhanced : failure.enhanced;
  if (reply.smtp_code == 0 && !reply.enhanced.present()) {
    reply.smtp_code = normalised.nested_smtp;
    reply.enhanced = normalised.nested_enhanced;
  }
  reply.phase = failure.phase != Phase::none ? failure.phase : normalised.phase;
  reply.kind = failure.kind;
  return reply;
}

}  // namespace bounced::classify
