// Khugepaged on files and shared memory: one range, and the page tables over it (khugepaged.md 5.9).
#include <utility>

#include "models/kernel/khugepaged.h"
#include "models/kernel/observer.h"
#include "models/kernel/pmd_state.h"

namespace collapsar {

FileTables::Asker Khugepaged::asker(VirtAddr base) const {
  return {scan_.mm_slot->mm, base, /*is_khugepaged=*/true, knobs().cpu.cpu};
}

// --- 6.1: khugepaged_collapse_pte_mapped_thps, before the visit ---

// With mmap_lock taken they stay for the next visit.
void Khugepaged::empty_deferred_tables() {
  AddressSpace& mm = *scan_.mm_slot->mm;
  if (!mm.mmap_lock().try_write(LockOwner::khugepaged)) {
    if (kernel_.observer) kernel_.observer->busy(mm, /*write=*/true);
    return lock_mm();
  }
  Duration cost{};
  for (const VirtAddr base : scan_.mm_slot->pte_mapped_thp)
    if (pmd_state(mm.table(), base, kernel_.rules) == ScanResult::SUCCEED)
      cost += file_collapse_.tables().cost(mm, base, knobs().cpu.cpu);
  spend(cost, deferred_);
}

void Khugepaged::deferred_tables_emptied() {
  AddressSpace& mm = *scan_.mm_slot->mm;
  for (const VirtAddr base : std::exchange(scan_.mm_slot->pte_mapped_thp, {})) {
    if (mm.exited()) break;
    const ScanResult result = file_collapse_.tables().collapse_pte_mapped(asker(base), /*install=*/false);
    if (kernel_.observer) kernel_.observer->pte_mapped(mm, base, /*by_khugepaged=*/true, result);
  }
  mm.mmap_lock().release_write();
  lock_mm();
}

// --- one range: mmap_lock is dropped first, so the visit ends with it ---

void Khugepaged::scan_file_range(const Vma& vma) {
  AddressSpace& mm = *scan_.mm_slot->mm;
  file_request_.mm = &mm;
  file_request_.base = scan_.address;
  file_request_.file = vma.file;
  file_request_.first = vma.page_index(scan_.address);
  file_request_.owner = LockOwner::khugepaged;
  file_request_.cpu = knobs().cpu.cpu;
  file_request_.done = &file_scanned_;
  holds_mmap_lock_ = false;
  mm.mmap_lock().release_read();
  file_collapse_.scan_and_collapse(file_request_);
}

// A range whose page is huge already may have a page table in the way. 6.1 puts it down for the next visit and counts
// it as collapsed by that; 6.12 empties it now.
void Khugepaged::file_scanned() {
  AddressSpace& mm = *scan_.mm_slot->mm;
  const ScanResult result = file_request_.result;
  if (result != ScanResult::PTE_MAPPED_HUGEPAGE) return file_range_done(result, result == ScanResult::SUCCEED);
  if (kernel_.rules.defers_busy_tables) {
    const ScanResult pmd = pmd_state(mm.table(), scan_.address, kernel_.rules);
    if (pmd != ScanResult::SUCCEED) return file_range_done(pmd, false);
    return file_range_done(result, add_pte_mapped(mm, scan_.address));
  }
  file_waiter_ = {.granted = &file_locked_, .owner = LockOwner::khugepaged, .counts_as_stall = false};
  if (mm.mmap_lock().read(file_waiter_)) file_locked();
}

void Khugepaged::file_locked() {
  AddressSpace& mm = *scan_.mm_slot->mm;
  holds_mmap_lock_ = true;
  if (must_leave(mm)) return leave_mm(Walk::broken_off);
  const bool has_table = pmd_state(mm.table(), scan_.address, kernel_.rules) == ScanResult::SUCCEED;
  spend(has_table ? file_collapse_.tables().cost(mm, scan_.address, knobs().cpu.cpu) : Duration{}, file_table_);
}

void Khugepaged::file_table_emptied() {
  AddressSpace& mm = *scan_.mm_slot->mm;
  ScanResult result = file_collapse_.tables().collapse_pte_mapped(asker(scan_.address), /*install=*/false);
  if (kernel_.observer) kernel_.observer->pte_mapped(mm, scan_.address, /*by_khugepaged=*/true, result);
  if (result == ScanResult::PMD_MAPPED) result = ScanResult::SUCCEED;
  file_range_done(result, result == ScanResult::SUCCEED);
}

void Khugepaged::file_range_done(ScanResult result, bool counts_as_collapsed) {
  last_result_ = result;
  stats().pages_collapsed += counts_as_collapsed;
  RangeHistory::Scan story = file_request_.story();
  story.collapsed = counts_as_collapsed;
  kernel_.history->scanned(story);
  count_range(file_request_.result, file_request_.looked_at);  // as the tracepoint and the range's history have it
  scan_.address += kHugeBytes;
  const bool is_huge_already = file_request_.result == ScanResult::PTE_MAPPED_HUGEPAGE;
  progress_ += is_huge_already && kernel_.rules.progress == Rules::Progress::ptes_looked_at ? 1 : kHugePages;
  leave_mm(Walk::broken_off);
}

}  // namespace collapsar
