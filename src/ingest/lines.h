// Lines: what is read in pieces, line by line, without copying more than a line.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

#include "bounced/result.h"

namespace bounced::ingest {

/// `Read`: Result<std::size_t>(char* out, std::size_t size, std::uint64_t offset); 0 = the end.
template <class Read>
class Lines {
 public:
  static constexpr std::size_t kReadBytes = std::size_t{64} << 10;

  explicit Lines(Read read, std::uint64_t offset = 0) : read_(std::move(read)), offset_(offset) {}
  /// The next line with its newline, or up to kReadBytes of a longer one; empty at the end.
  Result<std::string_view> next() {
    for (;;) {
      const std::size_t newline = buffer_.find('\n', at_);
      const std::size_t have = buffer_.size() - at_;
      if (newline != std::string::npos || have >= kReadBytes || ended_) {
        const std::size_t size = newline == std::string::npos ? have : newline + 1 - at_;
        const std::string_view line = std::string_view(buffer_).substr(at_, size);
        at_ += size;
        offset_ += size;
        return line;
      }
      buffer_.erase(0, at_);
      at_ = 0;
      const std::size_t size = buffer_.size();
      buffer_.resize(size + kReadBytes);
      auto got = read_(buffer_.data() + size, kReadBytes, offset_ + size);
      if (!got) {
        buffer_.resize(size);
        return tl::unexpected(got.error());
      }
      buffer_.resize(size + *got);
      ended_ = *got == 0;
    }
  }
  /// Of the next line.
  [[nodiscard]] std::uint64_t offset() const { return offset_; }

 private:
  Read read_;
  std::string buffer_;
  std::size_t at_ = 0;
  std::uint64_t offset_;
  bool ended_ = false;
};

}  // namespace bounced::ingest
