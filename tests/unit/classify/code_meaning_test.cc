// Bare codes in words.
#include "classify/code_meaning.h"

#include <gtest/gtest.h>

namespace bounced::classify {
namespace {

TEST(CodeMeaning, EveryReplyCodeSaysSomething) {
  for (std::uint16_t code = 200; code < 600; ++code) EXPECT_FALSE(reply_meaning(code).empty());
  EXPECT_TRUE(reply_meaning(199).empty());
  EXPECT_TRUE(reply_meaning(600).empty());
  EXPECT_NE(reply_meaning(421).find("not available now"), std::string::npos);
  EXPECT_EQ(reply_meaning(421).rfind("temporary: ", 0), 0u);
  EXPECT_EQ(reply_meaning(550).rfind("permanent: ", 0), 0u);
  EXPECT_NE(reply_meaning(429).find("about the connection"), std::string::npos);
}

TEST(CodeMeaning, RegisteredAndOtherDetails) {
  EXPECT_EQ(bare_code_meaning("5.1.1"), "permanent: there is no such mailbox");
  EXPECT_EQ(bare_code_meaning("4.2.2"), "temporary: the mailbox is full");
  EXPECT_NE(bare_code_meaning("5.7.515").find("provider's own"), std::string::npos);
  EXPECT_NE(bare_code_meaning("5.9.9").find("no registered subject"), std::string::npos);
}

TEST(CodeMeaning, OnlyBareCodes) {
  EXPECT_NE(bare_code_meaning("550 5.1.1").find("; permanent: there is no such mailbox"),
            std::string::npos);
  EXPECT_FALSE(bare_code_meaning(" 421 ").empty());
  for (const char* text :
       {"", "550 no such user", "5.1.1 unknown", "5501", "users", "1.2.3", "42"}) {
    EXPECT_EQ(bare_code_meaning(text), "") << text;
  }
}

}  // namespace
}  // namespace bounced::classify
