// delivery_status: the machine's part of a delivery status notification (RFC 3464, RFC 6533).
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "bounced/event.h"

namespace bounced::parse::mail {

/// What one block says of one recipient; texts as they stand, but for folding and types.
struct RecipientStatus {
  std::string final_recipient;     ///< without its type; as told
  std::string original_recipient;  ///< decoded (xtext of RFC 3461, RFC 6533); empty = not told
  std::string action;              ///< lower case: failed delayed delivered relayed expanded
  std::string status;              ///< "5.1.1"
  std::string diagnostic;          ///< without its type
  std::string diagnostic_type;     ///< "smtp", "x-postfix", lower case
  std::string remote_mta;          ///< a host, without its type
  std::string remote_ip;
  std::string last_attempt;  ///< Last-Attempt-Date
  std::string queue_id;      ///< "Final-Log-ID"

  /// The address that we sent to, as far as the block knows: what the sender gave if it is told.
  [[nodiscard]] std::string_view recipient() const;
};

struct DeliveryStatus {
  std::string reporting_mta;
  std::string queue_id;  ///< X-Postfix-Queue-ID and the like
  std::string sender;    ///< X-Postfix-Sender and the like
  std::string arrival_date;
  std::string envelope_id;  ///< Original-Envelope-Id
  std::vector<RecipientStatus> recipients;
};

/// At most so many blocks of one mail become events.
inline constexpr std::size_t kBlocksMax = 1024;

/// Reads the text of a message/delivery-status part; tolerant of blank lines in the wrong places.
DeliveryStatus read_delivery_status(std::string_view text);

/// "5.1.1 (User unknown)" -> code; none when malformed.
EnhancedCode read_status(std::string_view text);

}  // namespace bounced::parse::mail
