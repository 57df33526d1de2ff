// message: what lines tell of a message in a queue, as far as parse and correlate must agree on it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "bounced/event.h"

namespace bounced {

/// Longest text kept; what is longer is cut (RFC 5321 4.5.3.1, RFC 5322 2.1.1).
inline constexpr std::uint16_t kSenderBytesMax = 1024;
inline constexpr std::uint16_t kMessageIdBytesMax = 998;
inline constexpr std::uint16_t kSaslUserBytesMax = 256;
inline constexpr std::uint16_t kCampaignBytesMax = 256;

/// A Message-ID that names something: cleanup also logs "<>" and nothing at all.
inline bool usable_id(std::string_view id) {
  return !id.empty() && id != "<>";
}

/// Event::message of a message whose Message-ID is known (with or without <>): the same for every
/// source that tells of it. Never 0.
std::uint64_t message_fingerprint(std::string_view message_id);
/// The same of `<inside>`; `inside` is not empty.
std::uint64_t message_fingerprint_inside(std::string_view inside);

/// One of nrcpt= is done. Not so for local deliveries and forwardings: an alias makes several such
/// lines of one recipient.
inline bool ends_one_recipient(const Event& event) {
  return event.mta_port != 0 || event.final_failure() || event.kind == EventKind::suppressed ||
         event.kind == EventKind::discarded;
}

}  // namespace bounced
