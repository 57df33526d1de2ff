// huge_pages: memory for tables that are looked into at random places.
#pragma once

#include <sys/mman.h>

#include <cstddef>
#include <cstdlib>
#include <new>

namespace bounced {

/// For standard containers. Asks the kernel for huge pages (2 MiB) where the memory is large: one
/// entry of the TLB for 512. The last page is taken whole. Throws std::bad_alloc.
template <class T>
struct HugePages {
  using value_type = T;
  static constexpr std::size_t kPageBytes = std::size_t{2} << 20;
  /// From here on; less is the heap's.
  static constexpr std::size_t kLeastBytes = kPageBytes / 4;

  HugePages() = default;
  template <class U>
  HugePages(const HugePages<U>&) {}  // NOLINT(google-explicit-constructor): as allocators convert

  T* allocate(std::size_t count) {
    const std::size_t bytes = count * sizeof(T);
    const bool large = bytes >= kLeastBytes;
    const std::size_t alignment = large ? kPageBytes : kLine;
    const std::size_t size = (bytes + alignment - 1) / alignment * alignment;
    void* const memory = std::aligned_alloc(alignment, size);
    if (memory == nullptr) throw std::bad_alloc();
    if (large) (void)::madvise(memory, size, MADV_HUGEPAGE);
    return static_cast<T*>(memory);
  }
  void deallocate(T* memory, std::size_t) { std::free(memory); }
  bool operator==(const HugePages&) const { return true; }

 private:
  static constexpr std::size_t kLine = 64;
  static_assert(alignof(T) <= kLine);
};

}  // namespace bounced
