#include "ingest/mbox_tail.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/file.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <random>
#include <set>

#include "base/time.h"
#include "support.h"

namespace bounced::ingest {
namespace {

constexpr std::int64_t kNow = 1'763'640'000'000'000;  // 2025-11-20 12:00 UTC

std::string mail(int n, const std::string& fields = {}, const std::string& more = {}) {
  const std::string number = std::to_string(n);
  return "From a@b.example Thu Nov 20 11:59:01 2025\n" + fields + "Subject: mail " + number +
         "\n\nbody " + number + "\n" + more + "\n";
}

std::int64_t real_now_us() {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  return std::chrono::duration_cast<std::chrono::microseconds>(now).count();
}

class MboxTailTest : public ::testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/bounced-mbox-XXXXXX";
    dir_ = mkdtemp(name);
    open();
  }
  void TearDown() override { fs::remove_all(dir_); }
  [[nodiscard]] std::string path() const { return dir_ + "/box"; }
  void write(const std::string& text) const {
    std::ofstream(path(), std::ios::binary | std::ios::trunc) << text;
  }
  void append(const std::string& text) const {
    std::ofstream(path(), std::ios::binary | std::ios::app) << text;
  }
  /// As after a restart: what was remembered is in the book.
  void open() {
    MboxTail::Options options;
    options.source = "mbox:test";
    options.path = path();
    options.old_us = 13 * kDayUs;
    tail_ = std::make_unique<MboxTail>(options, book_);
  }
  /// Subjects' numbers of what is whole `after_us` later; taken unless told otherwise.
  std::string look(std::int64_t after_us = 0, bool take = true) {
    now_us_ += after_us;
    std::string numbers;
    do {
      const auto read = tail_->read(mails_, now_us_);
      EXPECT_TRUE(read || read.error().code == ErrorCode::not_found) << read.error().message();
      for (const Mail& m : mails_) {
        const std::size_t at = m.bytes.find("Subject: mail ");
        numbers += at == std::string::npos ? "?" : m.bytes.substr(at + 14, 1);
      }
      if (take && tail_->taken()) book_.update(tail_->position());
    } while (tail_->more());
    return numbers;
  }
  /// Twice: it has to be seen that the file does not grow.
  std::string settled() {
    const std::string first = look();
    return first + look(3 * kSecondUs);
  }

  std::string dir_;
  PositionBook book_;
  std::unique_ptr<MboxTail> tail_;
  std::vector<Mail> mails_;
  std::int64_t now_us_ = kNow;
};

TEST_F(MboxTailTest, TakesAMailOnceItIsWhole) {
  EXPECT_EQ(look(), "");  // no file yet
  write(mail(1) + "From a@b.example Thu Nov 20 11:59:01 2025\nSubject: mail 2\n\nbo");
  EXPECT_EQ(look(), "1");
  EXPECT_EQ(look(kSecondUs), "");
  append("dy 2\n\n");
  EXPECT_EQ(look(kSecondUs), "");
  EXPECT_EQ(look(kSecondUs), "");
  EXPECT_EQ(look(kSecondUs), "2");
  EXPECT_EQ(look(kSecondUs), "");
  append(mail(3) + mail(4));
  EXPECT_EQ(look(kSecondUs), "3");
  EXPECT_EQ(look(3 * kSecondUs), "4");
  EXPECT_EQ(tail_->position().offset, fs::file_size(path()));
  EXPECT_EQ(tail_->stats().torn, 0u);
}

TEST_F(MboxTailTest, GoesOnAfterARestart) {
  write(mail(1) + mail(2));
  EXPECT_EQ(look(), "1");
  open();
  EXPECT_EQ(settled(), "2");
  append(mail(3));
  open();
  EXPECT_EQ(settled(), "3");
  EXPECT_EQ(book_.all().size(), 1u);
}

