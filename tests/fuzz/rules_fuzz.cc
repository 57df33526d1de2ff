// The rule loader and its check on any text: clear problems or a set that classifies, never a
// fuzz-libs: bounced_classify bounced_base
// crash.
#include <cstdint>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <string>

#include "classify/check.h"

namespace {

const std::string& causes_text() {
  static const std::string text = [] {
    std::ifstream in(BOUNCED_SOURCE_DIR "/rules/causes.toml");
    return std::string{std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
  }();
  return text;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size > 8'192) return 0;
  const std::string text(reinterpret_cast<const char*>(data), size);
  const auto report = bounced::classify::check_rule_text(causes_text(), text);
  for (const auto& problem : report.problems) {
    if (problem.message.empty()) std::abort();
  }
  return 0;
}
