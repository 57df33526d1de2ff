#include "correlate/expiry.h"

#include <algorithm>

namespace bounced::correlate {

Verdict verdict_of_expiry(const DeferredRecipient& recipient, const Verdict& unseen) {
  if (recipient.exempt.cause != Cause::none) return recipient.exempt;
  if (recipient.best.cause != Cause::none) return recipient.best;
  return unseen;
}

void take_attempts(Batch& batch, Event& event, DeferredRecipient& recipient,
                   const Verdict& unseen) {
  using Part = DeferredRecipient::Part;
  if (!recipient.attempted) return;
  const bool own_words = event.smtp_code != 0 || event.phase != Phase::none;
  if (own_words) {
    if (const Verdict* verdict = batch.verdict(event); verdict != nullptr) {
      recipient.judge(*verdict);
    }
  } else {
    event.mta_host = batch.add(recipient.part(Part::kMtaHost));
    event.mta_ip = batch.add(recipient.part(Part::kMtaIp));
    event.mta_port = recipient.mta_port;
    event.host = 0;
    event.smtp_code = recipient.smtp_code;
    event.enhanced = recipient.enhanced;
    event.phase = recipient.phase;
    event.flags |= static_cast<std::uint8_t>(
        recipient.flags & (EventFlags::kSession | EventFlags::kTruncated | EventFlags::kRelay));
    const std::string_view words = recipient.part(Part::kWords);
    if (!words.empty()) event.diagnostic = batch.add(words);
  }
  if (event.delay_ms == 0) {
    const std::int64_t delay_ms = (event.time_us - recipient.arrived_us) / 1000;
    event.delay_ms = static_cast<std::uint32_t>(std::clamp<std::int64_t>(delay_ms, 0, UINT32_MAX));
  }
  batch.set_verdict(event, verdict_of_expiry(recipient, unseen));
}

}  // namespace bounced::correlate
