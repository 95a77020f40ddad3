// FileCollapse: turns 2 MiB of small pages of the page cache into one huge page: shared memory, read-only files.
//
// Models:      scan of 512 entries of the page cache; then allocate, lock, read in what is on swap or not cached,
//              isolate and unmap everywhere, flush, copy, replace, empty the page tables of all mappings; or all back.
//              Serves khugepaged and MADV_COLLAPSE; neither holds mmap_lock meanwhile.
// Simplified:  no NUMA; copying never meets poisoned memory; no file-system private data.
// Time:        one event per step, as Collapse: costs.scan_pte per entry, collapse_*, isolate_page, release_page,
//              retract_table; copies through BulkCopy, flushes through TlbShootdown. The scan of MADV_COLLAPSE is free.
// Owns:        the collapses in progress.
// Source:      khugepaged.md 5.9.
//
// Files:       file_collapse_scan.cc: the verdict. file_collapse_context.h: one collapse in progress, its steps in
//              order. file_collapse.cc: from the scan to the last page isolated. file_collapse_phases.cc: the rest.
#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "models/kernel/file_tables.h"
#include "models/kernel/file_writeback.h"
#include "models/kernel/page_fault.h"
#include "models/kernel/range_history.h"

namespace collapsar {

class Compaction;

class FileCollapse {
 public:
  // One scan, and collapse if it succeeds. Owned by the asker, one at a time per object.
  struct Request {
    AddressSpace* mm = nullptr;
    VirtAddr base{};  // of the asker's mapping
    FileId file = 0;
    std::uint64_t first = 0;  // page of the file at `base`
    LockOwner owner = LockOwner::khugepaged;
    CpuId cpu = kNoCpu;
    Event* done = nullptr;
    // --- answer ---
    ScanResult result = ScanResult::FAIL;
    std::uint32_t present = 0, swap = 0, looked_at = 0;
    std::optional<ScanResult> collapse;  // if one was tried
    bool made_huge = false;              // a huge page stands in the page cache now
    Duration scan_cost{}, collapse_cost{};
    // For the history of the range: MADV_COLLAPSE's is noted at the end, khugepaged's when it has seen to the page table.
    RangeHistory::Scan story() const;
  };

  FileCollapse(KernelContext& kernel, Rmap& rmap, PageFault& faults, PageLocks& locks, Reclaim& reclaim,
               Compaction& compaction, FileTables& tables);
  ~FileCollapse();
  void scan_and_collapse(Request& request);
  void cut_spans();  // what is under way is drawn up to now
  FileTables& tables() { return tables_; }
  FileWriteback& writeback() { return writeback_; }

 private:
  struct Context;
  ScanResult verdict(Request& request) const;
  ScanResult look_at_page(FileId file, std::uint64_t first, Pfn pfn) const;
  bool is_limited(const Request& request) const { return request.owner == LockOwner::khugepaged; }
  void count_exceeded(ScanResult result) const;

  KernelContext& kernel_;
  Rmap& rmap_;
  PageFault& faults_;
  PageLocks& locks_;
  Reclaim& reclaim_;
  Compaction& compaction_;
  FileTables& tables_;
  FileWriteback writeback_;
  std::vector<std::unique_ptr<Context>> contexts_;
};

}  // namespace collapsar
