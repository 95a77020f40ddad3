// AddressSpace: one mm: its VMAs, its page table, mmap_lock, and what khugepaged must know of it.
//
// Models:      VMAs with splitting and merging, mmap_lock and (rules) per-VMA locks, heap and stack room, RSS counters,
//              MMF flags.
// Simplified:  no memory policies, no VM_SOFTDIRTY; mappings that a report names differently do not merge.
// Time:        none of its own; locks are waited for, costs are charged by page_fault, syscalls, khugepaged.
// Owns:        its VMAs and its PageTable. Pages belong to PhysicalMemory.
// Source:      khugepaged.md 1.2, 3, 5.8; Linux mm/mmap.c and mm/vma.c as documented.
//
// Invariants:
//  1. VMAs do not overlap and are ordered by start.
//  2. Every non-none PTE lies inside a VMA.
//  3. anon_rss, file_rss, swap_entries, huge_pages, file_huge_pages agree with the page table (check()).
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "models/kernel/kernel_context.h"
#include "models/kernel/timed_lock.h"

namespace collapsar {

using FileId = std::uint64_t;  // 0 = anonymous
using AnonVmaId = std::uint32_t;
using MemcgId = std::uint32_t;  // a memory control group (memcg.h); 0: none
using MappingId =
    std::uint32_t;  // index into AddressSpace::mappings: which named mapping a VMA belongs to, for reports
inline constexpr MappingId kUnnamed = ~0U;  // takes the name of the VMA it merges with, or one after its address

struct Vma {
  enum Flag : std::uint32_t {
    kRead = 1,
    kWrite = 2,
    kExec = 4,
    kShared = 8,
    kGrowsDown = 16,
    kLocked = 32,
    kHugePage = 64,
    kNoHugePage = 128,
    kHugetlb = 256,
    kNoReserve = 512,
    kIo = 1024,
    kTempStack = 2048,
    kAccount = 4096,      // its pages are charged against the commit limit
    kUffdMissing = 8192,  // userfaultfd: missing pages are reported
    kUffdWp = 16384,      // userfaultfd: writes to protected pages are reported
    kUffd = kUffdMissing | kUffdWp,
  };
  VirtRange range;
  std::uint32_t flags = 0;
  FileId file = 0;  // shared anonymous memory has a file of its own (shmem)
  std::uint64_t pgoff =
      0;  // page number of `range.start` in the file, or (anonymous) where the VMA was first put: start >> 12
  AnonVmaId anon_vma = 0;         // root of its tree of anon_vmas, for the reverse map; 0: no anonymous page yet
  AnonVmaId own_anon_vma = 0;     // vma->anon_vma: what merging compares
  bool shares_anon_vmas = false;  // its anon_vma_chain has several links: it came by a fork
  PageSize page = PageSize::k4K;  // hugetlb
  MappingId mapping = 0;
  std::uint32_t fault_readers = 0;  // faults under the per-VMA lock
  bool write_locked = false;        // by the holder of mmap_lock for write (vma_start_write)

  bool is(Flag f) const { return flags & f; }
  bool is_anonymous() const { return file == 0 && !is(kHugetlb); }  // vma_is_anonymous
  bool writable() const { return flags & kWrite; }
  std::uint64_t page_index(VirtAddr va) const { return pgoff + ((va - range.start) >> kPageShift); }
  // The part of it in `part`, with its own page offset.
  Vma cut(VirtRange part) const {
    Vma v = *this;
    v.range = part;
    v.pgoff = page_index(part.start);
    return v;
  }
  // Whether it holds the whole aligned 2 MiB block of `va`.
  bool holds_huge_block(VirtAddr va) const {
    return huge_base(va) >= range.start && huge_base(va) + kHugeBytes <= range.end;
  }
};

// A named mapping and what happened in it, kept for the report after the VMA is gone.
struct Mapping {
  std::string name;  // "heap", "stack", "libc.so.6", "anon-1ffd601000", a synthetic region
  std::uint64_t faults_minor = 0, faults_major = 0, faults_huge = 0, collapsed = 0;
  std::uint64_t walks = 0, walk_cycles = 0;  // written by the MMU's observer
};

class AddressSpace {
 public:
  AddressSpace(KernelContext& kernel, Asid asid, std::uint32_t pid);
  ~AddressSpace();

