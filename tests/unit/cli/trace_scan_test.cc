#include "cli/trace_scan.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdio>
#include <fstream>
#include <string>
#include <vector>

namespace bounced::cli {
namespace {

std::vector<std::string> found(const std::string& text, std::string_view needle) {
  const std::string path = "/tmp/bounced-trace-" + std::to_string(::getpid());
  std::ofstream(path) << text;
  std::vector<std::string> lines;
  EXPECT_TRUE(scan_lines_with(path, needle, [&](const LineView& line) {
    lines.emplace_back(line.text);
    return true;
  }));
  std::remove(path.c_str());
  return lines;
}

TEST(TraceScan, AnAddressIsNoPartOfAnother) {
  const std::vector<std::string> its = {
      "to=<bob@example.com>,", "bob@example.com",
      "for Bob@Example.COM.",  "jbob@example.com and bob@example.com",
      "'bob@example.com'",     "x=bob@example.com:"};
  const std::vector<std::string> others = {"to=<jbob@example.com>,", "bob@example.com.au",
                                           "a.bob@example.com", "bob@example.community",
                                           "x+bob@example.com"};
  std::string text;
  for (std::size_t i = 0; i < its.size(); ++i) {
    text += its[i] + "\n" + (i < others.size() ? others[i] + "\n" : "");
  }
  EXPECT_EQ(found(text, "bob@example.com"), its);
}

TEST(TraceScan, AQueueIdIsNoPartOfAnother) {
  EXPECT_EQ(found("mx: 4AB12CD3: removed\nmx: 14AB12CD3: removed\nqueued as 4AB12CD3)\n4AB12CD34\n",
                  "4AB12CD3"),
            (std::vector<std::string>{"mx: 4AB12CD3: removed", "queued as 4AB12CD3)"}));
}

}  // namespace
}  // namespace bounced::cli
