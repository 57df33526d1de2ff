// message: a mail taken apart (GMime), as far as bounces need it.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "parse/mail/fields.h"

namespace bounced::parse::mail {

/// One leaf of the MIME tree; the parts of a returned message are not entered.
struct Part {
  std::string type;  ///< "text/plain", lower case
  std::string text;  ///< decoded, UTF-8 where its charset is known; at most kPartBytesMax
};

/// Only so much of a mail is read: reports stand before the returned message.
inline constexpr std::size_t kMailBytesMax = std::size_t{512} << 10;
inline constexpr std::size_t kPartBytesMax = std::size_t{64} << 10;
inline constexpr std::size_t kPartsMax = 32;

struct Message {
  Fields header;            ///< of the mail itself; Subject and From decoded (RFC 2047)
  std::string type;         ///< "multipart/report", lower case
  std::string report_type;  ///< its report-type parameter, lower case
  std::vector<Part> parts;
  Fields original;            ///< header of the returned message, if there is one
  bool has_original = false;  ///< it came as a part of its own
  [[nodiscard]] const Part* part(std::string_view mime_type) const;
};

/// Takes a mail apart. Never fails on odd bytes: what is no MIME is one text part. False when there
/// is not even a header. Any thread.
bool read_message(std::string_view bytes, Message& out);

/// A Date field (RFC 5322 section 3.3) in microseconds UTC; 0 when it cannot be read.
std::int64_t read_date(std::string_view value);

/// Plain text of HTML: tags gone, the usual entities decoded, blocks on lines of their own.
std::string text_of_html(std::string_view html);

}  // namespace bounced::parse::mail
