#include "cli/io.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <string>
#include <thread>

namespace bounced::cli {
namespace {

struct Pipe {
  explicit Pipe(int flags = 0) { EXPECT_EQ(::pipe2(fds, O_CLOEXEC | flags), 0); }
  ~Pipe() {
    close_reader();
    close_writer();
  }
  void close_reader() { close(0); }
  void close_writer() { close(1); }
  void close(int end) {
    if (fds[end] >= 0) ::close(fds[end]);
    fds[end] = -1;
  }
  // What is in it, once its writer is closed.
  std::string rest() {
    std::string text;
    char buffer[4096];
    for (ssize_t n = 0; (n = ::read(fds[0], buffer, sizeof buffer)) > 0;) {
      text.append(buffer, static_cast<std::size_t>(n));
    }
    return text;
  }
  int fds[2] = {-1, -1};
};

const std::string kLarge(1 << 20, 'x');  // more than a pipe holds

TEST(Io, AReaderThatWentAwayIsNoErrorAFullDiskIs) {
  ::signal(SIGPIPE, SIG_IGN);
  Pipe pipe;
  pipe.close_reader();
  Io gone(0, pipe.fds[1], 2, true);
  gone.out("text");
  EXPECT_TRUE(gone.finish());
  EXPECT_TRUE(gone.broken());

  const int full = ::open("/dev/full", O_WRONLY | O_CLOEXEC);
  ASSERT_GE(full, 0);
  {
    Io io(0, full, 2, true);
    io.out("text");
    const auto written = io.finish();
    ASSERT_FALSE(written);
    EXPECT_EQ(written.error().code, ErrorCode::no_space);
    EXPECT_EQ(written.error().exit_status(), 3);
  }
  ::close(full);
  Io closed(0, -1, 2, true);
  closed.out("text");
  EXPECT_FALSE(closed.finish());
}

TEST(Io, ANonBlockingOutputIsWaitedFor) {
  Pipe pipe(O_NONBLOCK);
  std::string got;
  ASSERT_EQ(::fcntl(pipe.fds[0], F_SETFL, 0), 0);
  std::thread reader([&] { got = pipe.rest(); });
  {
    Io io(0, pipe.fds[1], 2, true);
    io.out(kLarge);
    EXPECT_TRUE(io.finish());
  }
  pipe.close_writer();
  reader.join();
  EXPECT_EQ(got.size(), kLarge.size());
}

TEST(Io, AReaderThatDoesNotReadIsGivenUp) {
  Pipe pipe;
  std::atomic<bool> stop{false};
  std::thread later([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
    stop = true;
  });
  Io io(0, pipe.fds[1], 2, true, [&] { return stop.load(); });
  io.out(kLarge);
  EXPECT_FALSE(io.finish());
  later.join();
}

TEST(Io, OneLineWithoutEscapes) {
  Pipe pipe;
  {
    Io io(0, 1, pipe.fds[1], true);
    EXPECT_EQ(io.report({ErrorCode::usage, "time", "a\nb\x1b[2J", "not a time", ""}), 2);
    io.notice("c\rd");
  }
  pipe.close_writer();
  EXPECT_EQ(pipe.rest(), "bounced: time: a?b?[2J: not a time\nbounced: c?d\n");
}

}  // namespace
}  // namespace bounced::cli
