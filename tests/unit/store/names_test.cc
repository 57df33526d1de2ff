#include "store/names.h"

#include <gtest/gtest.h>

#include <atomic>
#include <string>
#include <thread>

#include "store/store.h"
#include "temp_dir.h"

namespace bounced::store {
namespace {

using test::TempDir;

TEST(NamesTest, IdsStartAtOneAndHaveNoGaps) {
  Names names;
  EXPECT_EQ(names.size(Dictionary::domain), 0u);
  EXPECT_EQ(names.find(Dictionary::domain, "example.com"), 0u);
  EXPECT_EQ(names.intern(Dictionary::domain, "example.com"), 1u);
  EXPECT_EQ(names.intern(Dictionary::domain, "example.org"), 2u);
  EXPECT_EQ(names.intern(Dictionary::domain, "example.com"), 1u);
  EXPECT_EQ(names.intern(Dictionary::campaign, "example.org"), 1u) << "dictionaries are apart";
  EXPECT_EQ(names.find(Dictionary::domain, "example.org"), 2u);
  EXPECT_EQ(names.text(Dictionary::domain, 2), "example.org");
  EXPECT_EQ(names.text(Dictionary::domain, 0), "");
  EXPECT_EQ(names.text(Dictionary::domain, 3), "");
  EXPECT_EQ(names.intern(Dictionary::domain, ""), 0u);
  EXPECT_EQ(names.size(Dictionary::domain), 2u);
}

TEST(NamesTest, ManyNamesStayWhereTheyAre) {
  Names names;
  std::vector<std::string_view> views;
  const std::string long_name(100'000, 'x');
  for (std::uint32_t i = 1; i <= 20'000; ++i) {
    const std::string text = i == 777 ? long_name : "name" + std::to_string(i);
    ASSERT_EQ(names.intern(Dictionary::source, text), i);
    views.push_back(names.text(Dictionary::source, i));
  }
  for (std::uint32_t i = 1; i <= 20'000; ++i) {
    const std::string text = i == 777 ? long_name : "name" + std::to_string(i);
    ASSERT_EQ(views[i - 1], text);
    ASSERT_EQ(names.text(Dictionary::source, i).data(), views[i - 1].data());
    ASSERT_EQ(names.find(Dictionary::source, text), i);
  }
}

TEST(NamesTest, ReloadGivesTheSameIds) {
  const TempDir temp;
  {
    auto store = Store::open(temp.path("data"), {}).value();
    Names names;
    for (int cut = 0; cut < 3; ++cut) {
      WriteSet set;
      for (int i = 0; i < 700; ++i) {
        names.intern(Dictionary::domain, "d" + std::to_string(cut * 500 + i));
        names.intern(Dictionary::rule, "r" + std::to_string(i));
      }
      names.append_to(set);
      ASSERT_TRUE(store->commit(set, true));
    }
    WriteSet nothing;
    names.append_to(nothing);
    EXPECT_TRUE(nothing.empty()) << "every name goes out once";
    names.intern(Dictionary::domain, "lost with the crash");
  }
  auto store = Store::open(temp.path("data"), {}).value();
  Names names;
  ASSERT_TRUE(names.load(*store));
  EXPECT_EQ(names.size(Dictionary::domain), 1700u);
  EXPECT_EQ(names.size(Dictionary::rule), 700u);
  EXPECT_EQ(names.find(Dictionary::domain, "lost with the crash"), 0u);
  for (std::uint32_t i = 1; i <= 1700; ++i) {
    ASSERT_EQ(names.text(Dictionary::domain, i), "d" + std::to_string(i - 1));
  }
  EXPECT_EQ(names.intern(Dictionary::domain, "next"), 1701u);
  WriteSet set;
  names.append_to(set);
  EXPECT_EQ(set.records(), 1u);
}

TEST(NamesTest, AGapIsDamage) {
  const TempDir temp;
  auto store = Store::open(temp.path("data"), {}).value();
  WriteSet set;
  std::string key;
  append_u8(key, 1);
  append_u32_be(key, 2);
  set.put(Family::names, key, "two without one");
  ASSERT_TRUE(store->commit(set, true));
  Names names;
  const auto loaded = names.load(*store);
  ASSERT_FALSE(loaded);
  EXPECT_EQ(loaded.error().code, ErrorCode::data);
}

TEST(NamesTest, ReadersSeeWholeNamesWhileOneThreadInterns) {
  Names names;
  std::atomic<bool> stop{false};
  std::atomic<std::uint64_t> wrong{0}, read{0};
  std::vector<std::thread> readers;
  for (int r = 0; r < 2; ++r) {
    readers.emplace_back([&] {
      while (!stop.load(std::memory_order_relaxed)) {
        const std::uint32_t size = names.size(Dictionary::domain);
        for (std::uint32_t id = size; id > 0 && id + 64 > size; --id) {
          if (names.text(Dictionary::domain, id) != "n" + std::to_string(id)) ++wrong;
          ++read;
        }
      }
    });
  }
  for (std::uint32_t id = 1; id <= 200'000; ++id) {
    names.intern(Dictionary::domain, "n" + std::to_string(id));
  }
  while (read.load() < 1000) std::this_thread::yield();
  stop = true;
  for (std::thread& reader : readers) reader.join();
  EXPECT_EQ(wrong.load(), 0u);
}

}  // namespace
}  // namespace bounced::store
