// The bits of system-call arguments, and small questions that several calls ask.
#pragma once

#include <cerrno>
#include <string>

#include "models/kernel/address_space.h"

namespace collapsar {

// MAP_*: include/uapi/asm-generic/mman.h and mman-common.h.
inline constexpr std::uint32_t kMapShared = 1, kMapPrivate = 2, kMapFixed = 0x10, kMapAnonymous = 0x20,
                               kMapGrowsDown = 0x100, kMapLocked = 0x2000, kMapNoReserve = 0x4000,
                               kMapPopulate = 0x8000, kMapHugetlb = 0x40000;
inline constexpr std::uint64_t kPrThpDisableExceptAdvised = 2;  // PR_THP_DISABLE_EXCEPT_ADVISED: linux/prctl.h
inline constexpr unsigned kMapHugeShift = 26;                   // MAP_HUGE_SHIFT: log2 of the page size stands above it
inline constexpr std::uint64_t kStackGuardGap = 256 * kPageBytes;  // mm/mmap.c stack_guard_gap
inline constexpr std::uint32_t kProtBits =
    Vma::kRead | Vma::kWrite | Vma::kExec;  // equal to PROT_READ, PROT_WRITE, PROT_EXEC

inline PageSize hugetlb_page(const SyscallRequest& request) {
  if (!(request.map_flags & kMapHugetlb)) return PageSize::k4K;
  return request.map_flags >> kMapHugeShift == page_shift(PageSize::k1G) ? PageSize::k1G : PageSize::k2M;
}

inline std::uint32_t vma_flags(std::uint32_t prot, std::uint32_t map_flags) {
  std::uint32_t flags = prot & kProtBits;
  if (map_flags & kMapShared) flags |= Vma::kShared;
  if (map_flags & kMapGrowsDown) flags |= Vma::kGrowsDown;
  if (map_flags & kMapLocked) flags |= Vma::kLocked;
  if (map_flags & kMapNoReserve) flags |= Vma::kNoReserve;
  if (map_flags & kMapHugetlb) flags |= Vma::kHugetlb;
  constexpr std::uint32_t kAsks = Vma::kNoReserve | Vma::kShared | Vma::kWrite | Vma::kHugetlb;  // accountable_mapping
  if ((flags & kAsks) == Vma::kWrite) flags |= Vma::kAccount;
  return flags;
}

// What reports call a mapping: the base name of its file, or what /proc/PID/maps has in brackets. Empty: it has no
// name.
inline std::string mapping_name(const std::string& path) {
  if (path.size() > 2 && path.front() == '[' && path.back() == ']') return path.substr(1, path.size() - 2);
  return path.substr(path.rfind('/') + 1);
}

// The VMA that ends at or before `at` and is nearest to it.
inline const Vma* last_before(AddressSpace& mm, VirtAddr at) {
  const auto next = mm.vmas().lower_bound(at.value);
  return next == mm.vmas().begin() ? nullptr : &std::prev(next)->second;
}

// From `va` to `end`, as far as one page table serves it.
inline VirtRange in_table(VirtAddr va, VirtAddr end) { return {va, std::min(end, huge_base(va) + kHugeBytes)}; }

}  // namespace collapsar
