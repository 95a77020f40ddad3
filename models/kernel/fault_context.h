// PageFault::Context: one fault in progress, its states and its events. Private to page_fault.cc and fault_*.cc.
//
// Invariants:
//  1. `page` is a frame allocated and not yet mapped; whoever leaves a state without mapping it gives it back.
//  2. `source` is pinned while it is copied.
//  3. While `lock` is not none the VMA stays. Sleeping for a page or a device drops the lock, and the fault begins again
//     at take_lock(), as VM_FAULT_RETRY does.
#pragma once

#include "models/kernel/huge_alloc.h"
#include "models/kernel/page_fault.h"

namespace collapsar {

constexpr std::uint64_t bits_if(bool condition, std::uint64_t bits) { return condition ? bits : 0; }

struct PageFault::Context {
  explicit Context(PageFault& owner)
      : fault(owner),
        kernel(owner.kernel_),
        copy(kernel.queue, kernel.dram),
        huge_search(kernel, owner.reclaim_, owner.compaction_) {}

  // page_fault.cc: entry, locks, dispatch, end
  void begin(FaultRequest& asked, AddressSpace* space, bool exception);
  void reset(AddressSpace* space, VirtAddr address, Access kind);
  void take_lock();     // entry cost has passed, or a retry
  void lock_granted();  // mmap_lock for read
  void at_vma();
  void at_pmd();
  void at_pte();
  [[noreturn]] void nobody_answers();
  void spurious();
  void resolved() { finish(FaultRequest::Outcome::resolved); }
  void finish(FaultRequest::Outcome result);
  void count();
  void release_lock();
  void sleep();
  void wake();
  void retry_unlocked() { wake(), take_lock(); }  // the page waited for is unlocked

  // fault_memory.cc: frames and moving them
  Pfn allocate(unsigned order, FrameUse use);  // kNoPfn: below min
  void add_to_lru(Pfn pfn) const;
  void drain_lru() const;          // of this CPU
  bool take_page(FrameUse use);    // `page` for one 4 KiB page; false: reclaim is under way, all begins again
  [[noreturn]] void over_limit();  // of the control group
  bool ensure_pte_table();         // likewise
  bool may_get_table() const { return kernel.memory.free_pages() > kernel.memory.watermarks().min; }
  void reclaim_memory(std::uint64_t pages);
  void reclaimed();
  void give_back(Pfn pfn);
  void lost_race();  // someone else changed the entry: look again
  void drop_source();
  void clear(Pfn target, std::uint64_t pages, Event& done, void (Context::*then)());
  void wait_for_page(Pfn locked_page);
  void wait_for_read(Pfn locked_page);
  bool entry_is_free(Event& again);  // false: its table is locked, `again` comes when it is not
  Pte* unchanged_entry();            // nullptr: someone was faster
  Duration flush_cost() const;
  void flush_page() const;
  Pte small_pte(Pfn pfn, std::uint64_t flags) const;

  // fault_huge.cc: 2 MiB, huge zero page, hugetlb
  bool wants_huge() const;
  void huge_missing();
  void huge_zero();
  void huge_zero_cleared();
  void install_huge_zero();
  void huge_alloc();
  void get_huge_page(FrameUse use);
  void huge_found();
  void use_huge_page(Pfn found, FrameUse use);
  void no_huge_anon();
  void huge_cleared();
  void install_huge();
  void clear_huge_zero();
  void fall_back();
  void at_huge_pmd();
  void at_huge_zero();
  bool may_take_over_huge(Pfn head, Pte leaf);
  void take_over_huge();
  void split_huge();
  void hugetlb();
  void hugetlb_cleared();
  void install_hugetlb();
  void note_huge();

  // fault_anon.cc: anonymous pages, zero page, copy-on-write
  void anon_missing();
  void install_zero();
  void anon_new();
  void anon_cleared();
  void install_anon();
  void write_protected();
  bool may_take_over(Pfn pfn, Pte pte);
  void take_over();
  void copy_from(Pfn from);
  void copied();
  void install_copy();

  // fault_file.cc: page cache
  bool is_shmem() const { return PageCache::is_shmem(vma->file); }
  PageCache& cache() const { return *kernel.page_cache; }
  void file_missing();
  void file_read_begin(std::uint64_t index);
  void file_read_done();
  void map_cached(Pfn cached);
  bool may_map_huge_file(Pfn head) const;
  void install_file_huge();
  void install_file();
  VirtRange neighbours() const;
  bool are_neighbours_cached() const;
  void map_around();
  void make_shared_writable();

  // fault_shmem.cc: shared memory that is not in the page cache
  void shmem_missing(std::uint64_t index);
  bool wants_huge_shmem(std::uint64_t index) const;
  void no_huge_shmem();
  void huge_shmem_cleared();
  void shmem_cleared();
  void shmem_swapped(SwapSlot slot);
  void shmem_swapped_in();

