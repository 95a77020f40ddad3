// Reclaim: finds pages to give up when memory runs short: LRU lists, kswapd, direct reclaim, swap-out.
//
// Models:      active and inactive lists (anonymous and file), second chance by accessed bits, kswapd between the low and
//              the high watermark, direct reclaim below min, batches of SWAP_CLUSTER_MAX, swap-out through the swap cache,
//              dropping of clean file pages and MADV_FREE pages, huge pages swapped out whole or split first.
//              Accessed bits are cleared without a TLB flush, as x86 Linux does: a page that stays in a TLB looks old.
// Simplified:  two classes with fixed balance (file first while it is over half of the pages); no memory cgroups; of MGLRU
//              only what it does to PG_referenced; no workingset refault; dirty pages of files are not written back by reclaim and so stay; pages are taken
//              off their list only at the moment they go, not for the length of the batch.
// Time:        reclaim_page per page looked at, swap_out_page per page sent out, and the flushes: kswapd on a CPU of its
//              own, direct reclaim at the expense of who asks; swap writes take the device's time.
// Owns:        the LRU lists (links are in Frame), kswapd, the direct reclaims under way.
// Source:      Linux mm/vmscan.c as documented; SWAP_CLUSTER_MAX 32: hardware.md 3.
//
// Invariants:
//  1. A frame is on at most one list: kLru set iff linked, kActive says which. Compound pages: the head only, counted as
//     512. Pages that wait in a CPU's batch are on none, and reclaim does not find them.
#pragma once

#include <array>
#include <string>

#include "models/kernel/lru.h"
#include "models/kernel/lru_batches.h"
#include "models/kernel/page_lock.h"
#include "models/kernel/rmap.h"
#include "models/kernel/swap_cache.h"

namespace collapsar {

class Split;

class Reclaim {
 public:
  static constexpr std::uint64_t kSwapClusterMax = 32;
  // Swap writes under way before kswapd waits: four batches, enough to keep a queue of 32 busy. [M]
  static constexpr std::uint64_t kMostWrites = 4 * kSwapClusterMax;
  // kswapd gives up after this many fruitless runs until someone makes progress (MAX_RECLAIM_RETRIES).
  static constexpr unsigned kMostFailures = 16;

  Reclaim(KernelContext& kernel, Rmap& rmap, SwapCache& swap_cache, PageLocks& locks);
  ~Reclaim();
  void set_split(Split& split) { split_ = &split; }

  // --- LRU ---
  void add(Pfn pfn, bool active);  // straight to its list, unless it is on one or in a batch
  void add_new(Pfn pfn, CpuId cpu) { batches_.add(pfn, cpu); }  // by way of the CPU's batch
  LruBatches& batches() { return batches_; }
  void remove(Pfn pfn);   // off its list, if it is on one
  bool isolate(Pfn pfn);  // off its list for collapse or reclaim (sets kIsolated); false: not on a list
  void putback(Pfn pfn);  // where it came from
  void activate(Pfn pfn);
  // folio_mark_accessed: referenced at first; then active, or with multi-generation lists (rules) of a higher tier, which
  // shows nowhere here. Those pass over what is on the unevictable list.
  void mark_accessed(Pfn pfn, CpuId cpu);
  void rotate(Pfn pfn);      // to the tail of its list
  void deactivate(Pfn pfn);  // to the inactive list's tail (MADV_COLD, MADV_PAGEOUT, MADV_FREE)
  std::uint64_t lru_pages() const { return lru_.pages(); }
  const Lru& lru() const { return lru_; }

