#include "store/names.h"

#include <array>
#include <atomic>
#include <cstring>
#include <string>
#include <vector>

#include "base/hash.h"
#include "store/store.h"
#include "store/write_set.h"

namespace bounced::store {
namespace {

constexpr std::size_t kArenaChunkBytes = std::size_t{64} << 10;
constexpr std::size_t kFirstChunk = 1024;  ///< names of chunk 0; chunk c holds kFirstChunk << c
constexpr std::size_t kChunks = 22;        ///< together more than 2^32 - 1 - kFirstChunk names

/// One dictionary.
/// Invariants: a name never moves once published; names [1, size] are published, and readers on
/// other threads look at nothing else.
class Table {
 public:
  Table() : slots_(kFirstChunk) {}
  ~Table() {
    for (auto& chunk : chunks_) delete[] chunk.load(std::memory_order_relaxed);
  }
  Table(const Table&) = delete;
  Table& operator=(const Table&) = delete;

  [[nodiscard]] std::uint32_t size() const { return size_.load(std::memory_order_acquire); }

  [[nodiscard]] std::string_view text(std::uint32_t id) const {
    if (id == 0 || id > size_.load(std::memory_order_acquire)) return {};
    return at(id);
  }

  [[nodiscard]] std::uint32_t find(std::string_view name) const {
    return slots_[locate(name, hash64(name))].id;
  }

  std::uint32_t intern(std::string_view name) {
    const std::uint64_t hash = hash64(name);
    std::size_t slot = locate(name, hash);
    if (slots_[slot].id != 0) return slots_[slot].id;
    const std::uint32_t id = size_.load(std::memory_order_relaxed) + 1;
    if (id == 0) return 0;
    if (std::size_t{id} * 2 > slots_.size()) {
      grow();
      slot = locate(name, hash);
    }
    slots_[slot] = {static_cast<std::uint32_t>(hash >> 32), id};
    publish(id, name);
    return id;
  }

  std::uint32_t appended = 0;  ///< names up to this id went out with append_to()

 private:
  struct Slot {
    std::uint32_t tag = 0;  ///< upper half of the hash; the lower one chooses the slot
    std::uint32_t id = 0;   ///< 0 = free
  };

  static std::pair<std::size_t, std::size_t> place(std::uint32_t id) {
    // Chunk c begins at id kFirstChunk * (2^c - 1) + 1.
    const std::uint64_t n = std::uint64_t{id} - 1 + kFirstChunk;
    const auto top = static_cast<std::size_t>(63 - __builtin_clzll(n));
    return {top - static_cast<std::size_t>(__builtin_ctzll(kFirstChunk)),
            n - (std::uint64_t{1} << top)};
  }

  [[nodiscard]] std::string_view at(std::uint32_t id) const {
    const auto [chunk, index] = place(id);
    return chunks_[chunk].load(std::memory_order_acquire)[index];
  }

  /// Slot of `name`, or the free one where it would go.
  [[nodiscard]] std::size_t locate(std::string_view name, std::uint64_t hash) const {
    const std::size_t mask = slots_.size() - 1;
    const auto tag = static_cast<std::uint32_t>(hash >> 32);
    for (std::size_t i = hash & mask;; i = (i + 1) & mask) {
      const Slot& slot = slots_[i];
      if (slot.id == 0 || (slot.tag == tag && at(slot.id) == name)) return i;
    }
  }

  void grow() {
    std::vector<Slot> bigger(slots_.size() * 2);
    const std::size_t mask = bigger.size() - 1;
    const std::uint32_t names = size_.load(std::memory_order_relaxed);
    for (std::uint32_t id = 1; id <= names; ++id) {
      const std::uint64_t hash = hash64(at(id));
      std::size_t i = hash & mask;
      while (bigger[i].id != 0) i = (i + 1) & mask;
      bigger[i] = {static_cast<std::uint32_t>(hash >> 32), id};
    }
    slots_.swap(bigger);
  }

