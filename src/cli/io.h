// Io: a command's input and output. In the daemon these are the caller's own descriptors.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "bounced/result.h"

namespace bounced::cli {

/// stdout is data only; errors, notices and progress go to stderr. Not thread safe.
class Io {
 public:
  /// `give_up`: asked ten times a second while nobody reads our output; what it says yes to cannot
  /// be written. Without it: waits for the reader.
  Io(int in, int out, int err, bool no_color, std::function<bool()> give_up = {});
  ~Io();
  Io(const Io&) = delete;
  Io& operator=(const Io&) = delete;

  /// Buffered; false once it cannot be written, then everything is dropped.
  bool out(std::string_view text);
  void err(std::string_view text);
  bool flush();
  /// Flushes. Not an error: a reader that went away (EPIPE), which is its choice.
  Result<void> finish();
  /// Prints the error's line; returns its exit status.
  int report(const Error& error);
  /// A line "bounced: ..." on stderr.
  void notice(std::string_view text);

  [[nodiscard]] bool out_terminal() const { return out_terminal_; }
  [[nodiscard]] bool err_terminal() const { return err_terminal_; }
  [[nodiscard]] bool colour() const { return out_terminal_ && !no_color_; }
  [[nodiscard]] int in_fd() const { return in_; }
  [[nodiscard]] bool broken() const { return broken_.load(std::memory_order_relaxed); }
  [[nodiscard]] int out_fd() const { return out_; }
  [[nodiscard]] int err_fd() const { return err_; }
  /// Columns of the terminal behind stderr, 80 when unknown.
  [[nodiscard]] int columns() const;
  /// Next line of stdin without its newline; false at the end.
  bool read_line(std::string& line);

 private:
  int in_, out_, err_;
  bool no_color_, out_terminal_, err_terminal_;
  std::function<bool()> give_up_;
  std::atomic<bool> broken_{false};  ///< written by who prints, read by who waits
  int out_errno_ = 0;                ///< why it is broken
  std::string buffer_;
  std::string input_;
  std::size_t input_at_ = 0;
  bool input_end_ = false;
};

}  // namespace bounced::cli
