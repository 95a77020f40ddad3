// Collapse: turns one 2 MiB range of small pages into a huge page, phase by phase, or puts everything back.
//
// Models:      scan of the 512 PTEs with every check in the kernel's order; then allocate, swap in, lock and
//              revalidate, flush, isolate, copy, release, commit; rollback of a failed isolation or copy. Serves khugepaged
//              and MADV_COLLAPSE.
// Simplified:  no NUMA; a poisoned page stays where it is after a failed copy, and takes down nobody; a failed isolation
//              is charged as if it had looked at every page; on a traced CPU, time that a copy waits for DRAM is not taken
//              from that CPU.
// Time:        one event per step (khugepaged.md 5.1); state changes when the step ends, except that the PMD goes away
//              when the flush begins. costs.scan_pte per PTE looked at, costs.collapse_*, isolate_page, release_page;
//              copies and clears through BulkCopy, flushes through TlbShootdown. The scan of MADV_COLLAPSE takes no
//              time of its own: the measured line that the other costs are derived from contains it.
// Owns:        the collapses in progress. Page tables and pages are the kernel's.
// Source:      khugepaged.md 4, 5, 6.
//
// Files:       collapse_scan.cc: the verdict on 512 PTEs. collapse_context.h: one collapse in progress, its steps in
//              order. collapse.cc: from the scan to the write lock. collapse_phases.cc: from the flush to the commit or
//              rollback. collapse_copy.cc: the copy and the release of the old pages. Ranges of files and shared memory:
//              file_collapse.h.
#pragma once

#include <memory>
#include <vector>

#include "models/kernel/observer.h"
#include "models/kernel/page_fault.h"
#include "models/kernel/pmd_state.h"
#include "models/kernel/range_history.h"

namespace collapsar {

class Compaction;

class Collapse {
 public:
  // One scan, and collapse if it succeeds. Owned by the asker, one at a time per object.
  struct Request {
    AddressSpace* mm = nullptr;
    VirtAddr base{};
    LockOwner owner = LockOwner::khugepaged;  // or madvise_collapse: thresholds, young test, sysfs are not applied
    CpuId cpu = kNoCpu;                       // whose time it takes
    Event* done = nullptr;
    // --- answer ---
    ScanResult result = ScanResult::FAIL;
    ScanCounts counts;
    std::optional<KernelObserver::PmdScan::SwapIn> swapin;  // the stages it came to
    std::optional<KernelObserver::PmdScan::Isolate> isolate;
    bool mmap_lock_dropped = false;  // true after every attempt to collapse (khugepaged.md 5.1)
    bool attempted = false;
  };

  Collapse(KernelContext& kernel, Rmap& rmap, PageFault& faults, PageLocks& locks, Reclaim& reclaim,
           Compaction& compaction, Split& split);
  ~Collapse();
  // Requires: mmap_lock of the mm held for read by the asker, whose hold passes to the request; still held at the end
  // iff !mmap_lock_dropped.
  void scan_and_collapse(Request& request);
  // Only the verdict, at once and free of time (tests, reports).
  ScanResult verdict(AddressSpace& mm, VirtAddr base, LockOwner owner, ScanCounts& counts) const;
  // Collapses that could start at this moment: ranges that pass the VMA test and have a PTE table. For the honest-time
  // line.
  std::uint64_t candidates(AddressSpace& mm) const;
  void cut_spans();  // what is under way is drawn up to now

 private:
  struct Context;

  // What the asker tolerates. MADV_COLLAPSE is not limited: no count exceeds 512.
  struct Limits {
    std::uint32_t none = kHugePages, swap = kHugePages, shared = kHugePages;
    bool young_test = false;
  };
  // For the range at `base`: in memory that a userfaultfd watches nothing may be missing.
  Limits limits_of(LockOwner owner, AddressSpace& mm, VirtAddr base) const;
  ScanResult state_of_pmd(const AddressSpace& mm, VirtAddr base) const {
    return pmd_state(mm.table(), base, kernel_.rules);
  }
  bool is_lazyfree(const Frame& folio, Pte pte, const Limits& limits) const {
    return kernel_.rules.skips_lazyfree && limits.young_test && folio.is(Frame::kLazyFree) && !pte.dirty();
  }
  ScanResult scan_ptes(const std::array<Pte, kHugePages>& ptes, const Limits& limits, ScanCounts& counts) const;
  ScanResult look_at_ptes(const std::array<Pte, kHugePages>& ptes, const Limits& limits, ScanCounts& counts) const;
  ScanResult scan_page(Pte pte, const Limits& limits, ScanCounts& counts) const;
  // The thp_scan_exceed_* counters.
  void count_exceeded(ScanResult result) const;
  Context& idle_context();

  KernelContext& kernel_;
  Rmap& rmap_;
  PageFault& faults_;
  PageLocks& locks_;
  Reclaim& reclaim_;
  Compaction& compaction_;
  Split& split_;
  std::vector<std::unique_ptr<Context>> contexts_;
};

}  // namespace collapsar
