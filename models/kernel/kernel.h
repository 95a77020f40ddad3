// Kernel: all parts of the simulated kernel, built in order and connected.
//
// Owns:        every part; see each header. The neighbours (memory, DRAM, swap, CPUs) come from outside.
#pragma once

#include <memory>

#include "models/kernel/collapse.h"
#include "models/kernel/compaction.h"
#include "models/kernel/file_collapse.h"
#include "models/kernel/huge_zero_page.h"
#include "models/kernel/khugepaged.h"
#include "models/kernel/memcg.h"
#include "models/kernel/syscalls.h"

namespace collapsar {

class Kernel {
 public:
  Kernel(EventQueue& queue, PhysicalMemory& memory, Dram& dram, SwapDevice& swap, TlbShootdown& shootdown,
         CpuPort& cpus, const KernelConfig& config, unsigned page_table_levels);
  ~Kernel();
  // Memory in pieces, as after long use (fragmentation.h). Before start().
  void fragment(const FragmentationConfig& config, std::uint64_t seed);
  void start() { khugepaged_.start_or_stop(), compaction_.start(); }  // daemons

  PageFault& faults() { return faults_; }
  Syscalls& syscalls() { return syscalls_; }
  Processes& processes() { return processes_; }
  Khugepaged& khugepaged() { return khugepaged_; }
  Collapse& collapse() { return collapse_; }
  FileCollapse& file_collapse() { return file_collapse_; }
  Reclaim& reclaim() { return reclaim_; }
  Compaction& compaction() { return compaction_; }
  Split& split() { return split_; }
  Rmap& rmap() { return rmap_; }
  PageCache& page_cache() { return page_cache_; }
  SwapCache& swap_cache() { return swap_cache_; }
  HugeZeroPage& huge_zero() { return huge_zero_; }
  RangeHistory& history() { return history_; }
  KernelStats& stats() { return stats_; }
  Memcgs& memcgs() { return memcgs_; }
  KernelContext& context() { return context_; }
  // What is configured, to be changed while the kernel runs only as sysfs would (sysfs.h).
  KernelConfig& config() { return config_; }
  // `enabled` has changed: khugepaged starts or stops, the free-memory reserve is raised (start_stop_khugepaged).
  void thp_switched();
  // Before the first page: who writes to a page sets Frame::kData (4 KiB frames, those of huge pages too).
  void follow_contents() { context_.follows_contents = true; }
  // nullptr: nobody watches.
  void set_observer(KernelObserver* observer) { context_.observer = observer; }
  // Before the first process: who draws what daemons, reclaim, collapses and waiters of locks do.
  void set_spans(SpanSink* sink) { context_.spans = sink; }
  // What is under way is drawn up to now (end of a run).
  void cut_spans();
  // SIM_ASSERTs every law of the kernel: frames conserved, counters and map counts agree with page tables, swap slots
  // with their users. Not at rest (a fault, collapse, system call or swap-out is under way), pages on their way between
  // two holders are tolerated.
  void check(bool at_rest = true);
  // No system call, swap-out, swap request or compaction is under way.
  bool at_rest() const { return syscalls_.at_rest() && context_.swap.in_flight() == 0 && compaction_.at_rest(); }

 private:
  struct Census;
  KernelConfig config_;
  KernelStats stats_;
  Memcgs memcgs_;
  KernelContext context_;
  PageCache page_cache_;
  HugeZeroPage huge_zero_;
  Rmap rmap_;
  PageLocks locks_;
  SwapCache swap_cache_;
  Reclaim reclaim_;
  Compaction compaction_;
  Split split_;
  RangeHistory history_;
  Processes processes_;
  // Faults register address spaces with khugepaged, which is built after them: the entry is connected through this
  // relay.
  struct EntryRelay : KhugepagedEntry {
    KhugepagedEntry* to = nullptr;
    void enter_vma(AddressSpace& mm, const Vma& vma) override { to->enter_vma(mm, vma); }
    void fork(AddressSpace& parent, AddressSpace& child) override { to->fork(parent, child); }
    bool add_pte_mapped(AddressSpace& mm, VirtAddr base) override { return to->add_pte_mapped(mm, base); }
    void exit(AddressSpace& mm) override { to->exit(mm); }
  } entry_;
  PageFault faults_;
  Collapse collapse_;
  FileTables file_tables_;
  FileCollapse file_collapse_;
  Khugepaged khugepaged_;
  SyscallTable syscalls_;
};

}  // namespace collapsar
