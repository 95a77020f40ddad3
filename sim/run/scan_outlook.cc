#include "sim/run/scan_outlook.h"

#include <algorithm>
#include <tuple>

namespace collapsar {

std::string_view name_of(Obstacle obstacle) {
  switch (obstacle) {
    case Obstacle::none: return "";
    case Obstacle::thp_off: return "thp_off";
    case Obstacle::no_vma: return "no_vma";
    case Obstacle::cut_by_vma: return "cut_by_vma";
    case Obstacle::not_madvised: return "not_madvised";
    case Obstacle::nohugepage: return "nohugepage";
    case Obstacle::thp_disabled: return "thp_disabled";
    case Obstacle::special: return "special";
    case Obstacle::file: return "file";
    case Obstacle::temporary_stack: return "temporary_stack";
    case Obstacle::no_anon_vma: return "no_anon_vma";
    case Obstacle::other: return "other";
    case Obstacle::not_registered: return "not_registered";
  }
  return "";
}

// --- the way of the daemon: from its cursor to the end of the list, then from the head back to the cursor ---

ScanOutlook::ScanOutlook(Kernel& kernel) : kernel_(kernel) {
  const Khugepaged::Scan& scan = kernel.khugepaged().khugepaged_scan();
  const auto cursor = std::find_if(scan.mm_head.begin(), scan.mm_head.end(),
                                   [&](const Khugepaged::MmSlot& slot) { return &slot == scan.mm_slot; });
  const bool stands_inside = cursor != scan.mm_head.end();
  if (stands_inside) add_space(*cursor->mm, {scan.address, cursor->mm->user_range().end});
  for (auto slot = stands_inside ? std::next(cursor) : scan.mm_head.end(); slot != scan.mm_head.end(); ++slot)
    add_space(*slot->mm, slot->mm->user_range());
  for (auto slot = scan.mm_head.begin(); slot != cursor; ++slot) add_space(*slot->mm, slot->mm->user_range());
  if (stands_inside) add_space(*cursor->mm, {VirtAddr{0}, scan.address});
  std::sort(stretches_.begin(), stretches_.end(), [](const Stretch& a, const Stretch& b) {
    return std::tuple(a.asid, a.ranges.start) < std::tuple(b.asid, b.ranges.start);
  });
}

void ScanOutlook::add_space(AddressSpace& mm, VirtRange part) {
  ++pages_;  // for taking it up
  mm.for_each(part, [&](Vma& vma) {
    const VirtRange whole{align_up(vma.range.start, kHugeBytes), align_down(vma.range.end, kHugeBytes)};
    const VirtRange ranges = whole.start < whole.end ? whole.intersect(part) : VirtRange{};
    if (ranges.empty() || !is_eligible(mm, vma)) return void(++pages_);
    stretches_.push_back({mm.asid(), ranges, pages_});
    pages_ += ranges.bytes() / kPageBytes;
  });
}

RangeOutlook ScanOutlook::of(AddressSpace& mm, VirtAddr base) const {
  const VirtRange range{base, base + kHugeBytes};
  const Vma* vma = mm.first_ending_above(base);
  if (!vma || !vma->range.overlaps(range)) return {.obstacle = Obstacle::no_vma};
  RangeOutlook outlook{.obstacle = obstacle_of(mm, *vma), .vma = vma->range};
  if (outlook.obstacle != Obstacle::none && outlook.obstacle != Obstacle::not_registered) return outlook;
  if (!vma->holds_huge_block(base)) outlook.obstacle = Obstacle::cut_by_vma;
  if (outlook.obstacle != Obstacle::none) return outlook;
  auto stretch =
      std::upper_bound(stretches_.begin(), stretches_.end(), std::tuple(mm.asid(), base),
                       [](const auto& key, const Stretch& s) { return key < std::tuple(s.asid, s.ranges.start); });
  SIM_ASSERT(stretch != stretches_.begin() && std::prev(stretch)->ranges.contains(base),
             "the range {:#x} of address space {} is eligible, but not on khugepaged's way", base.value, mm.asid());
  --stretch;
  outlook.pages_ahead = stretch->pages_ahead + (base - stretch->ranges.start) / kPageBytes;
  return outlook;
}

// --- the tests ---

bool ScanOutlook::is_eligible(const AddressSpace& mm, const Vma& vma) const {
  return thp_vma_allowable(kernel_.context(), mm, vma, /*enforce_sysfs=*/true, /*in_fault=*/false);
}

Obstacle ScanOutlook::sysfs_obstacle(const Vma& vma) const {
  const bool is_madvised = vma.is(Vma::kHugePage) || kernel_.config().anon_enabled() == ThpEnabled::always;
  return is_madvised ? Obstacle::none : Obstacle::not_madvised;
}

Obstacle ScanOutlook::obstacle_of(const AddressSpace& mm, const Vma& vma) const {
  if (kernel_.khugepaged().state() == Khugepaged::State::stopped) return Obstacle::thp_off;
  if (is_eligible(mm, vma)) return mm.registered ? Obstacle::none : Obstacle::not_registered;
  const Obstacle sysfs = sysfs_obstacle(vma);
  if (kernel_.context().rules.sysfs_first && vma.is_anonymous() && sysfs != Obstacle::none) return sysfs;
  if (vma.is(Vma::kNoHugePage)) return Obstacle::nohugepage;
  if (mm.refuses_thp(vma, /*forced=*/false)) return Obstacle::thp_disabled;
  if (vma.is(Vma::kIo) || vma.is(Vma::kHugetlb)) return Obstacle::special;
  if (align_up(vma.range.start, kHugeBytes) >= align_down(vma.range.end, kHugeBytes)) return Obstacle::cut_by_vma;
  if (sysfs != Obstacle::none) return sysfs;
  if (!vma.is_anonymous()) return Obstacle::file;
  if (vma.is(Vma::kTempStack)) return Obstacle::temporary_stack;
  if (vma.anon_vma == 0) return Obstacle::no_anon_vma;
  return Obstacle::other;
}

}  // namespace collapsar
