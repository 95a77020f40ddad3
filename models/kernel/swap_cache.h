// SwapCache: pages that have a copy on the swap device or are on their way to or from it.
//
// Models:      slot -> frame while a read or write is under way and while other users of the slot remain; VMA-based
//              readahead of 2^page_cluster pages; a page read ahead and not used stays, unmapped, on the inactive list.
// Simplified:  the readahead window is fixed (aligned, not grown by hits); no swap-slot caches per CPU. A page read past
//              the cache (SWP_SYNCHRONOUS_IO, one user) is in it until it is mapped, and leaves it then.
// Time:        reads and writes take the device's time.
// Owns:        the index slot -> frame and the requests in flight.
// Source:      hardware.md 3 (swap path); Linux mm/swap_state.c, mm/swapfile.c as documented.
//
// Invariants:
//  1. The cache is one user of each slot it holds, beside the swap entries.
//  2. A frame has kSwapCache iff it is indexed; a compound page is indexed with all its 512 slots, its head says so.
//  3. kLocked: being read (or moved, by compaction). kWriteback: being written; it may be mapped meanwhile, and keeps its slot until the end.
#pragma once

#include <tsl/robin_map.h>
#include <tsl/robin_set.h>

#include <algorithm>
#include <optional>

#include "models/kernel/address_space.h"
#include "models/kernel/page_lock.h"
#include "models/kernel/rmap.h"

namespace collapsar {

class SwapCache {
 public:
  SwapCache(KernelContext& kernel, Rmap& rmap, PageLocks& locks);
  ~SwapCache();

  std::optional<Pfn> find(SwapSlot slot) const;
  // Reads `slot` into `pfn` (locked, in the cache, until the read is done; then unlocked and up to date). If nobody wants
  // the slot any more by then, the page goes.
  void start_read(SwapSlot slot, Pfn pfn);
  // The slot has one user and its device is synchronous: the page read for it does not stay in the cache. It leaves now,
  // clean; true if it was so.
  void read_past_cache(SwapSlot slot) { past_cache_.push_back(slot); }
  bool take_past_cache(SwapSlot slot);
  bool is_past_cache(SwapSlot slot) const { return std::ranges::count(past_cache_, slot) > 0; }
  // vm_swap_full: more than half of the swap space is taken.
  bool swap_is_full() const { return kernel_.swap.free_slots() * 2 < kernel_.swap.slots(); }
  // Neighbouring swap PTEs of the same VMA and cluster worth reading too; the caller allocates frames and calls
  // start_read.
  std::vector<SwapSlot> readahead(AddressSpace& mm, const Vma& vma, VirtAddr va) const;
  // Somebody waits for a write: `done` is scheduled when it is complete and the page's fate is settled.
  struct Write {
    Event* done = nullptr;
    bool freed = false;  // nobody had mapped the page again: its frames are free
  };
  // Writes `pfn` (in the cache; already unmapped or still mapped clean) to its slot. At the end it is freed if nobody
  // wants it, kept if it was mapped again. `written` may be nullptr.
  void start_write(Pfn pfn, Write* written);
  // Takes an idle page in. The hold that SwapDevice::allocate() gave passes to the cache.
  void add(SwapSlot slot, Pfn pfn);
  // Takes a page out and gives up the cache's hold on its slots: the only copy is in memory now, so it is dirty.
  void remove(Pfn pfn);
  // The page's frame has moved (PhysicalMemory::move_frame).
  void moved(Pfn to) { index_[kernel_.memory.swap_slot(to)] = to; }
  // The page no longer needs its slot: taken out if no swap entry is left and nothing is written (folio_free_swap).
  bool remove_if_unused(Pfn pfn);
  // The cache is the only user of the page's slots.
  bool is_last_user(Pfn pfn) const;
  std::uint64_t pages() const { return index_.size(); }
  std::uint64_t writes_in_flight() const { return writes_in_flight_; }

 private:
  struct Io;
  void insert(SwapSlot slot, Pfn pfn);
  bool note_contents(Pfn pfn);
  void submit(Pfn pfn, bool is_write, Write* written);
  void io_done(Io& io);
  void read_done(Pfn pfn);
  bool write_done(Pfn pfn);       // true: freed
  bool is_mapped(Pfn pfn) const;  // or in the page cache again
  std::uint32_t pages_of(Pfn pfn) const;

  KernelContext& kernel_;
  Rmap& rmap_;
  PageLocks& locks_;
  tsl::robin_map<SwapSlot, Pfn> index_;
  std::vector<SwapSlot> past_cache_;  // being read, or read and not yet mapped
  std::uint64_t writes_in_flight_ = 0;
  tsl::robin_set<SwapSlot> zeros_, never_written_;  // slots of pages without data; of these, those not on the device
  std::vector<std::unique_ptr<Io>> ios_;            // pool
  std::vector<Io*> free_ios_;
};

}  // namespace collapsar
