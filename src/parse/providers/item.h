// item: what one provider's item tells, to Events of a batch.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/batch.h"
#include "parse/parse.h"
#include "parse/providers/providers.h"

namespace bounced::parse::providers {

/// One fact about one recipient, in the provider's own terms. Views live for the call.
struct Item {
  EventKind kind = EventKind::none;
  ProviderHint hint = ProviderHint::none;
  Phase phase = Phase::none;
  std::string_view recipient;  ///< also "Name <address>"
  std::string_view sender;
  std::string_view message_id;   ///< of the header Message-ID, with or without <>
  std::string_view provider_id;  ///< the provider's own id of the message
  /// Its smart host answers with that id, so the message goes by it, whatever the header says.
  bool known_by_id = false;
  std::string_view mta_host, mta_ip, sending_ip;
  std::string_view words;   ///< of the answering server (or MTA)
  std::string_view label;   ///< the provider's class or reason, where there are no such words
  std::string_view status;  ///< "5.1.1", "550", "550 5.1.1": beside the words
  std::string_view campaign, stream, tenant;
  std::string_view id;  ///< the event's, where the same event told again has the same
  bool vague = false;   ///< "permanent" of this provider may be many things, not just the mailbox
  std::int64_t time_us = 0, sent_us = 0;  ///< 0 = not told
  std::uint64_t delay_ms = 0;             ///< 0 = not told, or by sent_us
  std::uint64_t smtp_code = 0;            ///< anything but 200..599 is no reply code
  EnhancedCode enhanced;

  /// As Event::failing().
  [[nodiscard]] bool failing() const {
    return kind == EventKind::deferred || kind == EventKind::bounced || kind == EventKind::expired;
  }
};

/// Adds events to a batch and counts the rest. Not thread safe.
class Sink {
 public:
  Sink(const Context& context, Batch& batch, std::string_view provider, std::int64_t now_us,
       Parsed& parsed)
      : context_(context), batch_(batch), provider_(provider), now_us_(now_us), parsed_(parsed) {}

  /// One event, or one unparsed item when the recipient is no address.
  void add(const Item& item);
  /// Understood, and of no interest.
  void ignore(std::uint32_t count = 1) { parsed_.ignored += count; }
  /// Looked like an event that matters, and could not be read.
  void unparsed(std::uint32_t count = 1) { parsed_.unparsed += count; }
  [[nodiscard]] std::int64_t now_us() const { return now_us_; }

 private:
  void set_codes(const Item& item, Event& event);
  void set_hint(const Item& item, Event& event);
  std::string_view label_of(const Item& item, const Event& event);
  void set_texts(const Item& item, Event& event);
  void set_times(const Item& item, Event& event) const;
  Text keep(std::string_view text, Text last, std::size_t most);
  Text keep_bracketed(std::string_view id, Text last);
  std::uint16_t origin_of(std::string_view stream, std::string_view tenant);
  AddressId key_of(const Item& item, const Event& event);

  const Context& context_;
  Batch& batch_;
  std::string_view provider_;
  std::int64_t now_us_;
  Parsed& parsed_;
  Event last_;  ///< texts that repeat from event to event are kept once
  std::string material_, id_;
};

}  // namespace bounced::parse::providers
