// BulkCopy: copies or clears whole 4 KiB pages the way a kernel does.
//
// Models:      a copy or clear lasts the longer of its cost-table time and its DRAM service. Frame by frame in both
//              directions: while one target is written, as its source has been read, the next source is being read.
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
  // Frames read and not yet written, so that a copy stays within what a core's buffers hold.
  static constexpr std::uint64_t kMostInHand = 2;  // ours
  void go_on();  // submits the next read and the next write, where the one before is done
  void read_done();
  void write_done();
  void table_done();  // the cost-table time has passed
  void finish_if_both();

  EventQueue& queue_;
  Dram& dram_;
  Event read_done_ = event<&BulkCopy::read_done>(this, "bulk_copy.read", Phase::completion);
  Event write_done_ = event<&BulkCopy::write_done>(this, "bulk_copy.write", Phase::completion);
  Event table_done_ = event<&BulkCopy::table_done>(this, "bulk_copy.table", Phase::completion);
  DramRequest read_, write_;
  Pfn source_{}, target_{};
  std::uint64_t to_read_ = 0, in_hand_ = 0, to_write_ = 0;
  bool is_reading_ = false, is_writing_ = false, is_copy_ = false, table_passed_ = false, busy_ = false;
  Event* done_ = nullptr;
};

}  // namespace collapsar
