#include "net/local_socket.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <string>
#include <thread>

namespace bounced::net {
namespace {

struct TempDir {
  TempDir() {
    char name[] = "/tmp/bounced-net-XXXXXX";
    path = mkdtemp(name);
  }
  ~TempDir() { rmdir(path.c_str()); }
  std::string path;
};

TEST(LocalSocket, CarriesBytesAndDescriptors) {
  const TempDir dir;
  const std::string path = dir.path + "/s";
  auto listener = listen_local(path);
  ASSERT_TRUE(listener);
  struct stat st {};
  ASSERT_EQ(stat(path.c_str(), &st), 0);
  EXPECT_EQ(st.st_mode & 0777, 0600u) << "nobody else may command";
  int pipe_fds[2];
  ASSERT_EQ(pipe(pipe_fds), 0);
  const std::string large(300'000, 'x');
  std::thread client([&] {
    auto socket = connect_local(path);
    ASSERT_TRUE(socket);
    ASSERT_TRUE(send_message(*socket, large, {pipe_fds[1]}));
    auto answer = receive_message(*socket, 10);
    ASSERT_TRUE(answer);
    EXPECT_EQ(answer->bytes, "7");
  });
  auto socket = accept_local(*listener, 5000);
  ASSERT_TRUE(socket && *socket);
  auto message = receive_message(*socket, 1 << 20);
  ASSERT_TRUE(message);
  EXPECT_EQ(message->bytes, large);
  ASSERT_EQ(message->fds.size(), 1u);
  ASSERT_EQ(write(message->fds[0].get(), "hi", 2), 2);
  char got[2];
  ASSERT_EQ(read(pipe_fds[0], got, 2), 2);
  EXPECT_EQ(std::string(got, 2), "hi");
  ASSERT_TRUE(send_message(*socket, "7", {}));
  client.join();
  close(pipe_fds[0]);
  close(pipe_fds[1]);
  unlink(path.c_str());
}

TEST(LocalSocket, RefusesAndReplaces) {
  const TempDir dir;
  const std::string path = dir.path + "/s";
  EXPECT_EQ(connect_local(path).error().code, ErrorCode::not_found);
  {
    auto first = listen_local(path);
    ASSERT_TRUE(first);
    auto second = listen_local(path);
    ASSERT_FALSE(second);
    EXPECT_EQ(second.error().code, ErrorCode::busy);
  }
  EXPECT_EQ(connect_local(path).error().code, ErrorCode::not_found) << "its process is gone";
  EXPECT_TRUE(listen_local(path)) << "a dead socket is replaced";
  unlink(path.c_str());
  EXPECT_FALSE(listen_local(dir.path + "/" + std::string(200, 'x')));
}

/// The two ends of one connection.
class ConnectedSockets : public ::testing::Test {
 protected:
  void SetUp() override {
    auto listener = listen_local(path_);
    ASSERT_TRUE(listener);
    auto client = connect_local(path_);
    ASSERT_TRUE(client);
    auto server = accept_local(*listener, 5000);
    ASSERT_TRUE(server && *server);
    client_ = std::move(*client);
    server_ = std::move(*server);
  }
  void TearDown() override { unlink(path_.c_str()); }

  TempDir dir_;
  std::string path_ = dir_.path + "/s";
  Fd client_, server_;
};

TEST_F(ConnectedSockets, BoundsMessages) {
  ASSERT_TRUE(send_message(client_, std::string(100, 'x'), {}));
  EXPECT_FALSE(receive_message(server_, 50));
}

TEST_F(ConnectedSockets, GivesUpOnWhoSaysNothing) {
  ASSERT_EQ(write(client_.get(), "\4\0", 2), 2);  // half a length
  int asked = 0;
  const auto message = receive_message(server_, 50, [&] { return ++asked > 2; });
  ASSERT_FALSE(message);
  EXPECT_EQ(message.error().code, ErrorCode::cancelled);
}

TEST_F(ConnectedSockets, BoundsDescriptors) {
  // The body of the first message is made of two more, with three descriptors each.
  ASSERT_EQ(write(client_.get(), "\144\0\0\0", 4), 4);
  for (int i = 0; i < 2; ++i) ASSERT_TRUE(send_message(client_, "x", {0, 1, 2}));
  EXPECT_FALSE(receive_message(server_, 200));
}

}  // namespace
}  // namespace bounced::net
