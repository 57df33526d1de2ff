// reply: the server's own words within an MTA's prose.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "bounced/event.h"

namespace bounced::parse::mail {

/// What the words of a failure hold.
struct Reply {
  std::string diagnostic;  ///< the server's reply where there is one, else all the words; one line
  std::string host;        ///< who answered ("host mx.example.com [192.0.2.1] said:")
  std::string ip;
  std::uint16_t smtp_code = 0;  ///< of the reply; 0 = none
  EnhancedCode enhanced;        ///< of the reply, or the only one that the words name
  Phase phase = Phase::none;
};

/// Longest diagnostic that is kept.
inline constexpr std::size_t kReplyBytesMax = 2048;

/// Reads the words of one recipient's failure, which may hold several lines.
Reply read_reply(std::string_view words);
/// Whether the line holds the beginning of a 4xx or 5xx reply.
bool has_reply(std::string_view line);
/// Phase by the SMTP command that the words name ("in reply to RCPT TO", "after end of data").
Phase phase_of(std::string_view words);

}  // namespace bounced::parse::mail
