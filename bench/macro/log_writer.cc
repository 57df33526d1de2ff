#include "log_writer.h"

#include <cerrno>
#include <cstdio>
#include <ctime>

#include <unistd.h>

namespace bounced::bench {

LogWriter::LogWriter(int fd, HeaderForm form, std::int64_t start_us)
    : fd_(fd),
      form_(form),
      now_us_(start_us),
      buffer_(std::make_unique<char[]>(static_cast<std::size_t>(kFlushAt) + kSlack)),
      end_(buffer_.get()) {}

void LogWriter::stamp() {
  const std::int64_t second = now_us_ / 1'000'000;
  if (second != stamped_second_) {
    stamped_second_ = second;
    const std::time_t t = static_cast<std::time_t>(second);
    std::tm civil{};
    gmtime_r(&t, &civil);
    char text[64];
    const char* format = form_ == HeaderForm::rfc3164   ? "%b %e %H:%M:%S"
                         : form_ == HeaderForm::rfc3339 ? "%Y-%m-%dT%H:%M:%S"
                                                        : "%Y-%m-%d %H:%M:%S";
    second_.assign(text, std::strftime(text, sizeof text, format, &civil));
  }
  put(second_);
  if (form_ != HeaderForm::rfc3339) return;
  *end_++ = '.';
  auto fraction = static_cast<std::uint32_t>(now_us_ % 1'000'000);
  for (int i = 5; i >= 0; --i, fraction /= 10) end_[i] = static_cast<char>('0' + fraction % 10);
  end_ += 6;
  put("+00:00");
}

void LogWriter::begin_line(std::string_view host, std::string_view tag, std::uint32_t pid) {
  stamp();
  put(' ');
  if (form_ == HeaderForm::exim) return;
  put(host).put(' ').put(tag).put('[').number(pid).put("]: ");
}

LogWriter& LogWriter::number(std::uint64_t value) {
  char digits[20];
  int n = 20;
  do {
    digits[--n] = static_cast<char>('0' + value % 10);
    value /= 10;
  } while (value != 0);
  return put(std::string_view(digits + n, static_cast<std::size_t>(20 - n)));
}

LogWriter& LogWriter::delay(std::uint32_t milliseconds) {
  if (milliseconds >= 10'000) return number(milliseconds / 1000);
  std::uint32_t unit = 1;
  while (milliseconds / unit >= 100) unit *= 10;
  const std::uint32_t kept = milliseconds / unit * unit;
  number(kept / 1000);
  std::uint32_t rest = kept % 1000;
  if (rest == 0) return *this;
  *end_++ = '.';
  for (std::uint32_t digit = 100; rest != 0; rest %= digit, digit /= 10) {
    *end_++ = static_cast<char>('0' + rest / digit);
  }
  return *this;
}

LogWriter& LogWriter::token(std::uint64_t bits, int digits) {
  static constexpr char kDigits[] = "0123456789abcdefghijklmnopqrstuvwxyz";
  for (int i = 0; i < digits; ++i, bits /= 36) *end_++ = kDigits[bits % 36];
  return *this;
}

LogWriter& LogWriter::hex(std::uint64_t bits, int digits) {
  static constexpr char kDigits[] = "0123456789ABCDEF";
  for (int i = 0; i < digits; ++i, bits >>= 4) *end_++ = kDigits[bits & 15];
  return *this;
}

void LogWriter::flush() {
  const char* begin = buffer_.get();
  written_ += static_cast<std::uint64_t>(end_ - begin);
  while (begin != end_ && !failed_) {
    const ssize_t n = ::write(fd_, begin, static_cast<std::size_t>(end_ - begin));
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) {
      failed_ = true;
    } else {
      begin += n;
    }
  }
  end_ = buffer_.get();
}

}  // namespace bounced::bench
