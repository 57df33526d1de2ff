// lab_data: real logs with ground truth (../shared/data/mta), which a user's machine does not have.
#pragma once

#include <gtest/gtest.h>

#include <filesystem>
#include <string>

#include "parse_helper.h"

namespace bounced::parse {

inline std::string data_path(const std::string& name) {
  return std::string(BOUNCED_SOURCE_DIR).append("/../shared/data/mta/").append(name);
}

inline std::string data(const std::string& name) {
  std::string text = read_file(data_path(name));
  EXPECT_FALSE(text.empty()) << name;
  return text;
}

inline bool have_data() {
  return std::filesystem::exists(data_path("README.md"));
}
#define NEED_DATA() \
  if (!have_data()) GTEST_SKIP() << "no ../shared/data/mta beside the source"

}  // namespace bounced::parse
