// A progress bar on stderr; silent off a terminal.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <thread>

#include "cli/io.h"

namespace bounced::cli {

struct ProgressState {
  std::uint64_t done = 0;   ///< bytes
  std::uint64_t total = 0;  ///< bytes; 0 = unknown
  std::uint64_t lines = 0;
};

/// Draws every 100 ms on a thread of its own until destroyed: bar, rate, ETA.
class ProgressBar {
 public:
  ProgressBar(Io& io, bool wanted, std::function<ProgressState()> poll);
  ~ProgressBar();
  ProgressBar(const ProgressBar&) = delete;
  ProgressBar& operator=(const ProgressBar&) = delete;

 private:
  void draw(bool last);
  Io& io_;
  std::function<ProgressState()> poll_;
  std::int64_t begun_us_ = 0;
  std::uint64_t first_ = 0;
  std::atomic<bool> stop_{false};
  std::thread thread_;
};

}  // namespace bounced::cli
