#include "models/mem/bulk_copy.h"

#include <algorithm>

namespace collapsar {
namespace {
constexpr std::uint32_t kLinesPerFrame = kPageBytes / 64;
}

BulkCopy::BulkCopy(EventQueue& queue, Dram& dram) : queue_(queue), dram_(dram) {
  for (Slots* slots : {&reads_, &writes_})
    for (Slot& slot : *slots) {
      slot.owner = this;
      slot.request.lines = kLinesPerFrame;
      slot.request.is_write = slots == &writes_;
      slot.request.done = &slot.event;
    }
}

void BulkCopy::start(std::span<const Pfn> sources, Pfn target, Duration table_cost, Event& done) {
  sources_ = sources;
  begin(target, sources.size(), table_cost, done);
}

void BulkCopy::clear(Pfn target, std::uint64_t pages, Duration table_cost, Event& done) {
  sources_ = {};
  begin(target, pages, table_cost, done);
}

void BulkCopy::begin(Pfn target, std::uint64_t pages, Duration table_cost, Event& done) {
  SIM_ASSERT(!busy_, "bulk copy to frame {:#x} started while one to {:#x} is under way", target.value, target_.value);
  busy_ = true;
  target_ = target;
  pages_ = pages;
  read_begun_ = at_hand_ = write_begun_ = written_ = 0;
  done_ = &done;
  table_passed_ = false;
  queue_.schedule_after(table_done_, table_cost);
  if (dram_.is_ideal()) {
    const auto cleared = std::uint64_t(std::ranges::count(sources_, kNoPfn));
    dram_.count_ideal_pages(sources_.size() - cleared, false);
    dram_.count_ideal_pages(pages, true);
    read_begun_ = at_hand_ = write_begun_ = written_ = pages;
  }
  go_on();
}

void BulkCopy::go_on() {
  const std::uint64_t end = std::min(pages_, written_ + 2 * kDepth);
  for (; read_begun_ < end; ++read_begun_) {
    if (!is_copied(read_begun_)) ++at_hand_;
    else if (!submit(reads_, sources_[read_begun_])) break;
  }
  while (write_begun_ < at_hand_ && submit(writes_, target_ + write_begun_)) ++write_begun_;
}

bool BulkCopy::submit(Slots& slots, Pfn frame) {
  const auto free = std::ranges::find(slots, false, &Slot::busy);
  if (free == slots.end()) return false;
  free->busy = true;
  free->request.address = address_of(frame);
  dram_.submit(free->request);
  return true;
}

void BulkCopy::slot_done(Slot& slot) {
  slot.busy = false;
  ++(slot.request.is_write ? written_ : at_hand_);
  if (written_ < pages_) go_on();
  else finish_if_both();
}

void BulkCopy::table_done() {
  table_passed_ = true;
  finish_if_both();
}

void BulkCopy::finish_if_both() {
  if (!table_passed_ || written_ < pages_) return;
  busy_ = false;
  queue_.schedule(*done_, queue_.now());
}

}  // namespace collapsar
