// Records against std::vector; zero().
#include "base/records.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <vector>

#include "base/zero.h"

namespace bounced {
namespace {

struct Record {
  std::uint64_t a = 1;
  std::uint32_t b = 2, c = 3;
  friend bool operator==(const Record& x, const Record& y) {
    return x.a == y.a && x.b == y.b && x.c == y.c;
  }
};

TEST(Records, AreAVector) {
  std::mt19937_64 random(3);
  Records<Record> records;
  std::vector<Record> expected;
  EXPECT_TRUE(records.empty());
  EXPECT_EQ(records.begin(), records.end());
  for (int i = 0; i < 5000; ++i) {
    const Record record{random(), static_cast<std::uint32_t>(i), 7};
    switch (random() % 100) {
      case 0:
        records.clear();
        expected.clear();
        break;
      case 1:
      case 2: {
        const std::size_t size = random() % 300;
        records.resize(size);
        expected.resize(size);
        break;
      }
      case 3:
        if (expected.empty()) break;
        records.push_back(records.front());  // one of its own, which may move
        expected.push_back(Record(expected.front()));
        break;
      default:
        Record& added = records.append();
        added = record;
        expected.push_back(record);
    }
    ASSERT_EQ(records.size(), expected.size());
    if (expected.empty()) continue;
    ASSERT_EQ(records.back(), expected.back());
    ASSERT_EQ(records[expected.size() / 2], expected[expected.size() / 2]);
  }
  EXPECT_TRUE(std::equal(records.begin(), records.end(), expected.begin(), expected.end()));
  EXPECT_THROW((void)records.at(records.size()), std::out_of_range);
}

template <std::size_t kSize>
void expect_zero() {
  struct Bytes {
    unsigned char bytes[kSize];
  };
  Bytes around[3];
  for (Bytes& one : around) std::fill_n(one.bytes, kSize, 0xAA);
  zero(around[1]);
  EXPECT_EQ(std::count(around[0].bytes, around[0].bytes + kSize, 0xAA), int{kSize});
  EXPECT_EQ(std::count(around[1].bytes, around[1].bytes + kSize, 0), int{kSize});
  EXPECT_EQ(std::count(around[2].bytes, around[2].bytes + kSize, 0xAA), int{kSize});
}

TEST(Zero, EveryByteAndNoOther) {
  expect_zero<8>();
  expect_zero<16>();
  expect_zero<56>();
  expect_zero<192>();
}

}  // namespace
}  // namespace bounced
