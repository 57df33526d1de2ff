// Clock: wall time at the world's edge; never read while events are applied.
#pragma once

#include <cstdint>

namespace bounced {

/// Virtual so that tests run six months in a second. Thread safety: all methods.
class Clock {
 public:
  virtual ~Clock() = default;
  /// Microseconds since 1970 UTC.
  [[nodiscard]] virtual std::int64_t now_us() const = 0;
};

/// The system's real-time clock.
const Clock& system_clock();
/// CLOCK_MONOTONIC in microseconds, for durations only.
std::int64_t monotonic_us();

}  // namespace bounced
