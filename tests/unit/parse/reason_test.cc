// The short ways through a reason: they must say what the long ones do.
#include <gtest/gtest.h>

#include <string>

#include "parse/postfix_reason.h"

namespace bounced::parse {
namespace {

TEST(Reason, TheUsualCommandsAreCutLikeAnyOther) {
  struct Case {
    const char* command;
    Phase phase;
  };
  for (const Case& c : {Case{"RCPT TO", Phase::rcpt}, Case{"end of DATA", Phase::eod},
                        Case{"MAIL FROM", Phase::mail}, Case{"DATA", Phase::data},
                        Case{"EHLO", Phase::helo}, Case{"VRFY", Phase::none}}) {
    const std::string reply = "550 5.1.1 no (in reply to RCPT TO command) (quoted)";
    const std::string end = std::string(" (in reply to ") + c.command + " command)";
    const std::string reason = "host mx[192.0.2.1] said: " + reply + end;
    const Reason read = read_reason(reason, {});
    EXPECT_EQ(read.diagnostic, reply);
    EXPECT_EQ(read.phase, c.phase);
    // A command alone, in which nothing is left to say.
    EXPECT_EQ(read_reason("host mx[192.0.2.1] said: " + end, {}).phase, c.phase);
    // Cut off by the line limit, it is not Postfix's own.
    const std::string cut = reason.substr(0, reason.size() - 1);
    EXPECT_EQ(read_reason(cut, {}).phase, Phase::none);
  }
}

TEST(Reason, EnhancedCodesOfOneDigitAndOfMore) {
  const auto read = [](const std::string& text, std::size_t& size) {
    EnhancedCode code;
    const char* p = text.data();
    const bool found = read_enhanced(p, text.data() + text.size(), code);
    size = static_cast<std::size_t>(p - text.data());
    return found ? code : EnhancedCode{};
  };
  for (const std::string digits : {"0", "1", "9", "10", "123", "1234", "", "x"}) {
    for (const std::string behind : {"", " no", "x", ".", "-"}) {
      const bool good = !digits.empty() && digits.size() < 4 && digits != "x";
      const auto number = static_cast<std::uint16_t>(good ? std::stoi(digits) : 0);
      std::size_t size = 0;
      const EnhancedCode last = read("5.1." + digits + behind, size);
      EXPECT_EQ(last, (good ? EnhancedCode{1, number, 5} : EnhancedCode{})) << digits << behind;
      EXPECT_EQ(size, good ? 4 + digits.size() : 0);
      const EnhancedCode middle = read("4." + digits + ".7" + behind, size);
      EXPECT_EQ(middle, (good ? EnhancedCode{number, 7, 4} : EnhancedCode{})) << digits << behind;
    }
  }
  std::size_t size = 0;
  EXPECT_FALSE(read("3.1.1 no", size).present());
  EXPECT_FALSE(read("5-1.1 no", size).present());
}

}  // namespace
}  // namespace bounced::parse
