// BulkCopy: copies or clears whole 4 KiB pages the way a kernel does.
//
// Models:      a copy or clear lasts the longer of its cost-table time and its DRAM service. Frame by frame, each when
//              the one before is done: the source is read, then the target is written.
// Simplified:  the lines bypass the caches (x86 kernels use non-temporal or rep-string stores for big blocks). Ideal
//              memory adds no time at all.
// Time:        from start() to the completion event.
// Source:      ours: cost or model, whichever is longer.
#pragma once

#include "models/mem/dram.h"

namespace collapsar {

class BulkCopy {
 public:
  BulkCopy(EventQueue& queue, Dram& dram);
  BulkCopy(const BulkCopy&) = delete;
  BulkCopy& operator=(const BulkCopy&) = delete;

  // One job at a time per object; the owner keeps as many objects as it has jobs in flight.
  // Clears `pages` frames from `target` on (source == nullptr) or copies `pages` frames; `done` is scheduled at the
  // end. Requires: !busy().
  void start(const Pfn* source, Pfn target, std::uint64_t pages, Duration table_cost, Event& done);
  bool busy() const { return busy_; }

 private:
  void move_next_half();  // submits the read or the write of the current frame
  void dram_done();       // that half is done
  void table_done();      // the cost-table time has passed
  void finish_if_both();

  EventQueue& queue_;
  Dram& dram_;
  Event dram_done_ = event<&BulkCopy::dram_done>(this, "bulk_copy.dram", Phase::completion);
  Event table_done_ = event<&BulkCopy::table_done>(this, "bulk_copy.table", Phase::completion);
  DramRequest request_;
  Pfn source_{}, target_{};
  std::uint64_t pages_left_ = 0;
  bool reading_ = false, copying_ = false, table_passed_ = false, busy_ = false;
  Event* done_ = nullptr;
};

}  // namespace collapsar
