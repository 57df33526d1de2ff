#include "store/write_set.h"

#include <sys/mman.h>

#include <algorithm>
#include <cassert>
#include <cstdlib>
#include <cstring>
#include <new>
#include <type_traits>

namespace bounced::store {

namespace {

constexpr std::size_t kMappedMin = std::size_t{1} << 18;  ///< from here on pages of their own
constexpr std::size_t kHugeMin = std::size_t{4} << 20;

bool mapped(std::size_t bytes) {
  return bytes >= kMappedMin;
}

void release(void* data, std::size_t bytes) {
  if (mapped(bytes)) {
    ::munmap(data, bytes);
  } else {
    std::free(data);
  }
}

/// Like realloc(); glibc's own would copy large blocks of a thread's arena.
void* resize(void* old, std::size_t old_bytes, std::size_t bytes) {
  if (!mapped(bytes)) return std::realloc(old, bytes);
  void* data = MAP_FAILED;
  if (mapped(old_bytes)) {
    data = ::mremap(old, old_bytes, bytes, MREMAP_MAYMOVE);
  } else {
    data = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (data != MAP_FAILED && old != nullptr) {
      std::memcpy(data, old, old_bytes);
      std::free(old);
    }
  }
  if (data == MAP_FAILED) return nullptr;
  // One fault for 2 MiB instead of 512.
  if (bytes >= kHugeMin) (void)::madvise(data, bytes, MADV_HUGEPAGE);
  return data;
}

}  // namespace

template <class T>
RawArray<T>::~RawArray() {
  if (data_ != nullptr) release(data_, room_ * sizeof(T));
}

template <class T>
void RawArray<T>::enlarge(std::size_t n) {
  static_assert(std::is_trivially_copyable_v<T>);
  const std::size_t room = std::max({room_ * 2, size_ + n, 512 / sizeof(T)});
  void* const data = resize(data_, room_ * sizeof(T), room * sizeof(T));
  if (data == nullptr) throw std::bad_alloc();
  data_ = static_cast<T*>(data);
  room_ = room;
}

template class RawArray<char>;
template class RawArray<WriteSet::Entry>;

void WriteSet::append(Family family, std::string_view key, std::string_view value, bool erase) {
  assert(!key.empty() && key.size() <= UINT16_MAX && value.size() <= UINT32_MAX);
  Part& part = parts_[static_cast<std::size_t>(family)];
  const std::size_t offset = part.arena.size();
  char* const bytes = part.arena.grow(key.size() + value.size());
  std::memcpy(bytes, key.data(), key.size());
  if (!value.empty()) std::memcpy(bytes + key.size(), value.data(), value.size());
  *part.entries.grow(1) = Entry{offset, static_cast<std::uint32_t>(value.size()),
                                static_cast<std::uint16_t>(key.size()), erase};
}

std::size_t WriteSet::records() const {
  std::size_t n = 0;
  for (const Part& part : parts_) n += part.entries.size();
  return n;
}

std::size_t WriteSet::bytes() const {
  std::size_t n = 0;
  for (const Part& part : parts_) n += part.arena.size();
  return n;
}

void WriteSet::clear() {
  for (Part& part : parts_) {
    part.arena.clear();
    part.entries.clear();
  }
}

}  // namespace bounced::store
