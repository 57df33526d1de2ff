#include "parse/mail/origin.h"

#include "base/text.h"
#include "base/time.h"

namespace bounced::parse::mail {
namespace {

constexpr std::size_t kNone = std::string_view::npos;

/// "from a by mx (Postfix) with ESMTP id 4jX42p2f7sz1c0Hl for <..>; date" -> "4jX42p2f7sz1c0Hl".
std::string_view id_of_received(std::string_view received) {
  received = received.substr(0, received.rfind(';'));
  for (std::size_t at = received.find(" id "); at != kNone; at = received.find(" id ", at + 1)) {
    std::string_view id = received.substr(at + 4);
    id = id.substr(0, id.find_first_of(" ;\t)"));
    if (id.size() >= 5 && id.size() <= 64 && id.find_first_of("@<>") == kNone) return id;
  }
  return {};
}

/// The first hop is ours, or our customer's into ours; hops within one machine say nothing.
std::string queue_id_of(const Fields& original) {
  std::string found;
  for (const HeaderField& field : original.all()) {
    if (field.name != "received") continue;
    if (field.value.find("from userid ") != kNone) continue;
    const std::string_view id = id_of_received(field.value);
    if (!id.empty()) found = std::string(id);
  }
  return found;
}

/// The last <...> of a References field, or the only one of In-Reply-To.
std::string_view last_id(std::string_view value) {
  const std::size_t close = value.rfind('>');
  if (close == kNone) return {};
  const std::size_t open = value.rfind('<', close);
  if (open == kNone || close - open < 3) return {};
  return value.substr(open, close - open + 1);
}

std::string message_id_of(const Message& message) {
  std::string_view id = trim(message.original.get("message-id"));
  if (id.size() > 2) {
    const std::string_view inside = last_id(id);
    return std::string(inside.empty() ? id : inside);
  }
  for (const std::string_view name : {"in-reply-to", "references", "x-original-message-id"}) {
    id = last_id(message.header.get(name));
    if (!id.empty()) return std::string(id);
  }
  return {};
}

}  // namespace

std::vector<std::string> envelope_recipients(const Message& message) {
  std::vector<std::string> out;
  for (const std::string_view name :
       {"x-envelope-to", "envelope-to", "x-original-to", "delivered-to", "x-rcpt-to", "to"}) {
    const std::string_view address = address_of(message.header.get(name));
    if (!address.empty() && out.size() < 8) out.emplace_back(address);
  }
  return out;
}

SentMessage sent_message(const Message& message, std::string_view campaign_header) {
  SentMessage out;
  const Fields& original = message.original;
  out.sender = std::string(address_of(original.get("return-path")));
  if (out.sender.empty()) out.sender = std::string(address_of(original.get("x-envelope-from")));
  if (out.sender.empty() && !message.header.empty()) {
    // The reverse-path is where the mail came to; To is a person's word only.
    const auto envelope = envelope_recipients(message);
    if (!envelope.empty()) out.sender = envelope.front();
  }
  out.message_id = message_id_of(message);
  out.queue_id = queue_id_of(original);
  out.campaign = std::string(original.get(ascii_lower(campaign_header)));
  if (out.campaign.empty()) {
    // Feedback-ID: campaign:customer:type:sender, as Gmail's feedback loop asks for.
    const std::string_view feedback = original.get("feedback-id");
    if (feedback.find(':') != kNone) {
      out.campaign = std::string(feedback.substr(0, feedback.find(':')));
    }
  }
  return out;
}

std::int64_t time_of(const Message& message, std::int64_t arrived_us) {
  std::int64_t time = 0;
  const std::string_view received = message.header.get("received");
  const std::size_t semicolon = received.rfind(';');
  if (semicolon != kNone) time = read_date(trim(received.substr(semicolon + 1)));
  if (time == 0) time = read_date(message.header.get("date"));
  if (time == 0) return arrived_us;
  if (arrived_us != 0 && time > arrived_us + kDayUs) return arrived_us;
  return time;
}

}  // namespace bounced::parse::mail
