// Rmap: which page is mapped where, and the life of a mapped page from its first mapping to the return of its frame.
//
// Models:      anon_vma (one per chain of forks), page -> PTEs by page index, map counts, RSS counters, release of frames
//              and swap slots by the last user.
// Simplified:  one flat anon_vma per fork chain in place of the kernel's tree of anon_vma_chains; fork leaves private hugetlb pages to the parent, the child faults in its own;
//              a folio is tracked for any number of address spaces, where the kernel (6.18) tells two apart exactly.
// Time:        none; callers charge the costs.
// Owns:        the anon_vma registry.
// Source:      Linux mm/rmap.c as documented; khugepaged.md 5.5 (who is freed when), 7.4.
//
// Invariants:
//  1. Frame::mapcount = number of PTEs of this 4 KiB page over all address spaces; pmd_mapcount = number of PMDs of the
//     compound page.
//  2. An anonymous frame that nothing maps, pins or caches is freed at once; so is a file page that has left the page
//     cache and the swap cache.
#pragma once

#include <functional>
#include <vector>

#include "models/kernel/address_space.h"
#include "models/kernel/page_cache.h"

namespace collapsar {

class Reclaim;
class Split;
class SwapCache;

class Rmap {
 public:
  Rmap(KernelContext& kernel, PageCache& page_cache);
  // Set once, at construction of the kernel: LRU lists, deferred splits, pages that only the swap cache holds.
  void set_reclaim(Reclaim& reclaim) { reclaim_ = &reclaim; }
  void set_split(Split& split) { split_ = &split; }
  void set_swap_cache(SwapCache& swap_cache) { swap_cache_ = &swap_cache; }

  // --- anon_vma ---
  // Gives `vma` an anon_vma if it has none (anon_vma_prepare).
  void prepare_anon_vma(AddressSpace& mm, Vma& vma);
  void fork_anon_vmas(AddressSpace& parent, AddressSpace& child);  // after the VMAs were copied
  void forget(AddressSpace& mm);                                   // the mm is gone

  // --- mapping pages; PTEs are written here, RSS and map counts kept ---
  // The map functions only write the entry: what stood there before (a page, a swap entry, the zero page) is the
  // caller's to take back, after mapping, with drop_mapping().

  // First mapping of a fresh 4 KiB page: marked exclusive. It is the caller's to make it known to the LRU.
  void map_new_anon(AddressSpace& mm, Vma& vma, VirtAddr va, Pfn pfn, Pte pte);
  // PMD is none; deposits a table. Requires: a table frame can be had (checked by the caller).
  void map_new_huge(AddressSpace& mm, Vma& vma, VirtAddr va, Pfn head, Pte leaf);
  // A page already in use (swap cache, page cache, fork). An anonymous page that has no anon_vma yet takes the VMA's.
  void map_again(AddressSpace& mm, Vma& vma, VirtAddr va, Pfn pfn, Pte pte);
  // A huge page of the page cache over a PMD that is none; no table is deposited. Requires: the table above is there.
  void map_file_huge(AddressSpace& mm, const Vma& vma, VirtAddr va, Pfn head, Pte leaf);
  // A hugetlb page; its users are counted in Frame::mapcount of its first frame. Requires: the table above it is there.
  void map_hugetlb(AddressSpace& mm, VirtAddr va, Pfn head, Pte leaf, PageSize size);
  // Commits a collapse: installs `head` over the detached table (khugepaged.md 5.7). RSS counts the huge page already.
  void commit_collapse(AddressSpace& mm, Vma& vma, VirtAddr base, Pfn head, Pte leaf, PageTable::Table* table);
  // Clears one 4 KiB entry (present, swap or zero page) and drops its page or slot.
  void zap_pte(AddressSpace& mm, VirtAddr va, Pte& pte);
  // Takes back what `old` counted: a 4 KiB mapping (map count, RSS; frees the page if nothing else holds it) or a swap
  // entry (swap_entries, the slot); nothing for the zero page. The entry itself stays as the caller left it (it was
  // replaced or lives in a detached table).
  void drop_mapping(AddressSpace& mm, Pte old);
  void zap_huge(AddressSpace& mm, VirtAddr base);  // whole huge PMD (anonymous, file, huge zero page) or hugetlb page
  // Zaps everything in a range; huge PMDs cut by the range must be split before. Returns {4 KiB entries, huge entries}
  // zapped.
  struct Zapped {
    std::uint64_t pages = 0, huge = 0;
  };
  Zapped zap_range(AddressSpace& mm, VirtRange range);
  // Copies the entries of one VMA to a child (fork), write-protecting private anonymous ones in both. False: out of
  // frames.
  bool copy_range(AddressSpace& parent, AddressSpace& child, Vma& vma, std::uint64_t* ptes_copied);
  // Map counts after PageTable::split_pmd of an anonymous huge page.
  void pmd_was_split(AddressSpace& mm, VirtAddr base, Pfn head);

