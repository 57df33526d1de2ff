#include "store/arena.h"

#include <sys/mman.h>

#include <cstdlib>
#include <mutex>
#include <new>

namespace bounced::store {
namespace {

/// Chunks that nobody uses. The one given back last goes out first: it may still be in a cache.
class Pool {
 public:
  char* take() {
    const std::lock_guard lock(mutex_);
    if (free_.empty()) add_slab();
    char* const chunk = free_.back();
    free_.pop_back();
    return chunk;
  }
  /// Never throws: free_ has room for all chunks there are.
  void give_back(const std::vector<char*>& chunks) noexcept {
    const std::lock_guard lock(mutex_);
    free_.insert(free_.end(), chunks.begin(), chunks.end());
  }

 private:
  /// One fault and one TLB entry for a slab instead of 512.
  static constexpr std::size_t kSlabBytes = std::size_t{2} << 20;
  static_assert(kSlabBytes % Arena::kChunkBytes == 0);

  void add_slab() {
    constexpr std::size_t kChunks = kSlabBytes / Arena::kChunkBytes;
    free_.reserve(chunks_ + kChunks);
    slabs_.reserve(slabs_.size() + 1);
    auto* const slab = static_cast<char*>(std::aligned_alloc(kSlabBytes, kSlabBytes));
    if (slab == nullptr) throw std::bad_alloc();
    (void)::madvise(slab, kSlabBytes, MADV_HUGEPAGE);
    slabs_.emplace_back(slab);
    chunks_ += kChunks;
    for (std::size_t i = kChunks; i-- > 0;) free_.push_back(slab + i * Arena::kChunkBytes);
  }

  struct Free {
    void operator()(char* slab) const { std::free(slab); }
  };
  std::mutex mutex_;
  std::vector<std::unique_ptr<char, Free>> slabs_;
  std::vector<char*> free_;
  std::size_t chunks_ = 0;  ///< of all slabs
};

/// Never destroyed: arenas of static objects may outlive it else.
Pool& pool() {
  static Pool* const pool = new Pool();
  return *pool;
}

}  // namespace

void Arena::add_room(std::size_t n) {
  if (n > kChunkBytes) {
    large_.push_back(std::make_unique_for_overwrite<char[]>(n));
    next_ = large_.back().get();
    end_ = next_ + n;
    return;
  }
  if (chunks_.size() == chunks_.capacity()) chunks_.reserve(2 * chunks_.size() + 4);
  chunks_.push_back(pool().take());
  next_ = chunks_.back();
  end_ = next_ + kChunkBytes;
}

void Arena::clear() {
  if (!chunks_.empty()) pool().give_back(chunks_);
  chunks_.clear();
  large_.clear();
  next_ = end_ = nullptr;
  size_ = 0;
}

}  // namespace bounced::store
