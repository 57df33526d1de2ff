// Table, Filter, BlockView against plain references.
#include <gtest/gtest.h>

#include <atomic>
#include <random>
#include <set>
#include <thread>
#include <unordered_map>

#include "state/filter.h"
#include "state/state.h"
#include "state/table.h"

namespace bounced::state {
namespace {

AddressId id_of(std::uint64_t n) {
  return hash128({reinterpret_cast<const char*>(&n), sizeof n}, public_secret());
}

TEST(Table, EqualsAMap) {
  std::mt19937_64 random(1);
  Table table;
  std::unordered_map<std::uint64_t, std::string> model;
  for (int i = 0; i < 100'000; ++i) {
    const std::uint64_t n = random() % 5'000;
    const AddressId id = id_of(n);
    if (random() % 50 == 0) {
      // Evict some: what goes is told.
      table.evict(5, 200, ~0u, [&](Entry& e) {
        const auto it = std::find_if(model.begin(), model.end(),
                                     [&](const auto& m) { return id_of(m.first) == e.id(); });
        ASSERT_NE(it, model.end());
        EXPECT_EQ(it->second, e.view());
        model.erase(it);
      });
      continue;
    }
    std::string bytes(random() % 7 == 0 ? random() % 2000 : random() % 200,
                      static_cast<char>(random()));
    const Entry* entry = table.put(id, bytes, n % 2 == 0, true);
    ASSERT_NE(entry, nullptr);
    ASSERT_EQ(entry->domain(), n % 2 == 0);
    model[n] = bytes;
  }
  EXPECT_EQ(table.size(), model.size());
  for (std::uint64_t n = 0; n < 5'000; ++n) {
    Entry* entry = table.find(id_of(n));
    const auto it = model.find(n);
    ASSERT_EQ(entry != nullptr, it != model.end());
    if (entry != nullptr) {
      ASSERT_EQ(entry->view(), it->second);
    }
  }
  std::size_t seen = 0;
  table.each([&](Entry&) { ++seen; });
  EXPECT_EQ(seen, model.size());
}

TEST(Table, IdsThatShareTheirTopBitsAreKeptApart) {
  Table table;
  for (std::uint64_t n = 0; n < 2000; ++n) {
    const AddressId id{~std::uint64_t{0} - n % 4, n};  // same sub-table, same tag
    ASSERT_NE(table.put(id, std::to_string(n), false, true), nullptr);
  }
  for (std::uint64_t n = 0; n < 2000; ++n) {
    Entry* entry = table.find({~std::uint64_t{0} - n % 4, n});
    ASSERT_NE(entry, nullptr);
    EXPECT_EQ(entry->view(), std::to_string(n));
  }
  EXPECT_EQ(table.evict(5000, 1'000'000, 0, [](Entry&) {}), 2000u);
  EXPECT_EQ(table.size(), 0u);
}

TEST(Table, EvictsCleanOnesOnlyAndGivesASecondChance) {
  Table table;
  for (std::uint64_t n = 0; n < 1000; ++n) {
    Entry* entry = table.put(id_of(n), "x", false, true);
    if (n % 2 == 0) entry->epoch = 7;
    if (n % 4 == 1) entry->set(Entry::kReferenced);
  }
  const std::size_t all = table.blocks();
  EXPECT_EQ(all, 1000u);
  EXPECT_EQ(table.evict(10'000, all, 6, [](Entry&) {}), 250u);
  EXPECT_EQ(table.evict(10'000, all + 10, 6, [](Entry&) {}), 250u);
  EXPECT_EQ(table.evict(10'000, all * 3, 6, [](Entry&) {}), 0u);
  EXPECT_EQ(table.size(), 500u);
}

TEST(Table, RefusesMoreThanItsChunksUnlessForced) {
  Table table;
  table.set_chunks_max(1);
  const std::string kilobyte(1000, 'x');
  std::uint64_t n = 0;
  while (table.put(id_of(n), kilobyte, false, false) != nullptr) ++n;
  EXPECT_GT(n, 1900u);
  const std::size_t bytes = table.bytes();
  EXPECT_EQ(table.evict(10, 1'000'000, 0, [](Entry&) {}), 10u);
  for (int i = 0; i < 40; ++i) {  // small ones are cut off the large free places
    ASSERT_NE(table.put(id_of(1'000'000u + static_cast<unsigned>(i)), "small", false, false),
              nullptr);
  }
  EXPECT_LE(table.bytes(), bytes + 4096);
  EXPECT_NE(table.put(id_of(5'000'000), std::string(50'000, 'y'), false, true), nullptr);
}

TEST(Table, GrownStatesFindRoomWhereSmallOnesWere) {
  Table table;
  table.set_chunks_max(2);
  std::uint64_t n = 0;
  while (table.put(id_of(n), std::string(100, 'x'), false, false) != nullptr) ++n;
  for (std::uint64_t i = 0; i < n / 2; ++i) {
    while (table.put(id_of(i), std::string(300, 'y'), false, false) == nullptr) {
      ASSERT_NE(table.evict(64, table.blocks() * 2, 0, [](Entry&) {}), 0u);
    }
  }
  EXPECT_LE(table.bytes(), 2 * Table::kChunkBytes + table.slot_bytes());
  EXPECT_GT(table.size(), n / 4);
  EXPECT_LE(table.live_bytes(), table.bytes());
}

TEST(Filter, NeverForgetsAndSeldomLies) {
  Filter filter;
  filter.reserve(1000);
  for (std::uint64_t n = 0; n < 200'000; ++n) filter.add(id_of(n));
  for (std::uint64_t n = 0; n < 200'000; ++n) ASSERT_TRUE(filter.maybe(id_of(n)));
  std::size_t wrong = 0;
  for (std::uint64_t n = 1'000'000; n < 1'100'000; ++n) wrong += filter.maybe(id_of(n));
  EXPECT_LT(wrong, 5'000u);
}

TEST(BlockView, ConcurrentReadersSeeOldOrNewNeverRubbish) {
  BlockView view;
  constexpr std::uint64_t kIds = 20'000;
  std::vector<AddressId> ids;
  for (std::uint64_t n = 0; n < kIds; ++n) ids.push_back(id_of(n));
  std::atomic<bool> stop{false};
  std::atomic<std::uint64_t> bad{0}, seen{0};
  std::vector<std::thread> readers;
  for (int r = 0; r < 3; ++r) {
    readers.emplace_back([&, r] {
      std::mt19937_64 random(static_cast<unsigned>(r));
      while (!stop.load(std::memory_order_relaxed)) {
        const std::uint64_t n = random() % (2 * kIds);
        const std::uint64_t word = view.word(n < kIds ? ids[n] : id_of(n));
        if (word != 0 && (n >= kIds || word >> 8 != n)) bad.fetch_add(1);
        seen.fetch_add(word != 0);
      }
    });
  }
  for (int round = 1; round < 4; ++round) {
    for (std::uint64_t n = 0; n < kIds; ++n) {
      view.set(ids[n], n << 8 | static_cast<unsigned>(round));
      if (n % 3 == 0) view.set(ids[n], 0);
    }
    view.set_complete();
  }
  stop = true;
  for (std::thread& t : readers) t.join();
  EXPECT_EQ(bad.load(), 0u);
  std::uint64_t blocked = 0;
  for (std::uint64_t n = 0; n < kIds; ++n) {
    const std::uint64_t word = view.word(ids[n]);
    EXPECT_EQ(word, n % 3 == 0 ? 0u : n << 8 | 3u);
    blocked += word != 0;
  }
  EXPECT_EQ(view.size(), blocked);
}

TEST(BlockView, TheScanNeverOverridesApply) {
  BlockView view;
  view.set(id_of(1), 0);
  view.set(id_of(2), 5);
  for (std::uint64_t n = 1; n <= 3; ++n) view.set_if_absent(id_of(n), 9);
  EXPECT_EQ(view.word(id_of(1)), 0u);
  EXPECT_EQ(view.word(id_of(2)), 5u);
  EXPECT_EQ(view.word(id_of(3)), 9u);
  EXPECT_EQ(view.size(), 2u);
}

TEST(BlockWord, Layout) {
  BlockRecord r;
  EXPECT_EQ(block_word(r), 0u);
  r.kind = BlockKind::soft;
  r.scope = BlockScope::stream;
  r.cause = 4;
  r.until_us = 1'500'001;
  EXPECT_EQ(block_word(r), 2u | 3u << 8 | 4u << 16 | std::uint64_t{2} << 32);
}

}  // namespace
}  // namespace bounced::state
