// records: a growing array of plain records, which who adds one fills itself.
#pragma once

#include <cstddef>
#include <cstdlib>
#include <functional>
#include <memory>
#include <new>
#include <stdexcept>
#include <type_traits>
#include <utility>

#include "base/copy_short.h"

namespace bounced {

/// What std::vector is, for records that millions of lines become: adding one is a compare and an
/// addition, never a call, and nothing is zeroed that is written anyway. Not thread safe.
template <class T>
class Records {
  static_assert(std::is_trivially_copyable_v<T>);

 public:
  using value_type = T;

  Records() = default;
  Records(Records&& other) noexcept { *this = std::move(other); }
  Records& operator=(Records&& other) noexcept {
    data_.swap(other.data_);
    std::swap(size_, other.size_);
    std::swap(capacity_, other.capacity_);
    return *this;
  }

  /// A new last record, whose bytes may be anything: set every field.
  [[gnu::always_inline]] inline T& append() {
    if (size_ == capacity_) [[unlikely]] {
      grow(size_ + 1);
    }
    return data_.get()[size_++];
  }
  /// New last records, copies of these, which may be some of ours.
  [[gnu::always_inline]] inline void append(const T* from, std::size_t count) {
    if (capacity_ - size_ < count) [[unlikely]] {
      from = grow_for(from, count);
    }
    copy_short(reinterpret_cast<char*>(end()), reinterpret_cast<const char*>(from),
               count * sizeof(T));
    size_ += count;
  }
  void push_back(const T& record) {
    const T copy = record;  // may be one of ours
    append() = copy;
  }
  /// New ones are as T{}.
  void resize(std::size_t size) {
    if (size > capacity_) grow(size);
    for (; size_ < size; ++size_) data_.get()[size_] = T{};
    size_ = size;
  }
  void clear() { size_ = 0; }

  [[nodiscard]] std::size_t size() const { return size_; }
  [[nodiscard]] bool empty() const { return size_ == 0; }
  [[nodiscard]] T* data() { return data_.get(); }
  [[nodiscard]] const T* data() const { return data_.get(); }
  [[nodiscard]] T* begin() { return data(); }
  [[nodiscard]] T* end() { return data() + size_; }
  [[nodiscard]] const T* begin() const { return data(); }
  [[nodiscard]] const T* end() const { return data() + size_; }
  T& operator[](std::size_t at) { return data()[at]; }
  const T& operator[](std::size_t at) const { return data()[at]; }
  [[nodiscard]] T& front() { return *begin(); }
  [[nodiscard]] const T& front() const { return *begin(); }
  [[nodiscard]] T& back() { return end()[-1]; }
  [[nodiscard]] const T& back() const { return end()[-1]; }
  [[nodiscard]] const T& at(std::size_t at) const {
    if (at >= size_) throw std::out_of_range("Records");
    return data()[at];
  }

 private:
  static constexpr std::size_t kFewest = 64;
  struct Free {
    void operator()(T* memory) const { std::free(memory); }
  };
  /// To at least `wanted`, and at least twice of what it was.
  [[gnu::noinline]] void grow(std::size_t wanted) {
    std::size_t capacity = capacity_ == 0 ? kFewest : 2 * capacity_;
    if (capacity < wanted) capacity = wanted;
    // realloc(): the records are plain bytes, and large arrays move by their page tables.
    auto* const grown = static_cast<T*>(std::realloc(data_.get(), capacity * sizeof(T)));
    if (grown == nullptr) throw std::bad_alloc();
    (void)data_.release();
    data_.reset(grown);
    capacity_ = capacity;
  }

  /// Room for so many more; returns where those at `from` are then.
  [[gnu::noinline]] const T* grow_for(const T* from, std::size_t count) {
    const std::less<const T*> before;
    const bool ours = size_ != 0 && !before(from, data()) && before(from, end());
    const std::ptrdiff_t at = ours ? from - data() : 0;
    grow(size_ + count);
    return ours ? data() + at : from;
  }

  std::unique_ptr<T, Free> data_;
  std::size_t size_ = 0, capacity_ = 0;
};

}  // namespace bounced
