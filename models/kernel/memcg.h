// Memcgs: control groups with a limit on memory (memory.max), as far as huge pages feel them.
//
// Models:      one counter and one limit per group; who is charged for a page: the group of the address space that it was
//              allocated for, at that moment; pages from before a process joined its group stay charged elsewhere; a
//              child is in its parent's group; uncharged when the frame is freed.
// Simplified:  no hierarchy, no swap for groups with a limit, no charge for page tables and other kernel memory, none for
//              swap-in; a group at its limit has nothing to reclaim, so that a 4 KiB page more ends the run, where Linux
//              would kill a process.
// Time:        none; a charge is part of the allocation's cost.
// Owns:        the groups and, for their pages, who was charged.
// Source:      Linux admin guide, cgroup-v2 (memory.max, memory ownership); khugepaged.md 5.1 (charge after allocation).
#pragma once

#include <tsl/robin_map.h>

#include <vector>

#include "models/kernel/address_space.h"

namespace collapsar {

class Memcgs {
 public:
  // Puts the process of `mm` into a group of its own, if it is in none, and sets the group's limit.
  void set_limit(AddressSpace& mm, std::uint64_t bytes);
  // Charges the pages of a fresh block to the group of `mm`. False: it would exceed its limit.
  bool try_charge(const AddressSpace& mm, Pfn block, std::uint64_t pages) {
    return mm.memcg == 0 || charge(mm.memcg, block, pages);
  }
  // The block is about to be freed.
  void uncharge(Pfn block, std::uint64_t pages) {
    if (!charged_.empty()) forget(block, pages);
  }
  // The page's frame has moved (PhysicalMemory::move_frame).
  void moved(Pfn from, Pfn to);
  // In pages; zero for an address space without a group.
  std::uint64_t charged(const AddressSpace& mm) const { return mm.memcg == 0 ? 0 : groups_[mm.memcg - 1].charged; }

 private:
  struct Group {
    std::uint64_t limit = 0, charged = 0;  // pages
  };
  bool charge(MemcgId id, Pfn block, std::uint64_t pages);
  void forget(Pfn block, std::uint64_t pages);

  std::vector<Group> groups_;                       // by number, from 1
  tsl::robin_map<std::uint64_t, MemcgId> charged_;  // every frame of a group
};

// Gives a block of frames back: uncharged, counted, free.
void free_frames(KernelContext& kernel, Pfn block, unsigned order);

}  // namespace collapsar
