#include <algorithm>
#include <map>
#include <mutex>

#include "base/hash.h"
#include "bounced/limits.h"
#include "ingest/ingest.h"
#include "store/varint.h"

namespace bounced::ingest {

namespace {

constexpr std::uint64_t kPositionVersion = 1;
constexpr std::size_t kTextMax = 64 << 10;

void append_text(std::string& out, std::string_view text) {
  text = text.substr(0, kTextMax);
  store::append_varint(out, text.size());
  out += text;
}

/// Takes values off the front; after the first failure everything reads as zero.
class Decoder {
 public:
  explicit Decoder(std::string_view in) : in_(in) {}
  std::uint64_t number() {
    std::uint64_t value = 0;
    if (good_) good_ = store::read_varint(in_, value);
    return good_ ? value : 0;
  }
  std::uint64_t number(std::uint64_t max) {
    const std::uint64_t value = number();
    if (value > max) good_ = false;
    return good_ ? value : 0;
  }
  std::int64_t signed_number() { return store::unzigzag(number()); }
  std::string text() {
    const std::uint64_t size = number(kTextMax);
    if (size > in_.size()) good_ = false;
    if (!good_) return {};
    std::string value(in_.substr(0, size));
    in_.remove_prefix(size);
    return value;
  }
  [[nodiscard]] bool complete() const { return good_ && in_.empty(); }

