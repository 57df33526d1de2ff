// Buffered log lines with a syslog header and a clock that runs on by itself.
// Not thread-safe. The file descriptor is borrowed.
#pragma once

#include <cstdint>
#include <cstring>
#include <memory>
#include <string>
#include <string_view>

namespace bounced::bench {

enum class HeaderForm : std::uint8_t { rfc3164, rfc3339, exim };

class LogWriter {
 public:
  LogWriter(int fd, HeaderForm form, std::int64_t start_us);
  LogWriter(const LogWriter&) = delete;
  LogWriter& operator=(const LogWriter&) = delete;

  /// Writes `stamp host tag[pid]: `; exim: the stamp and a blank.
  void begin_line(std::string_view host, std::string_view tag, std::uint32_t pid);
  void end_line() {
    *end_++ = '\n';
    ++lines_;
    if (end_ - buffer_.get() > kFlushAt) flush();
  }
  /// At most 4 KiB a line in all: the slack behind kFlushAt holds one whole line.
  LogWriter& put(std::string_view text) {
    std::memcpy(end_, text.data(), text.size());
    end_ += text.size();
    return *this;
  }
  LogWriter& put(char c) {
    *end_++ = c;
    return *this;
  }
  LogWriter& number(std::uint64_t value);
  /// Two significant digits with the trailing zeros dropped, as Postfix writes its delays.
  LogWriter& delay(std::uint32_t milliseconds);
  /// The low `digits` characters of `bits` in base 36, lower case (upper: hexadecimal).
  LogWriter& token(std::uint64_t bits, int digits);
  LogWriter& hex(std::uint64_t bits, int digits);

  void advance(std::int64_t us) { now_us_ += us; }
  [[nodiscard]] std::int64_t now_us() const { return now_us_; }
  [[nodiscard]] std::uint64_t lines() const { return lines_; }
  [[nodiscard]] std::uint64_t bytes() const {
    return written_ + static_cast<std::uint64_t>(end_ - buffer_.get());
  }
  /// Writes what is buffered; after an error further output is dropped and failed() stays true.
  void flush();
  [[nodiscard]] bool failed() const { return failed_; }

 private:
  static constexpr std::ptrdiff_t kFlushAt = 1 << 20;
  static constexpr std::size_t kSlack = 1 << 16;
  void stamp();

  int fd_;
  HeaderForm form_;
  bool failed_ = false;
  std::int64_t now_us_;
  std::int64_t stamped_second_ = -1;
  std::string second_;  ///< the stamp of stamped_second_, without fraction and zone
  std::uint64_t lines_ = 0;
  std::uint64_t written_ = 0;
  std::unique_ptr<char[]> buffer_;
  char* end_;
};

}  // namespace bounced::bench