  // --- questions ---
  // Mapped more than once: this 4 KiB page, or (rules.shared) the folio it belongs to.
  bool is_shared(Pfn pfn);
  // Entries of any kind that map the page or, of a compound page, any part of it.
  std::uint64_t folio_mapcount(Pfn head);
  // References besides mappings and the swap cache (khugepaged.md 4.2 row 13).
  bool has_extra_references(Pfn pfn);
  // Calls f(AddressSpace&, VirtAddr, Pte&, PageSize) for each entry that maps the page (compound: PMDs of the head; its
  // own PTEs for a 4 KiB page).
  void for_each_mapping(Pfn pfn, const std::function<void(AddressSpace&, VirtAddr, Pte&, PageSize)>& f);
  // Frees the frame if nothing holds it any more: mapping, pin, LRU batch, page lock, isolation, write-back, page cache, or the
  // swap cache on behalf of other swap entries. Whoever unlocks, unpins or puts back a page calls this afterwards.
  void free_if_unused(Pfn pfn);
  // PTEs that map 4 KiB pages of a compound page.
  std::uint32_t& pte_mappings(Pfn head) { return kernel_.memory.pte_mappings(head); }
  // Takes every entry of a page of the page cache back (try_to_unmap): the entries become none. f(AddressSpace&,
  // VirtRange) is told what was unmapped and where, for the flush.
  void unmap_file_page(Pfn pfn, const std::function<void(AddressSpace&, VirtRange)>& f);
  // A file is mapped by nobody any more: if it is shared memory its pages and swap slots go.
  void drop_shmem_file(FileId file);

 private:
  struct Place {
    AddressSpace* mm;
    VirtAddr va;
    Pte* entry;
    PageSize size;
  };
  bool seems_shared(Pfn head);
  bool is_mapped_by_several(Pfn head);
  void set_anon(Pfn pfn, Vma& vma, VirtAddr va);
  void count_mapping(AddressSpace& mm, Pfn pfn);
  void page_unmapped(Pfn pfn);
  void drop_swap_entry(AddressSpace& mm, SwapSlot slot);
  void release_slot(SwapSlot slot);
  void zap_huge_file(AddressSpace& mm, VirtAddr base, Pte leaf);
  void zap_part(AddressSpace& mm, VirtRange range, Zapped& zapped);
  void continue_run(VirtAddr va, Pte pte);
  void end_run();
  void drop_hugetlb(AddressSpace& mm, VirtAddr va, Pte leaf, PageSize size);
  void defer_if_partly_mapped(Pfn head);
  bool is_mapped(Pfn head);
  bool only_swap_cache_holds(Pfn head) const;
  void release_frame(Pfn head);
  bool copy_pte(AddressSpace& parent, AddressSpace& child, Vma& vma, VirtAddr va, Pte& pte);
  bool copy_huge(AddressSpace& child, VirtAddr va, Pte& leaf, PageSize size);
  std::vector<Place> places(Pfn pfn);
  void places_in(AddressSpace& mm, Pfn pfn, std::uint64_t index, const Frame& first, std::vector<Place>& out);
  void add_place(AddressSpace& mm, VirtAddr va, Pfn pfn, std::vector<Place>& out);
  const std::vector<AddressSpace*>& users_of(const Frame& f) const;

  KernelContext& kernel_;
  PageCache& page_cache_;
  Reclaim* reclaim_ = nullptr;
  Split* split_ = nullptr;
  SwapCache* swap_cache_ = nullptr;
  std::vector<std::vector<AddressSpace*>> anon_vmas_;  // root -> address spaces with a VMA of its tree
  AnonVmaId last_own_anon_vma_ = 0;
  struct Run {  // of entries zapped together
    Pfn head = kNoPfn, next = kNoPfn;
    std::uint64_t bits = 0;
    bool lost_a_page = false;
  } run_;
};

}  // namespace collapsar
