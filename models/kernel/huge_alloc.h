// HugeAlloc: the slow way to a free 2 MiB block: compact, reclaim, compact again.
//
// Models:      what an allocation of order 9 with direct reclaim does once the free lists have nothing for it: asynchronous
//              compaction; reclaim, unless there is memory enough to compact with; compaction once more, light synchronous,
//              or asynchronous for whoever asked not to be kept long (__GFP_NORETRY, who gives up at once where compaction
//              is not worth it or deferred).
// Simplified:  one search of the one node there is; a fault of Linux looks at its own node first, without retry, and so
//              compacts up to twice as often.
// Time:        that of compaction and reclaim. A task that waits holds its CPU while it compacts, until it has to sleep for
//              reclaim.
// Owns:        one attempt at a time.
// Source:      Linux mm/page_alloc.c __alloc_pages_slowpath() as documented; khugepaged.md 2.7, 7.2.
#pragma once

#include "models/kernel/compaction.h"

namespace collapsar {

class HugeAlloc {
 public:
  HugeAlloc(KernelContext& kernel, Reclaim& reclaim, Compaction& compaction)
      : kernel_(kernel), reclaim_(reclaim), compaction_(compaction) {}
  HugeAlloc(const HugeAlloc&) = delete;
  HugeAlloc& operator=(const HugeAlloc&) = delete;

  struct Request {
    Event* done = nullptr;
    FrameUse use = FrameUse::anon;
    bool no_retry = false;
    CpuId cpu = kNoCpu;
    bool takes_cpu = false;              // compaction takes its time from `cpu`, as collapses do
    bool is_daemon = false;              // nobody waits
    std::optional<TaskId> sleeper = {};  // a task that sleeps while memory is reclaimed
  };
  // From the free lists, at once and without cost: above the low watermark; above min if `may_search`. True: page() has it.
  bool take_free(FrameUse use, bool may_search);
  // request.done is scheduled when page() and cost() are known. Requires: nothing is under way.
  void start(const Request& request);
  Pfn page() const { return page_; }  // kNoPfn: none to be had
  FrameUse use() const { return request_.use; }
  Duration cost() const { return cost_; }  // CPU time of compaction

 private:
  void compact(Compaction::Priority priority, Event& then);
  void first_compacted();
  void reclaimed();
  void compacted_again();
  void compact_again();
  bool try_take(FrameUse use, AllocLevel level);
  bool take_after(const Compaction::Request& request);
  void finish();

  KernelContext& kernel_;
  Reclaim& reclaim_;
  Compaction& compaction_;
  Request request_;
  Pfn page_ = kNoPfn;
  Duration cost_{};
  Compaction::Request compaction_request_;
  Reclaim::DirectReclaim direct_reclaim_;
  Event first_compacted_ = event<&HugeAlloc::first_compacted>(this, "huge_alloc.compacted", Phase::kernel);
  Event reclaimed_ = event<&HugeAlloc::reclaimed>(this, "huge_alloc.reclaimed", Phase::kernel);
  Event compacted_again_ = event<&HugeAlloc::compacted_again>(this, "huge_alloc.compacted_again", Phase::kernel);
};

}  // namespace collapsar
