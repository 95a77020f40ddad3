// Walker: reads the page table of an address space, level by level, as the hardware does.
//
// Models:      a limited number of concurrent walks, more wait in order; a request for a page whose walk is under way
//              or waiting joins it; paging-structure caches per level; every entry is read at its simulated physical
//              address through the caches (or from DRAM); accessed and dirty bits set by the walk; a huge leaf ends the
//              walk early; a flush makes walks under way start again.
// Simplified:  paging-structure caches answer in no time and are fully associative LRU; setting an accessed or dirty
//              bit costs nothing more; a walk that is to begin later takes its walker, and looks for the line of its first
//              entry, when it is asked for.
// Time:        each read as long as the level where its line is found; the sum of the reads, plus waiting for a walker.
// Owns:        walks in progress and the paging-structure caches. Page tables are the kernel's.
// Source:      Intel SDM Vol. 3A, "Paging-Structure Caches" and "Accessed and Dirty Flags".
#pragma once

#include <memory>
#include <vector>

#include "models/mem/cache.h"
#include "models/mmu/kernel_port.h"
#include "models/mmu/mmu_config.h"
#include "models/mmu/tlb.h"

namespace collapsar {

struct WalkerStats {
  std::uint64_t walks = 0, walks_merged = 0, walks_repeated = 0, walk_refs = 0, restarts = 0;
  std::array<std::uint64_t, 6> cache_hits{};  // by level of the entry that was found: 2 = pd ... 5 = pml5
  std::int64_t walk_subcycles = 0, active_subcycles = 0;
};

// One translation asked of the walker. Owned by the asker; not reused before `done`.
struct WalkRequest {
  VirtAddr va{};
  AddressSpaceRoot space;
  bool is_write = false;
  bool is_execute = false;
  bool repeated = false;  // after a fault or for a dirty bit: not the consequence of a TLB miss; walks alone
  Time begins{};          // not before; a moment that has passed: at once
  Event* done = nullptr;
  // --- answer ---
  bool fault = false;  // not present, or the access is not allowed
  TlbEntry entry{};
  // --- the walker's ---
  WalkRequest* next_joined = nullptr;   // served by the same walk
  WalkRequest* next_waiting = nullptr;  // for a walker
  bool is_for_page_of(const WalkRequest& other) const {
    return space.asid == other.space.asid && vpn_of(va) == vpn_of(other.va);
  }
};

// Told of every L1 miss and every finished walk, for per-range and per-mapping accounts.
class WalkObserver {
 public:
  virtual ~WalkObserver() = default;
  virtual void walk_done(Asid asid, VirtAddr va, std::int64_t subcycles) = 0;
  void l1_missed(Asid asid, VirtAddr va, bool hits_l2) {
    if (!tally_.takes(asid, va)) begin_tally(asid, va);
    ++tally_.l1_misses, tally_.l2_misses += !hits_l2;
  }

 protected:
  // The L1 misses of one range, most often that of all of them, counted where they happen. Over when `version` changes.
  struct Tally {
    Asid asid = 0;
    VirtRange range{};
    const std::uint64_t* version = nullptr;
    std::uint64_t begun_at = 0, l1_misses = 0, l2_misses = 0;
    bool takes(Asid of, VirtAddr va) const {
      return range.contains(va) && of == asid && (!version || *version == begun_at);
    }
  };
  // Puts the tally away and begins another that, if there is something to count for, takes `va`.
  virtual void begin_tally(Asid /*asid*/, VirtAddr /*va*/) {}
  Tally tally_;
};

// Small fully associative LRU store of page-table entries of one level.
class PagingStructureCache {
 public:
  explicit PagingStructureCache(std::uint32_t entries) : entries_(entries) {}
  bool lookup(Asid asid, std::uint64_t number);  // makes it most recent
  void insert(Asid asid, std::uint64_t number);
  void erase(Asid asid, std::uint64_t number);
  void flush(Asid asid);
  void clear() { items_.clear(); }

 private:
  struct Item {
    Asid asid;
    std::uint64_t number;
  };
  std::uint32_t entries_;
  std::vector<Item> items_;  // most recent first
};

class Walker {
 public:
  // `caches` may be nullptr: every entry is read from DRAM.
  Walker(EventQueue& queue, const MmuConfig& config, std::uint32_t cpu, CacheHierarchy* caches, Dram& dram,
         Clock clock);
  ~Walker();

  // Starts a walk, joins one of the same page, or waits for a free walker. `done` comes later, never from in here.
  void submit(WalkRequest& request);
  void set_observer(WalkObserver* observer) { observer_ = observer; }
  // Entries of this address space are no longer valid: paging-structure caches forget it, its walks start again at the
  // root.
  void flush(Asid asid);
  void flush_all();
  bool idle() const { return busy_ == 0; }
  // A walk that Mmu has done by itself, `subcycles` long, of which `active` while no other was.
  void count_fixed(const WalkRequest& request, std::int64_t subcycles, std::int64_t active);
  WalkerStats& stats() { return stats_; }

 private:
  struct Walk;
  bool join(WalkRequest& request);
  Walk* free_walk();
  void start(Walk& walk, WalkRequest& request);
  void begin_at_cached_level(Walk& walk);
  void read(Walk& walk);
  void read_memory(Walk& walk);
  void entry_arrived(Walk& walk);
  void leaf_arrived(Walk& walk, Pte& leaf);
  void finish(Walk& walk);
  void start_waiting();

  EventQueue& queue_;
  const MmuConfig& config_;
  std::uint32_t cpu_;
  CacheHierarchy* caches_;
  Dram& dram_;
  Clock clock_;
  WalkObserver* observer_ = nullptr;
  std::vector<std::unique_ptr<Walk>> walks_;
  std::vector<PagingStructureCache> caches_by_level_;  // [level]: 2 pd, 3 pdpt, 4 pml4, 5 pml5
  WalkRequest* first_waiting_ = nullptr;
  WalkRequest* last_waiting_ = nullptr;
  std::uint32_t busy_ = 0;
  std::int64_t active_since_ = 0;
  WalkerStats stats_;
};

}  // namespace collapsar
