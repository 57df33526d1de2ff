#include "base/block.h"

#include <atomic>
#include <condition_variable>
#include <mutex>
#include <vector>

namespace bounced {

// A mutex, not a queue: blocks change hands a few thousand times a second at most.
struct BlockPool::Impl {
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
  impl_->free.reserve(blocks);
  for (std::size_t i = 0; i < blocks; ++i) impl_->free.push_back(std::make_unique<Block>());
}

BlockPool::~BlockPool() = default;

BlockPtr BlockPool::take() {
  std::unique_lock lock(impl_->mutex);
  impl_->available.wait(lock, [&] { return impl_->closed || !impl_->free.empty(); });
  if (impl_->closed) return BlockPtr(nullptr, BlockReturn{this});
  std::unique_ptr<Block> block = std::move(impl_->free.back());
  impl_->free.pop_back();
  lock.unlock();
  if (block->storage_ == nullptr) {  // first use: memory is taken only when it is needed
    block->storage_.reset(new char[limits::kBlockHeadroom + impl_->bytes + limits::kBlockPadding]);
    block->data = block->storage_.get() + limits::kBlockHeadroom;
    block->capacity = static_cast<std::uint32_t>(impl_->bytes);
  }
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
  std::unique_ptr<Block> fresh = std::make_unique<Block>();
  fresh->storage_ = std::move(block->storage_);
  fresh->data = block->data;
  fresh->capacity = block->capacity;
  delete block;
  const std::lock_guard lock(impl_->mutex);
  impl_->free.push_back(std::move(fresh));
  impl_->available.notify_one();
}

void BlockReturn::operator()(Block* block) const {
  if (block != nullptr) pool->give_back(block);
}

}  // namespace bounced
