// Split: huge pages taken apart: the PMD of one address space, or the page itself.
//
// Models:      PMD split (512 PTEs of the same page; thp_split_pmd), folio split (512 pages; thp_split_page), the deferred
//              split list: partly mapped pages, and from 6.12 on every new huge page, which is split if too much of it
//              holds only zeros (thp_underused_split_page) and forgotten if not.
// Simplified:  every batch of reclaim asks the shrinker, whatever its priority; where contents are not followed
//              (KernelContext::follows_contents) no page looks zero-filled, and no huge page underused.
// Time:        returns the cost; the caller lets it pass.
// Owns:        the deferred split list.
// Source:      khugepaged.md 7.4.
//
// Invariants:
//  1. An entry of the deferred list may be stale (its page was freed or split); it counts only while the frame there is a
//     compound page. kPartiallyMapped says which kind it is.
#pragma once

#include <tsl/robin_map.h>

#include <map>

#include "models/kernel/range_history.h"
#include "models/kernel/rmap.h"

namespace collapsar {

class Reclaim;

class Split {
 public:
  Split(KernelContext& kernel, Rmap& rmap, Reclaim& reclaim);
  // Splits the huge PMD over `va`, if there is one. Out of frames for its table: throws SimulationError (a deposit makes
  // that impossible for anonymous memory). Flushes the range. Returns what it cost (zero: nothing to split).
  Duration split_pmd(AddressSpace& mm, VirtAddr va, CpuId initiator);
  // Splits at both borders of a range, where they cut a huge PMD.
  Duration split_borders(AddressSpace& mm, VirtRange range, CpuId initiator);
  // The page becomes 512; first all its PMDs are split. False (and thp_split_page_failed): pinned, locked or being
  // written. `cost` (may be nullptr) grows by what it took.
  bool split_folio(Pfn head, Duration* cost);
  // A new anonymous huge page, of a fault or a collapse (rules.deferred_list_for_all).
  void enlist(Pfn head);
  // A compound page of which part is unmapped now. Nothing happens if a PMD still maps it whole or it is in the swap cache.
  void defer(Pfn head);
  void undefer(Pfn head);  // it is about to be freed
  // Memory pressure: splits partly mapped and underused pages and frees what nobody maps, and what holds only zeros.
  // Returns pages freed; adds to `cost`.
  std::uint64_t shrink_deferred(std::uint64_t wanted, Duration* cost = nullptr);
  std::uint64_t deferred() const { return deferred_.size(); }

 private:
  bool can_split(Pfn head);
  void append(Pfn head);
  bool split_if_underused(Pfn head, Duration* cost);
  bool is_underused(Pfn head, Duration* cost) const;
  void map_zero_pages(Pfn head);
  void lock_parts(Pfn head);
  bool is_unmapped_in_parts(Pfn head);
  Duration drop_file_pmd(AddressSpace& mm, VirtAddr base, CpuId initiator);
  Duration note_split(AddressSpace& mm, VirtAddr base, CpuId initiator);
  Duration unmap_file_folio(Pfn head);
  void drop_beyond_end(Pfn head);
  KernelContext& kernel_;
  Rmap& rmap_;
  Reclaim& reclaim_;
  std::map<std::uint64_t, Pfn> deferred_;            // number of arrival -> head
  tsl::robin_map<std::uint64_t, std::uint64_t> at_;  // head -> number of arrival
  std::uint64_t arrivals_ = 0;
};

}  // namespace collapsar
