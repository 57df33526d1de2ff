// The newlines of a block, by every road that this processor can take.
#include "parse/line_ends.h"

#include <gtest/gtest.h>

#include <random>
#include <string>

namespace bounced::parse {
namespace {

/// Text with a newline at each place with the given chance; behind it, padding full of newlines.
std::string make_text(std::size_t size, double chance, std::mt19937_64& random) {
  std::bernoulli_distribution newline(chance);
  std::string text;
  for (std::size_t i = 0; i < size; ++i) text += newline(random) ? '\n' : 'x';
  return text + std::string(limits::kBlockPadding, '\n');
}

TEST(LineEnds, AreThoseOfTheTextAndNoOthers) {
  std::mt19937_64 random(7);
  LineEnds ends;
  for (const std::size_t size : {0, 1, 63, 64, 65, 127, 8191, 8192, 8193, 20'000, 50'000}) {
    for (const double chance : {0.0, 0.0001, 0.005, 0.03, 0.5, 1.0}) {
      const std::string padded = make_text(size, chance, random);
      const std::string_view text = std::string_view(padded).substr(0, size);
      ends.start(text);
      for (auto at = text.find('\n'); at != std::string_view::npos; at = text.find('\n', at + 1)) {
        const char* const found = ends.next();
        ASSERT_NE(found, nullptr) << size << " bytes, " << chance;
        ASSERT_EQ(found - text.data(), static_cast<std::ptrdiff_t>(at));
      }
      ASSERT_EQ(ends.next(), nullptr) << size << " bytes, " << chance;
      ASSERT_EQ(ends.next(), nullptr);
    }
  }
}

TEST(LineEnds, EveryRoadFindsTheSame) {
  std::mt19937_64 random(8);
  for (const double chance : {0.0, 0.01, 0.2, 1.0}) {
    const std::string text = make_text(4096, chance, random);
    std::vector<std::uint32_t> expected;
    for (std::uint32_t i = 64; i < 4096; ++i) {
      if (text[i] == '\n') expected.push_back(i);
    }
    for (const FindNewlines find : all_find_newlines()) {
      std::vector<std::uint32_t> found(4096 + 4);
      found.resize(find(text.data(), 64, 63, found.data()));
      EXPECT_EQ(found, expected) << chance;
    }
  }
}

}  // namespace
}  // namespace bounced::parse
