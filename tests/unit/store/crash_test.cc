// SIGKILL and power loss: what commit() returned for is there, and each cut is whole or absent.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <map>
#include <mutex>
#include <random>
#include <thread>

#include "bounced/limits.h"
#include "child.h"
#include "store/store.h"
#include "temp_dir.h"

namespace {

/// Bytes of each file (by inode) that fsync or fdatasync has made durable.
std::mutex synced_mutex;
std::map<ino_t, off_t>& synced() {
  static std::map<ino_t, off_t> sizes;
  return sizes;
}

int note_sync(int fd, long call) {
  const long done = ::syscall(call, fd);
  struct stat info {};
  if (done == 0 && ::fstat(fd, &info) == 0) {
    const std::lock_guard<std::mutex> lock(synced_mutex);
    synced()[info.st_ino] = info.st_size;
  }
  return static_cast<int>(done);
}

}  // namespace

// Seen by the RocksDB library instead of the C library's: a power loss is then a copy of the
// directory in which every file ends where it was last synced.
extern "C" int fsync(int fd) {
  return note_sync(fd, SYS_fsync);
}
extern "C" int fdatasync(int fd) {
  return note_sync(fd, SYS_fdatasync);
}

namespace bounced::store {
namespace {

namespace fs = std::filesystem;
using test::TempDir;

std::unique_ptr<Store> open_store(const std::string& dir) {
  auto store = Store::open(dir, {});
  EXPECT_TRUE(store) << (store ? "" : store.error().message());
  return store ? std::move(*store) : nullptr;
}

/// The directory as it would be after the power went now.
void copy_after_power_loss(const std::string& from, const std::string& to) {
  const std::lock_guard<std::mutex> lock(synced_mutex);
  for (const auto& entry : fs::recursive_directory_iterator(from)) {
    const fs::path target = fs::path(to) / fs::relative(entry.path(), from);
    if (entry.is_directory()) {
      fs::create_directories(target);
      continue;
    }
    struct stat info {};
    if (::stat(entry.path().c_str(), &info) != 0) continue;
    fs::create_directories(target.parent_path());
    fs::copy_file(entry.path(), target);
    const auto known = synced().find(info.st_ino);
    fs::resize_file(target, known == synced().end() ? 0
                                                    : static_cast<std::uintmax_t>(
                                                          std::min(known->second, info.st_size)));
  }
}

WriteSet one(const std::string& key, const std::string& value) {
  WriteSet set;
  set.put(Family::meta, key, value);
  set.put(Family::address, key, value);
  return set;
}

WriteSet large(const std::string& value) {
  WriteSet set;
  for (std::size_t i = 0; i <= limits::kSmallCutRecords; ++i) {
    set.put(i % 2 == 0 ? Family::address : Family::evidence, "k" + std::to_string(i), value);
  }
  set.put(Family::positions, "position", value);
  return set;
}

TEST(PowerLoss, TheSimulationDropsWhatWasNotSynced) {
  const TempDir temp;
  auto store = open_store(temp.path("data"));
  ASSERT_TRUE(store->commit(one("synced", "1"), true));
  ASSERT_TRUE(store->commit(one("unsynced", "1"), false));
  copy_after_power_loss(temp.path("data"), temp.path("lost"));
  ASSERT_TRUE(store->sync());
  copy_after_power_loss(temp.path("data"), temp.path("kept"));
  auto lost = open_store(temp.path("lost"));
  EXPECT_EQ(lost->get(Family::meta, "synced").value(), "1");
  EXPECT_EQ(lost->get(Family::meta, "unsynced").value(), std::nullopt);
  auto kept = open_store(temp.path("kept"));
  EXPECT_EQ(kept->get(Family::meta, "unsynced").value(), "1");
}

TEST(PowerLoss, ALargeCutNeverOutlivesAnOlderSmallOne) {
  const TempDir temp;
  auto store = open_store(temp.path("data"));
  ASSERT_TRUE(store->commit(one("older", "1"), false));
  ASSERT_TRUE(store->commit(large("first"), false));
  ASSERT_TRUE(store->commit(one("between", "1"), false));
  ASSERT_TRUE(store->commit(large("second"), false));
  ASSERT_TRUE(store->commit(one("newest", "1"), false));
  copy_after_power_loss(temp.path("data"), temp.path("after"));
  auto after = open_store(temp.path("after"));
  ASSERT_TRUE(after);
  for (const Family family : {Family::meta, Family::address}) {
    EXPECT_EQ(after->get(family, "older").value(), "1");
    EXPECT_EQ(after->get(family, "between").value(), "1");
  }
  EXPECT_EQ(after->get(Family::positions, "position").value(), "second");
  std::size_t seen = 0;
  for (const Family family : {Family::address, Family::evidence}) {
    ASSERT_TRUE(after->scan(family, "k", {}, [&](std::string_view, std::string_view value) {
      EXPECT_EQ(value, "second");
      ++seen;
      return true;
    }));
  }
  EXPECT_EQ(seen, limits::kSmallCutRecords + 1);
}

// --- SIGKILL ------------------------------------------------------------------------------------

std::size_t cut_size(std::uint64_t cut) {
  return cut % 3 == 1 ? limits::kSmallCutRecords + cut % 7 : 10 + cut % 200;
}

/// Cut number `cut`: its own keys in two families, and one key of each that all cuts overwrite.
WriteSet make_cut(std::uint64_t cut) {
  WriteSet set;
  std::string key;
  for (std::size_t i = 0; i < cut_size(cut); ++i) {
    key.clear();
    append_u64_be(key, (cut << 32 | i) * 0x9e3779b97f4a7c15ULL);
    append_u64_be(key, cut);
    set.put(i % 3 == 0 ? Family::evidence : Family::address, key, "value " + std::to_string(cut));
  }
  for (const Family family : {Family::positions, Family::rates, Family::changes}) {
    set.put(family, "last", std::to_string(cut));
  }
  set.erase(Family::due, "turn" + std::to_string((cut + 1) % 2));
  set.put(Family::due, "turn" + std::to_string(cut % 2), "");
  return set;
}

/// Checks that cuts 1..last are whole and nothing else is there; gives `last`.
std::uint64_t verify(const Store& store) {
  const auto last_text = store.get(Family::positions, "last").value();
  const std::uint64_t last = last_text ? std::stoull(*last_text) : 0;
  std::map<std::uint64_t, std::size_t> records;
  for (const Family family : {Family::address, Family::evidence}) {
    EXPECT_TRUE(store.scan(family, {}, {}, [&](std::string_view key, std::string_view value) {
      const std::uint64_t cut = read_u64_be(key.data() + 8);
      EXPECT_EQ(value, "value " + std::to_string(cut));
      ++records[cut];
      return true;
    }));
  }
  EXPECT_EQ(records.size(), last);
  for (const auto& [cut, n] : records) {
    EXPECT_LE(cut, last) << "a later cut left something";
    EXPECT_EQ(n, cut_size(cut)) << "cut " << cut << " is not whole";
  }
  EXPECT_EQ(store.get(Family::rates, "last").value(), last_text);
  EXPECT_EQ(store.get(Family::changes, "last").value(), last_text);
  if (last > 0) {
    EXPECT_TRUE(store.get(Family::due, "turn" + std::to_string(last % 2)).value().has_value());
    EXPECT_FALSE(store.get(Family::due, "turn" + std::to_string((last + 1) % 2)).value());
  }
  return last;
}

TEST(CrashChild, DISABLED_CommitsUntilKilled) {
  const std::string dir = test::child_dir();
  if (dir.empty()) GTEST_SKIP() << "started by Crash.KilledAnywhere only";
  auto store = open_store(dir);
  ASSERT_TRUE(store);
  const auto last = store->get(Family::positions, "last").value();
  for (std::uint64_t cut = last ? std::stoull(*last) + 1 : 1;; ++cut) {
    ASSERT_TRUE(store->commit(make_cut(cut), cut % 2 == 0));
    if (::write(test::kChildPipe, &cut, sizeof cut) != sizeof cut) return;
  }
}

TEST(Crash, KilledAnywhere) {
  const TempDir temp;
  const std::string dir = temp.path("data");
  std::mt19937 random(20261121);
  std::uint64_t returned = 0;
  for (int round = 0; round < 10; ++round) {
    SCOPED_TRACE(round);
    int pipe_fds[2];
    ASSERT_EQ(::pipe(pipe_fds), 0);
    const pid_t pid = test::start_child("CrashChild.DISABLED_CommitsUntilKilled", dir, pipe_fds[1]);
    ASSERT_GT(pid, 0);
    ::close(pipe_fds[1]);
    // The first report of a round tells that the child is at work; then any moment will do.
    std::uint64_t cut = 0;
    ASSERT_EQ(::read(pipe_fds[0], &cut, sizeof cut), static_cast<ssize_t>(sizeof cut));
    std::this_thread::sleep_for(std::chrono::microseconds(random() % 120'000));
    ::kill(pid, SIGKILL);
    EXPECT_EQ(test::wait_for(pid), 128 + SIGKILL);
    returned = cut;
    while (::read(pipe_fds[0], &cut, sizeof cut) == sizeof cut) returned = cut;
    ::close(pipe_fds[0]);
    auto store = open_store(dir);
    ASSERT_TRUE(store);
    const std::uint64_t last = verify(*store);
    EXPECT_GE(last, returned) << "a commit had returned and is gone";
    EXPECT_LE(last, returned + 1);
    EXPECT_TRUE(fs::is_empty(dir + "/ingest"));
  }
  EXPECT_GT(returned, 20u);
}

}  // namespace
}  // namespace bounced::store
