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

char* WriteSet::begin_put(Family family, std::string_view key, std::size_t value_max) {
  assert(!key.empty() && key.size() <= UINT16_MAX && value_max <= UINT32_MAX);
  Part& part = parts_[static_cast<std::size_t>(family)];
  const std::size_t offset = part.arena.size();
  char* const bytes = part.arena.grow(key.size() + value_max);
  std::memcpy(bytes, key.data(), key.size());
  *part.entries.grow(1) = Entry{offset, static_cast<std::uint32_t>(value_max),
                                static_cast<std::uint16_t>(key.size()), false};
  return bytes + key.size();
}

void WriteSet::end_put(Family family, const char* value_end) {
  Part& part = parts_[static_cast<std::size_t>(family)];
  Entry& entry = part.entries.back();
  const char* const value = part.arena.data() + entry.offset + entry.key_size;
  const auto size = static_cast<std::uint32_t>(value_end - value);
  assert(size <= entry.value_size);
  part.arena.shrink(entry.value_size - size);
  entry.value_size = size;
}

void WriteSet::take(WriteSet& other) {
  for (std::size_t f = 0; f < kFamilies; ++f) {
    Part& from = other.parts_[f];
    if (from.entries.empty()) continue;
    if (parts_[f].entries.empty()) {
      parts_[f].arena.swap(from.arena);
      parts_[f].entries.swap(from.entries);
      continue;
    }
    for (const Entry& e : from.entries) {
      append(static_cast<Family>(f), from.key(e), from.value(e), e.erase);
    }
  }
  other.clear();
}

void WriteSet::append(Family family, std::string_view key, std::string_view value, bool erase) {
  char* const bytes = begin_put(family, key, value.size());
  if (!value.empty()) std::memcpy(bytes, value.data(), value.size());
  parts_[static_cast<std::size_t>(family)].entries.back().erase = erase;
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
