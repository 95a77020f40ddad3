#include "models/mem/bulk_copy.h"

namespace collapsar {
namespace {
constexpr std::uint32_t kLinesPerFrame = kPageBytes / 64;
}

BulkCopy::BulkCopy(EventQueue& queue, Dram& dram) : queue_(queue), dram_(dram) {
  read_.lines = write_.lines = kLinesPerFrame;
  read_.done = &read_done_;
  write_.done = &write_done_;
  write_.is_write = true;
}

void BulkCopy::start(const Pfn* source, Pfn target, std::uint64_t pages, Duration table_cost, Event& done) {
  SIM_ASSERT(!busy_, "bulk copy to frame {:#x} started while one to {:#x} is under way", target.value, target_.value);
  busy_ = true;
  is_copy_ = source != nullptr;
  if (source) source_ = *source;
  target_ = target;
  to_read_ = is_copy_ ? pages : 0;
  to_write_ = pages;
  in_hand_ = is_copy_ ? 0 : pages;
  done_ = &done;
  table_passed_ = false;
  queue_.schedule_after(table_done_, table_cost);
  if (dram_.is_ideal()) {
    if (is_copy_) dram_.count_ideal_bulk(pages * kLinesPerFrame, false);
    dram_.count_ideal_bulk(pages * kLinesPerFrame, true);
    to_read_ = to_write_ = in_hand_ = 0;
  }
  go_on();
}

void BulkCopy::go_on() {
  if (!is_reading_ && to_read_ > 0 && in_hand_ < kMostInHand) {
    is_reading_ = true;
    read_.address = address_of(source_);
    dram_.submit(read_);
  }
  if (!is_writing_ && in_hand_ > 0) {
    is_writing_ = true;
    write_.address = address_of(target_);
    dram_.submit(write_);
  }
}

void BulkCopy::read_done() {
  is_reading_ = false;
  ++source_;
  --to_read_;
  ++in_hand_;
  go_on();
}

void BulkCopy::write_done() {
  is_writing_ = false;
  ++target_;
  --to_write_;
  --in_hand_;
  if (to_write_ > 0) go_on();
  else finish_if_both();
}

void BulkCopy::table_done() {
  table_passed_ = true;
  finish_if_both();
}

void BulkCopy::finish_if_both() {
  if (!table_passed_ || to_write_ > 0) return;
  busy_ = false;
  queue_.schedule(*done_, queue_.now());
}

}  // namespace collapsar
