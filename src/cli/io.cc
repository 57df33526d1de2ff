#include "cli/io.h"

#include <poll.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

namespace bounced::cli {
namespace {

constexpr int kCancelPollMs = 100;
/// POSIX: a pipe that can be written to takes so much without blocking (PIPE_BUF).
constexpr std::size_t kWriteBytes = 4096;

}  // namespace

/// Sleeps until that is possible; false when it is given up.
bool Io::wait_for(int fd, short events) const {
  while (cancelled_) {
    pollfd waiting{fd, events, 0};
    const int ready = ::poll(&waiting, 1, kCancelPollMs);
    if (ready > 0 || (ready < 0 && errno != EINTR)) break;
    if (cancelled_()) return false;
  }
  return true;
}

bool Io::write_all(int fd, std::string_view text) const {
  while (!text.empty()) {
    if (!wait_for(fd, POLLOUT)) return false;
    const std::size_t size = cancelled_ ? std::min(text.size(), kWriteBytes) : text.size();
    const ssize_t n = ::write(fd, text.data(), size);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return false;
    text.remove_prefix(static_cast<std::size_t>(n));
  }
  return true;
}

Io::Io(int in, int out, int err, bool no_color)
    : in_(in),
      out_(out),
      err_(err),
      no_color_(no_color),
      out_terminal_(::isatty(out) != 0),
      err_terminal_(::isatty(err) != 0) {}

Io::~Io() {
  flush();
}

bool Io::out(std::string_view text) {
  if (broken_) return false;
  buffer_.append(text);
  return buffer_.size() < (std::size_t{1} << 16) || flush();
}

bool Io::flush() {
  if (!broken_ && !buffer_.empty()) broken_ = !write_all(out_, buffer_);
  buffer_.clear();
  return !broken_;
}

void Io::err(std::string_view text) {
  write_all(err_, text);
}

int Io::report(const Error& error) {
  flush();
  err(error.message() + "\n");
  return error.exit_status();
}

void Io::notice(std::string_view text) {
  err("bounced: " + std::string(text) + "\n");
}

int Io::columns() const {
  winsize size{};
  if (::ioctl(err_, TIOCGWINSZ, &size) == 0 && size.ws_col > 0) return size.ws_col;
  return 80;
}

bool Io::read_line(std::string& line) {
  while (true) {
    const std::size_t end = input_.find('\n', input_at_);
    if (end != std::string::npos) {
      line.assign(input_, input_at_, end - input_at_);
      input_at_ = end + 1;
      return true;
    }
    if (input_end_) {
      line.assign(input_, input_at_);
      input_at_ = input_.size();
      return !line.empty();
    }
    input_.erase(0, input_at_);
    input_at_ = 0;
    char chunk[1 << 16];
    const ssize_t n = wait_for(in_, POLLIN) ? ::read(in_, chunk, sizeof chunk) : 0;
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) {
      input_end_ = true;
    } else {
      input_.append(chunk, static_cast<std::size_t>(n));
    }
  }
}

}  // namespace bounced::cli
