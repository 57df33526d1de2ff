#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <thread>

#include "ingest/ingest.h"
#include "support.h"

namespace bounced::ingest {
namespace {

std::unique_ptr<FileReader> open_or_fail(const std::string& path, PositionBook& book,
                                         FileOptions options = replay_options()) {
  auto reader = FileReader::open(path, options, book);
  EXPECT_TRUE(reader.has_value()) << reader.error().message();
  return reader ? std::move(*reader) : nullptr;
}

TEST(FileReader, HandsOutAPlainFileInWholeLines) {
  const TempDir dir;
  const std::string text = numbered_lines(0, 5000);
  write_file(dir / "mail.log", text);
  PositionBook book;
  auto reader = open_or_fail(dir / "mail.log", book);
  BlockPool pool(1, 4096);
  std::string all;
  std::uint64_t expected_sequence = 0;
  bool ended = false;
  for (;;) {
    const BlockPtr block = pool.take();
    const auto status = reader->next(*block);
    ASSERT_TRUE(status.has_value());
    if (*status == ReadStatus::end) break;
    ASSERT_EQ(*status, ReadStatus::data);
    ASSERT_FALSE(ended);
    EXPECT_EQ(block->sequence, expected_sequence++);
    EXPECT_EQ(block->offset, all.size());
    EXPECT_EQ(block->headroom, std::min<std::size_t>(64, all.size()));
    EXPECT_EQ(std::string_view(block->data - block->headroom, block->headroom),
              std::string_view(all).substr(all.size() - block->headroom));
    EXPECT_EQ(block->starts_file, all.empty());
    all.append(block->data, block->size);
    EXPECT_EQ(block->head_size, std::min<std::size_t>(256, all.size()));
    EXPECT_EQ(block->head_hash, hash64(std::string_view(all).substr(0, block->head_size)));
    EXPECT_EQ(block->file_size, text.size());
    EXPECT_NE(block->inode, 0U);
    EXPECT_NE(block->mtime_us, 0);
    if (block->size != 0) {
      EXPECT_EQ(block->data[block->size - 1], '\n');
    }
    ended = block->ends_file;
  }
  EXPECT_TRUE(ended);
  EXPECT_EQ(all, text);
  EXPECT_EQ(reader->offset(), text.size());
  EXPECT_EQ(reader->compressed_offset(), text.size());
  EXPECT_EQ(reader->file_bytes(), text.size());
}

TEST(FileReader, ALastLineWithoutNewlineCountsInAReplayButNotLive) {
  const TempDir dir;
  write_file(dir / "a", "one\r\ntwo");
  PositionBook book;
  auto replay = open_or_fail(dir / "a", book);
  const Drained all = drain(*replay);
  EXPECT_EQ(all.text, "one\r\ntwo");
  EXPECT_TRUE(all.ended);

  FileOptions options = replay_options();
  options.live = true;
  auto live = open_or_fail(dir / "a", book, options);
  EXPECT_EQ(drain(*live).text, "one\r\n");
  append_file(dir / "a", " and a half\nthr");
  EXPECT_EQ(drain(*live).text, "two and a half\n");
  EXPECT_EQ(drain(*live).last, ReadStatus::again);
  EXPECT_EQ(live->offset(), 20U);
}

TEST(FileReader, EmptyFilesEndAtOnce) {
  const TempDir dir;
  write_file(dir / "empty", "");
  PositionBook book;
  auto reader = open_or_fail(dir / "empty", book);
  const Drained all = drain(*reader);
  EXPECT_EQ(all.blocks, 1U);
  EXPECT_TRUE(all.started && all.ended);
  EXPECT_EQ(all.text, "");
  EXPECT_EQ(all.last, ReadStatus::end);
  book.update(all.position);
  write_file(dir / "other", "text\n");
  EXPECT_FALSE(open_or_fail(dir / "other", book)->resumed());
}

TEST(FileReader, AnOversizeLineIsCutAndCounted) {
  const TempDir dir;
  const std::string longest(300'000, 'x');
  const std::string text = "first\n" + longest + "\nlast\n" + longest;
  write_file(dir / "a", text);
  PositionBook book;
  for (const std::size_t bytes : {std::size_t{4096}, std::size_t{131'072}}) {
    FileOptions options = replay_options();
    options.fresh = true;
    auto reader = open_or_fail(dir / "a", book, options);
    const Drained all = drain(*reader, bytes);
    const std::string prefix(std::min<std::size_t>(bytes, limits::kLineBytesMax), 'x');
    EXPECT_EQ(all.text, "first\n" + prefix + "last\n" + prefix) << bytes;
    EXPECT_EQ(all.oversize, 2U);
    EXPECT_EQ(all.skipped, text.size() - all.text.size());
    EXPECT_TRUE(all.ended);
    EXPECT_EQ(all.position.offset, text.size());
    EXPECT_EQ(all.position.tail_hash, hash64(std::string(64, 'x')));
  }
}

TEST(FileReader, ARestartInsideAnOversizeLineSkipsItsRest) {
  const TempDir dir;
  const std::string text = "first\n" + std::string(20'000, 'x') + "\nlast\n";
  for (const char* suffix : {"", ".gz"}) {
    const std::string path = dir / (std::string("a") + suffix);
    write_file(path, *suffix == 0 ? text : compressed(text, suffix));
    PositionBook book;
    auto reader = open_or_fail(path, book);
    const Drained before = drain(*reader, 4096, 2);  // "first", then the prefix
    EXPECT_EQ(before.text.size(), 6U + 4096U);
    book.update(before.position);
    auto again = open_or_fail(path, book);
    EXPECT_TRUE(again->resumed());
    const Drained after = drain(*again, 4096);
    EXPECT_EQ(after.text, "last\n");
    EXPECT_EQ(after.skipped, 20'000U - 4096U + 1U);
  }
}

TEST(FileReader, NulRunsAreSkippedAndOffsetsStayTrue) {
  const TempDir dir;
  const std::string nuls(10'000, '\0');
  write_file(dir / "a", nuls + "one\ntwo\n");
  PositionBook book;
  auto reader = open_or_fail(dir / "a", book);
  EXPECT_EQ(reader->head(), "one\ntwo\n");
  const Drained all = drain(*reader, 4096);
  EXPECT_EQ(all.text, "one\ntwo\n");
  EXPECT_EQ(all.skipped, nuls.size());
  EXPECT_EQ(all.position.offset, nuls.size() + 8);
  book.update(all.position);
  append_file(dir / "a", "three\n");
  auto again = open_or_fail(dir / "a", book);
  EXPECT_TRUE(again->resumed());
  EXPECT_EQ(drain(*again).text, "three\n");
}

TEST(FileReader, NulsAtTheEndOfALiveFileAreWaitedFor) {
  const TempDir dir;
  write_file(dir / "a", "one\n" + std::string(10, '\0'));
  PositionBook book;
  FileOptions options = replay_options();
  options.live = true;
  auto reader = open_or_fail(dir / "a", book, options);
  EXPECT_EQ(drain(*reader).text, "one\n");
  write_file(dir / "a", "one\nnumber two\n");
  EXPECT_EQ(drain(*reader).text, "number two\n");
}

TEST(FileReader, AnAppliedFileIsANoOp) {
  const TempDir dir;
  const std::string text = numbered_lines(0, 100);
  for (const char* suffix : {"", ".gz", ".zst", ".xz", ".bz2"}) {
    const std::string path = dir / (std::string("mail.log") + suffix);
    write_file(path, *suffix == 0 ? text : compressed(text, suffix));
    PositionBook book;
    auto reader = open_or_fail(path, book);
    const Drained all = drain(*reader);
    EXPECT_EQ(all.text, text) << suffix;
    EXPECT_TRUE(all.position.finished);
    book.update(all.position);
    auto again = open_or_fail(path, book);
    EXPECT_TRUE(again->resumed()) << suffix;
    EXPECT_EQ(again->start_offset(), text.size());
    EXPECT_EQ(again->position().file, all.position.file);
    const Drained nothing = drain(*again);
    EXPECT_EQ(nothing.last, ReadStatus::end);
    EXPECT_EQ(nothing.blocks, 0U);
  }
}

TEST(FileReader, RestartAtEveryLineGivesTheFileExactlyOnce) {
  const TempDir dir;
  const std::string text =
      "a\nsecond line\r\n\n\nlast but one " + std::string(70, 'y') + "\nthe end";
  for (const char* suffix : {"", ".gz", ".zst", ".xz", ".bz2"}) {
    const std::string path = dir / (std::string("mail.log") + suffix);
    write_file(path, *suffix == 0 ? text : compressed(text, suffix));
    for (std::size_t cut = 1; cut <= text.size(); ++cut) {
      if (text[cut - 1] != '\n' && cut != text.size()) continue;
      Position position;
      position.file = 7;
      position.source = "test";
      position.head_size = static_cast<std::uint32_t>(std::min<std::size_t>(256, cut));
      position.head_hash = hash64(std::string_view(text).substr(0, position.head_size));
      position.tail_size = static_cast<std::uint32_t>(std::min<std::size_t>(64, cut));
      position.tail_hash =
          hash64(std::string_view(text).substr(cut - position.tail_size, position.tail_size));
      position.offset = cut;
      PositionBook book;
      book.load({position});
      auto reader = open_or_fail(path, book);
      ASSERT_TRUE(reader->resumed());
      EXPECT_EQ(reader->start_offset(), cut);
      const Drained rest = drain(*reader, 128);
      EXPECT_EQ(text.substr(0, cut) + rest.text, text) << suffix << " cut at " << cut;
    }
  }
}

TEST(FileReader, RestartBehindAnyBlockOfAnySizeGivesTheFileExactlyOnce) {
  const TempDir dir;
  const std::string text = numbered_lines(0, 400);
  for (const char* suffix : {"", ".gz", ".bz2"}) {
    const std::string path = dir / (std::string("mail.log") + suffix);
    write_file(path, *suffix == 0 ? text : compressed(text, suffix));
    for (const std::size_t bytes : {std::size_t{256}, std::size_t{1000}, std::size_t{65'536}}) {
      PositionBook book;
      std::string all;
      std::mt19937 random(3);
      for (int runs = 0; runs < 2000; ++runs) {
        auto reader = open_or_fail(path, book);
        const Drained some = drain(*reader, bytes, 1 + random() % 20);
        if (some.blocks != 0) book.update(some.position);
        all += some.text;
        if (some.last == ReadStatus::end) break;
      }
      EXPECT_EQ(all, text);
    }
  }
}

TEST(FileReader, CompressionIsRecognisedByContentNotName) {
  const TempDir dir;
  const std::string text = numbered_lines(0, 10);
  write_file(dir / "plain.gz", text);
  write_file(dir / "zipped.log", compressed(text, ".gz"));
  write_file(dir / "two.log", compressed(text, ".gz") + compressed(text, ".gz"));
  write_file(dir / "none.log", compressed("", ".gz"));
  write_file(dir / "word", "BZh9 is how bzip2 starts\n");
  PositionBook book;
  EXPECT_EQ(drain(*open_or_fail(dir / "plain.gz", book)).text, text);
  EXPECT_EQ(drain(*open_or_fail(dir / "zipped.log", book)).text, text);
  EXPECT_EQ(drain(*open_or_fail(dir / "two.log", book)).text, text + text);
  EXPECT_EQ(drain(*open_or_fail(dir / "none.log", book)).text, "");
  EXPECT_EQ(drain(*open_or_fail(dir / "word", book)).text, "BZh9 is how bzip2 starts\n");
  auto zipped = open_or_fail(dir / "zipped.log", book);
  EXPECT_EQ(zipped->head(), text);
  EXPECT_EQ(zipped->file_bytes(), fs::file_size(dir / "zipped.log"));
  drain(*zipped);
  EXPECT_EQ(zipped->compressed_offset(), zipped->file_bytes());
}

TEST(FileReader, ATruncatedCompressedFileIsAnErrorAndNeverFinished) {
  const TempDir dir;
  std::mt19937 random(11);
  std::string text;
  for (int i = 0; i < 40'000; ++i) text += "line " + std::to_string(random()) + "\n";
  for (const char* suffix : {".gz", ".zst", ".xz", ".bz2"}) {
    const std::string whole = compressed(text, suffix);
    const std::string path = dir / (std::string("mail.log") + suffix);
    for (int percent = 5; percent < 100; percent += 19) {
      write_file(path, std::string_view(whole).substr(0, whole.size() * percent / 100));
      PositionBook book;
      auto reader = FileReader::open(path, replay_options(), book);
      std::string all, error;
      if (reader) {
        const Drained some = drain(**reader);
        all = some.text;
        error = some.error;
        EXPECT_FALSE(some.ended);
        EXPECT_FALSE(drain(**reader).error.empty()) << "an error stays";
        if (some.blocks != 0) book.update(some.position);
      } else {
        error = reader.error().message();
      }
      EXPECT_NE(error.find(path), std::string::npos) << error;
      EXPECT_NE(error.find("truncated"), std::string::npos) << suffix << percent << error;
      EXPECT_EQ(all, text.substr(0, all.size()));
      EXPECT_TRUE(all.empty() || all.back() == '\n');
      // Whole again, it goes on behind what was read.
      write_file(path, whole);
      const Drained rest = drain(*open_or_fail(path, book));
      EXPECT_EQ(all + rest.text, text) << suffix << percent;
      EXPECT_TRUE(rest.ended);
    }
    for (const std::size_t bytes : {std::size_t{11}, whole.size() - 1}) {
      write_file(path, std::string_view(whole).substr(0, bytes));
      PositionBook book;
      auto reader = FileReader::open(path, replay_options(), book);
      if (!reader) continue;
      const Drained some = drain(**reader);
      EXPECT_FALSE(some.ended) << suffix << bytes;
      EXPECT_FALSE(some.error.empty()) << suffix << bytes;
    }
  }
}

TEST(FileReader, DamagedBytesInsideAreAnErrorOrCaught) {
  const TempDir dir;
  const std::string text = numbered_lines(0, 3000);
  for (const char* suffix : {".xz", ".bz2"}) {
    std::string bytes = compressed(text, suffix);
    for (std::size_t i = bytes.size() / 2; i < bytes.size() / 2 + 40; ++i) bytes[i] = '\x55';
    write_file(dir / "a", bytes);
    PositionBook book;
    auto reader = FileReader::open(dir / "a", replay_options(), book);
    if (!reader) continue;
    EXPECT_FALSE(drain(**reader).error.empty()) << suffix;
  }
}

TEST(FileReader, ClearErrors) {
  const TempDir dir;
  PositionBook book;
  const auto message = [&](const std::string& path) {
    auto reader = FileReader::open(path, replay_options(), book);
    return reader ? std::string() : reader.error().message();
  };
  EXPECT_NE(message(dir / "none").find("No such file"), std::string::npos);
  EXPECT_NE(message(dir.path().string()).find("is a directory"), std::string::npos);
  write_file(dir / "secret", "x\n");
  ::chmod((dir / "secret").c_str(), 0);
  if (::geteuid() != 0) {
    EXPECT_NE(message(dir / "secret").find("Permission denied; give"), std::string::npos);
  }
}

TEST(FileReader, AFileThatVanishesIsReadToItsEnd) {
  const TempDir dir;
  const std::string text = numbered_lines(0, 500);
  write_file(dir / "a", text);
  PositionBook book;
  auto reader = open_or_fail(dir / "a", book);
  std::string all = drain(*reader, 4096, 2).text;
  fs::remove(dir / "a");
  all += drain(*reader, 4096).text;
  EXPECT_EQ(all, text);
}

TEST(FileReader, PipesHaveNoPosition) {
  const TempDir dir;
  const std::string text = numbered_lines(0, 50) + "no newline";
  for (const bool zipped : {false, true}) {
    int ends[2];
    ASSERT_EQ(::pipe(ends), 0);
    const std::string bytes = zipped ? compressed(text, ".gz") : text;
    ASSERT_EQ(::write(ends[1], bytes.data(), bytes.size()), static_cast<ssize_t>(bytes.size()));
    ::close(ends[1]);
    PositionBook book;
    auto reader = open_or_fail("/dev/fd/" + std::to_string(ends[0]), book);
    EXPECT_EQ(reader->position().file, 0U);
    EXPECT_EQ(reader->file_bytes(), 0U);
    const Drained all = drain(*reader, 4096);
    EXPECT_EQ(all.text, text);
    EXPECT_TRUE(all.ended);
    ::close(ends[0]);
  }
}

TEST(FileReader, APipeGivesWhatIsThere) {
  int ends[2];
  ASSERT_EQ(::pipe(ends), 0);
  PositionBook book;
  const std::string first = "a first line of some length\n", second = "and more\n";
  ASSERT_GT(::write(ends[1], first.data(), first.size()), 0);
  auto reader = open_or_fail("/dev/fd/" + std::to_string(ends[0]), book);
  EXPECT_EQ(drain(*reader, 4096, 1).text, first);
  ASSERT_GT(::write(ends[1], second.data(), second.size()), 0);
  EXPECT_EQ(drain(*reader, 4096, 1).text, second);
  ::close(ends[1]);
  EXPECT_TRUE(drain(*reader, 4096).ended);
  ::close(ends[0]);
}

TEST(FileReader, ASilentPipeCanBeCalledOff) {
  int ends[2];
  ASSERT_EQ(::pipe(ends), 0);
  PositionBook book;
  std::atomic<bool> stop{false};
  FileOptions options;
  options.cancelled = [&stop] { return stop.load(); };
  const std::string text = numbered_lines(0, 10);
  ASSERT_EQ(::write(ends[1], text.data(), text.size()), static_cast<ssize_t>(text.size()));
  auto reader = FileReader::open("/dev/fd/" + std::to_string(ends[0]), options, book);
  ASSERT_TRUE(reader) << reader.error().message();
  BlockPool pool(1);
  BlockPtr block = pool.take();
  auto status = (*reader)->next(*block);
  ASSERT_TRUE(status && *status == ReadStatus::data);
  EXPECT_EQ(block->text(), text);
  std::thread stopper([&stop] {
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    stop = true;
  });
  status = (*reader)->next(*block);
  stopper.join();
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().code, ErrorCode::cancelled);
  EXPECT_FALSE(FileReader::open("/dev/fd/" + std::to_string(ends[0]), options, book));
  ::close(ends[0]);
  ::close(ends[1]);
}

/// A log that is being written ends within a line more often than not.
TEST(FileReader, HalfALineOfAFileThatGrowsIsLeftForLater) {
  const TempDir dir;
  const std::string log = dir / "mail.log", lines = numbered_lines(0, 10);
  write_file(log, lines + "half a ");
  PositionBook book;
  FileOptions options;
  options.settle_us = 10'000'000;
  std::string read;
  const auto read_on = [&] {
    auto reader = FileReader::open(log, options, book);
    ASSERT_TRUE(reader) << reader.error().message();
    BlockPool pool(1);
    for (;;) {
      const BlockPtr block = pool.take();
      const auto status = (*reader)->next(*block);
      ASSERT_TRUE(status) << status.error().message();
      if (*status != ReadStatus::data) break;
      read += block->text();
      book.update((*reader)->position());
    }
  };
  std::thread writer([&log] {
    std::this_thread::sleep_for(std::chrono::milliseconds(30));
    append_file(log, "line\n");
  });
  read_on();
  writer.join();
  EXPECT_EQ(read, lines);
  read_on();
  EXPECT_EQ(read, lines + "half a line\n");
  append_file(log, "silent");
  options.settle_us = 1000;
  read_on();
  EXPECT_EQ(read, lines + "half a line\nsilent") << "a last line without newline counts";
}

TEST(FindCopies, LinksCopiesAndEarlierStatesAreToldByContent) {
  const TempDir dir;
  const std::string text = numbered_lines(0, 400);
  write_file(dir / "whole.log", text);
  write_file(dir / "earlier.log", text.substr(0, numbered_lines(0, 300).size()));
  write_file(dir / "same.log", text);
  write_file(dir / "other.log", text.substr(0, 400) + numbered_lines(500, 700));
  write_file(dir / "empty.log", "");
  ASSERT_EQ(::link((dir / "whole.log").c_str(), (dir / "link.log").c_str()), 0);
  PositionBook book;
  std::vector<std::unique_ptr<FileReader>> readers;
  for (const char* name :
       {"earlier.log", "whole.log", "same.log", "other.log", "link.log", "empty.log"}) {
    auto reader = FileReader::open(dir / name, FileOptions{}, book);
    ASSERT_TRUE(reader) << reader.error().message();
    readers.push_back(std::move(*reader));
  }
  const std::vector<std::size_t> wanted = {1, kNoCopy, 1, kNoCopy, 1, kNoCopy};
  EXPECT_EQ(find_copies(readers), wanted);
}

TEST(FileReader, AGrowingHeadIsExtended) {
  const TempDir dir;
  FileOptions options = replay_options();
  options.live = true;
  PositionBook book;
  append_file(dir / "a", "short\n");
  auto reader = open_or_fail(dir / "a", book, options);
  Drained some = drain(*reader);
  EXPECT_EQ(some.position.head_size, 6U);
  book.update(some.position);
  append_file(dir / "a", std::string(100, 'b') + "\n");
  EXPECT_TRUE(open_or_fail(dir / "a", book)->resumed());
  some = drain(*reader);
  EXPECT_EQ(some.position.head_size, 107U);
  append_file(dir / "a", std::string(500, 'c') + "\n");
  some = drain(*reader);
  EXPECT_EQ(some.position.head_size, 256U);
  book.update(some.position);
  auto again = open_or_fail(dir / "a", book);
  EXPECT_TRUE(again->resumed());
  EXPECT_EQ(again->position().file, reader->position().file);
}

TEST(FileReader, FreshIgnoresPositionsAndAnotherSourceFindsThem) {
  const TempDir dir;
  write_file(dir / "a", "one\ntwo\n");
  PositionBook book;
  book.update(drain(*open_or_fail(dir / "a", book)).position);
  FileOptions options = replay_options();
  options.fresh = true;
  EXPECT_EQ(drain(*open_or_fail(dir / "a", book, options)).text, "one\ntwo\n");
  options = replay_options();
  options.source_name = "other";
  EXPECT_TRUE(open_or_fail(dir / "a", book, options)->resumed()) << "content is what counts";
}

TEST(FileReader, APositionBeyondTheEndIsToldAndReadFromTheStart) {
  const TempDir dir;
  const std::string text = numbered_lines(0, 50);
  write_file(dir / "a", text);
  PositionBook book;
  book.update(drain(*open_or_fail(dir / "a", book)).position);
  const std::string less = numbered_lines(0, 10);
  write_file(dir / "a", less);
  auto reader = open_or_fail(dir / "a", book);
  EXPECT_TRUE(reader->beyond_end());
  EXPECT_FALSE(reader->resumed());
  EXPECT_EQ(drain(*reader).text, less);
}

TEST(FileReader, ScanFilesGivesAllBytesInOrder) {
  const TempDir dir;
  const std::string one = numbered_lines(0, 300), two = numbered_lines(300, 500);
  write_file(dir / "1.gz", compressed(one, ".gz"));
  write_file(dir / "2", two);
  std::string all;
  ASSERT_TRUE(scan_files({dir / "1.gz", dir / "2"}, [&](const Block& block) {
                all += block.text();
                return true;
              }).has_value());
  EXPECT_EQ(all, one + two);
  int calls = 0;
  ASSERT_TRUE(scan_files({dir / "2", dir / "1.gz"}, [&](const Block&) {
                ++calls;
                return false;
              }).has_value());
  EXPECT_EQ(calls, 1);
  EXPECT_FALSE(scan_files({dir / "none"}, [](const Block&) { return true; }).has_value());
}

TEST(ExpandGlobs, SortsAndKeepsLiteralNames) {
  const TempDir dir;
  write_file(dir / "b.log", "");
  write_file(dir / "a.log", "");
  EXPECT_EQ(expand_globs({dir / "*.log", dir / "a.log", dir / "not.there", dir / "no*thing"}),
            (std::vector<std::string>{dir / "a.log", dir / "b.log", dir / "not.there"}));
}

}  // namespace
}  // namespace bounced::ingest
