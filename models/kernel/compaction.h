// Compaction: moves 4 KiB pages together, so that whole 2 MiB blocks come free.
//
// Models:      one scanner from the bottom of memory up that takes movable pages off the LRU, one from the top down that
//              finds free frames for them, until they meet or a 2 MiB block is free; asynchronous and light synchronous
//              effort; what may be compacted at all (watermark, fragmentation index); deferral after failures; positions
//              and skipped pageblocks that are kept from one run to the next; direct compaction, kcompactd woken for an
//              allocation, proactive compaction every half second.
// Simplified:  pages move in the instant their copy ends: a task meets no migration entry, but its TLBs are flushed. No
//              shortcut through the free lists (fast_isolate_*); a page that cannot be moved is not tried again; a direct
//              compactor captures no block: it takes it from the free lists like anyone; kcompactd and direct compactors
//              see each other's skipped pageblocks, but never wait for one another; one whose page table khugepaged is
//              looking at fails at once. Smaller huge pages do not exist here. Before time 0 (prefault) nothing is
//              compacted. kcompactd is woken at once, where Linux has kswapd reclaim 4 MiB first. The target scanner takes
//              frame by frame, without a stride.
// Time:        compact_scan per frame looked at by either scanner, migrate_page and the copy (BulkCopy) per page moved, and
//              the flushes: at the expense of who asked, or of kcompactd on a CPU of its own.
// Owns:        the runs under way, the positions, kcompactd's timer.
// Source:      Linux mm/compaction.c and mm/migrate.c as documented in the kernel's admin guide (sysctl/vm:
//              compaction_proactiveness, extfrag_threshold, compact_unevictable_allowed) and in the changelogs of 4.6
//              (kcompactd), 5.9 (proactive) and 6.3 (batched migration).
//
// Invariants:
//  1. A page under way is off the LRU (kIsolated) and locked; its new frame belongs to the run alone.
//  2. Frames that a run has set aside and not used are free again when it ends.
#pragma once

#include <memory>
#include <vector>

#include "models/kernel/page_lock.h"
#include "models/kernel/reclaim.h"

namespace collapsar {

class FlushList;

class Compaction {
 public:
  enum class Priority : std::uint8_t { async, sync_light };
  // Why a run ended, or did not begin.
  enum class Result : std::uint8_t { skipped, deferred, complete, success };

  Compaction(KernelContext& kernel, Rmap& rmap, Reclaim& reclaim, SwapCache& swap_cache, PageLocks& locks);
  ~Compaction();
  void start();  // kcompactd's timer

  // For one allocation of order 9 that found no block. One at a time per object, which the caller owns.
  struct Request {
    Event* done = nullptr;  // scheduled when the run is over; at once if it does not begin
    Priority priority = Priority::async;
    CpuId cpu = kNoCpu;      // whose flushes need no interrupt
    bool takes_cpu = false;  // time comes from `cpu` (a kernel thread), else it just passes
    // Answer.
    Result result = Result::skipped;
    Duration cost{};
  };
  void direct(Request& request);
  // There are enough free pages to begin with.
  bool has_enough_free() const;
  // Reclaim would add nothing to what compaction can do (compaction_ready).
  bool is_ready() const;
  // Somebody has got a huge page after compacting: nothing is put off any more.
  void allocated() { is_failing_ = false, considered_ = defer_shift_ = 0; }
  // __wakeup_kcompactd for order 9.
  void wake_kcompactd();
  bool at_rest() const;  // nobody's pages are in its hands
  void cut_spans();      // what is under way is drawn up to now

 private:
  static constexpr std::uint64_t kClusterMax = 32;            // COMPACT_CLUSTER_MAX
  static constexpr std::uint64_t kScanStep = 8 * kHugePages;  // frames looked at in one step; ours
  static constexpr std::uint64_t kGap = 2 * kHugePages;       // compact_gap(9): pages needed beside the watermark
  static constexpr unsigned kMaxDeferShift = 6;               // COMPACT_MAX_DEFER_SHIFT
  static constexpr Duration kProactivePeriod = std::chrono::milliseconds(500);  // HPAGE_FRAG_CHECK_INTERVAL_MSEC

  static constexpr std::uint64_t kProactiveSpan = 10;  // percent between the mark to stop at and that to begin at

  struct Run;  // compaction_run.h
  // compaction.cc: when, and whether
  Result suitable() const;
  std::int64_t fragmentation_index() const;
  std::uint64_t fragmentation_score() const;
  std::uint64_t proactive_mark() const;
  bool has_huge_block() const { return kernel_.memory.free_blocks(kHugeOrder) > 0; }
  bool is_deferred();
  void defer();
  void restart_if_due();
  void reset_positions();
  void proactive_tick();
  Run& new_run();
  void begin(Run& run);
  void finish(Run& run, Result result);
  VmStat& vm() { return kernel_.stats.vmstat; }
  // compaction_scan.cc: which pages, and where to
  bool is_finished(const Run& run, Result& result) const;
  void go_on(Run& run);
  std::uint64_t isolate_sources(Run& run);
  std::uint64_t scan_pageblock(Run& run, Pfn end);
  void take_source(Run& run, Pfn page);
  bool may_scan_sources(Pfn first, const Run& run) const;
  bool is_movable(Pfn pfn) const;
  void note_sources_done(const Run& run);
  std::uint64_t isolate_targets(Run& run);
  std::uint64_t take_targets(Run& run, Pfn first);
  bool may_scan_targets(Pfn first, const Run& run) const;
  // compaction_move.cc: one page after the other
  void spend(Run& run, Duration work, Event& then);
  void move_next(Run& run);
  Duration unmap_cost(Run& run);
  void copy_next(Run& run);
  void part_done(Run& run);
  void move(Run& run, Pfn from, Pfn to, FlushList& late);
  void put_back(Pfn page);
  static CpuId cpu_of(const Run& run);
  void draw(const Run& run, std::string_view result) const;

  KernelContext& kernel_;
  Rmap& rmap_;
  Reclaim& reclaim_;
  SwapCache& swap_cache_;
  PageLocks& locks_;
  std::vector<std::unique_ptr<Run>> runs_;    // the first is kcompactd's; the others are a pool
  std::vector<bool> skip_;                    // by pageblock: a scanner found nothing there (PB_migrate_skip)
  std::uint64_t cached_migrate_[2] = {0, 0};  // pfn where the next run's source scanner starts: async, sync
  std::uint64_t cached_free_ = 0;             // pageblock where its target scanner starts
  bool scanners_met_ = false;                 // compact_blockskip_flush
  std::uint64_t sleeps_when_met_ = 0;         // of kswapd
  bool is_failing_ = false;                   // the last run with full effort has failed (compact_order_failed)
  unsigned considered_ = 0, defer_shift_ = 0;
  bool wants_kcompactd_ = false;  // woken while it was at work
  unsigned proactive_pause_ = 0;  // ticks left out after a run without effect
  Event proactive_ = event<&Compaction::proactive_tick>(this, "compaction.proactive", Phase::kernel);
};

}  // namespace collapsar
