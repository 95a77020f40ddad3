// HugeZeroPage: the 2 MiB of zeros that read faults map (khugepaged.md 7.3).
//
// Models:      made at the first use, counted; a process that has mapped it, or got it by fork, holds one reference as long
//              as its address space lives; one more is the page's own. The shrinker gives the page back when only that is
//              left, and hard-pressed reclaim asks it.
// Simplified:  6.18 can be built to keep the page for good; this one never is.
// Time:        none.
// Owns:        the page.
// Source:      Linux mm/huge_memory.c (get_huge_zero_page, mm_get_huge_zero_page, shrink_huge_zero_page_*) as documented.
#pragma once

#include "models/kernel/address_space.h"

namespace collapsar {

class HugeZeroPage {
 public:
  explicit HugeZeroPage(KernelContext& kernel) : kernel_(kernel) {}
  // kNoPfn: there is none now.
  Pfn page() const { return page_; }
  // The address space holds the page from now on. False: there is none.
  bool get(AddressSpace& mm);
  // Takes a cleared frame of order 9. Requires: there is none.
  void adopt(Pfn fresh);
  // The address space is gone (mm_put_huge_zero_page).
  void put(AddressSpace& mm);
  // Returns the frames freed.
  std::uint64_t shrink();

 private:
  KernelContext& kernel_;
  Pfn page_ = kNoPfn;
  std::uint64_t holders_ = 0;  // address spaces
};

}  // namespace collapsar
