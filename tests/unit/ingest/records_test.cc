// What blocks know of their file's first line, and records of several lines.
#include <gtest/gtest.h>

#include "ingest/ingest.h"
#include "support.h"

namespace bounced::ingest {
namespace {

/// Every block of a file: its first line as known, and its text.
struct Seen {
  std::vector<std::string> first_lines, texts;
};

Seen blocks_of(const std::string& path, PositionBook& book, std::size_t block_bytes,
               FileOptions options = {}) {
  Seen seen;
  auto reader = FileReader::open(path, options, book);
  if (!reader) return seen;
  BlockPool pool(1, block_bytes);
  for (;;) {
    const BlockPtr block = pool.take();
    const auto status = (*reader)->next(*block);
    if (!status || *status != ReadStatus::data) return seen;
    seen.first_lines.push_back(block->first_line == nullptr ? "(unknown)" : *block->first_line);
    seen.texts.emplace_back(block->text());
    book.update(position_of(*block, "log"));
  }
}

TEST(FirstLine, IsKnownToEveryBlockOfAFileHoweverItIsStored) {
  const TempDir dir;
  const std::string text = "type,timeLogged\n" + numbered_lines(0, 500);
  for (const std::string suffix : {"", ".gz", ".zst"}) {
    const std::string path = dir / ("acct" + suffix);
    write_file(path, suffix.empty() ? text : compressed(text, suffix));
    PositionBook book;
    const Seen seen = blocks_of(path, book, 4096);
    ASSERT_GT(seen.texts.size(), 5u) << suffix;
    for (const std::string& line : seen.first_lines) EXPECT_EQ(line, "type,timeLogged") << suffix;
  }
}

TEST(FirstLine, IsKnownWhereReadingGoesOn) {
  const TempDir dir;
  const std::string path = dir / "acct";
  write_file(path, std::string(3, '\0') + "type,timeLogged\n" + numbered_lines(0, 50));
  PositionBook book;
  FileOptions live;
  live.live = true;
  (void)blocks_of(path, book, 1 << 20, live);
  append_file(path, "one more\n");
  const Seen seen = blocks_of(path, book, 1 << 20, live);
  ASSERT_EQ(seen.texts, (std::vector<std::string>{"one more\n"}));
  EXPECT_EQ(seen.first_lines[0], "type,timeLogged");
}

TEST(FirstLine, IsLearntFromAFileThatWasEmptyWhenItWasOpened) {
  const TempDir dir;
  const std::string path = dir / "acct";
  write_file(path, "");
  PositionBook book;
  FileOptions live;
  live.live = true;
  auto reader = FileReader::open(path, live, book);
  ASSERT_TRUE(reader.has_value());
  BlockPool pool(1, 4096);
  const BlockPtr block = pool.take();
  EXPECT_EQ(*(*reader)->next(*block), ReadStatus::again);
  append_file(path, "type,time");
  EXPECT_EQ(*(*reader)->next(*block), ReadStatus::again);
  append_file(path, "Logged\nd,1\n");
  ASSERT_EQ(*(*reader)->next(*block), ReadStatus::data);
  ASSERT_NE(block->first_line, nullptr);
  EXPECT_EQ(*block->first_line, "type,timeLogged");
}

TEST(FirstLine, ALongOneIsNotKept) {
  const TempDir dir;
  const std::string path = dir / "log";
  write_file(path, std::string(limits::kFirstLineBytesMax + 1, 'x') + "\nmore\n");
  PositionBook book;
  EXPECT_EQ(blocks_of(path, book, 1 << 20).first_lines, std::vector<std::string>{"(unknown)"});
}

TEST(JournalExport, BlocksHoldWholeRecords) {
  const TempDir dir;
  const std::string path = dir / "journal";
  std::string text;
  for (int i = 0; i < 300; ++i) {
    text += "__CURSOR=" + std::to_string(i) + "\n__REALTIME_TIMESTAMP=1\nMESSAGE=" +
            std::string(static_cast<std::size_t>(i % 90), 'm') + "\n\n";
  }
  write_file(path, text);
  PositionBook book;
  const Seen seen = blocks_of(path, book, 4096);
  ASSERT_GT(seen.texts.size(), 5u);
  std::string all;
  for (const std::string& block : seen.texts) {
    EXPECT_EQ(block.substr(0, 9), "__CURSOR=");
    EXPECT_EQ(block.substr(block.size() - 2), "\n\n");
    all += block;
  }
  EXPECT_EQ(all, text);
}

TEST(JournalExport, ARecordThatIsBeingWrittenIsWaitedFor) {
  const TempDir dir;
  const std::string path = dir / "journal";
  const std::string first = "__CURSOR=1\nMESSAGE=a\n\n", half = "__CURSOR=2\nMESSAGE=b\n";
  write_file(path, first + half);
  PositionBook book;
  FileOptions live;
  live.live = true;
  EXPECT_EQ(blocks_of(path, book, 4096, live).texts, std::vector<std::string>{first});
  append_file(path, "\n");
  EXPECT_EQ(blocks_of(path, book, 4096, live).texts, std::vector<std::string>{half + "\n"});
}

TEST(JournalExport, ARecordLargerThanABlockIsCutAtALine) {
  const TempDir dir;
  const std::string path = dir / "journal";
  std::string text = "__CURSOR=1\n";
  for (int i = 0; i < 500; ++i) text += "FIELD_" + std::to_string(i) + "=value\n";
  write_file(path, text + "\n");
  PositionBook book;
  std::string all;
  for (const std::string& block : blocks_of(path, book, 4096).texts) all += block;
  EXPECT_EQ(all, text + "\n");
}

}  // namespace
}  // namespace bounced::ingest
