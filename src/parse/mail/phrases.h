// phrases: how mail programs of many languages say what a mail is.
#pragma once

#include <cstdint>
#include <string_view>

namespace bounced::parse::mail {

enum class Says : std::uint8_t {
  bounce_subject,     ///< "Undelivered Mail Returned to Sender"
  bounce_body,        ///< "This is the qmail-send program": no person writes so
  delay,              ///< "will be retried"
  final_failure,      ///< "permanent error", "giving up": no delay whatever else is said
  autoreply_subject,  ///< "Out of Office"
  challenge,          ///< "confirm your message"
  original_follows,   ///< the returned message begins behind this line
  unsubscribe,        ///< a subject that is nothing but the wish to leave
};

/// Whether `lower` (ASCII lower case, UTF-8) holds one of the phrases. Written by hand from what
/// these programs are known to say; one row each, so that a language is added by adding rows.
bool says(Says what, std::string_view lower);
/// Offset of the earliest phrase at the start of a line, npos when there is none.
std::size_t find_line(Says what, std::string_view lower);

}  // namespace bounced::parse::mail
