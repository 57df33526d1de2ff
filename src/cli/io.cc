#include "cli/io.h"

#include <limits.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "base/text.h"

namespace bounced::cli {
namespace {

// Waits until `fd` takes PIPE_BUF bytes at once, or has some to read; false once `give_up` says so.
bool wait_for(int fd, short what, const std::function<bool()>& give_up) {
  while (true) {
    pollfd p{fd, what, 0};
    const int ready = ::poll(&p, 1, give_up ? 100 : -1);
    if (ready > 0 || (ready < 0 && errno != EINTR)) return true;  // write says what is wrong
    if (give_up && give_up()) return false;
  }
}

// 0, or the errno that ended it; ECANCELED when `give_up` did.
int write_all(int fd, std::string_view text, const std::function<bool()>& give_up) {
  while (!text.empty()) {
    // Pieces of this size do not block once poll has said that there is room.
    if (give_up && !wait_for(fd, POLLOUT, give_up)) return ECANCELED;
    const ssize_t n = ::write(fd, text.data(),
                              give_up ? std::min<std::size_t>(text.size(), PIPE_BUF) : text.size());
    if (n > 0) {
      text.remove_prefix(static_cast<std::size_t>(n));
    } else if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
      // Somebody who shares the descriptor made it non-blocking.
      if (!wait_for(fd, POLLOUT, give_up)) return ECANCELED;
    } else if (n == 0 || errno != EINTR) {
      return n == 0 ? EIO : errno;
    }
  }
  return 0;
}

}  // namespace

Io::Io(int in, int out, int err, bool no_color, std::function<bool()> give_up)
    : in_(in),
      out_(out),
      err_(err),
      no_color_(no_color),
      out_terminal_(::isatty(out) != 0),
      err_terminal_(::isatty(err) != 0),
      give_up_(std::move(give_up)) {}

Io::~Io() {
  flush();
}

bool Io::out(std::string_view text) {
  if (broken_) return false;
  buffer_.append(text);
  return buffer_.size() < (std::size_t{1} << 16) || flush();
}

bool Io::flush() {
  if (!broken_ && !buffer_.empty()) {
    out_errno_ = write_all(out_, buffer_, give_up_);
    broken_ = out_errno_ != 0;
  }
  buffer_.clear();
  return !broken_;
}

Result<void> Io::finish() {
  if (flush() || out_errno_ == EPIPE) return {};
  return fail(out_errno_ == ENOSPC || out_errno_ == EDQUOT ? ErrorCode::no_space : ErrorCode::io,
              "write", "standard output", std::strerror(out_errno_), "the output is not whole");
}

void Io::err(std::string_view text) {
  (void)write_all(err_, text, give_up_);
}

// File names, addresses and words of other programs may hold anything: one line stays one line, and
// nothing in it drives a terminal.
int Io::report(const Error& error) {
  flush();
  err(printable(error.message()) + "\n");
  return error.exit_status();
}

void Io::notice(std::string_view text) {
  err("bounced: " + printable(text) + "\n");
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
    const bool may_read = !give_up_ || wait_for(in_, POLLIN, give_up_);
    const ssize_t n = may_read ? ::read(in_, chunk, sizeof chunk) : 0;
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) {
      input_end_ = true;
    } else {
      input_.append(chunk, static_cast<std::size_t>(n));
    }
  }
}

}  // namespace bounced::cli
