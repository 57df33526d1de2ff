// BlockView: published block words. Readers take no lock and never wait.
//
// 64 shards of open addressing, 16 bytes a slot: 64 bits of the id and the word. (Two ids meet in
// 64 keyed bits with probability n / 2^64; who refuses mail reads the whole state anyway.)
// A key is published after its word; a key never goes, only its word becomes 0. When a shard
// grows, the writer publishes a new array and frees the old one once it has seen no reader in the
// shard: a reader that comes later finds the new one.
#include <atomic>
#include <vector>

#include "base/prefetch.h"
#include "state/state.h"

namespace bounced::state {
namespace {

constexpr unsigned kShardBits = 6;

struct Slot {
  std::atomic<std::uint64_t> key{0};
  std::atomic<std::uint64_t> word{0};
};

struct Array {
  explicit Array(std::size_t n) : mask(n - 1), slots(std::make_unique<Slot[]>(n)) {}
  std::size_t mask;
  std::unique_ptr<Slot[]> slots;
  std::size_t used = 0;  // writer's
};

std::uint64_t key_of(const AddressId& id) {
  const std::uint64_t key = id.hi ^ (id.lo << 32 | id.lo >> 32);
  return key == 0 ? 1 : key;
}

struct Shard {
  std::atomic<Array*> array{nullptr};
  mutable std::atomic<std::uint32_t> readers{0};
  std::unique_ptr<Array> owned;
  std::vector<std::unique_ptr<Array>> retired;
};

Slot* find(const Array& array, std::uint64_t key) {
  for (std::size_t i = key & array.mask;; i = (i + 1) & array.mask) {
    const std::uint64_t there = array.slots[i].key.load(std::memory_order_acquire);
    if (there == key || there == 0) return &array.slots[i];
  }
}

}  // namespace

struct BlockView::Impl {
  Shard shards[std::size_t{1} << kShardBits];
  std::atomic<std::uint64_t> blocked{0};

  static std::size_t shard_of(std::uint64_t key) { return key >> (64 - kShardBits); }

  static void insert(Array& array, std::uint64_t key, std::uint64_t word) {
    Slot* slot = find(array, key);
    slot->word.store(word, std::memory_order_relaxed);
    slot->key.store(key, std::memory_order_release);
    ++array.used;
  }
  /// Words of 0 are left behind, unless they still hide what a scan may bring.
  static void grow(Shard& shard, bool keep_zero) {
    const Array& old = *shard.owned;
    std::size_t live = 0;
    for (std::size_t i = 0; i <= old.mask; ++i) {
      live += old.slots[i].word.load(std::memory_order_relaxed) != 0 || keep_zero;
    }
    auto fresh = std::make_unique<Array>(live * 2 > old.mask ? (old.mask + 1) * 2 : old.mask + 1);
    for (std::size_t i = 0; i <= old.mask; ++i) {
      const std::uint64_t key = old.slots[i].key.load(std::memory_order_relaxed);
      const std::uint64_t word = old.slots[i].word.load(std::memory_order_relaxed);
      if (key != 0 && (word != 0 || keep_zero)) insert(*fresh, key, word);
    }
    shard.array.store(fresh.get(), std::memory_order_seq_cst);
    shard.retired.push_back(std::move(shard.owned));
    shard.owned = std::move(fresh);
  }
  void put(std::uint64_t key, std::uint64_t word, bool only_if_absent, bool keep_zero) {
    Shard& shard = shards[shard_of(key)];
    if (!shard.retired.empty() && shard.readers.load(std::memory_order_seq_cst) == 0) {
      shard.retired.clear();
    }
    if (shard.owned == nullptr) {
      shard.owned = std::make_unique<Array>(16);
      shard.array.store(shard.owned.get(), std::memory_order_seq_cst);
    }
    Slot* slot = find(*shard.owned, key);
    if (slot->key.load(std::memory_order_relaxed) == key) {
      if (only_if_absent) return;
      const std::uint64_t was = slot->word.exchange(word, std::memory_order_relaxed);
      count(was, word);
      return;
    }
    if (word == 0 && !keep_zero) return;
    if ((shard.owned->used + 1) * 4 > (shard.owned->mask + 1) * 3) grow(shard, keep_zero);
    insert(*shard.owned, key, word);
    count(0, word);
  }
  void count(std::uint64_t was, std::uint64_t is) {
    if (was == 0 && is != 0) blocked.fetch_add(1, std::memory_order_relaxed);
    if (was != 0 && is == 0) blocked.fetch_sub(1, std::memory_order_relaxed);
  }
};

BlockView::BlockView() : impl_(std::make_unique<Impl>()) {}
BlockView::~BlockView() = default;

std::uint64_t BlockView::word(const AddressId& id) const {
  const std::uint64_t key = key_of(id);
  const Shard& shard = impl_->shards[Impl::shard_of(key)];
  shard.readers.fetch_add(1, std::memory_order_seq_cst);
  const Array* array = shard.array.load(std::memory_order_seq_cst);
  std::uint64_t word = 0;
  if (array != nullptr) {
    const Slot* slot = find(*array, key);
    if (slot->key.load(std::memory_order_acquire) == key) {
      word = slot->word.load(std::memory_order_relaxed);
    }
  }
  shard.readers.fetch_sub(1, std::memory_order_release);
  return word;
}

std::uint64_t BlockView::size() const {
  return impl_->blocked.load(std::memory_order_relaxed);
}

void BlockView::prefetch(const AddressId& id) const {
  const std::uint64_t key = key_of(id);
  const Shard& shard = impl_->shards[Impl::shard_of(key)];
  if (shard.owned != nullptr) {
    bounced::prefetch(&shard.owned->slots[key & shard.owned->mask]);
  }
}

void BlockView::set(const AddressId& id, std::uint64_t word) {
  // While the scan runs an explicit 0 must stay: the scan's word is older.
  impl_->put(key_of(id), word, false, !complete());
}

void BlockView::set_if_absent(const AddressId& id, std::uint64_t word) {
  if (word != 0) impl_->put(key_of(id), word, true, true);
}

std::size_t BlockView::bytes() const {
  std::size_t n = sizeof(Impl);
  for (const Shard& shard : impl_->shards) {
    if (shard.owned != nullptr) n += (shard.owned->mask + 1) * sizeof(Slot);
    for (const auto& old : shard.retired) n += (old->mask + 1) * sizeof(Slot);
  }
  return n;
}

std::uint64_t block_word(const BlockRecord& record) {
  if (record.kind == BlockKind::none) return 0;
  // Rounded up: a word must not end before its block. Beyond 2106 it has no end.
  const std::int64_t seconds = record.until_us == 0 ? 0 : (record.until_us + 999'999) / 1'000'000;
  const auto until = seconds < 0 || seconds > UINT32_MAX ? 0 : static_cast<std::uint64_t>(seconds);
  return static_cast<std::uint64_t>(record.kind) | static_cast<std::uint64_t>(record.scope) << 8 |
         static_cast<std::uint64_t>(record.cause) << 16 | until << 32;
}

}  // namespace bounced::state
