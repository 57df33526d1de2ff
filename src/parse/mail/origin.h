// origin: which message of ours a mail is about, and when it came.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "parse/mail/message.h"
#include "parse/mail/verp.h"

namespace bounced::parse::mail {

/// What a mail tells of the message that it answers; empty = not told.
struct SentMessage {
  std::string sender;      ///< its reverse-path, which is where the mail came to
  std::string message_id;  ///< with <>
  std::string queue_id;    ///< of the hop nearest to us that has one
  std::string campaign;
};

/// From the returned header, else from References and In-Reply-To, else from the mail's own
/// envelope. `campaign_header`: the operator's, any case.
SentMessage sent_message(const Message& message, std::string_view campaign_header);

/// To whom the mail came: what the delivering MTA noted, else the To field.
std::vector<std::string> envelope_recipients(const Message& message);

/// When the mail came, in microseconds UTC: by the newest Received field, else by Date, else
/// `arrived_us`; no later than a day after `arrived_us`, where that is known.
std::int64_t time_of(const Message& message, std::int64_t arrived_us);

}  // namespace bounced::parse::mail
