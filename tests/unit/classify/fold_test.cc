// fold() against libunistring's folding of the whole text.
#include "classify/fold.h"

#include <gtest/gtest.h>
#include <unicase.h>
#include <uninorm.h>
#include <unistr.h>

#include <cstdlib>
#include <random>
#include <string>
#include <vector>

namespace bounced::classify {
namespace {

std::string utf8(const std::vector<ucs4_t>& characters) {
  std::string text;
  for (const ucs4_t c : characters) {
    std::uint8_t bytes[6];
    const int size = u8_uctomb(bytes, c, sizeof bytes);
    text.append(reinterpret_cast<const char*>(bytes), static_cast<std::size_t>(std::max(0, size)));
  }
  return text;
}

/// Until nothing changes.
std::string folded_whole(std::string text) {
  for (;;) {
    std::size_t size = 0;
    std::uint8_t* folded = u8_casefold(reinterpret_cast<const std::uint8_t*>(text.data()),
                                       text.size(), nullptr, UNINORM_NFC, nullptr, &size);
    const std::string next(reinterpret_cast<char*>(folded), size);
    std::free(folded);
    if (next == text) return text;
    text = next;
  }
}

std::string folded(const std::string& text) {
  std::string out;
  fold(text, out);
  return out;
}

/// All characters of the first plane and some of the second, but for those that fold() drops,
/// blanks or masks.
std::vector<ucs4_t> characters() {
  std::vector<ucs4_t> all;
  for (ucs4_t c = 0xa1; c < 0x10500; ++c) {
    if ((c >= 0xd800 && c < 0xe000) || c == 0xfffd) continue;
    const std::string out = folded(utf8({c}));
    if (!out.empty() && out != " ") all.push_back(c);
  }
  return all;
}

TEST(Fold, EveryCharacterAloneAndBetweenLetters) {
  for (const ucs4_t c : characters()) {
    ASSERT_EQ(folded(utf8({c})), folded_whole(utf8({c}))) << std::hex << c;
    const std::string text = utf8({'O', c, 'A', c});
    ASSERT_EQ(folded(text), folded_whole(text)) << std::hex << c;
  }
}

/// Where characters might join: letters beside marks, vowels and consonants of one script.
TEST(Fold, CharactersSideBySide) {
  const std::vector<ucs4_t> all = characters();
  const std::vector<ucs4_t> marks = {0x300, 0x301, 0x308,  0x30c,  0x327,  0x328,  0x345,
                                     0x653, 0x654, 0x3099, 0x309a, 0x1161, 0x11a8, 0x9be};
  std::mt19937 random(20261122);
  for (int round = 0; round < 200'000; ++round) {
    std::vector<ucs4_t> text = {0xdf};  // plain ASCII is left as it is
    std::size_t at = random() % all.size();
    for (std::size_t n = 2 + random() % 5; n > 0; --n) {
      if (random() % 16 == 0) text.push_back(marks[random() % marks.size()]);
      if (random() % 4 == 0) at = random() % all.size();
      if (random() % 2 == 0) at = random() % 1200;  // Latin, Greek and Cyrillic come first
      at = std::min(all.size() - 1, at + random() % 40);
      text.push_back(random() % 3 == 0 ? static_cast<ucs4_t>('A' + random() % 58) : all[at]);
      if (text.back() == '\\') text.back() = '.';
    }
    ASSERT_EQ(folded(utf8(text)), folded_whole(utf8(text))) << utf8(text);
  }
}

TEST(Fold, EscapesAndBrokenText) {
  EXPECT_EQ(folded("M\\303\\234LLER\\nx"), "m\xc3\xbcller x");
  EXPECT_EQ(folded("M\xdcLLER"), "m\xc3\xbcller");  // Latin-1
  EXPECT_EQ(folded("STRA\xc3\x9f"
                   "E"),
            "strasse");
  EXPECT_EQ(folded("a\xc2\xa0"
                   "B\xe2\x80\x8b"
                   "C"),
            "a BC");  // nothing foreign is left
  EXPECT_EQ(folded("\xff\xfe\xef\xbf\xbd"), "\xc3\xbf\xc3\xbe?");
}

}  // namespace
}  // namespace bounced::classify
