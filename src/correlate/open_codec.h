// Codec of CF open: one record per message still in a queue, one for the clock.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "bounced/result.h"
#include "correlate/open_message.h"

namespace bounced::correlate {

inline constexpr std::uint8_t kOpenVersion = 1;
/// Key of the record that holds the log hour of the last sweep; message keys have 8 bytes.
inline constexpr std::string_view kClockKey = "clock";

/// No record of these is longer.
std::size_t open_bytes_max(const OpenMessage& message,
                           const std::vector<const DeferredRecipient*>& recipients);
/// Writes the record's value: what the log told, in a fixed order, nothing about cuts.
/// `recipients` in list order. Returns its end.
char* encode_open(const OpenMessage& message,
                  const std::vector<const DeferredRecipient*>& recipients, char* out);
/// Sets first_us, nrcpt, done, lasting flags and texts of `message` (which must be freshly reset),
/// and `recipients` without their list links. Errors: data, naming the key.
Result<void> decode_open(std::uint64_t key, std::string_view value, OpenMessage& message,
                         std::vector<DeferredRecipient>& recipients);

void encode_clock(std::int64_t hour, std::string& out);
Result<std::int64_t> decode_clock(std::string_view value);

}  // namespace bounced::correlate
