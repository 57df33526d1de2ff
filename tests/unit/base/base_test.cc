#include <gtest/gtest.h>

#include <thread>

#include "base/batch.h"
#include "base/block.h"
#include "base/queue.h"
#include "base/text.h"
#include "bounced/cause.h"
#include "bounced/policy.h"

namespace bounced {
namespace {

TEST(Text, JsonEscapesAndRepairs) {
  std::string out;
  append_json(out, "a\"b\\c\n\x01\xFF\xC3\xA4\x7F\xC2\x9B\xC2\xA0");
  EXPECT_EQ(out, "\"a\\\"b\\\\c\\n\\u0001\xEF\xBF\xBD\xC3\xA4\\u007f\\u009b\xC2\xA0\"");
}

TEST(Text, PrintableTamesTerminals) {
  EXPECT_EQ(printable("ok \x1b[31m\xC2\x9B"
                      "x\xFF \xC3\xA4"),
            "ok ?[31m?x? \xC3\xA4");
  EXPECT_EQ(printable("a\xE2\x80\xAE"
                      "b\xE2\x81\xA6"
                      "c\xE2\x80\xA8 \xE2\x80\x93"),
            "a?b?c? \xE2\x80\x93");
}

TEST(Text, Nearest) {
  EXPECT_EQ(nearest("formaat", {"format", "paths"}), "format");
  EXPECT_EQ(nearest("xyzzyxyzzy", {"format", "paths"}), "");
}

TEST(Text, DomainMatches) {
  EXPECT_TRUE(domain_matches("mx1.Example.com", "example.com"));
  EXPECT_TRUE(domain_matches("example.com", "example.com"));
  EXPECT_FALSE(domain_matches("badexample.com", "example.com"));
}

TEST(Contract, EnumNamesRoundTrip) {
  for (std::uint16_t i = 1; i < kBuiltinCauses; ++i) {
    const auto cause = static_cast<Cause>(i);
    ASSERT_FALSE(builtin_cause_id(cause).empty()) << i;
    EXPECT_EQ(builtin_cause(builtin_cause_id(cause)), cause);
  }
  for (std::size_t i = 1; i < kEventKinds; ++i) {
    EventKind kind = EventKind::none;
    EXPECT_TRUE(from_string(to_string(static_cast<EventKind>(i)), kind));
    EXPECT_EQ(static_cast<std::size_t>(kind), i);
  }
  for (std::size_t i = 1; i < kBlockKinds; ++i) {
    BlockKind kind = BlockKind::none;
    EXPECT_TRUE(from_string(to_string(static_cast<BlockKind>(i)), kind));
    EXPECT_EQ(static_cast<std::size_t>(kind), i);
  }
  Category category = Category::none;
  EXPECT_TRUE(from_string("bad_mailbox", category));
  EXPECT_EQ(to_string(category), "Bad Mailbox");
}

TEST(BlockPool, BoundsAndWakes) {
  BlockPool pool(2, 4096);
  BlockPtr a = pool.take();
  BlockPtr b = pool.take();
  EXPECT_EQ(pool.try_take(), nullptr);
  std::thread giver([&] { b.reset(); });
  BlockPtr c = pool.take();
  giver.join();
  EXPECT_NE(c, nullptr);
  c->offset = 7;
  c.reset();
  EXPECT_EQ(pool.take()->offset, 0u) << "a block comes back clean";
  pool.close();
  EXPECT_EQ(pool.take(), nullptr);
}

TEST(Batch, TextsOfBlockAndArena) {
  BlockPool pool(1, 4096);
  Batch batch;
  batch.block = pool.take();
  std::memcpy(batch.block->data, "hello world", 11);
  batch.block->size = 11;
  const Text inside = batch.inside({batch.block->data + 6, 5});
  const Text added = batch.add("arena text");
  EXPECT_EQ(batch.view(inside), "world");
  EXPECT_EQ(batch.view(added), "arena text");
  EXPECT_TRUE(batch.add("").empty());
  batch.clear();
  EXPECT_EQ(pool.free_approx(), 1u);
}

TEST(Queue, ManyProducersThenClose) {
  BlockingQueue<int> queue;
  std::vector<std::thread> producers;
  for (int p = 0; p < 4; ++p) {
    producers.emplace_back([&] {
      for (int i = 1; i <= 1000; ++i) queue.push(i);
    });
  }
  std::int64_t sum = 0;
  std::thread consumer([&] {
    while (auto value = queue.pop()) sum += *value;
  });
  for (auto& p : producers) p.join();
  while (queue.depth() != 0) std::this_thread::yield();
  queue.close();
  consumer.join();
  EXPECT_EQ(sum, 4 * 500'500);
}

}  // namespace
}  // namespace bounced
