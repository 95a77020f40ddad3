// SyscallTable: what programs ask of their address space, each call a short timed state machine.
//
// Models:      mmap, munmap, mprotect, mremap, brk, madvise (every advice of the design), mlock, munlock,
//              prctl(THP_DISABLE), fork, exec, exit, clear_refs; mmap_lock as they take it; shootdowns; huge PMD splits
//              at cut borders.
// Simplified:  errors that a trace cannot contain are not modelled; file contents are not. munmap keeps mmap_lock for
//              write to the end. Neighbours of a changed range are write-locked whether or not they merge.
//              MADV_COLLAPSE, MADV_PAGEOUT and MADV_WILLNEED before time 0 do nothing; MADV_PAGEOUT submits its writes
//              after mmap_lock is given back.
// Time:        syscall_entry, waits for locks, the cost of what is found in the page table, then the change, then the
//              flush (memory_calls.h).
// Source:      khugepaged.md 1.2, 6, 7.4; Linux mm/madvise.c, mm/mmap.c as documented.
#pragma once

#include <memory>
#include <vector>

#include "models/kernel/collapse.h"
#include "models/kernel/file_collapse.h"
#include "models/kernel/memory_calls.h"
#include "models/kernel/page_fault.h"

namespace collapsar {

class SyscallTable : public Syscalls {
 public:
  SyscallTable(KernelContext& kernel, Processes& processes, Rmap& rmap, SwapCache& swap_cache, Reclaim& reclaim,
               Split& split, PageFault& faults, Collapse& collapse, FileCollapse& file_collapse,
               KhugepagedEntry& khugepaged);
  ~SyscallTable() override;
  void syscall(SyscallRequest& request) override;
  void syscall_now(SyscallRequest& request) override;
  TaskId create_process(std::uint32_t pid, const std::string& name) override;
  AddressSpaceRoot root_of(TaskId task) override;
  bool prefault(TaskId task, VirtAddr va, Access access) override;
  bool at_rest() const;  // no call, and no write of a MADV_PAGEOUT, is under way

 private:
  struct Context;  // one call in progress
  Context& free_context();
  KernelContext& kernel_;
  Processes& processes_;
  Reclaim& reclaim_;
  PageFault& faults_;
  Collapse& collapse_;
  FileCollapse& file_collapse_;
  MemoryCalls calls_;
  std::vector<std::unique_ptr<Context>> contexts_;
};

}  // namespace collapsar