  PageTable& table() { return table_; }
  const PageTable& table() const { return table_; }
  Asid asid() const { return asid_; }
  std::uint32_t pid() const { return pid_; }
  TimedRwLock& mmap_lock() { return mmap_lock_; }
  // mm_users == 0: torn down, only struct references (khugepaged's slot) are left.
  bool exited() const { return exited_; }
  void set_exited() { exited_ = true; }

  // --- VMAs ---
  using Vmas =
      std::map<std::uint64_t, Vma>;  // by start; addresses stay valid until the VMA is split, merged or removed
  Vmas& vmas() { return vmas_; }
  const Vmas& vmas() const { return vmas_; }
  Vma* find(VirtAddr va);                // the VMA that contains `va`
  Vma* first_ending_above(VirtAddr va);  // find_vma(): contains `va` or lies above it
  // `va` lies in stack room below a growing stack VMA: extends that VMA. nullptr: not stack.
  Vma* expand_stack(VirtAddr va);
  // Adds a mapping, merging with neighbours where allowed. Requires: the range is free. Sets `merged` if an existing
  // VMA took it in. An unnamed mapping that merges with none is named after its address.
  enum class Adding : std::uint8_t { mmap, brk, copy };  // copy: by mremap
  Vma* add(const Vma& vma, bool* merged = nullptr, Adding how = Adding::mmap);
  // Adds a mapping as it is: what the image of a trace or a parent had apart stays apart.
  Vma* insert(const Vma& vma);
  // Cuts VMAs so that [range) begins and ends at VMA borders. PMDs that a border cuts must be split by the caller first
  // (split.h).
  void split_at(VirtRange range);
  // Removes the VMAs of the range. Requires: borders are cut, PTEs are zapped.
  void remove(VirtRange range);
  // Calls f(Vma&) for each VMA that overlaps `range`; f may not add or remove VMAs.
  template <class F>
  void for_each(VirtRange range, F&& f);
  // Gives `part` of `vma` other flags: merges it with its neighbours where allowed, else cuts it out. Returns the VMA
  // that holds it now. Requires: the flags differ; `part` lies in `vma`.
  struct Changed {
    Vma* vma;
    bool merged;
  };
  Changed change_flags(Vma& vma, VirtRange part, std::uint32_t flags);
  // A free range for mmap without address (top-down), aligned.
  VirtAddr find_free(std::uint64_t bytes, std::uint64_t alignment) const;
  MappingId mapping_named(const std::string& name);
  std::vector<Mapping>& mappings() { return mappings_; }

  // --- heap and stack ---
  VirtRange heap_room{}, stack_room{};
  VirtAddr brk{};

  // --- per-VMA locks (rules.per_vma_locks) ---
  // True: the fault may go on under the VMA's lock. False: take mmap_lock for read instead.
  bool vma_start_read(Vma& vma) { return !vma.write_locked && (++vma.fault_readers, true); }
  void vma_end_read(Vma& vma);
  // Requires: mmap_lock held for write. True: no reader was in; false: `drained` is scheduled when the last reader
  //           leaves.
  bool vma_start_write(Vma& vma, Event& drained);
  void vma_end_write_all();  // with the release of mmap_lock

  // --- page-table locks held for a whole step (scan, isolate): a fault on the same 2 MiB waits ---
  void lock_pte_table(VirtAddr base, LockOwner owner);
  void unlock_pte_table(VirtAddr base);
  bool pte_table_locked(VirtAddr va) const;
  void wait_pte_table(VirtAddr va, TimedRwLock::Waiter& waiter);       // Requires: pte_table_locked(va)
  std::optional<VirtAddr> locked_pte_table_in(VirtRange range) const;  // the lowest that is locked

