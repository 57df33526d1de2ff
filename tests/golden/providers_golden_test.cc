// Runs every request of tests/golden/providers/*.requests through its provider and compares what
// came out with the .expected file beside it; tools/golden-update as for logs.
//   ### title, then "> header: value" lines (:method and :target are the request's), then the body
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "../unit/parse/providers_helper.h"

namespace bounced::parse::providers {
namespace {

namespace fs = std::filesystem;

std::string read_file(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

struct NamedPost {
  std::string title;
  testing::Post post;
};

void add_header(testing::Post& post, std::string_view line) {
  const auto colon = line.find(": ");
  const std::string name(line.substr(2, colon - 2)), value(line.substr(colon + 2));
  if (name == ":method") {
    post.method = value;
  } else if (name == ":target") {
    post.target = value;
  } else {
    post.headers.emplace_back(name, value);
  }
}

std::vector<NamedPost> read_requests(std::string_view text) {
  std::vector<NamedPost> posts;
  bool in_body = false;
  while (!text.empty()) {
    const auto newline = text.find('\n');
    const std::string_view line = text.substr(0, newline);
    text = newline == std::string_view::npos ? std::string_view{} : text.substr(newline + 1);
    if (line.substr(0, 4) == "### ") {
      posts.push_back({std::string(line.substr(4)), {}});
      in_body = false;
    } else if (!in_body && line.substr(0, 2) == "> ") {
      add_header(posts.back().post, line);
    } else {
      if (in_body) posts.back().post.body += '\n';
      posts.back().post.body += line;
      in_body = true;
    }
  }
  return posts;
}

std::string render(const std::string& provider, std::string_view text) {
  const Endpoint endpoint = testing::open_endpoint(provider);
  std::string out;
  for (const NamedPost& named : read_requests(text)) {
    testing::Told told;
    testing::run(endpoint, named.post, told);
    EXPECT_EQ(told.batch.keys.size(), told.size());
    out += "### " + named.title + "\n" + told.all();
  }
  return out;
}

std::vector<std::string> provider_names() {
  std::vector<std::string> names;
  for (const Provider& provider : table()) names.emplace_back(provider.name);
  return names;
}

class ProviderGolden : public ::testing::TestWithParam<std::string> {};

TEST_P(ProviderGolden, Requests) {
  const fs::path folder = fs::path(BOUNCED_SOURCE_DIR) / "tests/golden/providers";
  const std::string requests = read_file(folder / (GetParam() + ".requests"));
  ASSERT_FALSE(requests.empty()) << "a provider without golden requests: " << GetParam();
  const std::string actual = render(GetParam(), requests);
  if (const char* out = std::getenv("BOUNCED_GOLDEN_OUT"); out != nullptr) {
    fs::create_directories(fs::path(out) / "providers");
    std::ofstream(fs::path(out) / "providers" / (GetParam() + ".expected"), std::ios::binary)
        << actual;
    return;
  }
  EXPECT_EQ(actual, read_file(folder / (GetParam() + ".expected")))
      << "tools/golden-update shows the difference and takes it";
}

INSTANTIATE_TEST_SUITE_P(Table, ProviderGolden, ::testing::ValuesIn(provider_names()),
                         [](const auto& given) { return given.param; });

}  // namespace
}  // namespace bounced::parse::providers