  // fault_swap.cc
  void swap_fault();
  bool drains_before_write(Pfn cached) const;
  void install_swapped();

  // Lets `d` pass, then `Method` goes on.
  template <auto Method>
  void pass(Duration d, Event& event) {
    if (timeless) return (this->*Method)();
    const Time then = kernel.queue.now() + d;
    if (kernel.queue.try_advance(then)) return (this->*Method)();
    kernel.queue.schedule(event, then);
  }
  VirtAddr page_address() const { return align_down(va, kPageBytes); }
  bool is_write() const { return access == Access::write; }
  const KernelCosts& costs() const { return kernel.config.costs; }

  PageFault& fault;
  KernelContext& kernel;
  FaultRequest* request = nullptr;
  FaultRequest::Outcome outcome = FaultRequest::Outcome::resolved;
  AddressSpace* mm = nullptr;
  Vma* vma = nullptr;
  VirtAddr va{};
  Access access = Access::read;
  Time began{};
  enum class Lock : std::uint8_t { none, vma, mmap } lock = Lock::none;
  bool busy = false, timeless = false, is_exception = false, asleep = false;
  bool retried = false;          // slept without its lock: goes on under mmap_lock
  bool waited = false;           // for a device or a locked page: major
  bool no_huge = false;          // the PMD level has been tried
  bool may_look_around = false;  // do_fault_around() comes before the page is made or read, once
  bool over_charge = false;      // the control group has no room for the huge page
  bool over_huge_zero = false;   // the huge page takes the place of the huge zero page
  bool got_huge = false, got_cow = false;
  Pfn page = kNoPfn, source = kNoPfn, file_page = kNoPfn;
  Pte seen{};  // the entry when the decision was made
  BulkCopy copy;
  TimedRwLock::Waiter waiter{};
  Reclaim::DirectReclaim direct_reclaim{};
  HugeAlloc huge_search;

#define COLLAPSAR_FAULT_EVENT(member, method) \
  Event member = event<&Context::method>(this, "fault." #method, Phase::kernel)
  COLLAPSAR_FAULT_EVENT(entered_, take_lock);
  COLLAPSAR_FAULT_EVENT(lock_granted_, lock_granted);
  COLLAPSAR_FAULT_EVENT(table_unlocked_, at_pmd);
  COLLAPSAR_FAULT_EVENT(page_unlocked_, retry_unlocked);
  COLLAPSAR_FAULT_EVENT(read_done_, at_pmd);
  COLLAPSAR_FAULT_EVENT(reclaimed_, reclaimed);
  COLLAPSAR_FAULT_EVENT(spurious_, resolved);
  COLLAPSAR_FAULT_EVENT(huge_zero_cleared_, huge_zero_cleared);
  COLLAPSAR_FAULT_EVENT(huge_zero_ready_, install_huge_zero);
  COLLAPSAR_FAULT_EVENT(huge_found_, huge_found);
  COLLAPSAR_FAULT_EVENT(huge_cleared_, huge_cleared);
  COLLAPSAR_FAULT_EVENT(huge_ready_, install_huge);
  COLLAPSAR_FAULT_EVENT(take_over_huge_ready_, take_over_huge);
  COLLAPSAR_FAULT_EVENT(pmd_split_, at_pmd);
  COLLAPSAR_FAULT_EVENT(hugetlb_cleared_, hugetlb_cleared);
  COLLAPSAR_FAULT_EVENT(hugetlb_ready_, install_hugetlb);
  COLLAPSAR_FAULT_EVENT(zero_ready_, install_zero);
  COLLAPSAR_FAULT_EVENT(anon_cleared_, anon_cleared);
  COLLAPSAR_FAULT_EVENT(anon_ready_, install_anon);
  COLLAPSAR_FAULT_EVENT(take_over_ready_, take_over);
  COLLAPSAR_FAULT_EVENT(copied_, copied);
  COLLAPSAR_FAULT_EVENT(copy_ready_, install_copy);
  COLLAPSAR_FAULT_EVENT(file_read_, file_read_done);
  COLLAPSAR_FAULT_EVENT(shmem_cleared_, shmem_cleared);
  COLLAPSAR_FAULT_EVENT(huge_shmem_cleared_, huge_shmem_cleared);
  COLLAPSAR_FAULT_EVENT(shmem_swap_ready_, shmem_swapped_in);
  COLLAPSAR_FAULT_EVENT(file_huge_ready_, install_file_huge);
  COLLAPSAR_FAULT_EVENT(file_ready_, install_file);
  COLLAPSAR_FAULT_EVENT(shared_write_ready_, make_shared_writable);
  COLLAPSAR_FAULT_EVENT(swap_ready_, install_swapped);
#undef COLLAPSAR_FAULT_EVENT
};

}  // namespace collapsar