  // --- shortage ---
  // Call after each allocation: wakes kswapd below the low watermark.
  void wake_kswapd_if_low();
  // __GFP_KSWAPD_RECLAIM of a failed attempt: the same, without looking at the low watermark.
  void wake_kswapd();
  bool kswapd_runs() const;
  std::uint64_t kswapd_sleeps() const { return kswapd_sleeps_; }  // how often it has gone to sleep
  void cut_spans();                                               // what is under way is drawn up to now
  // For an allocation that failed at AllocLevel::min: reclaims a batch; `done` is scheduled when pages have come free or
  // nothing more can be done (then made_progress is false). One request per object, owned by the caller.
  struct DirectReclaim {
    Event* done = nullptr;
    bool made_progress = false;
    std::uint64_t pages_wanted = kSwapClusterMax;
    CpuId cpu = kNoCpu;  // whose flushes need no interrupt
  };
  void direct_reclaim(DirectReclaim& request);
  // Swaps these pages out now (MADV_PAGEOUT); `done` when all writes are complete. Pages that cannot go are skipped.
  // Returns CPU cost.
  Duration page_out(const std::vector<Pfn>& pages, Event& done);
  // Before time 0, free of it: clean pages of files that nobody maps go, up to so many. Returns how many.
  std::uint64_t drop_files_now(std::uint64_t pages);
  // Memory is gone and nothing can be reclaimed: throws SimulationError that says who asked, how much, what would help.
  [[noreturn]] void out_of_memory(std::uint32_t pid, std::uint64_t pages) const;

 private:
  struct Worker;    // kswapd, one direct reclaim, or one page_out
  struct Writing;   // one swap write that a worker waits for
  struct Batch;     // what one batch did
  struct MappedAt;  // one entry that maps a page
  enum class Verdict : std::uint8_t { keep, activate, gone };

  // reclaim.cc: which pages
  void shrink(Batch& batch);
  Lru::Kind pick_kind() const;
  bool anon_may_go() const;
  bool inactive_is_low(Lru::Kind kind) const;
  void age_active(Lru::Kind kind, Batch& batch);
  void settle(Pfn pfn, Verdict verdict);
  bool is_hard_pressed(const Batch& batch) const;
  // evict.cc: one page
  Verdict evict(Pfn pfn, Batch& batch, bool ignore_references);
  Verdict check_references(Pfn pfn, std::vector<MappedAt>& mappings);
  Verdict drop_file(Pfn pfn, std::vector<MappedAt>& mappings, Batch& batch);
  Verdict drop_lazyfree(Pfn pfn, std::vector<MappedAt>& mappings, Batch& batch);
  Verdict swap_out(Pfn pfn, std::vector<MappedAt>& mappings, Batch& batch);
  Verdict swap_out_shmem(Pfn pfn, std::vector<MappedAt>& mappings, Batch& batch);
  std::optional<SwapSlot> shmem_slot(Pfn pfn);
  Verdict swap_out_parts(Pfn head, Batch& batch);
  bool give_slot(Pfn pfn, Batch& batch);
  bool split_instead(Pfn pfn, Batch& batch);
  void split_pmds(Pfn pfn, std::vector<MappedAt>& mappings, Batch& batch);
  bool collect(Pfn pfn, std::vector<MappedAt>& mappings);
  void unmap(const MappedAt& at, Pte replacement, Batch& batch);
  void unmap_huge(const MappedAt& at, Batch& batch);
  void page_out_one(Pfn pfn, Batch& batch);
  void unmap_file(Pfn head, Batch& batch);
  void flush(Batch& batch);
  // kswapd.cc: when
  void next_batch(Worker& worker);
  void batch_done(Worker& worker);
  void go_on(Worker& worker);
  void kswapd_go_on(Worker& worker);
  void finish(Worker& worker);
  void write_done(Writing& writing);
  void start_write(Pfn pfn, Worker& worker);
  Worker& new_worker();
  // reclaim_spans.cc
  SpanTrack track_of(const Worker& worker) const;
  void draw(const Worker& worker, Time end) const;
  void draw_batch(const Batch& batch) const;

  KernelContext& kernel_;
  Rmap& rmap_;
  SwapCache& swap_cache_;
  PageLocks& locks_;
  Split* split_ = nullptr;
  Lru lru_;
  LruBatches batches_;
  std::uint64_t kswapd_sleeps_ = 0;
  std::vector<std::unique_ptr<Worker>> workers_;  // the first is kswapd; the others are a pool
  std::vector<std::unique_ptr<Writing>> writings_;
  std::vector<Writing*> free_writings_;
};

}  // namespace collapsar