TEST_F(MboxTailTest, WhatWasNotTakenIsReadAgain) {
  write(mail(1) + mail(2) + mail(3));
  EXPECT_EQ(look(0, false), "12");
  EXPECT_EQ(look(0, false), "12");
  EXPECT_EQ(look(), "12");
  EXPECT_EQ(look(), "");
}

TEST_F(MboxTailTest, AQuotedOrUnmarkedFromIsNoMail) {
  write(mail(1, "", ">From here on Thu Nov 20 11:59:01 2025\nFrom now on at 12:30 sharp\n") +
        mail(2, "", "\nFrom the start\n\n>From x Thu Nov 20 11:59:01 2025\n"));
  EXPECT_EQ(settled(), "12");
}

TEST_F(MboxTailTest, ARewrittenFileIsReadAgainWithTheSameMails) {
  write(mail(1) + mail(2));
  EXPECT_EQ(settled(), "12");
  EXPECT_EQ(look(0), "");
  append(mail(3));
  EXPECT_EQ(look(), "");
  EXPECT_EQ(look(3 * kSecondUs), "3");
  ASSERT_EQ(mails_.size(), 1u);
  const std::string before = mails_[0].bytes;
  // By a mail reader: flags, and a mail that is gone.
  write(mail(2, "Status: RO\nX-Status: A\n") + mail(3, "Status: RO\nX-UID: 17\n", "\n"));
  EXPECT_EQ(look(), "2");
  EXPECT_EQ(mails_[0].bytes, "Subject: mail 2\n\nbody 2\n");
  EXPECT_EQ(look(3 * kSecondUs, false), "3");
  EXPECT_EQ(mails_[0].bytes, before);
  EXPECT_EQ(tail_->stats().restarts, 1u);
}

TEST_F(MboxTailTest, AnEmptiedFileBeginsAnew) {
  write(mail(1) + mail(2));
  EXPECT_EQ(settled(), "12");
  write("");
  EXPECT_EQ(look(), "");
  EXPECT_EQ(tail_->stats().restarts, 1u);
  append(mail(3));
  EXPECT_EQ(settled(), "3");
  EXPECT_EQ(tail_->stats().restarts, 1u);
  EXPECT_EQ(book_.all().size(), 1u);
}

TEST_F(MboxTailTest, ARenamedFileIsReadToItsEndFirst) {
  write(mail(1));
  EXPECT_EQ(settled(), "1");
  append(mail(2));
  fs::rename(path(), path() + ".1");
  write(mail(3));
  EXPECT_EQ(look(), "");  // the old one's last mail is not settled yet
  EXPECT_EQ(look(3 * kSecondUs), "2");
  EXPECT_EQ(settled(), "3");
  EXPECT_EQ(tail_->stats().replaced, 1u);
}

/// What was read up to mail 1 of two, then renamed while nobody looked.
class RenamedMboxTest : public MboxTailTest {
 protected:
  void SetUp() override {
    MboxTailTest::SetUp();
    write(mail(1) + mail(2));
    ASSERT_EQ(look(), "1");
    tail_.reset();
    fs::rename(path(), path() + ".1");
  }
  void write_sibling(const std::string& suffix, const std::string& text) const {
    std::ofstream(path() + suffix, std::ios::binary | std::ios::trunc) << text;
  }
};

TEST_F(RenamedMboxTest, IsReadToItsEndBeforeTheNewFile) {
  write(mail(3) + mail(4));
  open();
  EXPECT_EQ(look(), "");  // mail 2 is not settled yet
  EXPECT_EQ(look(3 * kSecondUs), "2");
  EXPECT_EQ(tail_->position().offset, tail_->size());
  EXPECT_EQ(settled(), "34");
  EXPECT_EQ(tail_->stats().replaced, 1u);
  EXPECT_EQ(tail_->position().offset, fs::file_size(path()));
  open();
  EXPECT_EQ(settled(), "");
  EXPECT_EQ(book_.all().size(), 1u);
}

