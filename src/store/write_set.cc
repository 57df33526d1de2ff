#include "store/write_set.h"

#include <sys/mman.h>

#include <algorithm>
#include <cassert>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <new>
#include <type_traits>

namespace bounced::store {

namespace {

constexpr std::size_t kMappedMin = std::size_t{1} << 18;  ///< from here on pages of their own
constexpr std::size_t kHugePage = std::size_t{2} << 20;
constexpr std::size_t kHugeMin = 2 * kHugePage;  ///< from here on whole huge pages

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

char* map(std::size_t bytes) {
  void* const data =
      ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  return data == MAP_FAILED ? nullptr : static_cast<char*>(data);
}

/// Not every kernel aligns a mapping to huge pages by itself.
char* map_aligned(std::size_t bytes) {
  char* const begin = map(bytes + kHugePage);
  if (begin == nullptr) return nullptr;
  const std::size_t past = reinterpret_cast<std::uintptr_t>(begin) % kHugePage;
  const std::size_t before = past == 0 ? 0 : kHugePage - past;
  if (before != 0) (void)::munmap(begin, before);
  (void)::munmap(begin + before + bytes, kHugePage - before);
  return begin + before;
}

/// Like realloc(); glibc's own would copy large blocks of a thread's arena.
void* resize(void* old, std::size_t old_bytes, std::size_t bytes) {
  if (!mapped(bytes)) return std::realloc(old, bytes);
  char* const data = bytes < kHugeMin ? map(bytes) : map_aligned(bytes);
  if (data == nullptr) return nullptr;
  const bool move_pages = mapped(old_bytes);
  if (move_pages &&
      ::mremap(old, old_bytes, bytes, MREMAP_MAYMOVE | MREMAP_FIXED, data) == MAP_FAILED) {
    (void)::munmap(data, bytes);
    return nullptr;
  }
  // One fault and one TLB entry for 2 MiB instead of 512.
  if (bytes >= kHugeMin) (void)::madvise(data, bytes, MADV_HUGEPAGE);
  if (!move_pages && old != nullptr) {
    std::memcpy(data, old, old_bytes);
    std::free(old);
  }
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
  std::size_t room = std::max({room_ * 2, size_ + n, 512 / sizeof(T)});
  if (room * sizeof(T) >= kHugeMin) {
    static_assert(kHugePage % sizeof(T) == 0);
    constexpr std::size_t kStep = kHugePage / sizeof(T);
    room = (room + kStep - 1) / kStep * kStep;
  }
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
