#include "cli/progress.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>

#include "base/clock.h"
#include "base/text.h"

namespace bounced::cli {

ProgressBar::ProgressBar(Io& io, bool wanted, std::function<ProgressState()> poll)
    : io_(io), poll_(std::move(poll)), begun_us_(monotonic_us()) {
  if (!wanted || !io.err_terminal()) return;
  first_ = poll_().done;
  thread_ = std::thread([this] {
    while (!stop_) {
      std::this_thread::sleep_for(std::chrono::milliseconds(100));
      draw(false);
    }
  });
}

ProgressBar::~ProgressBar() {
  stop_ = true;
  if (!thread_.joinable()) return;
  thread_.join();
  draw(true);
  io_.err("\r\x1b[K");
}

void ProgressBar::draw(bool last) {
  const ProgressState state = poll_();
  const double seconds = std::max(0.001, static_cast<double>(monotonic_us() - begun_us_) / 1e6);
  const double rate = static_cast<double>(state.done - std::min(first_, state.done)) / seconds;
  const double line_rate = static_cast<double>(state.lines) / seconds;
  std::string tail =
      fmt::format(" {}  {}/s  {:.2f} M lines/s", human_bytes(static_cast<double>(state.done)),
                  human_bytes(rate), line_rate / 1e6);
  std::string line;
  if (state.total != 0) {
    const double part =
        std::min(1.0, static_cast<double>(state.done) / static_cast<double>(state.total));
    const auto left = static_cast<double>(state.total - std::min(state.done, state.total));
    if (rate > 0 && !last) tail += fmt::format("  ETA {:.0f} s", left / rate);
    const int room = io_.columns() - static_cast<int>(tail.size()) - 9;
    const int width = std::clamp(room, 0, 40);
    const int full = static_cast<int>(part * width);
    line = fmt::format("{:3.0f} % [{}{}]", part * 100,
                       std::string(static_cast<std::size_t>(full), '='),
                       std::string(static_cast<std::size_t>(width - full), ' '));
  }
  io_.err("\r" + line + tail + "\x1b[K");
}

}  // namespace bounced::cli
