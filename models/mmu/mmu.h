// Mmu: translates: TLBs in front, walkers behind.
//
// Models:      L1 instruction and data TLBs, L2 (unified or split), the walker. A walk fills L1 and L2; an L2 hit fills
//              L1; an eviction in one level leaves the other alone. A write that hits a clean entry walks again for the
//              dirty bit.
// Simplified:  with fixed_walk a walk reads no memory, waits for no walker and merges with none, fills the TLBs when it
//              begins, and what waits for it is not in stall_cycles.
// Time:        an L1 hit is free, an L2 hit adds l2_latency; walks take their reads, or as long as fixed_walk says.
// Owns:        the TLBs and the walker of one CPU.
// Source:      design, section 5; Intel SDM Vol. 3A, "Caching Translation Information".
//
// Counting:    a reference counts once per level and page, as a hit or a miss, however often it is retried; the caller
//              remembers that it has been looked up. The page size of a miss is known, and counted, when it is
//              resolved.
#pragma once

#include <functional>
#include <memory>

#include "models/mmu/kernel_port.h"
#include "models/mmu/tlb.h"
#include "models/mmu/walker.h"

namespace collapsar {

struct MmuStats {
  TlbStats l1i, l1d, l2, l2i, l2d;
  std::uint64_t walks = 0, walks_merged = 0, walks_repeated = 0, walk_refs = 0;
  std::uint64_t walk_cycles = 0, walk_active_cycles = 0, stall_cycles = 0;
  std::array<std::uint64_t, 6> cache_hits{};
  std::uint64_t flushes = 0, flushed_pages = 0;
  bool split = false;
  template <class V>
  void describe(V& v) {
    v.group("l1i", l1i);
    v.group("l1d", l1d);
    if (split) v.group("l2i", l2i), v.group("l2d", l2d);
    else v.group("l2", l2);
    v("walks", walks, "walks", "page walks started");
    v("walks_merged", walks_merged, "look-ups", "L2 misses that joined a walk of their page already under way");
    v("walks_repeated", walks_repeated, "walks", "of these: after a fault, or for a dirty bit");
    v("walk_refs", walk_refs, "reads", "page-table entries read");
    v("walk_cache.hits.pd", cache_hits[2], "walks", "began below a cached level-2 entry");
    v("walk_cache.hits.pdpt", cache_hits[3], "walks", "began below a cached level-3 entry");
    v("walk_cache.hits.pml4", cache_hits[4], "walks", "began below a cached level-4 entry");
    v("walk_cache.hits.pml5", cache_hits[5], "walks", "began below a cached level-5 entry");
    v("walk_cycles", walk_cycles, "cycles", "sum over all walks");
    v("walk_active_cycles", walk_active_cycles, "cycles", "with at least one walker busy, per CPU");
    v("stall_cycles", stall_cycles, "cycles", "in which a CPU could not go on for want of a translation");
    v("flushes", flushes, "flushes", "TLB flushes that took effect, summed over CPUs");
    v("flushed_pages", flushed_pages, "entries", "that flushes dropped");
  }
};

// What an L1 look-up says.
enum class L1Result : std::uint8_t { hit, needs_dirty, not_allowed, miss };

class Mmu {
 public:
  Mmu(EventQueue& queue, const MmuConfig& config, std::uint32_t cpu, CacheHierarchy* caches, Dram& dram, Clock clock,
      std::uint64_t seed);

  // Switches to another address space; flushes everything if the machine has no ASIDs.
  void set_space(AddressSpaceRoot space);
  const AddressSpaceRoot& space() const { return space_; }

  // --- the hot path ---
  // What references of one kind do, where their translations are looked for first, and how often no more was needed. The kinds
  // are the caller's. A line of the host's cache each.
  class alignas(64) Way {
   public:
    // The L1 entry, made most recent; or a miss, which may be a hit of find_l1().
    Tlb::Hit lookup(VirtAddr va, Tlb::Space space) const { return shortcut_.lookup(va, space); }
    // Whether it may go on with this translation: a write, without a walk.
    bool allows(Pte leaf) const { return (leaf.bits & needed_) == needed_; }
    void count(const Tlb::Hit& hit) { ++hits_[hit.size_code]; }
    std::uint64_t hits() const { return hits_[1] + hits_[2] + hits_[3]; }

