// Cells and their keys: codecs, names of dimensions, reads.
#include <array>
#include <cstring>

#include "rates/fields.h"
#include "rates/rates.h"
#include "store/varint.h"

namespace bounced::rates {
namespace {

constexpr std::uint8_t kCellVersion = 1;

constexpr std::array<std::string_view, kDimensions> kNames = {
    "total",  "domain", "sender",       "campaign",       "stream",
    "tenant", "cause",  "domain_cause", "campaign_cause", "mta",
};

}  // namespace

std::string_view to_string(Dimension dimension) {
  return kNames[static_cast<std::size_t>(dimension)];
}

bool from_string(std::string_view text, Dimension& out) {
  for (std::size_t d = 0; d < kDimensions; ++d) {
    if (kNames[d] == text) {
      out = static_cast<Dimension>(d);
      return true;
    }
  }
  return false;
}

void Cell::add(const Cell& other) {
  for (const Field field : kFields) this->*field += other.*field;
}

double Cell::bounce_percent() const {
  const std::uint64_t all = sent();
  return all == 0 ? 0 : 100.0 * static_cast<double>(failed()) / static_cast<double>(all);
}

void encode(const Cell& cell, std::string& out) {
  // Version, two bytes of flags, ten bytes per number at most; one append for all.
  std::array<char, 3 + 10 * kFields.size()> bytes;
  std::size_t size = 0;
  const auto put = [&](std::uint64_t value) {
    for (; value >= 0x80; value >>= 7) bytes[size++] = static_cast<char>(value | 0x80);
    bytes[size++] = static_cast<char>(value);
  };
  std::uint64_t present = 0;
  for (std::size_t i = 0; i < kFields.size(); ++i) {
    present |= std::uint64_t{cell.*kFields[i] != 0} << i;
  }
  bytes[size++] = static_cast<char>(kCellVersion);
  put(present);
  for (std::uint64_t left = present; left != 0; left &= left - 1) {
    put(cell.*kFields[static_cast<std::size_t>(__builtin_ctzll(left))]);
  }
  out.append(bytes.data(), size);
}

Result<Cell> decode(std::string_view bytes) {
  Cell cell;
  std::uint64_t present = 0;
  bool good = !bytes.empty() && bytes[0] == kCellVersion;
  if (good) {
    bytes.remove_prefix(1);
    good = store::read_varint(bytes, present) && present >> kFields.size() == 0;
  }
  for (std::size_t i = 0; good && i < kFields.size(); ++i) {
    if ((present >> i & 1) != 0) good = store::read_varint(bytes, cell.*kFields[i]);
  }
  if (good && bytes.empty()) return cell;
  return fail(ErrorCode::data, "read rates", "", "a stored rate is damaged or of a newer version",
              "restore a backup");
}

Result<void> read(const store::Store& store, Dimension dimension, std::uint32_t hour_from,
                  std::uint32_t hour_to, const std::function<void(const Row&)>& visit) {
  std::string prefix, from;
  store::append_u8(prefix, static_cast<std::uint8_t>(dimension));
  append_key(from, {dimension, hour_from, 0, 0, {}});
  Result<void> result;
  auto scanned = store.scan(
      store::Family::rates, prefix, from, [&](std::string_view key, std::string_view value) {
        Row row;
        if (!parse_key(key, row)) {
          result = fail(ErrorCode::data, "read rates", store.directory(), "a key is damaged");
          return false;
        }
        if (row.hour >= hour_to) return false;
        auto cell = decode(value);
        if (!cell) {
          result = tl::unexpected(cell.error());
          result.error().where = store.directory();
          return false;
        }
        row.cell = *cell;
        visit(row);
        return true;
      });
  if (!scanned) return scanned;
  return result;
}

void append_key(std::string& out, const Row& row) {
  std::array<char, 13> bytes;
  const std::array<std::uint32_t, 3> numbers = {
      __builtin_bswap32(row.hour), __builtin_bswap32(row.key), __builtin_bswap32(row.key2)};
  bytes[0] = static_cast<char>(row.dimension);
  std::memcpy(bytes.data() + 1, numbers.data(), sizeof numbers);
  out.append(bytes.data(), bytes.size());
}

bool parse_key(std::string_view key, Row& out) {
  if (key.size() != 13 || static_cast<unsigned char>(key[0]) >= kDimensions) return false;
  out.dimension = static_cast<Dimension>(key[0]);
  out.hour = store::read_u32_be(key.data() + 1);
  out.key = store::read_u32_be(key.data() + 5);
  out.key2 = store::read_u32_be(key.data() + 9);
  return true;
}

}  // namespace bounced::rates
