// KhugepagedEntry: how the rest of the kernel tells khugepaged about address spaces.
#pragma once

#include "models/kernel/address_space.h"

namespace collapsar {

class KhugepagedEntry {
 public:
  virtual ~KhugepagedEntry() = default;
  // khugepaged_enter_vma: registers the mm if the conditions of khugepaged.md 1.2 hold.
  virtual void enter_vma(AddressSpace& mm, const Vma& vma) = 0;
  virtual void fork(AddressSpace& parent, AddressSpace& child) = 0;  // khugepaged_fork
  // 6.1, khugepaged_add_pte_mapped_thp: the page table of `base` is to be emptied when the process is scanned next.
  // False: it has no slot, or that is full.
  virtual bool add_pte_mapped(AddressSpace& mm, VirtAddr base) = 0;
  virtual void exit(AddressSpace& mm) = 0;  // __khugepaged_exit, before the VMAs go
};

}  // namespace collapsar
