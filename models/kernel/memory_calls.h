// MemoryCalls: what each system call costs and changes, free of time; SyscallTable lets the time pass.
//
// Models:      mmap, munmap, mprotect, mremap, brk, madvise, mlock, munlock, prctl(THP_DISABLE), clear_refs, fork,
//              exec, exit, threads, and building the image a trace starts with.
// Simplified:  MADV_* not listed in Advice's comment are accepted and do nothing; MADV_WILLNEED reads swap, not files;
//              mlock costs no more than its faults; mremap does not move hugetlb pages.
// Source:      khugepaged.md 1.2, 7.4; Linux mm/mmap.c, mm/mremap.c, mm/mprotect.c, mm/madvise.c, kernel/fork.c as
//              documented.
#pragma once

#include <cerrno>
#include <string>
#include <vector>

#include "models/kernel/khugepaged_entry.h"
#include "models/kernel/process.h"
#include "models/kernel/reclaim.h"
#include "models/kernel/split.h"
#include "models/kernel/swap_cache.h"

namespace collapsar {

// Numbers of include/uapi/asm-generic/mman-common.h. Modelled: willneed dontneed free hugepage nohugepage cold pageout
// populate_read populate_write collapse. Simplified: the others are accepted and do nothing.
enum class Advice : std::uint32_t {
  normal = 0,
  random = 1,
  sequential = 2,
  willneed = 3,
  dontneed = 4,
  free = 8,
  remove = 9,
  dontfork = 10,
  dofork = 11,
  mergeable = 12,
  unmergeable = 13,
  hugepage = 14,
  nohugepage = 15,
  dontdump = 16,
  dodump = 17,
  wipeonfork = 18,
  keeponfork = 19,
  cold = 20,
  pageout = 21,
  populate_read = 22,
  populate_write = 23,
  collapse = 25,
};

// What a userfaultfd is asked: to watch a range for missing pages or for writes to protected ones, to protect it, or to
// leave it alone. Nobody answers: a fault that it would report ends the run.
enum class UffdMode : std::uint8_t { missing, wp, protect, off };

// What is left to do after a call has changed the state.
struct SyscallEffect {
  Duration cost{};  // found out while changing: splits
  bool needs_flush = false;
  VirtRange flush{};
  PageSize stride = PageSize::k4K;
  bool tables_freed = false;
  struct Populate {
    VirtRange range;
    Access access;
  };
  std::vector<Populate> populate;
  std::vector<Pfn> page_out;  // heads, pinned until let_go()
};

class MemoryCalls {
 public:
  enum class LockMode : std::uint8_t { none, read, write };  // how a call takes mmap_lock

  MemoryCalls(KernelContext& kernel, Processes& processes, Rmap& rmap, SwapCache& swap_cache, Reclaim& reclaim,
              Split& split, KhugepagedEntry& khugepaged);
  static LockMode lock_mode(const SyscallRequest& request);
  // Where the call changes VMAs, neighbours that may merge included: these are write-locked first.
  std::vector<VirtRange> changed_vmas(const SyscallRequest& request, const AddressSpace& mm) const;
  // Before the change, from what the page table holds.
  Duration cost(const SyscallRequest& request, const AddressSpace& mm) const;
  // Frames that page tables may need.
  std::uint64_t frames_needed(const SyscallRequest& request, const AddressSpace& mm) const;
  // exec and exit: the address space stops being anybody's, before its locks are taken.
  void leave(AddressSpace& mm);
  // Does it, all at once. Sets request.error, .new_task and, for mmap without an address, .address.
  SyscallEffect apply(SyscallRequest& request, AddressSpace& mm);
  // Unpins what is to be paged out: nothing happens between this and Reclaim::page_out().
  void let_go(const SyscallEffect& effect);

 private:
  struct Entries {
    std::uint64_t pages = 0,
                  huge = 0;  // 4 KiB entries (those of a huge page cut by the range included), whole huge entries
  };
  Entries entries(const AddressSpace& mm, VirtRange range) const;
  Duration zap_cost(const AddressSpace& mm, VirtRange range) const;
  Duration rewrite_cost(const AddressSpace& mm, VirtRange range) const;
  Duration advice_cost(const SyscallRequest& request, const AddressSpace& mm) const;

