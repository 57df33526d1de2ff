// texts: what providers write into texts: times, codes, addresses, form fields, base64.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "bounced/event.h"

namespace bounced::parse::providers {

/// Microseconds since 1970 UTC; 0 = none, or not to be believed (before 1990, after 2199). Reads
/// Unix seconds (with fraction), milli-, micro- and nanoseconds, RFC 3339 and its usual variations
/// (a blank for T, blank before the zone, zone without colon; without zone: UTC), RFC 5322 dates
/// and "11/21/2026 8:22:31 PM".
std::int64_t read_time(std::string_view text);

/// Digits only; `otherwise` for anything else, or more than fits.
std::uint64_t read_number(std::string_view text, std::uint64_t otherwise = 0);
/// "true", "1", "yes".
bool read_bool(std::string_view text);

/// "5.1.1" at the start of the text.
EnhancedCode read_enhanced(std::string_view text);
/// Reply code and enhanced code at the start of a server's words, behind "smtp;" and the like.
struct Codes {
  std::uint16_t smtp = 0;
  EnhancedCode enhanced;
};
Codes read_codes(std::string_view text);

/// "Jane Doe <jane@example.org>" -> "jane@example.org"; the text itself when it has no <>.
std::string_view bare_address(std::string_view text);

/// One field of a form or a query, decoded.
struct FormField {
  std::string name;
  std::string value;
};
inline constexpr std::size_t kFormFieldsMax = 512;
/// application/x-www-form-urlencoded; fields over kFormFieldsMax are dropped.
std::vector<FormField> read_form(std::string_view text);
std::string url_decode(std::string_view text, bool plus_is_blank = true);
/// The fields of a multipart/form-data body (RFC 7578), by its Content-Type; files are left out.
/// Empty for any other Content-Type.
std::vector<FormField> read_multipart(std::string_view content_type, std::string_view body);
/// Value of the first field of that name; empty when there is none.
std::string_view form_value(const std::vector<FormField>& fields, std::string_view name);

/// Strict alphabets (also base64url), padding optional. False = something else.
bool from_base64(std::string_view text, std::string& out);
bool from_hex(std::string_view text, std::string& out);
std::string to_base64(std::string_view bytes);
std::string to_hex(std::string_view bytes);

}  // namespace bounced::parse::providers