   private:
    friend class Mmu;
    Tlb::Shortcut shortcut_;
    std::uint64_t needed_ = 0;  // bits of the leaf
    bool is_fetch_ = false;
    std::array<std::uint64_t, kPageSizes + 1> hits_{};  // by Tlb::Hit::size_code
  };
  static constexpr std::size_t kWays = 6;
  void set_way(unsigned kind, bool is_fetch, bool is_write);  // Requires: kind < kWays.
  Way& way(unsigned kind) { return ways_[kind]; }
  const Way& way(unsigned kind) const { return ways_[kind]; }
  Tlb::Space space_in_keys() const { return tag_; }
  // The L1 entry, made most recent, or a miss. Not counted: the caller counts the references that need no more
  // than this, and sends the rest to lookup_l1() or, after a miss, to count_l1_miss(). Looking up twice is harmless:
  // what missed changes nothing, and what was last looked up keeps its recency.
  Tlb::Hit find_l1(VirtAddr va, bool is_fetch, bool is_write) {
    return (is_fetch ? l1i_ : l1d_).lookup(va, tag_, is_write);
  }
  // Whether a write may go on without a walk.
  static bool is_write_ready(Pte leaf) { return (leaf.bits & kWriteReady) == kWriteReady; }
  void count_l1_hit(bool is_fetch, PageSize size) { ++l1_stats(is_fetch).hits_by[unsigned(size)]; }
  void count_l1_miss(bool is_fetch) { ++l1_stats(is_fetch).misses; }
  // One L1 look-up, counted. On hit and needs_dirty `pa` is where the reference goes.
  L1Result lookup_l1(VirtAddr va, bool is_fetch, bool is_write, PhysAddr& pa);
  // Both levels for a reference that needs no walk, counted. False: it needs one, or is not allowed; nothing is counted.
  // On return `has_missed_l1` says whether the second level was needed.
  bool find_l1_or_l2(VirtAddr va, bool is_fetch, bool is_write, bool& has_missed_l1, PhysAddr& pa);
  static PhysAddr physical(Pte leaf, PageSize size, VirtAddr va) {
    return {(leaf.bits & Pte::kFrameMask) + (va.value & (page_bytes(size) - 1))};
  }

  // --- after an L1 miss ---
  // Looks the second level up, counted; on a hit fills L1 and gives the entry.
  bool lookup_l2(VirtAddr va, bool is_fetch, bool is_write, TlbEntry& entry);
  // Whether the page table would refuse this access now. A reference that would fault is not started beside others.
  bool would_fault(VirtAddr va, bool is_fetch, bool is_write) const;
  // Starts or joins a walk. Requires: now is the moment the L2 miss is known.
  void walk(WalkRequest& request) { walker_.submit(request); }
  // The walk's answer goes into the TLBs. For a miss also says which page size it was.
  void fill(const WalkRequest& request, bool is_fetch, bool was_miss);
  std::uint32_t l2_latency() const { return config_.l2_latency; }

  // --- walks of fixed length (mmu.fixed_walk): no walker, no reads; the answer is there at once, its time is the caller's ---
  bool has_fixed_walks() const { return config_.fixed_walk.has_value(); }
  std::uint32_t fixed_walk() const { return *config_.fixed_walk; }
  // Walks from sub-cycle `at` on and fills the TLBs, counted. Requires: !would_fault().
  TlbEntry walk_fixed(VirtAddr va, bool is_fetch, bool is_write, bool was_miss, std::int64_t at);
  // Translations cost no time at all: TLBs are counted, nothing waits.
  bool is_free() const { return is_free_; }
  // After a miss of find_l1(): L2, then a walk, counted. False: it would fault; nothing is counted. Where
  // it walks, the host fetches the page-table entry of `ahead`, too. Requires: is_free().
  bool translate_free(VirtAddr va, bool is_fetch, bool is_write, std::int64_t at, VirtAddr ahead);

