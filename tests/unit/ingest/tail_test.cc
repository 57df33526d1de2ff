#include <gtest/gtest.h>

#include <atomic>
#include <thread>

#include "follower.h"
#include "ingest/siblings.h"

namespace bounced::ingest {
namespace {

/// Every behaviour with inotify and by polling alone.
class TailFollows : public ::testing::TestWithParam<bool> {
 protected:
  TailOptions options(std::vector<std::string> paths) {
    return fast_options(std::move(paths), GetParam());
  }
  TempDir dir;
  std::string log = dir / "mail.log";
  Rotator rotator{log};
};
INSTANTIATE_TEST_SUITE_P(Modes, TailFollows, ::testing::Bool(),
                         [](const auto& mode) { return mode.param ? "inotify" : "poll"; });

TEST_P(TailFollows, AppendsInAnyPieces) {
  const std::string text = numbered_lines(0, 60);
  append_file(log, "");
  Follower follower(options({log}));
  std::mt19937 random(1);
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t size = std::min<std::size_t>(1 + random() % 200, text.size() - at);
    append_file(log, std::string_view(text).substr(at, size));
    at += size;
    follower.take(0);
    const std::string so_far = follower.text();
    EXPECT_TRUE(so_far.empty() || so_far.back() == '\n');
  }
  follower.follow(text.size());
  EXPECT_EQ(follower.text(), text);
}

TEST_P(TailFollows, ALastLineWithoutNewlineWaitsAndARotatedOneCounts) {
  append_file(log, "one\ntwo");
  Follower follower(options({log}));
  follower.follow(4);
  EXPECT_EQ(follower.text(), "one\n");
  rotator.rename();
  append_file(log, "three\n");
  follower.follow(13);
  EXPECT_EQ(follower.text(), "one\ntwothree\n");
  EXPECT_EQ(follower.tail().stats().rotations, 1U);
}

TEST_P(TailFollows, ASplitRecordWaitsForItsPiecesAndARotatedOneCounts) {
  const auto piece = [](const char* mark) {
    return std::string("Nov 21 21:06:58 mx exim[1027]: ") + mark + " text\n";
  };
  append_file(log, "one\n" + piece("[1/3]") + piece("[2/3]"));
  Follower follower(options({log}));
  follower.follow(4);
  EXPECT_EQ(follower.text(), "one\n");
  append_file(log, piece("[3/3]") + piece("[1/2]"));
  const std::string whole = "one\n" + piece("[1/3]") + piece("[2/3]") + piece("[3/3]");
  follower.follow(whole.size());
  EXPECT_EQ(follower.text(), whole);
  rotator.rename();
  append_file(log, "three\n");
  follower.follow(whole.size() + piece("[1/2]").size() + 6);
  EXPECT_EQ(follower.text(), whole + piece("[1/2]") + "three\n");
}

/// A glob that meets the rotated files, too, and a rotation that packs at once.
TEST_P(TailFollows, APackedCopyThatIsReadFirstTakesThePlaceOfTheFile) {
  const auto rotate = [this] {
    if (fs::exists(log + ".1.gz")) fs::rename(log + ".1.gz", log + ".2.gz");
    std::ifstream in(log, std::ios::binary);
    const std::string text{std::istreambuf_iterator<char>(in), {}};
    fs::rename(log, log + ".1");
    append_file(log, "");
    write_file(log + ".1.gz", compressed(text, ".gz"));
    fs::remove(log + ".1");
  };
  const std::string a = numbered_lines(0, 60), b = numbered_lines(60, 120);
  append_file(log, a);
  Follower follower(options({log + "*"}));
  follower.follow(a.size());
  rotate();
  follower.settle();
  append_file(log, b);
  rotate();
  follower.follow(a.size() + b.size());
  follower.settle();
  EXPECT_EQ(follower.size(), a.size() + b.size());
}

TEST_P(TailFollows, RenameWithLateWriters) {
  append_file(log, "one\n");
  Follower follower(options({log}));
  follower.follow(4);
  rotator.rename();
  append_file(log + ".1", "late\n");
  append_file(log, "new\n");
  follower.follow(13);
  EXPECT_EQ(follower.text(), "one\nlate\nnew\n");
}

TEST_P(TailFollows, ARenamedFileWithoutSuccessorIsFollowed) {
  append_file(log, "one\n");
  Follower follower(options({log}));
  follower.follow(4);
  rotator.rename(false, false);
  follower.settle();
  append_file(log + ".1", "long after\n");
  follower.follow(15);
  append_file(log, "new\n");
  follower.follow(19);
  EXPECT_EQ(follower.text(), "one\nlong after\nnew\n");
}

TEST_P(TailFollows, CopyTruncate) {
  append_file(log, numbered_lines(0, 30));
  Follower follower(options({log}));
  follower.follow(numbered_lines(0, 30).size());
  append_file(log, "only the copy has this\n");  // not read before the truncation
  rotator.copy_truncate();
  append_file(log, "after\n");
  const std::string expected = numbered_lines(0, 30) + "only the copy has this\nafter\n";
  follower.follow(expected.size());
  EXPECT_EQ(follower.text(), expected);
  EXPECT_EQ(follower.tail().stats().truncations, 1U);
  EXPECT_EQ(follower.tail().stats().copies_recognised, 1U);
}

TEST_P(TailFollows, CopyTruncateRefilledPastTheOldOffsetAndZipped) {
  append_file(log, numbered_lines(0, 5));
  Follower follower(options({log}));
  follower.follow(numbered_lines(0, 5).size());
  append_file(log, "unread\n");
  rotator.copy_truncate();
  Rotator::zip(log + ".1");
  append_file(log, numbered_lines(100, 200));
  const std::string expected = numbered_lines(0, 5) + "unread\n" + numbered_lines(100, 200);
  follower.follow(expected.size());
  EXPECT_EQ(follower.text(), expected);
}

TEST_P(TailFollows, CopyTruncateWhenOnlyHalfALineWasSeen) {
  append_file(log, "one\n");
  Follower follower(options({log}));
  follower.follow(4);
  rotator.copy_truncate();
  append_file(log, "half");
  follower.settle();
  append_file(log, " a line\n");
  rotator.copy_truncate();
  append_file(log, "next\n");
  rotator.rename();
  append_file(log, "last\n");
  follower.follow(26);
  EXPECT_EQ(follower.text(), "one\nhalf a line\nnext\nlast\n");
}

TEST_P(TailFollows, NulsOfAWriterThatKeptItsOffset) {
  append_file(log, numbered_lines(0, 30));
  const auto size = static_cast<std::size_t>(fs::file_size(log));
  Follower follower(options({log}));
  follower.follow(size);
  for (int round = 0; round < 2; ++round) {
    const auto before = fs::file_size(log);
    rotator.copy_truncate();
    const int fd = ::open(log.c_str(), O_WRONLY | O_CLOEXEC);  // no O_APPEND
    ASSERT_EQ(::pwrite(fd, "after\n", 6, static_cast<off_t>(before)), 6);
    ::close(fd);
    follower.follow(size + 6 * (static_cast<std::size_t>(round) + 1));
  }
  follower.apply();
  EXPECT_EQ(follower.text(), numbered_lines(0, 30) + "after\nafter\n");
  EXPECT_EQ(follower.skipped(), size + size + 6);
}

TEST_P(TailFollows, PlainTruncationStartsAgain) {
  append_file(log, "one\ntwo\n");
  Follower follower(options({log}));
  follower.follow(8);
  fs::resize_file(log, 0);
  follower.settle();
  append_file(log, "three\n");
  follower.follow(14);
  EXPECT_EQ(follower.text(), "one\ntwo\nthree\n");
  EXPECT_EQ(follower.tail().stats().truncations, 1U);
  EXPECT_EQ(follower.tail().stats().copies_recognised, 0U);
}

TEST_P(TailFollows, DeletedWhileOpenIsFinishedAndReleased) {
  append_file(log, "one\n");
  Follower follower(options({log}));
  follower.follow(4);
  append_file(log, "two\nthr");
  fs::remove(log);
  follower.follow(11);
  EXPECT_EQ(follower.text(), "one\ntwo\nthr");
  for (const auto& file : follower.tail().files()) EXPECT_EQ(file.file, 0U) << "still open";
  append_file(log, "new\n");
  follower.follow(15);
  EXPECT_EQ(follower.text(), "one\ntwo\nthrnew\n");
}

TEST_P(TailFollows, QuickRotationsBetweenTwoLooks) {
  append_file(log, "one\n");
  Follower follower(options({log}));
  follower.follow(4);
  append_file(log, "two\n");
  rotator.rename();
  append_file(log, "three\n");
  rotator.rename();
  append_file(log, "four\n");
  rotator.rename(true);
  append_file(log, "five\n");
  follower.follow(24);
  EXPECT_EQ(follower.text(), "one\ntwo\nthree\nfour\nfive\n");
}

TEST_P(TailFollows, AFileThatAppearsLaterInAGlob) {
  append_file(dir / "a.log", "a1\n");
  Follower follower(options({dir / "*.log"}));
  follower.follow(3);
  append_file(dir / "b.log", "b1\n");
  append_file(dir / "a.log", "a2\n");
  follower.follow(9);
  EXPECT_EQ(follower.text(dir / "a.log"), "a1\na2\n");
  EXPECT_EQ(follower.text(dir / "b.log"), "b1\n");
}

TEST_P(TailFollows, TwoFilesSwapped) {
  append_file(dir / "a.log", "a1\n");
  append_file(dir / "b.log", "b1\n");
  Follower follower(options({dir / "a.log", dir / "b.log"}));
  follower.follow(6);
  fs::rename(dir / "a.log", dir / "tmp");
  fs::rename(dir / "b.log", dir / "a.log");
  fs::rename(dir / "tmp", dir / "b.log");
  follower.settle();
  append_file(dir / "a.log", "b2\n");
  append_file(dir / "b.log", "a2\n");
  follower.follow(12);
  const std::string a = follower.text(dir / "a.log"), b = follower.text(dir / "b.log");
  EXPECT_EQ(a.size() + b.size(), 12U) << a << b;
  for (const char* line : {"a1\n", "a2\n", "b1\n", "b2\n"}) {
    EXPECT_NE((a + b).find(line), std::string::npos) << line;
  }
  EXPECT_EQ(follower.size(), 12U);
}

TEST_P(TailFollows, AGlobThatMeetsTheRotatedFilesToo) {
  append_file(log, "one\n");
  Follower follower(options({log + "*"}));
  follower.follow(4);
  append_file(log, "two\n");
  rotator.rename();
  append_file(log, "three\n");
  follower.follow(14);
  rotator.rename(true);
  append_file(log, "four\n");
  follower.follow(19);
  std::vector<std::string> lines = {"one\n", "two\n", "three\n", "four\n"};
  EXPECT_EQ(follower.size(), 19U) << follower.text();
  for (const auto& line : lines) EXPECT_NE(follower.text().find(line), std::string::npos) << line;
}

TEST_P(TailFollows, ErrorsOnOneFileStopNoOther) {
  const std::string zipped = compressed(numbered_lines(0, 3000), ".gz");
  write_file(dir / "a.log", std::string_view(zipped).substr(0, zipped.size() / 2));
  fs::create_directory(dir / "b.log");
  append_file(dir / "c.log", "fine\n");
  Follower follower(options({dir / "a.log", dir / "b.log", dir / "c.log", dir / "d.log"}));
  follower.follow(5);
  EXPECT_EQ(follower.text(dir / "c.log"), "fine\n");
  std::map<std::string, std::string> trouble;
  for (const auto& file : follower.tail().files()) trouble[file.path] = file.trouble;
  EXPECT_NE(trouble[dir / "a.log"].find("truncated"), std::string::npos);
  EXPECT_NE(trouble[dir / "b.log"].find("is a directory"), std::string::npos);
  EXPECT_NE(trouble[dir / "d.log"].find("No such file"), std::string::npos);
  EXPECT_EQ(trouble[dir / "c.log"], "");
  EXPECT_GE(follower.tail().stats().io_errors, 2U);
  // Whole now: the rest is read, nothing twice.
  write_file(dir / "a.log", zipped);
  follower.follow(5 + numbered_lines(0, 3000).size());
  EXPECT_EQ(follower.text(dir / "a.log"), numbered_lines(0, 3000));
}

TEST_P(TailFollows, AFirstStartTakesOnlyTheLiveFiles) {
  append_file(log, "old\n");
  rotator.rename();
  append_file(log, "live\n");
  Follower follower(options({log}));
  follower.follow(5);
  EXPECT_EQ(follower.text(), "live\n");
}

TEST_P(TailFollows, FromEndSkipsWhatIsThereAndStoresThatAtOnce) {
  append_file(log, "old\nhalf a li");
  TailOptions from_end = options({log});
  from_end.from_start = false;
  Follower follower(from_end);
  follower.settle();
  follower.apply();
  EXPECT_EQ(follower.text(), "");
  EXPECT_EQ(follower.stored().size(), 1U);
  append_file(log, "ne\nnew\n");
  follower.crash();
  follower.start();
  follower.follow(4);
  EXPECT_EQ(follower.text(), "new\n");
  rotator.rename();
  append_file(log, "newer\n");
  append_file(dir / "mail.log2", "not ours\n");
  follower.follow(10);
  EXPECT_EQ(follower.text(), "new\nnewer\n");
}

TEST_P(TailFollows, RestartFinishesRotatedFilesOldestFirst) {
  for (const bool copy : {false, true}) {
    for (const bool zip : {false, true}) {
      const TempDir folder;
      const std::string path = folder / "mail.log";
      Rotator rotate{path};
      append_file(path, numbered_lines(0, 20));
      Follower follower(options({path}));
      follower.follow(numbered_lines(0, 20).size());
      follower.apply();
      follower.crash();
      std::string expected = numbered_lines(0, 20);
      for (int n = 1; n <= 3; ++n) {
        const std::string more = numbered_lines(n * 100, n * 100 + 10);
        append_file(path, more);
        expected += more;
        copy ? rotate.copy_truncate(zip) : rotate.rename(zip);
      }
      if (zip) Rotator::zip(path + ".1");
      append_file(path, "live\n");
      expected += "live\n";
      follower.start();
      follower.follow(expected.size());
      EXPECT_EQ(follower.text(), expected) << copy << zip;
      // Again: nothing is left to read.
      follower.apply();
      follower.crash();
      follower.start();
      follower.settle();
      EXPECT_EQ(follower.text(), expected) << copy << zip;
      EXPECT_EQ(follower.waiting(), 0U);
    }
  }
}

TEST_P(TailFollows, RestartWhenAllKnownFilesAreGoneTakesTheNewerOnes) {
  append_file(log, "one\n");
  rotator.rename();
  append_file(log, "two\n");
  Follower follower(options({log}));
  follower.follow(4);
  follower.apply();
  follower.crash();
  fs::remove(log);
  ::usleep(10'000);  // file times tick every 4 ms
  append_file(log, "three\n");
  rotator.rename();
  append_file(log, "four\n");
  follower.start();
  follower.follow(15);
  EXPECT_EQ(follower.text(), "two\nthree\nfour\n");
}

/// Packed by somebody who removed the plain file first, while nobody looked.
TEST_P(TailFollows, ARotatedFileThatIsStillBeingPackedComesBeforeNewerLines) {
  for (const bool damaged : {false, true}) {
    const std::string path = log + (damaged ? "2" : "1");
    const std::string a = numbered_lines(0, 60), b = numbered_lines(60, 4000), c = "newer\n";
    append_file(path, a);
    TailOptions slow = options({path});
    slow.rotated_wait_us = 250'000;
    Follower follower(slow);
    follower.follow(a.size());
    follower.apply();
    follower.crash();
    const std::string packed = compressed(a + b, ".gz");
    fs::remove(path);
    write_file(path + ".1.gz", packed.substr(0, packed.size() / 2));
    append_file(path, c);
    follower.start();
    follower.settle();
    const std::string early = follower.text();
    EXPECT_EQ(early, (a + b).substr(0, early.size())) << "nothing newer";
    if (!damaged) write_file(path + ".1.gz", packed);
    follower.follow(damaged ? early.size() + c.size() : a.size() + b.size() + c.size());
    EXPECT_EQ(follower.text(), damaged ? early + c : a + b + c);
  }
}

TEST_P(TailFollows, InodeReuseIsNotFooled) {
  append_file(log, numbered_lines(0, 20));
  Follower follower(options({log}));
  follower.follow(numbered_lines(0, 20).size());
  follower.apply();
  follower.crash();
  // The same inode with other, longer content.
  write_file(log, numbered_lines(500, 600));
  follower.start();
  follower.follow(numbered_lines(0, 20).size() + numbered_lines(500, 600).size());
  EXPECT_EQ(follower.text(), numbered_lines(0, 20) + numbered_lines(500, 600));
}

TEST_P(TailFollows, AnOffsetBeyondTheEndIsAnAlarmAndReadAgain) {
  append_file(log, numbered_lines(0, 20));
  Follower follower(options({log}));
  follower.follow(numbered_lines(0, 20).size());
  follower.apply();
  follower.crash();
  write_file(log, numbered_lines(0, 5));
  follower.start();
  follower.follow(numbered_lines(0, 20).size() + 1);
  EXPECT_GE(follower.tail().stats().beyond_end, 1U);
  EXPECT_EQ(follower.text(), numbered_lines(0, 20) + numbered_lines(0, 5));
}

TEST_P(TailFollows, ForeignNeighboursAreNoSiblings) {
  append_file(log, "one\n");
  Follower follower(options({log}));
  follower.follow(4);
  follower.apply();
  append_file(dir / "mail.log.bak", "admin's\n");
  append_file(dir / "mail.log-filtered", "admin's\n");
  append_file(dir / "mail.info", "another log\n");
  rotator.rename();
  append_file(log, "two\n");
  follower.follow(8);
  follower.apply();
  follower.crash();
  follower.start();
  follower.settle();
  EXPECT_EQ(follower.text(), "one\ntwo\n");
}

TEST_P(TailFollows, AnOversizeLineDoesNotStopTheFile) {
  const std::string longest(200'000, 'x');
  append_file(log, "one\n" + longest);
  Follower follower(options({log}));
  follower.follow(4 + 65'536);
  append_file(log, longest + "\ntwo\n");
  follower.follow(8 + 65'536);
  EXPECT_EQ(follower.text(), "one\n" + std::string(65'536, 'x') + "two\n");
}

TEST(Tail, WakeInterruptsAWait) {
  const TempDir dir;
  PositionBook book;
  TailOptions options = fast_options({dir / "mail.log"});
  options.poll_us = 60'000'000;
  Tail tail(options, book, system_clock());
  BlockPool pool(1);
  const BlockPtr block = pool.take();
  std::thread waker([&tail] { tail.wake(); });
  const auto status = tail.next(*block, 60'000'000);
  waker.join();
  ASSERT_TRUE(status.has_value());
  EXPECT_EQ(*status, ReadStatus::again);
}

TEST(Tail, OtherThreadsMayAskWhileItFollows) {
  const TempDir dir;
  const std::string log = dir / "mail.log";
  append_file(log, "");
  Follower follower(fast_options({log}));
  std::atomic<bool> stop{false};
  std::thread asker([&] {
    while (!stop) {
      for (const auto& file : follower.tail().files()) {
        EXPECT_LE(file.offset, file.size);
        (void)follower.tail().time_state(file.file);
      }
      (void)follower.tail().stats();
      follower.tail().wake();
      std::this_thread::yield();
    }
  });
  std::size_t size = 0;
  for (int i = 0; i < 30; ++i) {
    append_file(log, numbered_lines(i, i + 1));
    size += numbered_lines(i, i + 1).size();
    follower.take(200);
  }
  follower.follow(size);
  stop = true;
  asker.join();
  EXPECT_EQ(follower.size(), size);
  EXPECT_EQ(follower.tail().stats().bytes, size);
}

TEST(Tail, TimeStateIsStoredOrTheClock) {
  const TempDir dir;
  const std::string log = dir / "mail.log";
  append_file(log, "one\n");
  Follower follower(fast_options({log}));
  follower.follow(4);
  const std::uint64_t file = follower.tail().files().front().file;
  EXPECT_EQ(follower.tail().time_state(file).anchor_us, follower.clock().now);
  follower.apply();
  Position position = *decode_position(file, follower.stored()[file]);
  position.time = {follower.clock().now, 77, 2026};
  follower.stored()[file] = encode(position);
  follower.crash();
  follower.clock().now += 1000;
  follower.start();
  append_file(log, "two\n");
  follower.follow(8);
  EXPECT_EQ(follower.tail().time_state(file).last_us, 77);
  EXPECT_EQ(follower.tail().time_state(file).anchor_us, follower.clock().now - 1000);
  EXPECT_EQ(follower.tail().time_state(999).anchor_us, follower.clock().now);
}

TEST(Tail, EveryLaneHasItsTurn) {
  const TempDir dir;
  std::map<std::string, std::string> texts;
  std::size_t size = 0;
  for (const char* name : {"a.log", "b.log", "c.log"}) {
    const int first = 10'000 * *name;
    texts[dir / name] = numbered_lines(first, first + 4000);
    size += texts[dir / name].size();
    append_file(dir / name, texts[dir / name]);
  }
  Follower follower(fast_options({dir / "*.log"}));
  for (int i = 0; i < 6; ++i) ASSERT_TRUE(follower.take(1000));
  for (const auto& [path, text] : texts) EXPECT_FALSE(follower.text(path).empty()) << path;
  follower.follow(size);
  for (const auto& [path, text] : texts) EXPECT_TRUE(follower.text(path) == text) << path;
}

TEST_P(TailFollows, EqualContentsAtTwoPathsAreTwoFiles) {
  const std::string a = dir / "a.log", b = dir / "b.log";
  append_file(a, "same start\n");
  append_file(b, "same start\n");
  Follower follower(options({a, b}));
  follower.follow(22);
  append_file(a, "only a\n");
  follower.follow(29);
  follower.apply();
  follower.crash();
  append_file(b, "only b\n");
  follower.start();
  follower.follow(36);
  EXPECT_EQ(follower.text(a), "same start\nonly a\n");
  EXPECT_EQ(follower.text(b), "same start\nonly b\n");
}

TEST(Siblings, RotationMarks) {
  const auto is_mark = [](const char* mark) {
    Sibling out;
    return read_rotation_mark(mark, out);
  };
  for (const char* mark : {".1", ".01", ".12.gz", "-20261121", "-20261121.zst", ".20261121-101500",
                           "-2026-11-21.xz", ".old", "-20261121T101500Z.bz2"}) {
    EXPECT_TRUE(is_mark(mark)) << mark;
  }
  for (const char* mark : {"", ".bak", "-filtered", ".1.swp", "1", ".", ".gz~", "-debug.1"}) {
    EXPECT_FALSE(is_mark(mark)) << mark;
  }
}

TEST(Siblings, OldestFirst) {
  const TempDir dir;
  const auto names = [&](const std::string& path) {
    std::vector<std::string> out;
    for (const Sibling& s : list_siblings(path)) out.push_back(fs::path(s.path).filename());
    return out;
  };
  for (const char* name : {"a.log.1", "a.log.10.gz", "a.log.2.gz"}) append_file(dir / name, "x\n");
  EXPECT_EQ(names(dir / "a.log"),
            (std::vector<std::string>{"a.log.10.gz", "a.log.2.gz", "a.log.1"}));
  for (const char* name : {"b-20261121.log", "b-20261119.log.gz", "b-20261120.log"}) {
    append_file(dir / name, "x\n");
  }
  EXPECT_EQ(names(dir / "b.log"),
            (std::vector<std::string>{"b-20261119.log.gz", "b-20261120.log", "b-20261121.log"}));
}

}  // namespace
}  // namespace bounced::ingest
