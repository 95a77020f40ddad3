// Huge pages of shared memory and files: which VMAs and which blocks may have them.
//
// Simplified:  one mount: shared memory without a mount option of its own; a regular file is one of a file system that
//              READ_ONLY_THP_FOR_FS serves.
// Source:      khugepaged.md 3.1 (steps 6, 7, 9), 3.2; Linux mm/shmem.c as documented.
#pragma once

#include "models/kernel/address_space.h"

namespace collapsar {

// A 2 MiB block of the file stands at a 2 MiB boundary of the address space.
inline bool is_file_aligned(const Vma& vma) {
  return ((vma.range.start.value >> kPageShift) - vma.pgoff) % kHugePages == 0;
}

// thp_vma_suitable: the block of `va` lies in the VMA, and in one piece in the file.
inline bool may_map_huge_at(const Vma& vma, VirtAddr va) { return is_file_aligned(vma) && vma.holds_huge_block(va); }

// The policy for the block of shared memory that holds page `index` (shmem_is_huge). `force`: MADV_COLLAPSE, which
// only `deny` stops.
bool shmem_allows_huge(const KernelContext& kernel, const AddressSpace& mm, const Vma& vma, std::uint64_t index,
                       bool force);

// What thp_vma_allowable() asks of a VMA with a file, beyond size and place.
bool file_thp_allowable(const KernelContext& kernel, const AddressSpace& mm, const Vma& vma, bool enforce_sysfs);

}  // namespace collapsar
