// BulkCopy: copies or clears whole 4 KiB pages the way a kernel does.
//
// Models:      a copy or clear lasts the longer of its cost-table time and its DRAM service. Frame by frame in both
//              directions: while targets are written whose sources have been read, the next sources are being read.
// Simplified:  the lines bypass the caches (x86 kernels use non-temporal or rep-string stores for big blocks). Ideal
//              memory adds no time at all.
// Time:        from start() to the completion event.
// Source:      ours: cost or model, whichever is longer.
#pragma once

#include <array>
#include <span>

#include "models/mem/dram.h"

namespace collapsar {

class BulkCopy {
 public:
  BulkCopy(EventQueue& queue, Dram& dram);
  BulkCopy(const BulkCopy&) = delete;
  BulkCopy& operator=(const BulkCopy&) = delete;

  // One job at a time per object; the owner keeps as many objects as it has jobs in flight.
  // Fills the frames from `target` on: each with a copy of its source, or cleared where that is kNoPfn; `done` is
  // scheduled at the end. `sources` must stay until then. Requires: !busy().
  void start(std::span<const Pfn> sources, Pfn target, Duration table_cost, Event& done);
  void clear(Pfn target, std::uint64_t pages, Duration table_cost, Event& done);
  bool busy() const { return busy_; }

 private:
  // Frames on their way from memory, and as many on their way to it. Ours: what a core alone can keep in flight is in the
  // cost table, which was measured; this side is to show the memory's bandwidth and who else uses it, so one rank that is
  // refreshed must not stop all.
  static constexpr std::size_t kDepth = 4;
  struct Slot {
    void done() { owner->slot_done(*this); }
    BulkCopy* owner = nullptr;
    bool busy = false;
    DramRequest request;
    Event event = collapsar::event<&Slot::done>(this, "bulk_copy.dram", Phase::completion);
  };
  using Slots = std::array<Slot, kDepth>;

  void begin(Pfn target, std::uint64_t pages, Duration table_cost, Event& done);
  bool is_copied(std::uint64_t page) const { return page < sources_.size() && sources_[page] != kNoPfn; }
  void go_on();  // submits the next reads and writes, as far as there are free slots
  bool submit(Slots& slots, Pfn frame);
  void slot_done(Slot& slot);
  void table_done();  // the cost-table time has passed
  void finish_if_both();

  EventQueue& queue_;
  Dram& dram_;
  Event table_done_ = event<&BulkCopy::table_done>(this, "bulk_copy.table", Phase::completion);
  Slots reads_, writes_;
  std::span<const Pfn> sources_;  // none: all is cleared
  Pfn target_{};
  // Frames of the job; of which reading has begun, or there is nothing to read; at hand; whose writing has begun; written.
  std::uint64_t pages_ = 0, read_begun_ = 0, at_hand_ = 0, write_begun_ = 0, written_ = 0;
  bool table_passed_ = false, busy_ = false;
  Event* done_ = nullptr;
};

}  // namespace collapsar
