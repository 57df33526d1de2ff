// Cells and their keys: codecs, names of dimensions, reads.
#include <array>
#include <cstring>

#include "rates/fields.h"
#include "rates/rates.h"
#include "store/varint.h"

namespace bounced::rates {
namespace {

constexpr std::uint8_t kCellVersion = 1, kGroupVersion = 2;

constexpr std::array<std::string_view, kDimensions> kNames = {
    "total",  "domain", "sender",       "campaign",       "stream",
    "tenant", "cause",  "domain_cause", "campaign_cause", "mta",
};

/// Two bytes of flags, ten bytes per number at most.
constexpr std::size_t kCellBytesMax = 2 + 10 * kFields.size();

char* put_varint(char* at, std::uint64_t value) {
  for (; value >= 0x80; value >>= 7) *at++ = static_cast<char>(value | 0x80);
  *at++ = static_cast<char>(value);
  return at;
}

/// Which fields are not 0, then these.
char* put_cell(const Cell& cell, char* at) {
  std::uint64_t present = 0;
  for (std::size_t i = 0; i < kFields.size(); ++i) {
    present |= std::uint64_t{cell.*kFields[i] != 0} << i;
  }
  at = put_varint(at, present);
  for (std::uint64_t left = present; left != 0; left &= left - 1) {
    at = put_varint(at, cell.*kFields[static_cast<std::size_t>(__builtin_ctzll(left))]);
  }
  return at;
}

char* put_cell(const GroupCell& one, char* at) {
  static_assert(kFields[0] == &Cell::delivered);
  if (one.others == nullptr) {
    *at++ = static_cast<char>(one.delivered != 0);
    return one.delivered == 0 ? at : put_varint(at, one.delivered);
  }
  Cell cell = *one.others;
  cell.delivered = one.delivered;
  return put_cell(cell, at);
}

bool take_cell(std::string_view& bytes, Cell& cell) {
  std::uint64_t present = 0;
  if (!store::read_varint(bytes, present) || present >> kFields.size() != 0) return false;
  for (std::size_t i = 0; i < kFields.size(); ++i) {
    if ((present >> i & 1) != 0 && !store::read_varint(bytes, cell.*kFields[i])) return false;
  }
  return true;
}

bool parse_key(std::string_view key, Row& out, std::uint32_t& group) {
  if (key.size() != 9 || static_cast<unsigned char>(key[0]) >= kDimensions) return false;
  out.dimension = static_cast<Dimension>(key[0]);
  out.hour = store::read_u32_be(key.data() + 1);
  group = store::read_u32_be(key.data() + 5);
  return true;
}

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
  std::array<char, 1 + kCellBytesMax> bytes;
  bytes[0] = static_cast<char>(kCellVersion);
  out.append(bytes.data(), put_cell(cell, bytes.data() + 1) - bytes.data());
}

Result<Cell> decode(std::string_view bytes) {
  Cell cell;
  bool good = !bytes.empty() && bytes[0] == kCellVersion;
  if (good) {
    bytes.remove_prefix(1);
    good = take_cell(bytes, cell) && bytes.empty();
  }
  if (good) return cell;
  return fail(ErrorCode::data, "read rates", "", "a stored rate is damaged or of a newer version",
              "restore a backup");
}

// Version; then of each cell: the distance of its key from the one before (the first: from the
// group's first), whose lowest bit says that key2 follows, key2, and the cell.
void encode_group(std::span<const GroupCell> cells, std::string& out) {
  std::array<char, 10 + 10 + kCellBytesMax> bytes;
  out.push_back(static_cast<char>(kGroupVersion));
  std::uint32_t last = cells.empty() ? 0 : cells.front().key / kKeysPerGroup * kKeysPerGroup;
  for (const GroupCell& one : cells) {
    const std::uint64_t distance = one.key - last;
    char* end = put_varint(bytes.data(), distance << 1 | std::uint64_t{one.key2 != 0});
    if (one.key2 != 0) end = put_varint(end, one.key2);
    end = put_cell(one, end);
    out.append(bytes.data(), static_cast<std::size_t>(end - bytes.data()));
    last = one.key;
  }
}

bool decode_group(std::string_view key, std::string_view value,
                  const std::function<void(const Row&)>& visit) {
  Row row;
  std::uint32_t group = 0;
  if (!parse_key(key, row, group) || value.empty() || value[0] != kGroupVersion) return false;
  value.remove_prefix(1);
  std::uint64_t number = std::uint64_t{group} * kKeysPerGroup;
  const std::uint64_t end = number + kKeysPerGroup;
  while (!value.empty()) {
    std::uint64_t head = 0, key2 = 0;
    if (!store::read_varint(value, head) || head >> 1 >= end - number) return false;
    if ((head & 1) != 0 && !store::read_varint(value, key2)) return false;
    number += head >> 1;
    row.key = static_cast<std::uint32_t>(number);
    row.key2 = static_cast<std::uint32_t>(key2);
    row.cell = {};
    if (number > UINT32_MAX || key2 > UINT32_MAX || !take_cell(value, row.cell)) return false;
    visit(row);
  }
  return true;
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
        std::uint32_t group = 0;
        if (parse_key(key, row, group) && row.hour >= hour_to) return false;
        if (decode_group(key, value, visit)) return true;
        result = fail(ErrorCode::data, "read rates", store.directory(),
                      "a stored rate is damaged or of another version", "restore a backup");
        return false;
      });
  if (!scanned) return scanned;
  return result;
}

void append_key(std::string& out, const Row& row) {
  store::append_u8(out, static_cast<std::uint8_t>(row.dimension));
  store::append_u32_be(out, row.hour);
  store::append_u32_be(out, row.key / kKeysPerGroup);
}

}  // namespace bounced::rates