  // --- counters (pages of 4 KiB) ---
  std::uint64_t anon_rss = 0, file_rss = 0, swap_entries = 0,
                huge_pages = 0;       // huge_pages: anonymous PMD-mapped 2 MiB pages
  std::uint64_t file_huge_pages = 0;  // PMD-mapped 2 MiB pages of files and shared memory
  std::uint64_t hugetlb_rss = 0;
  std::uint64_t rss_pages() const { return anon_rss + file_rss; }
  std::uint64_t peak_rss = 0;
  void add_anon(std::uint64_t pages) { anon_rss += pages, note_peak(); }
  void add_file(std::uint64_t pages) { file_rss += pages, note_peak(); }

  // --- THP state ---
  bool holds_huge_zero = false;  // a reference to the huge zero page (MMF_HUGE_ZERO_PAGE)
  bool registered = false;       // MMF_VM_HUGEPAGE: has a khugepaged slot
  // prctl(PR_SET_THP_DISABLE). except_advised: not where MADV_HUGEPAGE has been given, nor for MADV_COLLAPSE.
  enum class Disabled : std::uint8_t { no, completely, except_advised } thp = Disabled::no;
  bool thp_disabled() const { return thp == Disabled::completely; }
  // Huge pages are out of the question in `vma`, by advice or prctl. `forced`: MADV_COLLAPSE asks.
  bool refuses_thp(const Vma& vma, bool forced) const {
    const bool is_excepted = forced || vma.is(Vma::kHugePage);
    return vma.is(Vma::kNoHugePage) || thp_disabled() || (thp == Disabled::except_advised && !is_excepted);
  }
  MemcgId memcg = 0;

  // All that user space can address.
  VirtRange user_range() const { return {{0}, {1ULL << (kPageShift + 9 * table_.levels() - 1)}}; }
  // SIM_ASSERTs the invariants (slow). Requires: no collapse has a page table of it detached.
  void check() const;

 private:
  // vma_merge.cc
  struct Neighbours {
    Vma* low = nullptr;  // may take the new part in
    Vma* high = nullptr;
  };
  bool merges_names(const Vma& low, const Vma& high) const;
  bool is_continued(const Vma& low, const Vma& high) const;
  Neighbours mergeable(const Vma& part, Vma* low, Vma* high) const;
  Neighbours mergeable_with_new(const Vma& part, Vma* low, Vma* high, Adding how) const;
  Vma* merge(VirtAddr border);
  void cut_at(VirtAddr at);
  void note_peak() { peak_rss = std::max(peak_rss, rss_pages()); }

  KernelContext& kernel_;
  Asid asid_;
  std::uint32_t pid_;
  bool exited_ = false;
  TimedRwLock mmap_lock_;
  PageTable table_;
  Vmas vmas_;
  std::vector<Mapping> mappings_;
  struct PteLock {
    VirtAddr base;
    LockOwner owner;
    TimedRwLock::Waiter* first = nullptr;
    TimedRwLock::Waiter* last = nullptr;
  };
  std::vector<PteLock>::iterator pte_lock_of(VirtAddr va);
  LockStalls pte_stalls_;
  std::vector<PteLock> pte_locks_;
  Vma* write_wanted_ = nullptr;
  Event* write_drained_ = nullptr;
};

template <class F>
void AddressSpace::for_each(VirtRange range, F&& f) {
  auto it = vmas_.upper_bound(range.start.value);
  if (it != vmas_.begin() && std::prev(it)->second.range.end > range.start) --it;
  while (it != vmas_.end() && it->second.range.start < range.end) f((it++)->second);
}

// VMA eligibility for THP, khugepaged.md 3. `enforce_sysfs` false: MADV_COLLAPSE. `in_fault`: page fault mode (no size
// test, no anon_vma test).
bool thp_vma_allowable(const KernelContext& kernel, const AddressSpace& mm, const Vma& vma, bool enforce_sysfs,
                       bool in_fault);

}  // namespace collapsar
