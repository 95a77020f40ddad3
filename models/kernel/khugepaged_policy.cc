// Khugepaged with another policy than Linux's: each activation ranks the ranges once, then takes one after the other until
// the budget is used up. Each range costs the budget what it costs Linux's walk: its pages, and 1 for its process.
#include "models/kernel/khugepaged.h"

namespace collapsar {

// The next range of this activation, which begins with ranking them.
void Khugepaged::scan_by_policy() {
  if (!is_ranked_) {
    std::vector<AddressSpace*> spaces;
    for (const MmSlot& slot : scan_.mm_head) spaces.push_back(slot.mm);
    Duration cost{};
    ranked_ = ranking_.rank(spaces, cost);
    is_ranked_ = true;
    if (cost > Duration::zero()) return spend(cost, ranked_event_);
  }
  if (ranked_.empty()) {
    ++stats().full_scans;
    return wait_for_work();
  }
  spend(kernel_.config.costs.scan_mm, ranked_taken_up_);
}

// A process that has gone, or whose mmap_lock is taken, is passed over at no cost to the budget, as in Linux's walk.
void Khugepaged::ranked_taken_up() {
  const RankedRange range = ranked_.back();
  ranked_.pop_back();
  AddressSpace& mm = *range.mm;
  if (mm.exited() || !mm.registered) return scan_by_policy();
  if (!mm.mmap_lock().try_read()) {
    ++stats().busy;
    return scan_by_policy();
  }
  ++progress_;
  scan_ranked(range);
}

// Requires: mmap_lock held for read. What was true when the ranges were ranked is asked again.
void Khugepaged::scan_ranked(const RankedRange& range) {
  AddressSpace& mm = *range.mm;
  const Vma* vma = mm.find(range.base);
  const bool is_fit = !must_leave(mm) && vma && vma->is_anonymous() && vma->holds_huge_block(range.base) &&
                      thp_vma_allowable(kernel_, mm, *vma, /*enforce_sysfs=*/true, /*in_fault=*/false);
  if (!is_fit) {
    mm.mmap_lock().release_read();
    return mm_left();
  }
  scan_and_collapse(mm, range.base, ranked_done_);
}

void Khugepaged::ranked_done() {
  note_range();
  ranking_.tried({request_.mm, request_.base}, request_.result);
  progress_ += progress_of_range();
  if (!request_.mmap_lock_dropped) request_.mm->mmap_lock().release_read();
  mm_left();
}

}  // namespace collapsar
