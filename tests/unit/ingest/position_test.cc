#include <gtest/gtest.h>

#include <random>

#include "ingest/ingest.h"
#include "support.h"

namespace bounced::ingest {
namespace {

Position sample() {
  Position position;
  position.file = 42;
  position.source = "edge";
  position.path = "/var/log/mail.log";
  position.head_size = 256;
  position.head_hash = 0xfedcba9876543210;
  position.tail_size = 64;
  position.tail_hash = 0xffffffffffffffff;
  position.offset = std::uint64_t{1} << 40;
  position.device = 2049;
  position.inode = 123456789;
  position.updated_us = 1'795'000'000'000'000;
  position.finished = true;
  position.time = {1'795'000'000'000'001, -5, 2026};
  return position;
}

/// The position of a reader that has applied the first `offset` bytes of `text`.
Position at(std::uint64_t file, const std::string& text, std::size_t offset) {
  Position position;
  position.file = file;
  position.source = "s";
  position.offset = offset;
  position.head_size = static_cast<std::uint32_t>(std::min<std::size_t>(offset, 256));
  position.head_hash = hash64(std::string_view(text).substr(0, position.head_size));
  position.tail_size = static_cast<std::uint32_t>(std::min<std::size_t>(offset, 64));
  position.tail_hash =
      hash64(std::string_view(text).substr(offset - position.tail_size, position.tail_size));
  return position;
}

PositionBook::ReadAt bytes_of(const std::string& text) {
  return [&text](std::uint64_t offset, std::size_t size) {
    return offset >= text.size() ? std::string() : text.substr(offset, size);
  };
}

TEST(PositionCodec, RoundTrip) {
  const Position position = sample();
  const auto back = decode_position(42, encode(position));
  ASSERT_TRUE(back.has_value()) << back.error().message();
  EXPECT_EQ(encode(*back), encode(position));
  EXPECT_EQ(back->file, 42U);
  EXPECT_EQ(back->path, position.path);
  EXPECT_EQ(back->offset, position.offset);
  EXPECT_EQ(back->tail_hash, position.tail_hash);
  EXPECT_EQ(back->time.last_us, -5);
  EXPECT_EQ(back->time.year, 2026);
  EXPECT_TRUE(back->finished);
  EXPECT_TRUE(decode_position(1, encode(Position{})).has_value());
}

TEST(PositionCodec, DamageAndNewerVersionsAreErrors) {
  const std::string value = encode(sample());
  for (std::size_t size = 0; size < value.size(); ++size) {
    EXPECT_FALSE(decode_position(1, std::string_view(value).substr(0, size)).has_value()) << size;
  }
  EXPECT_FALSE(decode_position(1, value + "x").has_value());
  std::string newer = value;
  newer[0] = 2;
  const auto refused = decode_position(1, newer);
  ASSERT_FALSE(refused.has_value());
  EXPECT_NE(refused.error().message().find("version 2"), std::string::npos);
}

TEST(PositionCodec, RandomBytesNeverCrash) {
  std::mt19937 random(5);
  const std::string good = encode(sample());
  for (int i = 0; i < 20'000; ++i) {
    std::string bytes = good;
    for (unsigned flips = 1 + random() % 4; flips > 0; --flips) {
      bytes[random() % bytes.size()] = static_cast<char>(random());
    }
    const auto position = decode_position(1, bytes);
    if (!position) continue;
    EXPECT_LE(position->head_size, 256U);
    EXPECT_LE(position->tail_size, 64U);
    EXPECT_LE(position->tail_size, position->offset);
  }
}

TEST(PositionBook, KeysAreNeverReused) {
  PositionBook book;
  EXPECT_EQ(book.next_file_key(), 1U);
  book.load({sample()});
  EXPECT_EQ(book.next_file_key(), 43U);
  EXPECT_EQ(book.next_file_key(), 44U);
}

TEST(PositionBook, EqualHeadsAreToldApartByTheirTails) {
  const std::string head = numbered_lines(0, 10);
  const std::string a = head + numbered_lines(100, 130), b = head + numbered_lines(200, 230);
  PositionBook book;
  book.load({at(1, a, a.size()), at(2, b, b.size())});
  EXPECT_EQ(book.match("s", bytes_of(a)).position.file, 1U);
  EXPECT_EQ(book.match("s", bytes_of(b)).position.file, 2U);
  const std::string c = head + numbered_lines(300, 390);
  EXPECT_FALSE(book.match("s", bytes_of(c)).found);
  EXPECT_TRUE(book.match("other", bytes_of(a)).found) << "content is what counts, not the name";
}

TEST(PositionBook, AShortHeadIsComparedOverItsOwnLength) {
  const std::string text = numbered_lines(0, 100);
  PositionBook book;
  book.load({at(1, text, 20)});
  EXPECT_TRUE(book.match("s", bytes_of(text)).found);
  const std::string shorter = text.substr(0, 10);
  EXPECT_FALSE(book.match("s", bytes_of(shorter)).found);
}

TEST(PositionBook, OfSeveralTheFurthestOn) {
  const std::string text = numbered_lines(0, 100);
  PositionBook book;
  book.load({at(1, text, 300), at(2, text, 2000), at(3, text, 1000)});
  const auto match = book.match("s", bytes_of(text));
  EXPECT_EQ(match.position.file, 2U);
  EXPECT_EQ(match.position.offset, 2000U);
  const std::string shorter = text.substr(0, 1500);
  const auto behind = book.match("s", bytes_of(shorter));
  EXPECT_TRUE(behind.found);
  EXPECT_EQ(behind.position.file, 3U);
}

TEST(PositionBook, AnOffsetBeyondTheEndIsNoMatchAndTold) {
  const std::string text = numbered_lines(0, 100);
  PositionBook book;
  book.load({at(1, text, text.size())});
  const std::string shorter = text.substr(0, text.size() - 1);
  const auto match = book.match("s", bytes_of(shorter));
  EXPECT_FALSE(match.found);
  EXPECT_TRUE(match.beyond_end);
}

TEST(PositionBook, NulsAtTheStartTellNothingOfALostEnd) {
  const std::string nuls(500, '\0');
  PositionBook book;
  book.load({at(1, nuls + numbered_lines(0, 100), 1000)});
  const std::string other = nuls + numbered_lines(200, 210);
  const auto match = book.match("s", bytes_of(other));
  EXPECT_FALSE(match.found);
  EXPECT_FALSE(match.beyond_end);
}

TEST(PositionBook, AnEmptyHeadMatchesNothing) {
  PositionBook book;
  book.load({at(1, "", 0)});
  const std::string text = "x\n";
  EXPECT_FALSE(book.match("s", bytes_of(text)).found);
}

}  // namespace
}  // namespace bounced::ingest