 private:
  std::string_view in_;
  bool good_ = true;
};

}  // namespace

std::string encode(const Position& position) {
  using store::append_varint;
  using store::zigzag;
  std::string out;
  append_varint(out, kPositionVersion);
  append_text(out, position.source);
  append_text(out, position.path);
  append_varint(out, position.head_size);
  append_varint(out, position.head_hash);
  append_varint(out, position.tail_size);
  append_varint(out, position.tail_hash);
  append_varint(out, position.offset);
  append_varint(out, position.device);
  append_varint(out, position.inode);
  append_varint(out, zigzag(position.updated_us));
  append_varint(out, position.finished ? 1 : 0);
  append_varint(out, zigzag(position.time.anchor_us));
  append_varint(out, zigzag(position.time.last_us));
  append_varint(out, zigzag(position.time.year));
  return out;
}

Result<Position> decode_position(std::uint64_t file, std::string_view value) {
  Decoder in(value);
  const std::string where = "file " + std::to_string(file);
  if (const std::uint64_t version = in.number(); version != kPositionVersion) {
    return fail(ErrorCode::data, "read position", where,
                "version " + std::to_string(version) + " is not known",
                "was this store written by a newer bounced?");
  }
  Position position;
  position.file = file;
  position.source = in.text();
  position.path = in.text();
  position.head_size = static_cast<std::uint32_t>(in.number(limits::kHeadHashBytes));
  position.head_hash = in.number();
  position.tail_size = static_cast<std::uint32_t>(in.number(limits::kTailHashBytes));
  position.tail_hash = in.number();
  position.offset = in.number();
  position.device = in.number();
  position.inode = in.number();
  position.updated_us = in.signed_number();
  position.finished = in.number(1) != 0;
  position.time.anchor_us = in.signed_number();
  position.time.last_us = in.signed_number();
  const std::int64_t year = in.signed_number();
  position.time.year = static_cast<std::int32_t>(year);
  if (!in.complete() || position.tail_size > position.offset || position.time.year != year) {
    return fail(ErrorCode::data, "read position", where, "the record is damaged");
  }
  return position;
}

Result<std::vector<Position>> load_positions(const store::Store& store) {
  std::vector<Position> positions;
  std::optional<Error> bad;
  auto scanned = store.scan(
      store::Family::positions, {}, {}, [&](std::string_view key, std::string_view value) {
        if (key.size() != 8) return true;
        auto position = decode_position(store::read_u64_be(key.data()), value);
        if (position) {
          positions.push_back(std::move(*position));
        } else {
          bad = position.error();
        }
        return !bad.has_value();
      });
  if (!scanned) return tl::unexpected(scanned.error());
  if (bad.has_value()) return tl::unexpected(*bad);
  return positions;
}

// A std::map: a source has a few, rarely a few hundred positions, looked through when a file opens.
struct PositionBook::Impl {
  mutable std::mutex mutex;
  std::map<std::uint64_t, Position> positions;
  std::uint64_t next = 1;
  std::uint64_t version = 0;
};

PositionBook::PositionBook() : impl_(std::make_shared<Impl>()) {}

void PositionBook::load(std::vector<Position> positions) {
  const std::lock_guard lock(impl_->mutex);
  ++impl_->version;
  for (Position& position : positions) {
    const std::uint64_t file = position.file;
    impl_->next = std::max(impl_->next, file + 1);
    impl_->positions[file] = std::move(position);
  }
}

void PositionBook::update(const Position& position) {
  const std::lock_guard lock(impl_->mutex);
  ++impl_->version;
  impl_->next = std::max(impl_->next, position.file + 1);
  impl_->positions[position.file] = position;
}

std::uint64_t PositionBook::next_file_key() {
  const std::lock_guard lock(impl_->mutex);
  return impl_->next++;
}

std::vector<Position> PositionBook::all() const {
  const std::lock_guard lock(impl_->mutex);
  std::vector<Position> out;
  out.reserve(impl_->positions.size());
  for (const auto& [file, position] : impl_->positions) out.push_back(position);
  return out;
}

void PositionBook::visit(const std::function<void(const Position&)>& see) const {
  const std::lock_guard lock(impl_->mutex);
  for (const auto& [file, position] : impl_->positions) see(position);
}

std::uint64_t PositionBook::version() const {
  const std::lock_guard lock(impl_->mutex);
  return impl_->version;
}

/// Those whose head is the start of `head`.
std::vector<Position> PositionBook::with_head(std::string_view head) const {
  std::vector<Position> found;
  std::uint32_t hashed_size = 0;
  std::uint64_t hash = 0;
  visit([&](const Position& position) {
    // An empty head belongs to every file and tells nothing.
    if (position.head_size == 0 || position.head_size > head.size()) return;
    if (position.head_size != hashed_size) {
      hashed_size = position.head_size;
      hash = hash64(head.substr(0, hashed_size));
    }
    if (position.head_hash == hash) found.push_back(position);
  });
  return found;
}

PositionBook::Match PositionBook::match(std::string_view source, const ReadAt& read_at,
                                        Hint hint) const {
  bool any = false;
  visit([&any](const Position& position) { any = any || position.head_size != 0; });
  if (!any) return {};
  const std::string head = read_at(0, limits::kHeadHashBytes);
  // The source's name does not matter: a log that was replayed by hand is not counted again when a
  // daemon follows it.
  std::vector<Position> candidates = with_head(head);
  std::stable_sort(candidates.begin(), candidates.end(),
                   [hint, source](const Position& a, const Position& b) {
                     const auto hinted = [hint](const Position& p) {
                       return hint.inode != 0 && p.inode == hint.inode && p.device == hint.device;
                     };
                     if (hinted(a) != hinted(b)) return hinted(a);
                     if ((a.source == source) != (b.source == source)) return a.source == source;
                     return a.offset > b.offset;
                   });
  // Every file that was truncated under a writer that keeps its offset begins with the same NULs.
  const bool telling = head.find_first_not_of('\0') != std::string::npos;
  Match match;
  for (Position& candidate : candidates) {
    const std::size_t size =
        std::max<std::size_t>(candidate.tail_size, candidate.offset != 0 ? 1 : 0);
    const std::string tail = size == 0 ? std::string() : read_at(candidate.offset - size, size);
    if (tail.size() < size) {
      match.beyond_end = telling;
      continue;
    }
    if (candidate.tail_size != 0 && hash64(tail) != candidate.tail_hash) continue;
    match.found = true;
    match.beyond_end = false;
    match.position = std::move(candidate);
    break;
  }
  return match;
}

}  // namespace bounced::ingest
