// Random appends, rotations and crashes against one oracle: every byte once, in order.
#include <gtest/gtest.h>

#include <atomic>
#include <cstdlib>
#include <thread>

#include "follower.h"

namespace bounced::ingest {
namespace {

class World {
 public:
  World(unsigned seed, bool inotify)
      : random_(seed), follower_(fast_options({dir_ / "mail.log"}, inotify)) {}

  void run(int steps) {
    // Before anything is applied a source counts as never read: its past is not looked for.
    append();
    while (written_.empty() || written_.back() != '\n') append();
    follower_.follow(written_.size());
    follower_.apply();
    for (int i = 0; i < steps && !::testing::Test::HasFailure(); ++i) step();
    if (down_) start();
    finish_line();
    follower_.follow(written_.size());
    const std::string got = follower_.text();
    EXPECT_TRUE(got == written_) << difference(got) << "\n" << history_;
  }

 private:
  /// Where it goes wrong, and how, in a few words.
  [[nodiscard]] std::string difference(const std::string& got) const {
    std::size_t at = 0;
    while (at < got.size() && at < written_.size() && got[at] == written_[at]) ++at;
    const std::string next = got.substr(at, 60);
    const std::size_t found = next.empty() ? std::string::npos : written_.find(next);
    return "got " + std::to_string(got.size()) + " of " + std::to_string(written_.size()) +
           " bytes, differs at " + std::to_string(at) + ", where it goes on with what is at " +
           (found == std::string::npos ? std::string("no place") : std::to_string(found));
  }
  unsigned pick(unsigned n) { return random_() % n; }

  void step() {
    switch (pick(10)) {
      case 0:
      case 1:
      case 2:
      case 3:
        append();
        break;
      case 4:
      case 5:
        if (!down_) follower_.take(500);
        break;
      case 6:
        if (!down_) follower_.apply(pick(3));
        break;
      case 7:
        rotate();
        break;
      case 8:
        if (!down_) {
          follower_.crash();
          note("crash(" + std::to_string(follower_.size()) + ")");
          down_ = true;
        }
        break;
      default:
        if (down_) start();
    }
  }
  void start() {
    note("start");
    follower_.start();
    down_ = false;
  }
  void note(const std::string& what) {
    history_ += what + "@" + std::to_string(written_.size()) + " ";
  }

  /// A few lines, or a piece of one.
  void append() {
    const std::string lines = numbered_lines(number_, number_ + 1 + static_cast<int>(pick(6)));
    number_ += 10;
    const std::string piece =
        pick(2) == 0 ? lines : lines.substr(0, 1 + pick(static_cast<unsigned>(lines.size())));
    append_file(log_, piece);
    written_ += piece;
    note("+" + std::to_string(piece.size()));
  }
  void finish_line() {
    if (written_.back() == '\n') return;
    append_file(log_, "\n");
    written_ += "\n";
  }
  void rotate() {
    // Each incarnation has content of its own before it is rotated; a writer ends its line.
    if (fs::file_size(log_) == 0) append();
    finish_line();
    ::usleep(5000);  // the kernel's file times tick every 4 ms; rotations are not that near
    const bool zip = pick(2) == 0;
    if (pick(2) == 0) {
      note("rename");
      rotator_.rename(zip);
    } else {
      note("copytruncate");
      rotator_.copy_truncate(zip);
    }
    if (pick(4) == 0) {
      note("zip");
      Rotator::zip(log_ + ".1");
    }
    // The oracle cannot tell an empty file's place in time from its content: begin the next one.
    append();
  }

  std::mt19937 random_;
  TempDir dir_;
  std::string log_ = dir_ / "mail.log";
  Rotator rotator_{log_};
  Follower follower_;
  std::string written_, history_;
  int number_ = 0;
  bool down_ = false;
};

/// BOUNCED_SEEDS=1000 for a long run.
int seeds() {
  const char* wanted = std::getenv("BOUNCED_SEEDS");
  return wanted == nullptr ? 40 : std::max(1, std::atoi(wanted));
}

class Rotations : public ::testing::TestWithParam<int> {};
INSTANTIATE_TEST_SUITE_P(Seeds, Rotations, ::testing::Range(0, seeds()));

TEST_P(Rotations, EveryLineOnceInOrder) {
  const auto seed = static_cast<unsigned>(GetParam());
  World world(seed, seed % 2 == 0);
  world.run(60);
}

/// Names move from file to file while a reader that starts looks around: it must not take one file
/// for another, or miss one.
TEST_P(Rotations, NamesThatMoveWhileAReaderStarts) {
  const auto seed = static_cast<unsigned>(GetParam());
  TempDir dir;
  const std::string log = dir / "mail.log";
  std::string written = numbered_lines(0, 3);
  append_file(log, written);
  TailOptions options = fast_options({log}, seed % 2 == 0);
  Follower follower(options);
  follower.follow(written.size());
  follower.apply();

  std::atomic<bool> done = false;
  std::thread writer([&] {
    std::mt19937 random(seed);
    Rotator rotator{log};
    for (int n = 0; n < 50; ++n) {
      rotator.rename();
      const std::string lines = numbered_lines(100 * n + 10, 100 * n + 11 + random() % 5);
      append_file(log, lines);
      written += lines;
      if (random() % 3 == 0) ::usleep(random() % 1500);
    }
    done = true;
  });
  std::mt19937 random(seed + 1);
  while (!done) {
    follower.crash();
    follower.start();
    for (unsigned n = random() % 4; n > 0 && follower.take(500); --n) follower.apply();
  }
  writer.join();
  follower.follow(written.size());
  const std::string got = follower.text();
  EXPECT_TRUE(got == written)
      << "got " << got.size() << " of " << written.size() << " bytes, "
      << "alike up to "
      << std::mismatch(got.begin(), got.end(), written.begin(), written.end()).first - got.begin();
}

}  // namespace
}  // namespace bounced::ingest