TEST_F(RenamedMboxTest, IsReadThoughNothingIsAtThePath) {
  open();
  EXPECT_EQ(settled(), "2");
  const auto none = tail_->read(mails_, now_us_);
  ASSERT_FALSE(none);
  EXPECT_EQ(none.error().code, ErrorCode::not_found);
  EXPECT_EQ(tail_->size(), 0u);
  EXPECT_EQ(look(), "");
  write(mail(3));
  EXPECT_EQ(settled(), "3");
}

TEST_F(RenamedMboxTest, IsToldFromItsNeighbours) {
  write_sibling(".2", mail(7) + mail(8));              // older
  write_sibling(".bak", mail(9));                      // somebody's
  write_sibling("-fbl", mail(1, "X: y\n") + mail(6));  // another one's
  write_sibling(".1.gz", mail(5));                     // still being packed
  write(mail(3));
  open();
  EXPECT_EQ(settled(), "2");
  EXPECT_EQ(settled(), "3");
  EXPECT_EQ(settled(), "");
}

TEST_F(RenamedMboxTest, GoesOnInItAfterAnotherRestart) {
  std::ofstream(path() + ".1", std::ios::binary | std::ios::app) << mail(3) << mail(4);
  write(mail(5));
  open();
  EXPECT_EQ(look(0, false), "23");  // killed before they were taken
  open();
  EXPECT_EQ(look(), "23");
  open();
  fs::rename(path() + ".1", path() + ".2");
  fs::rename(path(), path() + ".1");
  EXPECT_EQ(settled(), "4");
  open();
  write(mail(6));
  EXPECT_EQ(look(), "");
  EXPECT_EQ(settled(), "5");
  EXPECT_EQ(settled(), "6");
  EXPECT_EQ(tail_->stats().replaced, 2u);
  open();
  EXPECT_EQ(settled(), "");
}

TEST_F(RenamedMboxTest, IsKeptWhileSomebodyWrites) {
  write(mail(3));
  open();
  std::ofstream(path() + ".lock") << "1";
  now_us_ = real_now_us();
  EXPECT_EQ(look(), "");
  EXPECT_EQ(tail_->stats().locked, 1u);
  fs::remove(path() + ".lock");
  EXPECT_EQ(settled(), "2");
}

TEST_F(RenamedMboxTest, CopiedAndEmptiedIsTheSame) {
  fs::copy_file(path() + ".1", path() + ".2");
  fs::remove(path() + ".1");
  write("");
  open();
  EXPECT_EQ(settled(), "2");
  append(mail(3));
  EXPECT_EQ(settled(), "3");
}

class PackedMboxTest : public RenamedMboxTest, public ::testing::WithParamInterface<const char*> {
 protected:
  void pack(const std::string& name) const {
    const std::string text = read_whole(path() + name);
    fs::remove(path() + name);
    write_sibling(name + GetParam(), compressed(text, GetParam()));
  }
};

TEST_P(PackedMboxTest, IsReadFromWhereItWasLeft) {
  append_file(path() + ".1", mail(3));
  pack(".1");
  write(mail(4));
  open();
  EXPECT_EQ(look(), "23");  // it will not grow
  EXPECT_EQ(settled(), "4");
  open();
  EXPECT_EQ(settled(), "");
}

TEST_P(PackedMboxTest, SoIsWhatWasRotatedAfterIt) {
  fs::rename(path() + ".1", path() + ".3");
  write_sibling(".2", mail(3));
  write_sibling(".1", mail(4));
  pack(".3");
  pack(".2");
  open();
  EXPECT_EQ(look(), "2");
  EXPECT_EQ(look(), "3");
  EXPECT_EQ(settled(), "4");
  write(mail(5));
  EXPECT_EQ(settled(), "5");
  EXPECT_EQ(tail_->stats().torn, 0u);
}

