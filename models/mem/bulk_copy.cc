#include "models/mem/bulk_copy.h"

namespace collapsar {
namespace {
constexpr std::uint32_t kLinesPerFrame = kPageBytes / 64;
}

BulkCopy::BulkCopy(EventQueue& queue, Dram& dram) : queue_(queue), dram_(dram) {
  request_.lines = kLinesPerFrame;
  request_.done = &dram_done_;
}

void BulkCopy::start(const Pfn* source, Pfn target, std::uint64_t pages, Duration table_cost, Event& done) {
  SIM_ASSERT(!busy_, "bulk copy to frame {:#x} started while one to {:#x} is under way", target.value, target_.value);
  busy_ = true;
  copying_ = reading_ = source != nullptr;
  if (source) source_ = *source;
  target_ = target;
  pages_left_ = pages;
  done_ = &done;
  table_passed_ = false;
  queue_.schedule_after(table_done_, table_cost);
  if (dram_.is_ideal()) {
    if (copying_) dram_.count_ideal_bulk(pages * kLinesPerFrame, false);
    dram_.count_ideal_bulk(pages * kLinesPerFrame, true);
    pages_left_ = 0;
  }
  if (pages_left_ > 0) move_next_half();
}

void BulkCopy::move_next_half() {
  request_.address = address_of(reading_ ? source_ : target_);
  request_.is_write = !reading_;
  dram_.submit(request_);
}

void BulkCopy::dram_done() {
  if (!reading_) {
    ++source_, ++target_;
    --pages_left_;
  }
  reading_ = copying_ && !reading_;
  if (pages_left_ > 0) move_next_half();
  else finish_if_both();
}

void BulkCopy::table_done() {
  table_passed_ = true;
  finish_if_both();
}

void BulkCopy::finish_if_both() {
  if (!table_passed_ || pages_left_ > 0) return;
  busy_ = false;
  queue_.schedule(*done_, queue_.now());
}

}  // namespace collapsar
