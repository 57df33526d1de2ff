#include "store/sorted.h"

#include <gtest/gtest.h>

#include <map>
#include <random>
#include <string>

namespace bounced::store {
namespace {

/// Visits in `pieces` ranges and compares with std::map, where a later entry wins too.
void expect_sorted(const WriteSet& set, std::size_t pieces) {
  const WriteSet::Part& part = set.part(Family::address);
  std::map<std::string, std::string> expected;
  for (const WriteSet::Entry& entry : part.entries) {
    expected[std::string(entry.key())] = std::string(entry.value());
  }
  Sorted sorted(part);
  const std::vector<std::size_t> cuts = sorted.split(pieces);
  ASSERT_EQ(cuts.size(), pieces + 1);
  auto next = expected.begin();
  for (std::size_t piece = 0; piece < pieces; ++piece) {
    sorted.visit(cuts[piece], cuts[piece + 1], [&](const WriteSet::Entry& entry) {
      EXPECT_NE(next, expected.end());
      if (next == expected.end()) return false;
      EXPECT_EQ(entry.key(), next->first);
      EXPECT_EQ(entry.value(), next->second);
      ++next;
      return true;
    });
  }
  EXPECT_EQ(next, expected.end());
}

WriteSet make(std::size_t records, const std::function<std::string(std::size_t)>& key) {
  WriteSet set;
  for (std::size_t i = 0; i < records; ++i) set.put(Family::address, key(i), std::to_string(i));
  return set;
}

TEST(Sorted, SortsWhateverTheKeysLookLike) {
  std::mt19937_64 random(7);
  const auto bytes = [&](std::size_t size, std::uint64_t alphabet) {
    std::string out(size, '\0');
    for (char& c : out) c = static_cast<char>(random() % alphabet);
    return out;
  };
  for (const std::size_t n :
       {std::size_t{1}, std::size_t{2}, std::size_t{100}, std::size_t{9000}}) {
    for (const std::size_t pieces : {1u, 2u, 5u}) {
      SCOPED_TRACE(n);
      expect_sorted(make(n, [&](std::size_t) { return bytes(16, 256); }), pieces);
      // Long common starts, few different bytes, all lengths: padding must not hide a zero byte.
      expect_sorted(make(n, [&](std::size_t) { return bytes(1 + random() % 40, 2); }), pieces);
      expect_sorted(
          make(n, [&](std::size_t) { return "common prefix of all " + bytes(random() % 9, 3); }),
          pieces);
      expect_sorted(make(n, [&](std::size_t) { return std::string(1 + random() % 50, '\0'); }),
                    pieces);
      expect_sorted(make(n, [&](std::size_t i) { return bytes(1, 3) + std::to_string(i / 3); }),
                    pieces);
      expect_sorted(make(n, [](std::size_t) { return std::string("the same"); }), pieces);
    }
  }
}

TEST(Sorted, SplitsRandomKeysEvenly) {
  std::mt19937_64 random(8);
  const WriteSet set = make(50'000, [&](std::size_t) {
    std::string key(16, '\0');
    for (char& c : key) c = static_cast<char>(random());
    return key;
  });
  Sorted sorted(set.part(Family::address));
  const auto cuts = sorted.split(2);
  std::size_t first = 0;
  sorted.visit(cuts[0], cuts[1], [&](const WriteSet::Entry&) {
    ++first;
    return true;
  });
  EXPECT_NEAR(static_cast<double>(first), 25'000, 1'000);
}

TEST(Sorted, StopsWhenTheVisitorSaysSo) {
  const WriteSet set = make(100, [](std::size_t i) { return std::to_string(i); });
  Sorted sorted(set.part(Family::address));
  int visited = 0;
  EXPECT_FALSE(
      sorted.visit(0, sorted.buckets(), [&](const WriteSet::Entry&) { return ++visited < 10; }));
  EXPECT_EQ(visited, 10);
}

}  // namespace
}  // namespace bounced::store
