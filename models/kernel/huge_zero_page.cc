#include "models/kernel/huge_zero_page.h"

#include <utility>

#include "models/kernel/memcg.h"

namespace collapsar {

bool HugeZeroPage::get(AddressSpace& mm) {
  if (page_ == kNoPfn) return false;
  if (!std::exchange(mm.holds_huge_zero, true)) ++holders_;
  return true;
}

void HugeZeroPage::adopt(Pfn fresh) {
  SIM_ASSERT(page_ == kNoPfn, "frame {:#x} is a second huge zero page", fresh.value);
  page_ = fresh;
  ++kernel_.stats.vmstat.thp_zero_page_alloc;
}

void HugeZeroPage::put(AddressSpace& mm) {
  if (std::exchange(mm.holds_huge_zero, false)) --holders_;
}

std::uint64_t HugeZeroPage::shrink() {
  if (page_ == kNoPfn || holders_ > 0) return 0;
  free_frames(kernel_, std::exchange(page_, kNoPfn), kHugeOrder);
  return kHugePages;
}

}  // namespace collapsar