TEST_P(PackedMboxTest, ManyMailsComeInParts) {
  std::string many;
  for (int i = 0; i < 2000; ++i)
    many += mail(3, {}, std::string(700, static_cast<char>('a' + i % 26)) + "\n");
  append_file(path() + ".1", many);
  pack(".1");
  open();
  EXPECT_EQ(look(), "2" + std::string(2000, '3'));
  EXPECT_EQ(tail_->position().offset, (mail(1) + mail(2) + many).size());
}

/// The second of two rotated files, of which only the first half was written.
class HalfPackedMboxTest : public PackedMboxTest {
 protected:
  void SetUp() override {
    PackedMboxTest::SetUp();
    fs::rename(path() + ".1", path() + ".2");
    std::mt19937 random(1);
    std::string noise;
    while (noise.size() < 300'000) noise += std::to_string(random()) + "\n";
    write_sibling(".1", mail(3) + mail(4, {}, noise) + mail(5));
    pack(".1");
    name_ = path() + ".1" + GetParam();
    whole_ = read_whole(name_);
    write_sibling(std::string(".1") + GetParam(), whole_.substr(0, whole_.size() / 2));
    changed_now();
    write(mail(6));
    open();
    ASSERT_EQ(settled(), "2");
  }
  /// By the clock of the test.
  void changed_now() const {
    timespec times[2]{};
    times[0].tv_sec = times[1].tv_sec = now_us_ / kSecondUs;
    ASSERT_EQ(::utimensat(AT_FDCWD, name_.c_str(), times, 0), 0);
  }
  std::string name_, whole_;
};

TEST_P(HalfPackedMboxTest, IsWaitedFor) {
  const auto read = tail_->read(mails_, now_us_);
  ASSERT_FALSE(read);
  EXPECT_EQ(read.error().code, ErrorCode::data);
  append_file(name_, whole_.substr(whole_.size() / 2));
  changed_now();
  EXPECT_EQ(look(), "345");
  EXPECT_EQ(settled(), "6");
}

TEST_P(HalfPackedMboxTest, HoldsUpNobodyOnceItIsKnownToBeDamaged) {
  now_us_ += 61 * kSecondUs;
  std::string seen = settled();
  seen += settled();
  EXPECT_EQ(seen.back(), '6') << seen;
}

const auto kCodecs = ::testing::Values(".gz", ".zst", ".xz", ".bz2");
INSTANTIATE_TEST_SUITE_P(Codecs, PackedMboxTest, kCodecs);
INSTANTIATE_TEST_SUITE_P(Codecs, HalfPackedMboxTest, kCodecs);

TEST_F(MboxTailTest, TwoRenamesBetweenTwoLooks) {
  write(mail(1));
  EXPECT_EQ(settled(), "1");
  append(mail(2));
  fs::rename(path(), path() + ".2");
  write(mail(3));
  fs::rename(path(), path() + ".1");
  write(mail(4));
  EXPECT_EQ(settled(), "2");
  EXPECT_EQ(settled(), "3");
  EXPECT_EQ(settled(), "4");
  EXPECT_EQ(settled(), "");
  EXPECT_EQ(tail_->stats().replaced, 2u);
}

TEST_F(MboxTailTest, TwoRenamesOfWhichTheFirstFileIsGone) {
  write(mail(1));
  EXPECT_EQ(settled(), "1");
  append(mail(2));
  fs::rename(path(), path() + ".1");
  write(mail(3));
  fs::rename(path(), path() + ".1");
  EXPECT_EQ(settled(), "2");
  EXPECT_EQ(settled(), "3");
  write(mail(4));
  EXPECT_EQ(settled(), "4");
}

TEST_F(MboxTailTest, CopiedAndEmptiedBetweenTwoLooks) {
  write(mail(1));
  EXPECT_EQ(settled(), "1");
  append(mail(2));
  fs::copy_file(path(), path() + ".1");
  write(mail(3));
  EXPECT_EQ(settled(), "2");
  EXPECT_EQ(settled(), "3");
  EXPECT_EQ(settled(), "");
}

/// Mails that an MTA appends, while somebody rotates in every way and the reader is killed: each is
/// handed out, whatever happens between two looks.
TEST_F(MboxTailTest, NoMailIsLostByAnyRotation) {
  const char* seeds = std::getenv("BOUNCED_SEEDS");
  const int runs = seeds != nullptr ? std::atoi(seeds) : 200;
  for (int seed = 1; seed <= runs; ++seed) {
    fs::remove_all(dir_);
    fs::create_directory(dir_);
    now_us_ = kNow;
    book_ = PositionBook();
    open();
    std::mt19937 random(static_cast<unsigned>(seed));
    std::set<int> written, seen;
    std::string done;  // of each step a letter
    const auto poll = [&](bool take) {
      do {
        (void)tail_->read(mails_, now_us_);
        for (const Mail& m : mails_) seen.insert(std::atoi(m.bytes.c_str() + 14));
        if (!take) break;
        if (tail_->taken()) book_.update(tail_->position());
      } while (tail_->more());
    };
    int number = 0;
    const auto deliver = [&] {
      const std::string text = "Subject: mail " + std::to_string(++number) + "\n\n" +
                               std::string(random() % 300, 'x') + "\n";
      written.insert(number);
      append("From a@b.example Thu Nov 20 11:59:01 2025\n" + text + "\n");
    };
    // What is rotated before it was ever looked at is not of the daemon's time.
    deliver();
    poll(true);
    now_us_ += 3 * kSecondUs;
    poll(true);
    const auto move_up = [&] {
      for (int n = 20; n >= 1; --n) {
        for (const std::string suffix : {"", ".gz", ".zst"}) {
          const std::string from = path() + "." + std::to_string(n) + suffix;
          if (fs::exists(from)) fs::rename(from, path() + "." + std::to_string(n + 1) + suffix);
        }
      }
    };
    for (int step = 0; step < 40; ++step) {
      const auto what = random() % 9;
      done += "dddrrcpok"[what];
      switch (what) {
        case 0:
        case 1:
        case 2:
          deliver();
          break;
        case 3:
        case 4:
          move_up();
          if (fs::exists(path())) fs::rename(path(), path() + ".1");
          break;
        case 5: {
          // A file of which nothing was read yet cannot be told from its emptied self.
          if (!fs::exists(path())) break;
          for (int i = 0; i < 30; ++i) {
            now_us_ += 3 * kSecondUs;
            poll(true);
          }
          if (tail_->position().offset == 0) break;
          deliver();
          move_up();
          fs::copy_file(path(), path() + ".1");
          write("");
          break;
        }
        case 6: {
          const std::string name = path() + "." + std::to_string(1 + random() % 3);
          const std::string suffix = random() % 2 == 0 ? ".gz" : ".zst";
          if (!fs::exists(name)) break;
          std::ofstream(name + suffix, std::ios::binary) << compressed(read_whole(name), suffix);
          if (random() % 3 == 0) poll(random() % 2 == 0);
          fs::remove(name);
          break;
        }
        case 7:
          open();
          break;
        default:
          now_us_ += (random() % 4) * kSecondUs;
          poll(random() % 4 != 0);
      }
    }
    for (int i = 0; i < 100; ++i) {
      now_us_ += 3 * kSecondUs;
      poll(true);
    }
    EXPECT_EQ(seen, written) << "seed " << seed << ", steps: " << done;
    if (HasFailure()) return;
  }
}

TEST_F(MboxTailTest, OldMailsOfAFileThatIsNewAreLeftOut) {
  write("From a@b Mon Nov  3 11:59:01 2025\nSubject: mail 1\n\nold\n\n" + mail(2));
  EXPECT_EQ(settled(), "2");
  EXPECT_EQ(tail_->stats().old, 1u);
  // The daemon was stopped for long: what it never read is not old.
  now_us_ += 30 * kDayUs;
  append(mail(3));
  open();
  EXPECT_EQ(settled(), "3");
}

TEST_F(MboxTailTest, ATornMailIsTakenAndItsRestIsPassedOver) {
  write(mail(1) + "From a@b.example Thu Nov 20 11:59:01 2025\nSubject: mail 2\n\nhal");
  EXPECT_EQ(look(), "1");
  EXPECT_EQ(look(59 * kSecondUs), "");
  EXPECT_EQ(look(2 * kSecondUs), "2");
  EXPECT_EQ(tail_->stats().torn, 1u);
  append("f a mail\n\n" + mail(3));
  EXPECT_EQ(settled(), "3");
  EXPECT_EQ(tail_->stats().torn, 2u);
}

TEST_F(MboxTailTest, ALargeMailIsCutAndMemoryBounded) {
  std::string body;
  while (body.size() < 3 * MailReader::kBytesMax) body += "0123456789012345678901234567890123456\n";
  write(mail(1, "", body) + mail(2));
  EXPECT_EQ(look(), "1");
  EXPECT_EQ(mails_[0].bytes.size(), MailReader::kBytesMax);
  const std::string cut = mails_[0].bytes;
  EXPECT_EQ(tail_->stats().oversize, 1u);
  write(mail(1, "Status: RO\n", body) + mail(2));
  EXPECT_EQ(look(0, false), "1");
  EXPECT_EQ(mails_[0].bytes, cut);
}

TEST_F(MboxTailTest, ManyMailsComeInParts) {
  std::string text;
  for (int i = 0; i < 700; ++i) text += mail(i % 10);
  write(text);
  EXPECT_EQ(settled().size(), 700u);
  EXPECT_EQ(tail_->position().offset, text.size());
}

TEST_F(MboxTailTest, WaitsForWhoWrites) {
  write(mail(1) + mail(2));
  const int fd = ::open(path().c_str(), O_RDWR | O_CLOEXEC);
  struct flock region {};
  region.l_type = F_WRLCK;
  region.l_whence = SEEK_SET;
  ASSERT_EQ(::fcntl(fd, F_OFD_SETLK, &region), 0);
  EXPECT_EQ(look(), "");
  region.l_type = F_UNLCK;
  ASSERT_EQ(::fcntl(fd, F_OFD_SETLK, &region), 0);
  ASSERT_EQ(::flock(fd, LOCK_EX), 0);
  EXPECT_EQ(look(), "");
  ::close(fd);
  std::ofstream(path() + ".lock") << "";
  const std::int64_t made_us = std::chrono::duration_cast<std::chrono::microseconds>(
                                   std::chrono::system_clock::now().time_since_epoch())
                                   .count();
  now_us_ = made_us;
  EXPECT_EQ(look(), "");
  EXPECT_EQ(tail_->stats().locked, 3u);
  now_us_ = made_us + 700 * kSecondUs;  // nobody's any more
  look();
  EXPECT_EQ(tail_->stats().locked, 3u);
}

TEST(MboxText, SeparatorsTellATime) {
  EXPECT_EQ(separator_time("From a@b Thu Nov 20 12:00:00 2025\n"), kNow);
  EXPECT_EQ(separator_time("From Mon x Thu Nov 20 12:00:00 2025\n"), kNow);
  EXPECT_EQ(separator_time("From a@b Thu Nov 20 12:00 2025\n"), 0);
  EXPECT_EQ(separator_time("From a@b\n"), 0);
}

TEST(MboxText, ClientFieldsAreNoPartOfAMail) {
  EXPECT_EQ(without_client_fields("A: 1\nSTATUS: O\n folded\nB: 2\n\nStatus: 5.1.1\n\n\n"),
            "A: 1\nB: 2\n\nStatus: 5.1.1\n");
  EXPECT_EQ(without_client_fields("Status-Of: x\n"), "Status-Of: x\n");
  EXPECT_EQ(without_client_fields(""), "");
  EXPECT_EQ(without_client_fields("\n\n"), "\n\n");
}

}  // namespace
}  // namespace bounced::ingest
