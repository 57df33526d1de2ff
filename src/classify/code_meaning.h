// What a bare reply code or enhanced status code says, in words.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "bounced/event.h"

namespace bounced::classify {

/// One sentence on a reply code 200..599: its own (RFC 5321 section 4.2.3, RFC 4954, RFC 7504),
/// else what its digits say (section 4.2.1). Empty for any other number.
std::string reply_meaning(std::uint16_t code);

/// One sentence on a code x.y.z with x of 2, 4, 5 (IANA's registry of enhanced status codes, RFC
/// 5248); what its subject says where the detail is not registered. Empty when absent.
std::string enhanced_meaning(const EnhancedCode& code);

/// What a text says that is nothing but a reply code, an enhanced code, or both ("550 5.1.1"): one
/// sentence each, joined by "; ". Empty for any other text.
std::string bare_code_meaning(std::string_view text);

}  // namespace bounced::classify
