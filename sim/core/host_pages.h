// HostPages: an allocator for big tables of a model that are used all over, and at once.
//
// Models:      nothing; it is about the machine that collapsar runs on.
// Owns:        nothing. What it gives starts at a cache line of the host; megabytes start at a huge page of the host and
//              ask for huge pages. A host that gives none gives 4 KiB pages.
#pragma once

#include <sys/mman.h>

#include <cstddef>
#include <new>

namespace collapsar {

template <class T>
struct HostPages {
  using value_type = T;
  static constexpr std::size_t kLine = 64, kHugePage = std::size_t{2} << 20;

  HostPages() = default;
  template <class U>
  explicit HostPages(const HostPages<U>&) {}
  T* allocate(std::size_t n) {
    const std::size_t bytes = size_of(n);
    void* const at = ::operator new(bytes, alignment(bytes));
    if (bytes >= kHugePage) madvise(at, bytes, MADV_HUGEPAGE);
    return static_cast<T*>(at);
  }
  void deallocate(T* at, std::size_t n) { ::operator delete(at, alignment(size_of(n))); }
  bool operator==(const HostPages&) const { return true; }

 private:
  // Whole huge pages from a megabyte on, for at most as much again.
  static std::size_t size_of(std::size_t n) {
    const std::size_t bytes = n * sizeof(T);
    return bytes < kHugePage / 2 ? bytes : (bytes + kHugePage - 1) / kHugePage * kHugePage;
  }
  static std::align_val_t alignment(std::size_t bytes) {
    return std::align_val_t{bytes < kHugePage ? kLine : kHugePage};
  }
};

}  // namespace collapsar
