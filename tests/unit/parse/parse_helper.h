// A batch made of a string, and its events and notes as text.
#pragma once

#include <gtest/gtest.h>

#include <fstream>
#include <iterator>
#include <string>

#include "base/block.h"
#include "parse/parse.h"

namespace bounced::parse {

inline std::string read_file(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

/// One block of text, parsed. Ownership: keep it alive as long as views into the batch are used.
class Parsed {
 public:
  explicit Parsed(std::string_view text, const Context& given = {}, int format = 0,
                  std::uint64_t offset = 0)
      : pool_(1, text.size() + 1) {
    Context context = given;
    if (context.hasher == nullptr) context.hasher = &hasher_;
    batch.block = pool_.take();
    if (!text.empty()) std::memcpy(batch.block->data, text.data(), text.size());
    // The contract promises readable bytes behind the block, not what they are.
    std::memset(batch.block->data + text.size(), '~', 1 + limits::kBlockPadding);
    batch.block->size = static_cast<std::uint32_t>(text.size());
    batch.block->format = format;
    batch.block->offset = offset;
    batch.block->file = 7;
    parse(context, batch);
  }
  ~Parsed() { batch.clear(); }
  Parsed(const Parsed&) = delete;
  Parsed& operator=(const Parsed&) = delete;

  [[nodiscard]] std::string view(Text text) const { return std::string(batch.view(text)); }
  /// The only event; fails the test when there is another number of them.
  [[nodiscard]] const Event& only() const {
    static const Event none;
    EXPECT_EQ(batch.events.size(), 1u);
    return batch.events.empty() ? none : batch.events.front();
  }

 private:
  BlockPool pool_;
  AddressHasher hasher_;

 public:
  Batch batch;
};

}  // namespace bounced::parse
