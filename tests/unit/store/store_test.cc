#include "store/store.h"

#include <gtest/gtest.h>
#include <rocksdb/db.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <map>
#include <random>
#include <set>

#include "bounced/limits.h"
#include "store/varint.h"
#include "temp_dir.h"

namespace bounced::store {
namespace {

using test::TempDir;

std::unique_ptr<Store> open_store(const std::string& dir, const OpenOptions& options = {}) {
  auto store = Store::open(dir, options);
  EXPECT_TRUE(store) << (store ? "" : store.error().message());
  return store ? std::move(*store) : nullptr;
}

void commit(Store& store, const WriteSet& set, bool sync = false) {
  const auto done = store.commit(set, sync);
  ASSERT_TRUE(done) << done.error().message();
}

std::map<std::string, std::string> all(const Store& store, Family family) {
  std::map<std::string, std::string> out;
  const auto done = store.scan(family, {}, {}, [&](std::string_view key, std::string_view value) {
    EXPECT_TRUE(out.emplace(key, value).second) << "a key was visited twice";
    return true;
  });
  EXPECT_TRUE(done);
  return out;
}

TEST(Keys, ByteOrderIsNumericOrder) {
  const std::uint64_t numbers[] = {0, 1, 0xff, 0x100, 0xffffffff, 0x100000000, UINT64_MAX};
  std::string last;
  for (const std::uint64_t n : numbers) {
    std::string key;
    append_u64_be(key, n);
    EXPECT_EQ(read_u64_be(key.data()), n);
    EXPECT_TRUE(last.empty() || last < key);
    last = key;
    std::string shorter;
    append_u32_be(shorter, static_cast<std::uint32_t>(n));
    EXPECT_EQ(read_u32_be(shorter.data()), static_cast<std::uint32_t>(n));
  }
  std::string id;
  append_id(id, {0x0102030405060708, 0x090a0b0c0d0e0f10});
  EXPECT_EQ(id, std::string("\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c\x0d\x0e\x0f\x10"));
  EXPECT_EQ(read_id(id.data()), (AddressId{0x0102030405060708, 0x090a0b0c0d0e0f10}));
}

TEST(Varint, RoundTripsAndRefusesDamage) {
  for (const std::uint64_t n : {std::uint64_t{0}, std::uint64_t{127}, std::uint64_t{128},
                                std::uint64_t{1} << 35, UINT64_MAX}) {
    std::string bytes;
    append_varint(bytes, n);
    std::uint64_t back = 1;
    for (std::size_t cut = 0; cut < bytes.size(); ++cut) {
      std::string_view part = std::string_view(bytes).substr(0, cut);
      EXPECT_FALSE(read_varint(part, back));
    }
    std::string_view in = bytes;
    ASSERT_TRUE(read_varint(in, back));
    EXPECT_EQ(back, n);
    EXPECT_TRUE(in.empty());
  }
  std::string_view overlong = "\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02";
  std::uint64_t out = 0;
  EXPECT_FALSE(read_varint(overlong, out));
  for (const std::int64_t n : {std::int64_t{0}, std::int64_t{-1}, INT64_MIN, INT64_MAX}) {
    EXPECT_EQ(unzigzag(zigzag(n)), n);
  }
  EXPECT_EQ(zigzag(-1), 1u);
}

TEST(WriteSetTest, CountsAndKeepsOrder) {
  WriteSet set;
  EXPECT_TRUE(set.empty());
  set.put(Family::meta, "k", "value");
  set.put(Family::address, "key", "");
  set.erase(Family::meta, "k");
  EXPECT_EQ(set.records(), 3u);
  EXPECT_EQ(set.bytes(), 1u + 5u + 3u + 1u);
  const WriteSet::Part& part = set.part(Family::meta);
  EXPECT_EQ(part.entries[0].value(), "value");
  EXPECT_TRUE(part.entries[1].erase);
  set.clear();
  EXPECT_TRUE(set.empty());
}

/// Value of record `i`: mostly short, now and then none, of a few chunks' size, or larger than one.
std::string value_of(std::uint32_t i) {
  std::size_t size = i % 120;
  if (i % 1000 == 999) size = Arena::kChunkBytes / 3;
  if (i % 20'000 == 19'999) size = Arena::kChunkBytes + i;
  return std::string(size, static_cast<char>('a' + i % 26));
}

void fill(WriteSet& set, std::uint32_t from, std::uint32_t to) {
  for (std::uint32_t i = from; i < to; ++i) {
    std::string key;
    append_u32_be(key, i);
    const std::string value = value_of(i);
    if (i % 3 != 0) {
      set.put(Family::address, key, value);
      continue;
    }
    // In place, with more room than it needs.
    char* const at = set.begin_put(Family::address, key, value.size() + 10'000);
    set.end_put(Family::address, std::copy(value.begin(), value.end(), at));
  }
}

void expect_records(const WriteSet& set, std::uint32_t from, std::uint32_t to) {
  const WriteSet::Part& part = set.part(Family::address);
  ASSERT_EQ(part.entries.size(), to - from);
  std::size_t bytes = 0;
  for (std::uint32_t i = from; i < to; ++i) {
    const WriteSet::Entry& entry = part.entries[i - from];
    ASSERT_EQ(read_u32_be(entry.key().data()), i);
    ASSERT_EQ(entry.value(), value_of(i));
    bytes += entry.key_size + entry.value_size;
  }
  EXPECT_EQ(set.bytes(), bytes);
}

TEST(WriteSetTest, KeepsBytesWhileOthersGrow) {
  WriteSet flying, pending;
  for (int round = 0; round < 3; ++round) {
    fill(flying, 0, 30'000);
    fill(pending, 30'000, 60'000);
    expect_records(flying, 0, 30'000);
    flying.clear();  // its memory serves the other one
    EXPECT_TRUE(flying.empty());
    fill(pending, 60'000, 90'000);
    expect_records(pending, 30'000, 90'000);
    pending.clear();
  }
}

TEST(WriteSetTest, TakesOverAnother) {
  WriteSet all, more;
  fill(more, 0, 30'000);
  all.take(more);  // has nothing of the family: memory is exchanged
  EXPECT_TRUE(more.empty());
  fill(more, 30'000, 60'000);
  all.take(more);
  EXPECT_TRUE(more.empty());
  fill(more, 0, 1'000);
  expect_records(all, 0, 60'000);
}

TEST(StoreTest, KeepsSecretAndOptionsAcrossOpens) {
  const TempDir temp;
  const std::string dir = temp.path("a/b/data");
  Secret secret{};
  {
    auto store = open_store(dir, {true, false, false});
    ASSERT_TRUE(store);
    secret = store->secret();
    EXPECT_NE(secret, Secret{});
    EXPECT_FALSE(store->fold_local_part());
    EXPECT_EQ(store->directory(), dir);
  }
  auto store = open_store(dir, {false, false, false});
  ASSERT_TRUE(store);
  EXPECT_EQ(store->secret(), secret);
  store.reset();
  const auto mismatch = Store::open(dir, {true, false, true});
  ASSERT_FALSE(mismatch);
  EXPECT_EQ(mismatch.error().code, ErrorCode::data);
  EXPECT_NE(mismatch.error().message().find("fold_local_part = false"), std::string::npos);
  EXPECT_NE(mismatch.error().message().find(dir), std::string::npos);
  // A reader takes the store's own option.
  auto reader = open_store(dir, {false, true, true});
  ASSERT_TRUE(reader);
  EXPECT_FALSE(reader->fold_local_part());
  EXPECT_EQ(reader->secret(), secret);
}

TEST(StoreTest, TwoStoresHaveTwoSecrets) {
  const TempDir temp;
  EXPECT_NE(open_store(temp.path("a"))->secret(), open_store(temp.path("b"))->secret());
}

TEST(StoreTest, MissingStoreIsNotFound) {
  const TempDir temp;
  const auto missing = Store::open(temp.path("none"), {false, false, true});
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().code, ErrorCode::not_found);
  const auto reader = Store::open(temp.path("none"), {true, true, true});
  ASSERT_FALSE(reader);
  EXPECT_EQ(reader.error().code, ErrorCode::not_found);
  EXPECT_FALSE(std::filesystem::exists(temp.path("none")));
}

TEST(StoreTest, PathThatIsAFileIsAClearError) {
  const TempDir temp;
  std::ofstream(temp.path("file")) << "x";
  const auto store = Store::open(temp.path("file"), {});
  ASSERT_FALSE(store);
  EXPECT_NE(store.error().message().find(temp.path("file")), std::string::npos);
}

TEST(StoreTest, SecondWriterIsBusyReaderIsNot) {
  const TempDir temp;
  const std::string dir = temp.path("data");
  auto store = open_store(dir);
  ASSERT_TRUE(store);
  WriteSet set;
  set.put(Family::meta, "key", "only in the WAL");
  commit(*store, set);
  const auto second = Store::open(dir, {});
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code, ErrorCode::busy);
  EXPECT_NE(second.error().message().find("another bounced is using it"), std::string::npos);
  auto reader = open_store(dir, {false, true, true});
  ASSERT_TRUE(reader);
  EXPECT_EQ(reader->get(Family::meta, "key").value(), "only in the WAL");
  const auto refused = reader->commit(set, false);
  ASSERT_FALSE(refused);
  EXPECT_NE(refused.error().message().find("read-only"), std::string::npos);
}

TEST(StoreTest, NewerVersionNamesBothVersions) {
  const TempDir temp;
  const std::string dir = temp.path("data");
  {
    auto store = open_store(dir);
    WriteSet set;
    set.put(Family::meta, "store.version", "7");
    commit(*store, set, true);
  }
  for (const bool read_only : {false, true}) {
    const auto store = Store::open(dir, {true, read_only, true});
    ASSERT_FALSE(store);
    EXPECT_EQ(store.error().code, ErrorCode::data);
    const std::string text = store.error().message();
    EXPECT_NE(text.find("version 7"), std::string::npos) << text;
    EXPECT_NE(text.find("up to 2"), std::string::npos) << text;
    EXPECT_NE(text.find(dir), std::string::npos) << text;
  }
}

TEST(StoreTest, NewerVersionWithMoreFamiliesIsStillClear) {
  const TempDir temp;
  const std::string dir = temp.path("data");
  {
    auto store = open_store(dir);
    WriteSet set;
    set.put(Family::meta, "store.version", "9");
    commit(*store, set, true);
  }
  {
    std::vector<std::string> names;
    ASSERT_TRUE(rocksdb::DB::ListColumnFamilies({}, dir + "/db", &names).ok());
    std::vector<rocksdb::ColumnFamilyDescriptor> families;
    for (const std::string& name : names)
      families.emplace_back(name, rocksdb::ColumnFamilyOptions());
    std::vector<rocksdb::ColumnFamilyHandle*> handles;
    rocksdb::DB* db = nullptr;
    ASSERT_TRUE(rocksdb::DB::Open({}, dir + "/db", families, &handles, &db).ok());
    rocksdb::ColumnFamilyHandle* more = nullptr;
    ASSERT_TRUE(db->CreateColumnFamily({}, "contacts", &more).ok());
    handles.push_back(more);
    for (auto* handle : handles) (void)db->DestroyColumnFamilyHandle(handle);
    delete db;
  }
  const auto store = Store::open(dir, {});
  ASSERT_FALSE(store);
  EXPECT_EQ(store.error().code, ErrorCode::data);
  EXPECT_NE(store.error().message().find("version 9"), std::string::npos)
      << store.error().message();
}

TEST(StoreTest, WhoOnlyReadsFindsNothingInAFamilyThatIsNewerThanTheStore) {
  const TempDir temp;
  const std::string dir = temp.path("data");
  {
    auto store = open_store(dir);
    WriteSet set;
    set.put(Family::address, "a", "1");
    commit(*store, set, true);
  }
  {
    std::vector<rocksdb::ColumnFamilyDescriptor> families;
    std::vector<std::string> names;
    ASSERT_TRUE(rocksdb::DB::ListColumnFamilies({}, dir + "/db", &names).ok());
    for (const std::string& name : names)
      families.emplace_back(name, rocksdb::ColumnFamilyOptions());
    std::vector<rocksdb::ColumnFamilyHandle*> handles;
    rocksdb::DB* db = nullptr;
    ASSERT_TRUE(rocksdb::DB::Open({}, dir + "/db", families, &handles, &db).ok());
    for (auto* handle : handles) {
      if (handle->GetName() == "sent" || handle->GetName() == "by_block") {
        ASSERT_TRUE(db->DropColumnFamily(handle).ok());
      }
      (void)db->DestroyColumnFamilyHandle(handle);
    }
    delete db;
  }
  {
    OpenOptions options;
    options.read_only = true;
    const auto opened = Store::open(dir, options);
    ASSERT_TRUE(opened) << opened.error().message();
    const Store& store = **opened;
    EXPECT_EQ(store.get(Family::address, "a").value(), "1");
    EXPECT_EQ(store.get(Family::sent, "a").value(), std::nullopt);
    EXPECT_TRUE(all(store, Family::by_block).empty());
    EXPECT_EQ(store.approximate_keys(Family::sent), 0u);
    std::vector<std::optional<std::string>> values(1, "stale");
    const std::vector<std::string_view> keys = {"a"};
    ASSERT_TRUE(store.multi_get(Family::sent, keys, values));
    EXPECT_EQ(values[0], std::nullopt);
  }
  auto store = open_store(dir);  // who writes makes them
  WriteSet set;
  set.put(Family::sent, "s", "1");
  commit(*store, set, true);
  EXPECT_EQ(store->get(Family::sent, "s").value(), "1");
  EXPECT_EQ(store->get(Family::address, "a").value(), "1");
}

TEST(StoreTest, DamagedFilesAreDataErrors) {
  const TempDir temp;
  const std::string dir = temp.path("data");
  open_store(dir).reset();
  std::ofstream(dir + "/db/CURRENT") << "MANIFEST-none\n";
  const auto store = Store::open(dir, {});
  ASSERT_FALSE(store);
  EXPECT_NE(store.error().message().find(dir), std::string::npos);
  EXPECT_EQ(store.error().exit_status(), 3);
}

TEST(StoreTest, LeftoverIngestFilesAreRemovedAtOpen) {
  const TempDir temp;
  const std::string dir = temp.path("data");
  open_store(dir).reset();
  std::ofstream(dir + "/ingest/17.sst") << "half a file";
  std::ofstream(dir + "/ingest/note.txt") << "somebody's";
  auto store = open_store(dir);
  EXPECT_FALSE(std::filesystem::exists(dir + "/ingest/17.sst"));
  EXPECT_TRUE(std::filesystem::exists(dir + "/ingest/note.txt"));
}

TEST(StoreTest, LaterEntryOfAKeyWinsBothWays) {
  for (const bool large : {false, true}) {
    const TempDir temp;
    auto store = open_store(temp.path("data"));
    WriteSet set;
    set.put(Family::address, "twice", "old");
    set.put(Family::address, "gone", "x");
    set.erase(Family::address, "back");
    if (large) {
      std::string key;
      for (std::uint64_t i = 0; i < limits::kSmallCutRecords; ++i) {
        key.clear();
        append_u64_be(key, i * 0x9e3779b97f4a7c15);
        set.put(Family::evidence, key, "filler");
      }
    }
    set.put(Family::address, "twice", "new");
    set.erase(Family::address, "gone");
    set.put(Family::address, "back", "again");
    commit(*store, set);
    EXPECT_EQ(store->stats().commits_large, large ? 1u : 0u);
    EXPECT_EQ(store->stats().commits_small, large ? 0u : 1u);
    const std::map<std::string, std::string> expected = {{"back", "again"}, {"twice", "new"}};
    EXPECT_EQ(all(*store, Family::address), expected);
  }
}

TEST(StoreTest, LargeCutOfNothingButOneKeyAndManyErases) {
  const TempDir temp;
  auto store = open_store(temp.path("data"));
  WriteSet set;
  for (std::size_t i = 0; i <= limits::kSmallCutRecords; ++i) {
    set.put(Family::address, "k", std::to_string(i));
    set.erase(Family::due, "nothing" + std::to_string(i));
  }
  commit(*store, set);
  EXPECT_EQ(store->get(Family::address, "k").value(), std::to_string(limits::kSmallCutRecords));
  EXPECT_TRUE(all(*store, Family::due).empty());
}

TEST(StoreTest, EmptyCommitIsFineAndCountsNothing) {
  const TempDir temp;
  auto store = open_store(temp.path("data"));
  const auto before = store->stats();
  commit(*store, WriteSet());
  commit(*store, WriteSet(), true);
  EXPECT_EQ(store->stats().commits_small, before.commits_small);
  EXPECT_TRUE(store->sync());
}

TEST(StoreTest, IngestLeavesNoFilesBehind) {
  const TempDir temp;
  auto store = open_store(temp.path("data"));
  WriteSet set;
  for (std::size_t i = 0; i < limits::kSmallCutRecords; ++i) {
    set.put(Family::address, "k" + std::to_string(i), "v");
  }
  commit(*store, set);
  EXPECT_TRUE(std::filesystem::is_empty(temp.path("data") + "/ingest"));
}

/// A start after a crash has better things to do than what it did not compact before.
TEST(StoreTest, CompactsLaterWhenAsked) {
  const TempDir temp;
  const std::string dir = temp.path("data");
  OpenOptions options;
  options.compact_later = true;
  auto store = Store::open(dir, options).value();
  const auto tables = [&] {
    std::size_t found = 0;
    for (const auto& entry : std::filesystem::directory_iterator(dir + "/db")) {
      if (entry.path().extension() == ".sst") ++found;
    }
    return found;
  };
  constexpr int kCuts = 45;  // more than start a compaction
  for (int cut = 0; cut < kCuts; ++cut) {
    WriteSet set;
    for (std::uint64_t i = 0; i <= limits::kSmallCutRecords; ++i) {
      set.put(Family::address, "k" + std::to_string(i), std::to_string(cut));
    }
    commit(*store, set, true);
  }
  EXPECT_GE(tables(), kCuts);
  store->allow_compactions();
  store->wait_idle();
  EXPECT_LT(tables(), kCuts);
  EXPECT_EQ(store->get(Family::address, "k7").value(), std::to_string(kCuts - 1));
}

TEST(StoreTest, ScansHonourPrefixFromAndStop) {
  const TempDir temp;
  auto store = open_store(temp.path("data"));
  WriteSet set;
  for (const char* key : {"a1", "a2", "a3", "b1", "\xff", "\xff\xff", "\xff\xff\x01"}) {
    set.put(Family::due, key, std::string("v") + key);
  }
  commit(*store, set);
  const auto keys = [&](std::string_view prefix, std::string_view from, std::size_t most,
                        bool reverse) {
    std::vector<std::string> out;
    const auto visit = [&](std::string_view key, std::string_view value) {
      EXPECT_EQ(value, "v" + std::string(key));
      out.emplace_back(key);
      return out.size() < most;
    };
    const auto done = reverse ? store->scan_reverse(Family::due, prefix, visit)
                              : store->scan(Family::due, prefix, from, visit);
    EXPECT_TRUE(done);
    return out;
  };
  using Keys = std::vector<std::string>;
  EXPECT_EQ(keys("a", "", 99, false), (Keys{"a1", "a2", "a3"}));
  EXPECT_EQ(keys("a", "a2", 99, false), (Keys{"a2", "a3"}));
  EXPECT_EQ(keys("a", "a11", 1, false), (Keys{"a2"}));
  EXPECT_EQ(keys("a", "", 2, true), (Keys{"a3", "a2"}));
  EXPECT_EQ(keys("\xff", "", 99, false), (Keys{"\xff", "\xff\xff", "\xff\xff\x01"}));
  EXPECT_EQ(keys("\xff\xff", "", 99, true), (Keys{"\xff\xff\x01", "\xff\xff"}));
  EXPECT_EQ(keys("", "", 99, false).size(), 7u);
  EXPECT_EQ(keys("", "", 99, true).front(), "\xff\xff\x01");
  EXPECT_EQ(keys("c", "", 99, false), Keys{});
  EXPECT_EQ(keys("c", "", 99, true), Keys{});
}

TEST(StoreTest, ScanSeesOneMoment) {
  const TempDir temp;
  auto store = open_store(temp.path("data"));
  WriteSet set;
  for (int i = 0; i < 100; ++i) set.put(Family::due, "k" + std::to_string(100 + i), "old");
  commit(*store, set);
  int seen = 0;
  ASSERT_TRUE(store->scan(Family::due, "k", {}, [&](std::string_view, std::string_view value) {
    if (seen++ == 0) {
      WriteSet more;
      for (int i = 0; i < 200; ++i) more.put(Family::due, "k" + std::to_string(100 + i), "new");
      commit(*store, more);
    }
    EXPECT_EQ(value, "old");
    return true;
  }));
  EXPECT_EQ(seen, 100);
}

TEST(StoreTest, MultiGetFindsAcrossChunksSortedOrNot) {
  const TempDir temp;
  auto store = open_store(temp.path("data"));
  WriteSet set;
  for (int i = 0; i < 1000; i += 2) set.put(Family::address, std::to_string(i), std::to_string(-i));
  commit(*store, set);
  std::vector<std::string> texts;
  for (int i = 0; i < 1000; ++i) texts.push_back(std::to_string(i));
  for (const bool sorted : {false, true}) {
    if (sorted) std::sort(texts.begin(), texts.end());
    const std::vector<std::string_view> keys(texts.begin(), texts.end());
    std::vector<std::optional<std::string>> values = {"left over", std::nullopt};
    ASSERT_TRUE(store->multi_get(Family::address, keys, values));
    ASSERT_EQ(values.size(), keys.size());
    for (std::size_t i = 0; i < keys.size(); ++i) {
      const int n = std::stoi(texts[i]);
      EXPECT_EQ(values[i].has_value(), n % 2 == 0);
      if (values[i]) {
        EXPECT_EQ(*values[i], std::to_string(-n));
      }
    }
  }
  std::vector<std::optional<std::string>> none = {"x"};
  ASSERT_TRUE(store->multi_get(Family::address, {}, none));
  EXPECT_TRUE(none.empty());
}

TEST(StoreTest, GetTellsAbsentFromEmpty) {
  const TempDir temp;
  auto store = open_store(temp.path("data"));
  WriteSet set;
  set.put(Family::seen, "empty", "");
  commit(*store, set);
  EXPECT_EQ(store->get(Family::seen, "empty").value(), std::string());
  EXPECT_EQ(store->get(Family::seen, "absent").value(), std::nullopt);
}

/// Random cuts of both kinds and reopens against std::map.
TEST(StoreTest, EqualsAModelOverRandomCutsAndReopens) {
  for (const std::uint32_t seed : {1u, 2u, 3u}) {
    SCOPED_TRACE(seed);
    std::mt19937 random(seed);
    const TempDir temp;
    const std::string dir = temp.path("data");
    std::array<std::map<std::string, std::string>, kFamilies> model;
    auto store = open_store(dir);
    const auto pick = [&](std::uint32_t n) { return random() % n; };
    for (int round = 0; round < 14; ++round) {
      WriteSet set;
      const std::size_t records =
          pick(2) == 0 ? pick(500) : limits::kSmallCutRecords + pick(30'000);
      for (std::size_t i = 0; i < records; ++i) {
        // Skewed over families and keys, so that keys repeat within and between cuts.
        const auto family = static_cast<Family>(pick(3) == 0 ? pick(kFamilies - 1) : pick(2));
        std::string key(1, static_cast<char>(pick(3)));
        append_u32_be(key, pick(20'000) * 2654435761u);
        key.append(pick(4) * 5, static_cast<char>(pick(2)));
        auto& expected = model[static_cast<std::size_t>(family)];
        if (pick(5) == 0) {
          set.erase(family, key);
          expected.erase(key);
        } else {
          const std::string value(pick(60), static_cast<char>('a' + pick(26)));
          set.put(family, key, value);
          expected[key] = value;
        }
      }
      commit(*store, set, pick(2) == 0);
      if (pick(4) == 0) {
        store.reset();
        store = open_store(dir);
      }
    }
    for (std::size_t f = 0; f + 1 < kFamilies; ++f) {
      EXPECT_EQ(all(*store, static_cast<Family>(f)), model[f]);
    }
    store->wait_idle();
    const auto& addresses = model[0];
    std::vector<std::string_view> keys;
    for (const auto& [key, value] : addresses) keys.push_back(key);
    std::vector<std::optional<std::string>> values;
    ASSERT_TRUE(store->multi_get(Family::address, keys, values));
    std::size_t i = 0;
    for (const auto& [key, value] : addresses) ASSERT_EQ(values[i++], value);
  }
}

TEST(StoreTest, ApproximateKeysIsExactForPlainPuts) {
  const TempDir temp;
  auto store = open_store(temp.path("data"));
  EXPECT_EQ(store->approximate_keys(Family::address), 0u);
  WriteSet set;
  for (int i = 0; i < 30'000; ++i) set.put(Family::address, std::to_string(i), "v");
  commit(*store, set);
  EXPECT_EQ(store->approximate_keys(Family::address), 30'000u);
}

TEST(StoreTest, RocksDbKeepsNoLogFileOfItsOwn) {
  const TempDir temp;
  const std::string dir = temp.path("data");
  for (int i = 0; i < 3; ++i) open_store(dir).reset();
  for (const auto& entry : std::filesystem::directory_iterator(dir + "/db")) {
    EXPECT_NE(entry.path().filename().string().substr(0, 3), "LOG") << entry;
  }
}

}  // namespace
}  // namespace bounced::store
