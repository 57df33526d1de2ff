// Plays a fuzz target's corpus, and every input cut and damaged, as a plain test.
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <sstream>
#include <string>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

namespace {

std::vector<std::string> corpus() {
  std::vector<std::filesystem::path> paths;
  std::istringstream folders(BOUNCED_CORPUS);  // separated by colons
  for (std::string folder; std::getline(folders, folder, ':');) {
    if (!std::filesystem::is_directory(folder)) continue;
    for (const auto& entry : std::filesystem::directory_iterator(folder)) {
      if (entry.is_regular_file()) paths.push_back(entry.path());
    }
  }
  std::sort(paths.begin(), paths.end());
  std::vector<std::string> inputs;
  for (const auto& path : paths) {
    std::ifstream file(path, std::ios::binary);
    inputs.emplace_back(std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>());
  }
  return inputs;
}

void play(const std::string& input) {
  // A copy of its exact size: AddressSanitizer sees the first byte read behind it.
  const std::vector<std::uint8_t> exact(input.begin(), input.end());
  EXPECT_EQ(0, LLVMFuzzerTestOneInput(exact.data(), exact.size()));
}

}  // namespace

#define BOUNCED_NAME2(name) Fuzz_##name
#define BOUNCED_NAME(name) BOUNCED_NAME2(name)

TEST(BOUNCED_NAME(BOUNCED_FUZZ_NAME), survives_its_corpus) {
  const auto inputs = corpus();
  ASSERT_FALSE(inputs.empty()) << "no input in " << BOUNCED_CORPUS;
  play("");
  for (const std::string& input : inputs) play(input);
}

TEST(BOUNCED_NAME(BOUNCED_FUZZ_NAME), survives_cut_and_damaged_inputs) {
  constexpr std::size_t kPlaces = 64;
  for (const std::string& input : corpus()) {
    const std::size_t step = input.size() / kPlaces + 1;
    for (std::size_t at = 0; at < input.size(); at += step) {
      play(input.substr(0, at));
      for (const char byte : {'\0', '\n', '\xff', '"', '(', '>', ' '}) {
        std::string damaged = input;
        damaged[at] = byte;
        play(damaged);
      }
    }
  }
}

// For as long as BOUNCED_FUZZ_SECONDS says: a fuzzer without guidance, for every compiler.
TEST(BOUNCED_NAME(BOUNCED_FUZZ_NAME), survives_random_changes) {
  const char* const seconds = std::getenv("BOUNCED_FUZZ_SECONDS");
  if (seconds == nullptr) GTEST_SKIP() << "BOUNCED_FUZZ_SECONDS is not set";
  const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(std::atoi(seconds));
  const auto inputs = corpus();
  ASSERT_FALSE(inputs.empty());
  const auto seed = std::random_device{}();
  std::mt19937 random(seed);
  std::uint64_t runs = 0;
  const auto below = [&](std::size_t n) { return n == 0 ? 0 : random() % n; };
  for (; std::chrono::steady_clock::now() < until; ++runs) {
    std::string input = inputs[below(inputs.size())];
    for (std::size_t edits = below(8) + 1; edits > 0; --edits) {
      const std::size_t at = below(input.size() + 1);
      switch (below(4)) {
        case 0:
          if (at < input.size()) input[at] = static_cast<char>(random());
          break;
        case 1:
          input.erase(at, below(16));
          break;
        case 2: {
          const std::string& other = inputs[below(inputs.size())];
          const std::size_t from = below(other.size());
          input.insert(at, other, from, below(64));
          break;
        }
        default: {
          const char bytes[] = {'\xff', static_cast<char>(random()), static_cast<char>(random())};
          input.insert(at, bytes, sizeof bytes);
        }
      }
    }
    play(input);
    ASSERT_FALSE(HasFailure()) << "seed " << seed;
  }
  std::printf("%llu inputs, seed %u\n", static_cast<unsigned long long>(runs), seed);
}
