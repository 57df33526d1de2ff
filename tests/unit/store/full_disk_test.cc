// A full disk: a clear error, nothing lost, and the same commit succeeds once there is space.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/mount.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <random>
#include <thread>

#include "bounced/limits.h"
#include "child.h"
#include "store/store.h"
#include "temp_dir.h"

namespace bounced::store {
namespace {

namespace fs = std::filesystem;
constexpr int kCannotMount = 77;

/// A small tmpfs on `dir` in a mount namespace of this process; false when that is not permitted.
bool mount_small_disk(const std::string& dir) {
  const auto uid = std::to_string(::getuid());
  if (::unshare(CLONE_NEWNS) != 0) {
    if (::unshare(CLONE_NEWUSER | CLONE_NEWNS) != 0) return false;
    std::ofstream("/proc/self/uid_map") << "0 " + uid + " 1";
  }
  (void)::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr);
  return ::mount("bounced-test", dir.c_str(), "tmpfs", 0, "size=40m") == 0;
}

/// Cut number `cut`, about 2 MiB; few big records when small.
WriteSet make_cut(std::uint64_t cut, bool large) {
  WriteSet set;
  std::mt19937_64 random(cut);
  const std::size_t records = large ? limits::kSmallCutRecords : 100;
  for (std::size_t i = 0; i < records; ++i) {
    std::string key;
    append_u64_be(key, random());
    set.put(Family::address, key, std::string((2 << 20) / records, static_cast<char>(random())));
  }
  set.put(Family::positions, "cut", std::to_string(cut));
  return set;
}

std::uint64_t last_cut(const Store& store) {
  const auto text = store.get(Family::positions, "cut").value();
  return text ? std::stoull(*text) : 0;
}

void expect_cuts(const Store& store, std::uint64_t last, bool large) {
  EXPECT_EQ(last_cut(store), last);
  for (std::uint64_t cut = 1; cut <= last; ++cut) {
    const WriteSet set = make_cut(cut, large);
    const WriteSet::Part& part = set.part(Family::address);
    for (std::size_t i = 0; i < part.entries.size(); i += 37) {
      const auto value = store.get(Family::address, part.entries[i].key());
      ASSERT_TRUE(value);
      ASSERT_EQ(*value, std::string(part.entries[i].value())) << "cut " << cut;
    }
  }
}

void fill_and_recover(const std::string& dir, bool large) {
  const std::string data = dir + (large ? "/large" : "/small");
  const std::string ballast = dir + "/ballast";
  const int fd = ::open(ballast.c_str(), O_CREAT | O_WRONLY, 0600);
  ASSERT_GE(fd, 0);
  ASSERT_EQ(::posix_fallocate(fd, 0, 22 << 20), 0);
  ::close(fd);
  auto store = Store::open(data, {});
  ASSERT_TRUE(store) << store.error().message();
  std::uint64_t cut = 0;
  Result<void> done;
  while (done && cut < 100) done = (*store)->commit(make_cut(++cut, large), true);
  ASSERT_FALSE(done) << "the disk never filled up";
  EXPECT_EQ(done.error().code, ErrorCode::no_space) << done.error().message();
  EXPECT_NE(done.error().message().find(data), std::string::npos);
  EXPECT_EQ(done.error().exit_status(), 3);
  expect_cuts(**store, cut - 1, large);
  const auto again = (*store)->commit(make_cut(cut, large), true);
  ASSERT_FALSE(again);
  EXPECT_EQ(again.error().code, ErrorCode::no_space) << again.error().message();

  ASSERT_EQ(::unlink(ballast.c_str()), 0);
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(30);
  do {
    done = (*store)->commit(make_cut(cut, large), true);
    if (!done) std::this_thread::sleep_for(std::chrono::milliseconds(50));
  } while (!done && std::chrono::steady_clock::now() < deadline);
  ASSERT_TRUE(done) << done.error().message();
  const auto next = (*store)->commit(make_cut(cut + 1, large), true);
  ASSERT_TRUE(next) << next.error().message();
  expect_cuts(**store, cut + 1, large);
  store->reset();
  store = Store::open(data, {});
  ASSERT_TRUE(store) << store.error().message();
  expect_cuts(**store, cut + 1, large);
  store->reset();
  fs::remove_all(data);
}

TEST(FullDiskChild, DISABLED_FillsAndRecovers) {
  const std::string dir = test::child_dir();
  if (dir.empty()) GTEST_SKIP() << "started by FullDisk.* only";
  if (!mount_small_disk(dir)) ::_exit(kCannotMount);
  fill_and_recover(dir, false);
  fill_and_recover(dir, true);
}

TEST(FullDisk, IsAClearErrorAndARetrySucceeds) {
  const test::TempDir temp;
  fs::create_directories(temp.path("disk"));
  const pid_t pid =
      test::start_child("FullDiskChild.DISABLED_FillsAndRecovers", temp.path("disk"), -1);
  ASSERT_GT(pid, 0);
  const int status = test::wait_for(pid);
  if (status == kCannotMount) GTEST_SKIP() << "mounting a tmpfs is not permitted here";
  EXPECT_EQ(status, 0);
}

}  // namespace
}  // namespace bounced::store
