// PageFault: from the exception to the return, one state, one function, one event each.
//
// Models:      entry -> lock (VMA or mmap_lock) -> VMA -> PMD level (huge page, huge zero page, registration with
//              khugepaged) -> PTE level: anonymous, zero page, file, shared memory, swap-in, copy-on-write, take-over of
//              exclusive pages; a huge page of the page cache by a PMD -> map -> unlock -> done. After every sleep the
//              entry is looked at again; whoever comes too late gives its page back.
// Simplified:  the pages that fault-around maps besides cost nothing; nobody answers a userfaultfd; no NUMA hinting; the stack grows under mmap_lock held for
//              read; hugetlb pages come straight from the buddy lists, are private and writable from the start; files
//              are read by a device without a queue; shared memory comes from swap without readahead.
// Time:        costs.fault_*; clears and copies through BulkCopy; lock waits, page-lock waits, device reads and direct
//              reclaim as they happen.
// Owns:        one fault context per task.
// Source:      khugepaged.md 5.8, 7.1, 7.2, 7.3; Linux mm/memory.c as documented.
#pragma once

#include <memory>
#include <vector>

#include "models/kernel/khugepaged_entry.h"
#include "models/kernel/process.h"
#include "models/kernel/range_history.h"
#include "models/kernel/reclaim.h"
#include "models/kernel/split.h"
#include "models/kernel/swap_cache.h"

namespace collapsar {

class Compaction;

class PageFault : public FaultHandler {
 public:
  PageFault(KernelContext& kernel, Processes& processes, Rmap& rmap, SwapCache& swap_cache, PageLocks& locks,
            Reclaim& reclaim, Compaction& compaction, Split& split, KhugepagedEntry& khugepaged);
  ~PageFault() override;

  void handle_fault(FaultRequest& request) override;
  // Free of cost, before time 0: the page (or, by policy, the huge page) is put in place. False: no VMA there, or its
  // protection forbids it. Throws SimulationError when memory is out.
  bool fault_now(AddressSpace& mm, VirtAddr va, Access access);
  // For MADV_POPULATE, MAP_POPULATE and mlock: faults in every page of the range, one after the other, with their costs;
  // `done` at the end, or at the first page that cannot be had. Requires: no fault of `task` is under way and it holds no
  // lock of `mm`.
  void populate(TaskId task, CpuId cpu, AddressSpace& mm, VirtRange range, Access access, Event& done);
  // For collapse (khugepaged.md 5.3): swaps in one entry with mmap_lock held for read by the caller, who lets
  // costs.fault_swap pass before.
  // `swapped_in`: mapped now. `retry`: the page is locked or under I/O (a read may have been started): the caller must
  // drop mmap_lock and give up. `must_wait` (synchronous devices): the read has been started and `done` comes when it is
  // finished; ask again then. `failed`: no memory.
  enum class SwapIn : std::uint8_t { swapped_in, must_wait, retry, failed };
  SwapIn swap_in(AddressSpace& mm, Vma& vma, VirtAddr va, CpuId cpu, Event& done);
  // The same for a swapped-out page of shared memory, which comes back into the page cache; it always waits for the
  // device, as SGP_CACHE callers of shmem_get_folio() do.
  SwapIn swap_in_shmem(FileId file, std::uint64_t index, CpuId cpu, Event& done);
  // Bytes of host memory, for the memory mark.
  std::uint64_t host_bytes() const;

 private:
  struct Context;   // one fault in progress
  struct Populate;  // one populate() in progress
  Context& context_of(TaskId task);
  // Reads one slot into a fresh frame that enters the LRU batch of `cpu`. kNoPfn: no memory.
  Pfn read_slot(SwapSlot slot, FrameUse use, AllocLevel level, CpuId cpu);
  // Starts the read of `va`'s swap entry (and its neighbours') into a fresh frame. kNoPfn: no memory.
  Pfn start_swap_read(AddressSpace& mm, const Vma& vma, VirtAddr va, AllocLevel level, CpuId cpu);
  // Moves the unlocked page of the swap cache back into the page cache. False: it is not there, or locked.
  bool take_shmem_from_swap(FileId file, std::uint64_t index);
  bool leaves_swap_cache(const Vma& vma, Pfn head, bool is_write);
  // Maps the unlocked page of the swap cache over the entry. True: writable.
  bool map_swapped(AddressSpace& mm, Vma& vma, VirtAddr va, Pfn pfn, bool is_write);

  KernelContext& kernel_;
  Processes& processes_;
  Rmap& rmap_;
  SwapCache& swap_cache_;
  PageLocks& locks_;
  Reclaim& reclaim_;
  Compaction& compaction_;
  Split& split_;
  KhugepagedEntry& khugepaged_;
  std::vector<std::unique_ptr<Context>> contexts_;  // by task
  std::unique_ptr<Context> timeless_;               // of fault_now
  std::vector<std::unique_ptr<Populate>> populates_;
};

}  // namespace collapsar
