// What stands in front of the words: MTA wrapping, reply code, enhanced code.
#pragma once

#include <cstdint>

#include "bounced/event.h"

namespace bounced::classify {

struct Lead {
  const char* rest = nullptr;  ///< first byte that is neither wrapping nor code
  std::uint16_t smtp_code = 0;
  EnhancedCode enhanced;
  std::uint16_t nested_smtp = 0;  ///< codes behind wrapping that itself followed a code
  EnhancedCode nested_enhanced;
  Phase phase = Phase::none;
  bool multi_line = false;  ///< "550-": RFC 5321 section 4.2.1
};

/// Reads [begin, end) of lower-case text whose blanks are all ' '.
Lead read_lead(const char* begin, const char* end);

/// Start of a trailing " (in reply to RCPT TO command)", and its phase; `end` when there is none.
const char* find_reply_suffix(const char* begin, const char* end, Phase& phase);

}  // namespace bounced::classify
