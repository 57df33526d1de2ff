#include "ingest/split_record.h"

#include <gtest/gtest.h>

#include <string>

namespace bounced::ingest {
namespace {

const std::string kPlain =
    "Nov 21 21:06:58 mx exim[7]: 2026-11-21 21:06:58 1xUsIU-0000GZ-0M Completed\n";

std::string piece(int pid, const char* mark) {
  return "Nov 21 21:06:58 mx exim[" + std::to_string(pid) + "]: " + mark + " text\n";
}

TEST(SplitRecord, WholeRecordsAreNotCut) {
  for (const std::string& lines :
       {kPlain, kPlain + kPlain, piece(1, "[1/2]") + piece(1, "[2/2]"),
        piece(1, "[1/2]") + piece(2, "[1/2]") + piece(1, "[2/2]") + kPlain + piece(2, "[2/2]"),
        piece(1, "[1\\3]"), piece(1, "[1/2]") + piece(1, "[2\\4]"), piece(1, "[3/2]"),
        piece(1, "[0/2]"), piece(1, "[1/"), piece(1, "[1/99999999999]"), std::string("\n"),
        std::string("Nov 21 21:06:58 mx other[1]: [1/2] text\n")}) {
    EXPECT_EQ(before_split_record(lines), lines.size()) << lines;
  }
  EXPECT_EQ(before_split_record(""), 0u);
}

TEST(SplitRecord, ARecordThatIsNotWholeIsLeftOut) {
  EXPECT_EQ(before_split_record(piece(1, "[1/2]")), 0u);
  EXPECT_EQ(before_split_record(kPlain + piece(1, "[1/3]") + piece(1, "[2/3]")), kPlain.size());
  const std::string whole = kPlain + piece(2, "[1/2]");
  EXPECT_EQ(before_split_record(kPlain + piece(1, "[1/3]") + kPlain + piece(1, "[2/3]") + kPlain),
            kPlain.size())
      << "other lines behind it";
  EXPECT_EQ(before_split_record(whole + piece(1, "[1/3]") + piece(2, "[2/2]")), whole.size())
      << "the other record goes on in the next block";
  EXPECT_EQ(before_split_record(piece(1, "[2/3]")), piece(1, "[2/3]").size()) << "no begin";
}

TEST(SplitRecord, NothingWaitsForPiecesThatWereLost) {
  std::string lines = piece(1, "[1/3]");
  for (int i = 0; i < 8; ++i) lines += kPlain;
  EXPECT_EQ(before_split_record(lines), lines.size());
}

}  // namespace
}  // namespace bounced::ingest
