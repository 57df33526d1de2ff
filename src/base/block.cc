#include "base/block.h"

#include <sys/mman.h>

#include <condition_variable>
#include <cstdlib>
#include <mutex>
#include <vector>

namespace bounced {

namespace {

constexpr std::size_t kLine = 64, kHugePage = std::size_t{2} << 20;

struct Free {
  void operator()(char* memory) const { std::free(memory); }
};

}  // namespace

// A mutex, not a queue: blocks change hands a few thousand times a second at most.
struct BlockPool::Impl {
  /// All blocks' bytes, one after the other: huge pages spare most of the TLB misses of those who
  /// read texts here and there. Memory is taken only when a block is first used.
  std::unique_ptr<char, Free> slab;
  mutable std::mutex mutex;
  std::condition_variable available;
  std::vector<std::unique_ptr<Block>> free;
  std::size_t total = 0;
  std::size_t bytes = 0;
  bool closed = false;
};

BlockPool::BlockPool(std::size_t blocks, std::size_t bytes) : impl_(std::make_unique<Impl>()) {
  impl_->total = blocks;
  impl_->bytes = bytes;
  const std::size_t stride =
      (limits::kBlockHeadroom + bytes + limits::kBlockPadding + kLine - 1) / kLine * kLine;
  const std::size_t alignment = stride * blocks < kHugePage ? kLine : kHugePage;
  const std::size_t size = (stride * blocks + alignment - 1) / alignment * alignment;
  impl_->slab.reset(static_cast<char*>(std::aligned_alloc(alignment, size)));
  if (impl_->slab == nullptr) throw std::bad_alloc();
  if (alignment == kHugePage) (void)::madvise(impl_->slab.get(), size, MADV_HUGEPAGE);
  impl_->free.reserve(blocks);
  for (std::size_t i = blocks; i-- > 0;) {
    auto block = std::make_unique<Block>();
    block->data = impl_->slab.get() + i * stride + limits::kBlockHeadroom;
    block->capacity = static_cast<std::uint32_t>(bytes);
    impl_->free.push_back(std::move(block));
  }
}

BlockPool::~BlockPool() = default;

BlockPtr BlockPool::take() {
  std::unique_lock lock(impl_->mutex);
  impl_->available.wait(lock, [&] { return impl_->closed || !impl_->free.empty(); });
  if (impl_->closed) return BlockPtr(nullptr, BlockReturn{this});
  std::unique_ptr<Block> block = std::move(impl_->free.back());
  impl_->free.pop_back();
  return BlockPtr(block.release(), BlockReturn{this});
}

BlockPtr BlockPool::try_take() {
  {
    const std::lock_guard lock(impl_->mutex);
    if (impl_->closed || impl_->free.empty()) return BlockPtr(nullptr, BlockReturn{this});
  }
  return take();
}

void BlockPool::close() {
  const std::lock_guard lock(impl_->mutex);
  impl_->closed = true;
  impl_->available.notify_all();
}

std::size_t BlockPool::size() const {
  return impl_->total;
}
std::size_t BlockPool::block_bytes() const {
  return impl_->bytes;
}
std::size_t BlockPool::free_approx() const {
  const std::lock_guard lock(impl_->mutex);
  return impl_->free.size();
}

void BlockPool::give_back(Block* block) {
  Block blank;
  blank.data = block->data;
  blank.capacity = block->capacity;
  *block = blank;
  std::unique_ptr<Block> back(block);
  const std::lock_guard lock(impl_->mutex);
  impl_->free.push_back(std::move(back));
  impl_->available.notify_one();
}

void BlockReturn::operator()(Block* block) const {
  if (block != nullptr) pool->give_back(block);
}

}  // namespace bounced