  // --- ideal ---
  bool ideal() const { return config_.ideal; }
  // Takes the entry from the page table; a miss that was counted becomes a hit. Requires: !would_fault().
  PhysAddr translate_ideally(VirtAddr va, bool is_fetch, bool is_write, bool was_miss);

  // --- flushes (shootdown.h) ---
  // The paging-structure caches forget the whole address space, whether or not tables were freed: INVLPG drops their
  // entries for any address (Intel SDM Vol. 3A, "Operations that Invalidate TLBs and Paging-Structure Caches").
  void flush_range(Asid asid, VirtRange range);
  void flush_asid(Asid asid);

  // SIM_ASSERTs that every entry of `asid` for whose page `is_settled` agrees with `table` (frame, size, not more
  // rights than the table grants).
  void check_against(Asid asid, const PageTable& table, const std::function<bool(VirtRange)>& is_settled);
  // Calls f for every entry, for looking at from outside; recency does not change. Levels: l1i, l1d, l2, or l2i and l2d.
  using EntryVisitor = std::function<void(const char* level, Asid asid, VirtAddr va, TlbEntry entry)>;
  void visit_entries(const EntryVisitor& f);
  void set_observer(WalkObserver* observer) { observer_ = observer, walker_.set_observer(observer); }
  EventQueue& queue() { return queue_; }
  // With the walker's and all other counts brought in.
  MmuStats& stats();
  void add_stall(std::int64_t subcycles) { stall_subcycles_ += subcycles; }

 private:
  static constexpr std::uint64_t kWriteReady = Pte::kWritable | Pte::kDirty;
  Tlb& l1_of(bool is_fetch) { return is_fetch ? l1i_ : l1d_; }
  Tlb& l2_of(bool is_fetch) { return is_fetch && l2i_ ? *l2i_ : l2_; }
  TlbStats& l1_stats(bool is_fetch) { return is_fetch ? stats_.l1i : stats_.l1d; }
  TlbStats& l2_stats(bool is_fetch) { return !l2i_ ? stats_.l2 : is_fetch ? stats_.l2i : stats_.l2d; }
  static bool refuses(const PageTable::Leaf& leaf, bool is_fetch, bool is_write);
  void count_l2_miss(VirtAddr va, bool is_fetch);
  void take_fixed_walk(const PageTable::Leaf& leaf, WalkRequest& request, std::int64_t at);
  TlbEntry walk_fixed(const PageTable::Leaf& leaf, WalkRequest request, bool was_miss, std::int64_t at);
  [[gnu::always_inline]] inline bool take_l2_hit(VirtAddr va, bool is_fetch, bool is_write, const Tlb::Hit& hit);
  [[gnu::always_inline]] inline void note_hit_beyond_l1(VirtAddr va, bool is_fetch, const Tlb::Hit& hit);
  template <class F>
  void for_each_tlb(F&& f);

  EventQueue& queue_;
  const MmuConfig& config_;
  const bool is_free_;
  AddressSpaceRoot space_;
  Tlb::Space tag_;  // the same in the keys of the TLBs
  Tlb l1i_, l1d_, l2_;
  std::unique_ptr<Tlb> l2i_;  // split: instruction side; l2_ is then the data side
  Walker walker_;
  WalkObserver* observer_ = nullptr;
  MmuStats stats_;
  std::array<Way, kWays> ways_;
  std::array<std::array<std::uint64_t, kPageSizes>, 2> hits_of_ways_{};    // [is_fetch], in stats_ already
  std::array<std::array<std::uint64_t, kPageSizes>, 2> hits_beyond_l1_{};  // [is_fetch], not in stats_ yet
  std::int64_t stall_subcycles_ = 0;
  std::int64_t walking_until_ = 0;  // fixed walks, sub-cycle
};

}  // namespace collapsar
