// mail: the format row "mail": bounces, complaints and wishes to leave that come back as mails.
//
// A mail is a delivery status notification (RFC 3464), a feedback report (RFC 5965), a
// non-delivery report in prose, an unsubscription by mail (RFC 2369), an auto-reply (RFC 3834), or
// nothing that concerns us. Whoever knows our address can write one: every event carries
// EventFlags::kUnproven unless the return path it came to proves it.
#pragma once

#include <cstdint>
#include <string_view>

#include "parse/parse.h"

namespace bounced::parse {

int probe_mail(std::string_view head);
/// The block's text is one mail, or an mbox.
void parse_mail(const Context& context, Batch& batch);

/// Adds the events of one mail to the batch, their texts to its arena, and counts it (one of
/// ParseCounts::lines). `offset`: of the mail in its source. `arrived_us`: when it came, if known
/// (UTC); bounds what the mail says of its time.
void take_mail(const Context& context, std::string_view mail, std::uint64_t offset,
               std::int64_t arrived_us, Batch& batch);

}  // namespace bounced::parse
