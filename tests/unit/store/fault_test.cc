// Disks that fail at any operation: a commit that failed is seen whole or not at all, one that
// returned stays, and the program goes on or is told why not.
#include <gtest/gtest.h>

#include <spdlog/spdlog.h>

#include <cstdlib>
#include <filesystem>
#include <map>
#include <random>

#include "bounced/limits.h"
#include "faults/fault_files.h"
#include "store/store.h"
#include "temp_dir.h"

namespace bounced::store {
namespace {

namespace fs = std::filesystem;
using test::Fault;
using test::FaultFiles;
using test::TempDir;

Result<std::unique_ptr<Store>> open_on(const std::string& dir,
                                       std::shared_ptr<rocksdb::FileSystem> files = nullptr) {
  OpenOptions options;
  options.files = std::move(files);
  return Store::open(dir, options);
}

WriteSet small_cut(std::uint64_t number, std::size_t bytes = 100) {
  WriteSet set;
  set.put(Family::address, "last", std::string(bytes, 'x'));
  set.put(Family::positions, "last", std::to_string(number));
  return set;
}

constexpr std::size_t kSharedKeys = 40;

std::size_t cut_size(std::uint64_t cut) {
  return cut % 4 == 1 ? limits::kSmallCutRecords + cut % 7 : 10 + cut % 200;
}

/// Cut number `cut`: keys of its own and keys of all cuts, in several families; a flag that moves.
WriteSet make_cut(std::uint64_t cut) {
  WriteSet set;
  std::string key;
  const std::string value = std::to_string(cut);
  for (std::size_t i = 0; i < cut_size(cut); ++i) {
    key.clear();
    append_u64_be(key, (cut << 32 | i) * 0x9e3779b97f4a7c15ULL);
    append_u64_be(key, cut);
    set.put(i % 3 == 0 ? Family::evidence : Family::address, key, value);
  }
  for (std::size_t i = 0; i < kSharedKeys; ++i) {
    set.put(i % 2 == 0 ? Family::rates : Family::changes, "shared" + std::to_string(i), value);
  }
  set.put(Family::positions, "last", value);
  set.erase(Family::due, "turn" + std::to_string((cut + 1) % 2));
  set.put(Family::due, "turn" + std::to_string(cut % 2), "");
  return set;
}

std::string last(const Store& store) {
  return store.get(Family::positions, "last").value().value_or("none");
}

/// Cuts 1 to last are whole, and nothing else is there; gives the last.
std::uint64_t verify(const Store& store) {
  const std::string text = last(store);
  const std::uint64_t cuts = text == "none" ? 0 : std::stoull(text);
  std::map<std::uint64_t, std::size_t> records;
  for (const Family family : {Family::address, Family::evidence}) {
    EXPECT_TRUE(store.scan(family, {}, {}, [&](std::string_view key, std::string_view value) {
      const std::uint64_t cut = key.size() == 16 ? read_u64_be(key.data() + 8) : UINT64_MAX;
      EXPECT_EQ(value, std::to_string(cut));
      ++records[cut];
      return true;
    }));
  }
  EXPECT_EQ(records.size(), cuts);
  for (const auto& [cut, n] : records) {
    EXPECT_EQ(n, cut_size(cut)) << "cut " << cut << " is not whole";
  }
  std::size_t shared = 0;
  for (const Family family : {Family::rates, Family::changes}) {
    EXPECT_TRUE(store.scan(family, "shared", {}, [&](std::string_view, std::string_view value) {
      EXPECT_EQ(value, text);
      ++shared;
      return true;
    }));
  }
  EXPECT_EQ(shared, cuts == 0 ? 0 : kSharedKeys);
  if (cuts > 0) {
    EXPECT_TRUE(store.get(Family::due, "turn" + std::to_string(cuts % 2)).value().has_value());
    EXPECT_FALSE(store.get(Family::due, "turn" + std::to_string((cuts + 1) % 2)).value());
  }
  return cuts;
}

/// RocksDB resumes by emptying its memory into files, which begins a new log. When there is nothing
/// in memory it goes on with the log that a write failed on, and asserts that nobody does.
TEST(Fault, AFullDiskWhileNothingIsInMemory) {
  const TempDir temp;
  const auto files = std::make_shared<FaultFiles>(temp.path("data"));
  auto store = open_on(temp.path("data"), files);
  ASSERT_TRUE(store) << store.error().message();
  ASSERT_TRUE((*store)->commit(small_cut(1), true));
  files->restrict_to(".log");
  for (int attempt = 0; attempt < 4; ++attempt) {
    // The write that failed is tried again at first, then the new one is.
    files->arm(Fault::no_space, attempt == 0 ? 0 : 1, 1);
    const auto done = (*store)->commit(small_cut(2), true);
    ASSERT_FALSE(done);
    EXPECT_EQ(done.error().exit_status(), 3);
    EXPECT_EQ(last(**store), "1");
  }
  files->heal();
  const auto done = (*store)->commit(small_cut(2), true);
  EXPECT_TRUE(done) << done.error().message();
  EXPECT_EQ(last(**store), "2");
  store->reset();
  store = open_on(temp.path("data"));
  EXPECT_EQ(last(**store), "2");
}

/// What one run on a failing disk was told.
struct Told {
  std::uint64_t returned = 0;  ///< the last cut whose commit returned
  std::uint64_t durable = 0;   ///< the last that was synced
  bool gave_up = false;        ///< a commit failed again and again: the program would end
};

/// Commits cuts until enough are through or one does not succeed; a disk that is full gets room
/// again after `tries_full` tries.
Told commit_cuts(Store& store, FaultFiles& files, std::mt19937& random, int tries_full) {
  Told told;
  for (std::uint64_t cut = 1; cut <= 9 && !told.gave_up; ++cut) {
    const bool sync = random() % 2 == 0;
    Result<void> done;
    for (int attempt = 0; attempt < 4; ++attempt) {
      done = store.commit(make_cut(cut), sync);
      if (done) break;
      EXPECT_EQ(done.error().exit_status(), 3) << done.error().message();
      EXPECT_EQ(verify(store), cut - 1) << "a commit that failed is seen";
      if (done.error().code != ErrorCode::no_space) break;
      if (attempt >= tries_full) files.heal();
    }
    told.gave_up = !done;
    if (done) told.returned = cut;
    if (done && (sync || cut_size(cut) >= limits::kSmallCutRecords)) told.durable = cut;
    if (done && random() % 8 == 0 && store.sync()) told.durable = cut;
  }
  return told;
}

void fail_anywhere(std::uint32_t seed, Fault fault) {
  SCOPED_TRACE(std::string(test::name_of(fault)) + ", seed " + std::to_string(seed));
  std::mt19937 random(seed);
  const TempDir temp;
  const std::string data = temp.path("data"), image = temp.path("image");
  { ASSERT_TRUE(open_on(data)); }
  Told told;
  {
    const auto files = std::make_shared<FaultFiles>(data);
    if (random() % 3 == 0) files->restrict_to(".log");
    files->arm(fault, random() % (fault == Fault::power_loss ? 400 : 60),
               random() % 3 == 0 ? UINT64_MAX : 1 + random() % 6, image);
    auto store = open_on(data, files);
    if (!store) {
      EXPECT_GT(files->failures(), 0u) << store.error().message();
      EXPECT_EQ(store.error().exit_status(), 3) << store.error().message();
    } else {
      told = commit_cuts(**store, *files, random, static_cast<int>(random() % 4));
      EXPECT_TRUE(!told.gave_up || files->failures() > 0) << "a commit failed without a cause";
    }
  }
  const bool lost_power = fs::exists(image);
  auto after = open_on(lost_power ? image : data);
  ASSERT_TRUE(after) << after.error().message();
  const std::uint64_t cuts = verify(**after);
  EXPECT_GE(cuts, lost_power ? told.durable : told.returned) << "a cut is gone";
  EXPECT_LE(cuts, told.returned + 1);
  // And it goes on from there.
  ASSERT_TRUE((*after)->commit(make_cut(cuts + 1), true));
  EXPECT_EQ(verify(**after), cuts + 1);
}

TEST(Fault, AnyOperationMayFail) {
  const auto level = spdlog::get_level();
  spdlog::set_level(spdlog::level::off);  // RocksDB has a word to each of them
  int more = 1;
  if (const char* rounds = std::getenv("BOUNCED_FAULT_ROUNDS")) more = std::stoi(rounds);
  for (std::uint32_t seed = 1; seed <= 3u * static_cast<std::uint32_t>(more); ++seed) {
    for (const Fault fault : {Fault::no_space, Fault::short_write, Fault::sync_error,
                              Fault::sync_space, Fault::power_loss}) {
      fail_anywhere(seed, fault);
      if (HasFatalFailure()) return;
    }
  }
  spdlog::set_level(level);
}

}  // namespace
}  // namespace bounced::store
