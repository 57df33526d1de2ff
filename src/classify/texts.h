// Texts: many short texts in one piece of memory.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace bounced::classify {

/// A list of texts that only grows at its end. Views live until the next add().
class Texts {
 public:
  void add(std::string_view text) {
    bytes_ += text;
    ends_.push_back(static_cast<std::uint32_t>(bytes_.size()));
  }
  [[nodiscard]] std::size_t size() const { return ends_.size(); }
  [[nodiscard]] std::string_view operator[](std::size_t i) const {
    const std::size_t begin = i == 0 ? 0 : ends_[i - 1];
    return std::string_view(bytes_).substr(begin, ends_[i] - begin);
  }

  /// Passes its two parts to a writer or a reader of images.
  template <class Self, class Walk>
  static void walk(Self& self, Walk& walk) {
    walk.list(self.ends_);
    walk.text(self.bytes_);
  }

 private:
  std::string bytes_;
  std::vector<std::uint32_t> ends_;
};

}  // namespace bounced::classify
