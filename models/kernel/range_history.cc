#include "models/kernel/range_history.h"

#include <algorithm>

namespace collapsar {

void RangeHistory::scanned(const Scan& scan) {
  RangeRecord& range = at(scan.asid, scan.base);
  if (scan.by == By::khugepaged) {
    ++range.times_scanned;
    ++range.results[std::size_t(scan.result)];
  } else {
    ++range.times_madvised;
  }
  range.last = scan.result;
  range.last_by = scan.by;
  range.last_attempted = scan.attempted;
  range.last_scan = queue_.now();
  if (scan.counts.looked_at > 0) note_look(range, scan);
  range.scan_cost += scan.collapsed ? scan.scan_cost : scan.scan_cost + scan.collapse_cost;
  range.stall += scan.stall;
  if (!scan.collapsed) {
    for (RangeWatcher* watcher : watchers_) watcher->refused(scan.asid, scan.base, scan.result);
    return;
  }
  ++(scan.by == By::khugepaged ? range.collapsed : range.madvise_collapsed);
  range.collapse_cost += scan.collapse_cost;
  if (scan.maps_pmd) became_huge(scan.asid, scan.base, scan.by);
}

void RangeHistory::note_look(RangeRecord& range, const Scan& scan) const {
  range.last_look_result = scan.result;
  range.last_look = queue_.now();
  range.last_none_or_zero = scan.counts.none_or_zero;
  range.last_unmapped = scan.counts.unmapped;
  range.last_referenced = scan.counts.referenced;
  range.last_shared = scan.counts.shared;
  range.last_looked_at = scan.counts.looked_at;
  range.last_present = scan.counts.looked_at - scan.counts.none_or_zero - scan.counts.unmapped;
  range.last_writable = scan.counts.writable;
}

void RangeHistory::became_huge(Asid asid, VirtAddr va, By by) {
  const VirtAddr base = huge_base(va);
  RangeRecord& range = at(asid, base);
  SIM_ASSERT(!range.is_huge, "the range {:#x} of address space {} becomes huge twice", base.value, asid);
  for (RangeWatcher* watcher : watchers_) watcher->will_be_huge(asid, base, by);
  range.is_huge = true;
  range.huge_by = by;
  range.became_huge = queue_.now();
  if (range.became_huge_times++ == 0) range.first_huge = range.became_huge;
  ++range.times_by[std::size_t(by)];
}

void RangeHistory::pmd_split(Asid asid, VirtAddr va) {
  ++at(asid, va).split_times;
  stopped_huge(asid, va, Stop::split);
}

void RangeHistory::stopped_huge(Asid asid, VirtAddr va, Stop how) {
  const VirtAddr base = huge_base(va);
  RangeRecord& range = at(asid, base);
  if (!range.is_huge) return;
  for (RangeWatcher* watcher : watchers_) watcher->will_be_small(asid, base);
  range.huge_time = huge_time(range);
  range.is_huge = false;
  range.stopped = how;
  range.stopped_by = cause_;
  range.stopped_huge = queue_.now();
}

void RangeHistory::restart_huge_time() {
  counted_from_ = queue_.now();
  for (auto& [key, range] : ranges_) range.huge_time = {};
}

Duration RangeHistory::huge_time(const RangeRecord& record) const {
  if (!record.is_huge) return record.huge_time;
  return record.huge_time + (queue_.now() - std::max(record.became_huge, counted_from_));
}

}  // namespace collapsar