  // memory_calls.cc
  void mmap(SyscallRequest& request, AddressSpace& mm, SyscallEffect& effect);
  VirtRange place_mapping(SyscallRequest& request, const AddressSpace& mm) const;
  Vma new_vma(const SyscallRequest& request, AddressSpace& mm, VirtRange range);
  void unmap(AddressSpace& mm, VirtRange range, CpuId cpu, SyscallEffect& effect);
  void munmap(SyscallRequest& request, AddressSpace& mm, SyscallEffect& effect);
  void brk(SyscallRequest& request, AddressSpace& mm, SyscallEffect& effect);
  static bool is_room_taken(AddressSpace& mm, VirtRange room);
  void add_image_vma(const SyscallRequest& request, AddressSpace& mm);
  void set_stack_room(AddressSpace& mm, VirtRange room);
  void set_heap_room(AddressSpace& mm, VirtRange room);
  // mremap.cc
  void mremap(SyscallRequest& request, AddressSpace& mm, SyscallEffect& effect);
  void extend(AddressSpace& mm, const Vma& vma, VirtRange by);
  void move(AddressSpace& mm, VirtRange from, VirtRange to, CpuId cpu, SyscallEffect& effect);
  void move_block(AddressSpace& mm, VirtAddr from, VirtAddr to, std::uint64_t bytes, CpuId cpu, SyscallEffect& effect);
  void note_moved(const AddressSpace& mm, VirtAddr from, VirtAddr to);  // of a huge page
  // memory_flags.cc
  Vma& change_flags(AddressSpace& mm, Vma& vma, VirtRange part, std::uint32_t flags, CpuId cpu, SyscallEffect& effect);
  void mprotect(SyscallRequest& request, AddressSpace& mm, SyscallEffect& effect);
  std::uint32_t protected_flags(const Vma& vma, std::uint32_t prot) const;
  void protect_pages(AddressSpace& mm, const Vma& vma, VirtRange part, CpuId cpu, SyscallEffect& effect);
  Pte protected_as(Pte pte, const Vma& vma, PageSize size) const;
  bool may_become_writable(Pte pte, const Vma& vma, PageSize size) const;
  void mlock(SyscallRequest& request, AddressSpace& mm, SyscallEffect& effect);
  void munlock(SyscallRequest& request, AddressSpace& mm, SyscallEffect& effect);
  void mark_locked(AddressSpace& mm, VirtRange part, bool locked);
  int populate_locked(AddressSpace& mm, VirtRange range, SyscallEffect& effect);
  void populate_mapped(AddressSpace& mm, VirtRange range, SyscallEffect& effect);
  void clear_refs(AddressSpace& mm, SyscallEffect& effect);
  // madvise.cc
  void madvise(SyscallRequest& request, AddressSpace& mm, SyscallEffect& effect);
  int advise(const SyscallRequest& request, AddressSpace& mm, Vma& vma, VirtRange part, SyscallEffect& effect);
  int advise_huge(const SyscallRequest& request, AddressSpace& mm, Vma& vma, VirtRange part, SyscallEffect& effect);
  void populate_advised(SyscallRequest& request, AddressSpace& mm, VirtRange range, SyscallEffect& effect);
  int dont_need(AddressSpace& mm, VirtRange part, CpuId cpu, SyscallEffect& effect);
  int free_lazily(AddressSpace& mm, const Vma& vma, VirtRange part, SyscallEffect& effect);
  int make_cold(AddressSpace& mm, VirtRange part, bool page_out, SyscallEffect& effect);
  int will_need(AddressSpace& mm, VirtRange range, CpuId cpu);
  void will_need_shmem(const Vma& vma, VirtRange range, CpuId cpu);
  // madvise_reclaim.cc
  enum class LargePage : std::uint8_t { whole, look_again, pass_over, end_table };
  LargePage deal_with_large(AddressSpace& mm, VirtRange part, bool is_free, std::uint64_t& length,
                            SyscallEffect& effect);
  std::uint64_t batch_length(AddressSpace& mm, VirtRange part) const;
  template <class Present, class Swapped>
  void advise_table(AddressSpace& mm, VirtRange part, bool is_free, SyscallEffect& effect, Present&& present,
                    Swapped&& swapped);
  template <class Whole>
  bool advise_huge_pmd(AddressSpace& mm, VirtRange part, bool is_shared, SyscallEffect& effect, Whole&& whole);
  void free_small(AddressSpace& mm, VirtAddr va, Pte& pte, std::uint64_t length, SyscallEffect& effect);
  void free_entries(AddressSpace& mm, VirtAddr va, Pte& first, std::uint64_t length, PageSize size,
                    SyscallEffect& effect);
  void make_page_cold(VirtAddr va, Pte& first, std::uint64_t length, PageSize size, bool page_out,
                      SyscallEffect& effect);
  // userfaultfd.cc
  void userfaultfd(SyscallRequest& request, AddressSpace& mm, SyscallEffect& effect);
  int arm(AddressSpace& mm, VirtRange range, std::uint32_t flag, CpuId cpu, SyscallEffect& effect);
  int write_protect(AddressSpace& mm, VirtRange range, CpuId cpu, SyscallEffect& effect);
  void lift_protection(AddressSpace& mm, const Vma& vma, VirtRange part, SyscallEffect& effect);
  // fork.cc
  void thp_disable(SyscallRequest& request, AddressSpace& mm) const;
  void fork(SyscallRequest& request, AddressSpace& mm, SyscallEffect& effect);
  void copy_image(AddressSpace& parent, AddressSpace& child);
  void exec(const SyscallRequest& request, AddressSpace& mm);
  void tear_down(AddressSpace& mm, CpuId cpu);

  // Calls visit(Vma&, VirtRange part) -> errno for each VMA of the range, from below; ends at the first error, and at a
  // hole (ENOMEM) unless `past_holes`. visit may split and merge VMAs.
  template <class Visit>
  static int walk_vmas(AddressSpace& mm, VirtRange range, bool past_holes, Visit&& visit);
  static VirtRange pages_of(std::uint64_t address, std::uint64_t length);
  static void add_flush(SyscallEffect& effect, VirtRange range, PageSize stride = PageSize::k4K);

  KernelContext& kernel_;
  Processes& processes_;
  Rmap& rmap_;
  SwapCache& swap_cache_;
  Reclaim& reclaim_;
  Split& split_;
  KhugepagedEntry& khugepaged_;
};

template <class Visit>
int MemoryCalls::walk_vmas(AddressSpace& mm, VirtRange range, bool past_holes, Visit&& visit) {
  int hole = 0;
  for (VirtAddr at = range.start; at < range.end;) {
    Vma* vma = mm.first_ending_above(at);
    if (!vma || vma->range.start > at) hole = ENOMEM;
    if (!vma || (hole && !past_holes)) return hole;
    const VirtRange part = VirtRange{at, range.end}.intersect(vma->range);
    if (part.empty()) break;
    if (const int error = visit(*vma, part)) return error;
    at = part.end;
  }
  return hole;
}

}  // namespace collapsar
