// postfix_reason: what the parenthesised reason of a delivery line says.
#pragma once

#include <cstdint>
#include <string_view>

#include "bounced/event.h"
#include "parse/scan.h"

namespace bounced::parse {

/// Views into the reason.
struct Reason {
  std::string_view diagnostic;  ///< the server's words after "host X said: ", else the whole
  std::string_view server;      ///< "host[ip]" or "host[ip]:port" that the reason names
  std::uint16_t smtp_code = 0;
  EnhancedCode enhanced;  ///< the reply's own
  Phase phase = Phase::none;
  bool not_attempted = false;  ///< replay of somebody else's failure: no session of its own
  bool session = false;        ///< the session never got to RCPT
};

/// `reason` without its parentheses; `dsn` is the line's dsn= (it decides which line of a mixed
/// multi-line reply counted). The texts are Postfix's (smtp_proto.c, smtp_connect.c, smtp_addr.c).
Reason read_reason(std::string_view reason, EnhancedCode dsn);

/// The three-digit code that a reply begins with, 200..599; 0 = none.
inline std::uint16_t reply_code(std::string_view reply) {
  const char* const p = reply.data();
  if (reply.size() < 3 || p[0] < '2' || p[0] > '5' || !is_digit(p[1]) || !is_digit(p[2])) return 0;
  if (reply.size() > 3 && p[3] != ' ' && p[3] != '-') return 0;
  return static_cast<std::uint16_t>((p[0] - '0') * 100 + (p[1] - '0') * 10 + (p[2] - '0'));
}

/// "5.1.1" at p (each part <= 999); p moves behind it. False leaves p alone.
bool read_enhanced(const char*& p, const char* end, EnhancedCode& out);

/// Our own refusal: "5.7.1 bounced-suppressed:<cause>:<since>"; Postfix may have taken the code
/// out of the text into dsn=.
bool has_suppression_marker(std::string_view text, EnhancedCode enhanced);

}  // namespace bounced::parse
