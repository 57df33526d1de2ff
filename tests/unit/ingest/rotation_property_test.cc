// Random appends, rotations and crashes against one oracle: every byte once, in order.
#include <gtest/gtest.h>

#include <cstdlib>

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

}  // namespace
}  // namespace bounced::ingest
