// ScanOutlook: whether khugepaged will come to a 2 MiB range as things stand, and if not, which of its tests is in the way.
//
// Models:      nothing: looks at the kernel at one moment. thp_vma_allowable() decides; which test it was that said no
//              is found by asking the same questions in the kernel's order.
// Simplified:  how far away a range is counts 512 pages for each range before it and 1 for each VMA passed over and each
//              process taken up, as the daemon's budget does; visits that a collapse breaks off, processes passed over
//              because their mmap_lock is taken, and the time of scans and collapses come on top.
// Time:        none.
// Source:      khugepaged.md 1.2, 2, 3.
#pragma once

#include <string_view>
#include <vector>

#include "models/kernel/kernel.h"

namespace collapsar {

// What stands between khugepaged and a range.
enum class Obstacle : std::uint8_t {
  none,             // it is on its way
  thp_off,          // enabled: never
  no_vma,           // nothing is mapped there
  cut_by_vma,       // its VMA holds it only in part
  not_madvised,     // enabled: madvise, no VM_HUGEPAGE
  nohugepage,       // VM_NOHUGEPAGE
  thp_disabled,     // prctl PR_SET_THP_DISABLE
  special,          // VM_IO, VM_HUGETLB
  file,             // file or shared memory
  temporary_stack,  // of exec
  no_anon_vma,      // no anonymous page in the VMA yet
  other,            // refused by a test that has no name here
  not_registered    // eligible, but its process has no slot in khugepaged's list
};
std::string_view name_of(Obstacle obstacle);

struct RangeOutlook {
  Obstacle obstacle = Obstacle::none;
  VirtRange vma{};                // that covers the range or part of it; empty: none
  std::uint64_t pages_ahead = 0;  // of khugepaged's budget; obstacle none only
};

class ScanOutlook {
 public:
  explicit ScanOutlook(Kernel& kernel);
  RangeOutlook of(AddressSpace& mm, VirtAddr base) const;

 private:
  // Eligible ranges of one VMA, in the order in which the daemon comes to them from where it stands.
  struct Stretch {
    Asid asid;
    VirtRange ranges;
    std::uint64_t pages_ahead;
  };
  void add_space(AddressSpace& mm, VirtRange part);
  bool is_eligible(const AddressSpace& mm, const Vma& vma) const;
  Obstacle obstacle_of(const AddressSpace& mm, const Vma& vma) const;
  Obstacle sysfs_obstacle(const Vma& vma) const;

  Kernel& kernel_;
  std::uint64_t pages_ = 0;
  std::vector<Stretch> stretches_;  // by asid and address, once built
};

}  // namespace collapsar
