// exim_reason: what the message of an Exim delivery line says (its texts: deliver.c, smtp_out.c,
// transports/smtp.c, lmtp.c, retry.c).
#pragma once

#include "parse/exim_line.h"

namespace bounced::parse {

/// Views into the message.
struct EximReason {
  std::string_view diagnostic;  ///< the server's words, else Exim's; as logged, with its escapes
  std::string_view host, ip;    ///< that the message names itself
  std::uint16_t smtp_code = 0;
  EnhancedCode enhanced;
  Phase phase = Phase::none;
  bool expired = false;        ///< given up for age: the words, if any, are of the last attempt
  bool not_attempted = false;  ///< no attempt was made now
  bool session = false;        ///< the session never got to MAIL
};
EximReason read_exim_reason(const EximDelivery& found);

/// Whether the text has the escapes that decode_exim() resolves.
inline bool has_exim_escapes(std::string_view text) {
  const char* const end = text.data() + text.size();
  return find_byte(text.data(), end, '\\') != end;
}

/// Undoes Exim's printing: "\n" between the lines of a reply becomes a blank, as in Postfix's log,
/// octal escapes the bytes they stand for (controls '?'). Quotes and backslashes are unescaped when
/// `quoted`. Appends to `out`.
void decode_exim(std::string_view text, bool quoted, std::string& out);

}  // namespace bounced::parse
