// notice: recipients and reasons in the prose of a non-delivery report.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "parse/mail/fields.h"

namespace bounced::parse::mail {

struct NoticeRecipient {
  std::string address;
  std::string words;  ///< what is said of it, several lines; may be empty
};

/// The text that a person would read, up to the returned message; `rest` is that message.
struct NoticeText {
  std::string_view notice;
  std::string_view rest;
};
NoticeText split_notice(std::string_view text);

/// `known`: recipients that headers or the return path name; the text only tells why then.
/// `ours`: addresses that are no recipients (who sent the message, who gets the report).
/// Without `known` an address is taken for a recipient by where it stands: alone on a line or at
/// its start, behind words that introduce a recipient, else the first one in the text.
std::vector<NoticeRecipient> read_notice(std::string_view notice,
                                         const std::vector<std::string>& known,
                                         const std::vector<std::string>& ours);

}  // namespace bounced::parse::mail