  void publish(std::uint32_t id, std::string_view name) {
    const auto [chunk, index] = place(id);
    std::string_view* names = chunks_[chunk].load(std::memory_order_relaxed);
    if (names == nullptr) {
      names = new std::string_view[kFirstChunk << chunk];
      chunks_[chunk].store(names, std::memory_order_release);
    }
    names[index] = copy(name);
    size_.store(id, std::memory_order_release);
  }

  std::string_view copy(std::string_view name) {
    if (name.size() > arena_left_) {
      const std::size_t bytes = std::max(name.size(), kArenaChunkBytes);
      arena_.push_back(std::make_unique<char[]>(bytes));
      arena_next_ = arena_.back().get();
      arena_left_ = bytes;
    }
    char* const begin = arena_next_;
    std::memcpy(begin, name.data(), name.size());
    arena_next_ += name.size();
    arena_left_ -= name.size();
    return {begin, name.size()};
  }

  std::vector<Slot> slots_;  ///< a power of two, at most half full
  std::array<std::atomic<std::string_view*>, kChunks> chunks_{};
  std::atomic<std::uint32_t> size_{0};
  std::vector<std::unique_ptr<char[]>> arena_;
  char* arena_next_ = nullptr;
  std::size_t arena_left_ = 0;
};

}  // namespace

struct Names::Impl {
  std::array<Table, kDictionaries> tables;
  Table& of(Dictionary dictionary) { return tables[static_cast<std::size_t>(dictionary)]; }
};

Names::Names() : impl_(std::make_unique<Impl>()) {}
Names::~Names() = default;

Result<void> Names::load(const Store& store) {
  auto fresh = std::make_unique<Impl>();
  std::string bad;
  auto scanned =
      store.scan(Family::names, {}, {}, [&](std::string_view key, std::string_view value) {
        if (key.size() != 5 || static_cast<unsigned char>(key[0]) >= kDictionaries) {
          bad = "a name's key is damaged";
          return false;
        }
        Table& table = fresh->tables[static_cast<unsigned char>(key[0])];
        // Keys come in order of id: a gap, or a text told twice, breaks the count.
        if (table.intern(value) != read_u32_be(key.data() + 1)) {
          bad = "dictionary " + std::to_string(key[0]) + " has a gap or a duplicate";
          return false;
        }
        return true;
      });
  if (!scanned) return scanned;
  if (!bad.empty()) {
    return fail(ErrorCode::data, "load names", store.directory(), bad, "restore a backup");
  }
  for (Table& table : fresh->tables) table.appended = table.size();
  impl_ = std::move(fresh);
  return {};
}

std::uint32_t Names::intern(Dictionary dictionary, std::string_view text) {
  return text.empty() ? 0 : impl_->of(dictionary).intern(text);
}

std::uint32_t Names::find(Dictionary dictionary, std::string_view text) const {
  return text.empty() ? 0 : impl_->of(dictionary).find(text);
}

std::string_view Names::text(Dictionary dictionary, std::uint32_t id) const {
  return impl_->of(dictionary).text(id);
}

std::uint32_t Names::size(Dictionary dictionary) const {
  return impl_->of(dictionary).size();
}
std::vector<std::string> Names::all(Dictionary dictionary) const {
  std::vector<std::string> texts;
  for (std::uint32_t id = 1; id <= size(dictionary); ++id) texts.emplace_back(text(dictionary, id));
  return texts;
}

void Names::append_to(WriteSet& set) {
  std::string key;
  for (std::size_t d = 0; d < kDictionaries; ++d) {
    Table& table = impl_->tables[d];
    for (const std::uint32_t size = table.size(); table.appended < size;) {
      const std::uint32_t id = ++table.appended;
      key.clear();
      append_u8(key, static_cast<std::uint8_t>(d));
      append_u32_be(key, id);
      set.put(Family::names, key, table.text(id));
    }
  }
}

}  // namespace bounced::store
