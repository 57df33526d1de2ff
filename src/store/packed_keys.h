// packed_keys: many dedupe keys of a day in one record of Family::seen.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace bounced::store {

/// A record's key is a day (u32 BE) and the first of its dedupe keys; the others are its value, one
/// behind the other. Which keys share a record depends on when cuts were, and means nothing.
inline constexpr std::size_t kDedupeKeyBytes = 16, kSeenKeyBytes = 4 + kDedupeKeyBytes;

/// Calls f(day and dedupe key) for each that the record holds. What is no such record holds none.
template <class F>
void visit_packed_keys(std::string_view key, std::string_view value, F&& f) {
  if (key.size() != kSeenKeyBytes) return;
  std::string one(key);
  f(std::string_view(one));
  for (; value.size() >= kDedupeKeyBytes; value.remove_prefix(kDedupeKeyBytes)) {
    one.replace(4, kDedupeKeyBytes, value.substr(0, kDedupeKeyBytes));
    f(std::string_view(one));
  }
}

}  // namespace bounced::store
