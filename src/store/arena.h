// Arena: the bytes of records on their way to the store.
#pragma once

#include <cstddef>
#include <memory>
#include <utility>
#include <vector>

namespace bounced::store {

/// Growing room for bytes that never move. It is made of chunks of one pool, which all arenas of
/// the process share and which keeps what it once had: what a commit is done with serves whoever
/// writes next. Memory that is touched for the first time costs more than filling it, and up to
/// thirty times more on a virtual machine whose host takes back what is free. Not thread safe; the
/// pool is.
class Arena {
 public:
  static constexpr std::size_t kChunkBytes = std::size_t{256} << 10;

  Arena() = default;
  Arena(Arena&& other) noexcept { swap(other); }
  Arena& operator=(Arena&& other) noexcept {
    swap(other);
    return *this;
  }
  ~Arena() { clear(); }

  /// `n` more bytes in a row, for the caller to fill. Throws std::bad_alloc.
  char* grow(std::size_t n) {
    if (static_cast<std::size_t>(end_ - next_) < n) add_room(n);
    char* const at = next_;
    next_ += n;
    size_ += n;
    return at;
  }
  /// The last `n` bytes of the last grow() go.
  void shrink(std::size_t n) {
    next_ -= n;
    size_ -= n;
  }
  [[nodiscard]] std::size_t size() const { return size_; }
  void clear();
  void swap(Arena& other) noexcept {
    std::swap(next_, other.next_);
    std::swap(end_, other.end_);
    std::swap(size_, other.size_);
    chunks_.swap(other.chunks_);
    large_.swap(other.large_);
  }

 private:
  void add_room(std::size_t n);

  char* next_ = nullptr;
  char* end_ = nullptr;
  std::size_t size_ = 0;
  std::vector<char*> chunks_;                   ///< the pool's
  std::vector<std::unique_ptr<char[]>> large_;  ///< for records that fit in no chunk
};

}  // namespace bounced::store
