// khugepaged.md 2: main loop, visit to a process, in the kernel's order.
#include "models/kernel/khugepaged.h"

#include <algorithm>
#include <utility>

#include "models/kernel/observer.h"

namespace collapsar {
namespace {

// With scan_sleep 0 the daemon goes on at once, but not without passing through the scheduler. A guess: one short trip.
constexpr Duration kShortestSleep = std::chrono::microseconds(1);

}  // namespace

Khugepaged::Khugepaged(KernelContext& kernel, Collapse& collapse, FileCollapse& file_collapse, LruBatches& lru_batches)
    : kernel_(kernel),
      collapse_(collapse),
      file_collapse_(file_collapse),
      lru_batches_(lru_batches),
      ranking_(kernel, collapse) {}

Khugepaged::~Khugepaged() = default;

// A new thread begins with an activation if there is work. A running one that is scanning sees the end of THP at its
// next look.
void Khugepaged::start_or_stop() {
  const bool runs = state_ != State::stopped;
  if (thp_on() == runs) return;
  if (runs) {
    if (state_ != State::scanning) stop();
    return;
  }
  state_ = State::no_work;
  if (!scan_.mm_head.empty()) wake_now();
}

// The cursor is given up; its slot goes if its process has exited.
void Khugepaged::stop() {
  draw_activation();
  state_ = State::stopped;
  kernel_.queue.cancel(wake_);
  kernel_.queue.cancel(alloc_slept_event_);
  const MmSlot* const slot = std::exchange(scan_.mm_slot, nullptr);
  if (slot && slot->mm->exited()) remove_slot(*slot->mm);
}

void Khugepaged::wake_now() {
  wakes_now_ = true;
  if (wake_.pending()) kernel_.queue.reschedule(wake_, kernel_.queue.now());
  else kernel_.queue.schedule(wake_, kernel_.queue.now());
}

void Khugepaged::sleep_knob_written() {
  if (state_ == State::scan_sleep) wake_now();
  if (state_ == State::alloc_sleep) kernel_.queue.reschedule(alloc_slept_event_, kernel_.queue.now());
}

std::uint64_t Khugepaged::ranges_per_wakeup() const { return (knobs().pages_to_scan + kHugePages) / (kHugePages + 1); }

// --- khugepaged_do_scan ---

void Khugepaged::wake() {
  ++stats().wakeups;
  woke_at_ = kernel_.queue.now();
  state_ = State::scanning;
  wakes_now_ = false;
  budget_ = knobs().pages_to_scan;
  progress_ = 0;
  pass_through_head_ = 0;
  alloc_slept_ = false;
  is_ranked_ = false;
  lru_batches_.drain_all();
  scan_next_mm();
}

// An activation covers at most the rest of a list begun earlier and one complete pass.
void Khugepaged::scan_next_mm() {
  if (!thp_on()) return stop();
  if (knobs().policy != CollapsePolicy::as_linux) return scan_by_policy();
  if (!scan_.mm_slot) ++pass_through_head_;
  if (scan_.mm_head.empty() || pass_through_head_ >= 2) return wait_for_work();
  take_up_mm();
}

void Khugepaged::mm_left() {
  if (progress_ >= budget_) return wait_for_work();
  if (last_result_ != ScanResult::ALLOC_HUGE_PAGE_FAIL) return scan_next_mm();
  if (alloc_slept_) return wait_for_work();
  sleep_for_alloc();
}

void Khugepaged::sleep_for_alloc() {
  alloc_slept_ = true;
  state_ = State::alloc_sleep;
  alloc_sleep_from_ = kernel_.queue.now();
  kernel_.queue.schedule_after(alloc_slept_event_, knobs().alloc_sleep);
}

void Khugepaged::alloc_slept() {
  draw("alloc sleep", alloc_sleep_from_, kernel_.queue.now(), {});
  state_ = State::scanning;
  scan_next_mm();
}

// khugepaged_wait_work
void Khugepaged::wait_for_work() {
  draw_activation();
  if (scan_.mm_head.empty()) {
    state_ = State::no_work;
    return;
  }
  state_ = State::scan_sleep;
  kernel_.queue.schedule_after(wake_, std::max(knobs().scan_sleep, kShortestSleep));
}

// --- khugepaged_scan_mm_slot ---

void Khugepaged::take_up_mm() {
  last_result_ = ScanResult::FAIL;
  took_up_at_ = kernel_.queue.now();
  if (!scan_.mm_slot) {
    scan_.mm_slot = &scan_.mm_head.front();
    scan_.address = {};
  }
  spend(kernel_.config.costs.scan_mm, mm_taken_up_);
}

void Khugepaged::mm_taken_up() {
  if (scan_.mm_slot->pte_mapped_thp.empty()) return lock_mm();
  empty_deferred_tables();
}

// A process whose mmap_lock is taken counts as finished, at no cost to the budget.
void Khugepaged::lock_mm() {
  AddressSpace& mm = *scan_.mm_slot->mm;
  holds_mmap_lock_ = mm.mmap_lock().try_read();
  if (!holds_mmap_lock_) {
    ++stats().busy;
    if (kernel_.observer) kernel_.observer->busy(mm, /*write=*/false);
    return leave_mm(Walk::at_end);
  }
  ++progress_;
  if (must_leave(mm)) return leave_mm(Walk::at_end);
  next_vma_ = scan_.address;
  walk_vmas();
}

// hpage_collapse_test_exit[_or_disable]
bool Khugepaged::must_leave(const AddressSpace& mm) const {
  return mm.exited() || (kernel_.rules.skips_disabled_mm && mm.thp_disabled());
}

// The VMAs that hold nothing for khugepaged are passed over in one step.
void Khugepaged::walk_vmas() {
  std::uint64_t skipped = 0;
  walk_ = find_next_range(skipped);
  if (skipped == 0) return vmas_skipped();
  spend(kernel_.config.costs.scan_vma * std::int64_t(skipped), vmas_skipped_);
}

// Moves the cursor to the next aligned 2 MiB that lies in an eligible VMA.
Khugepaged::Walk Khugepaged::find_next_range(std::uint64_t& skipped) {
  AddressSpace& mm = *scan_.mm_slot->mm;
  while (Vma* vma = mm.first_ending_above(next_vma_)) {
    next_vma_ = vma->range.end;
    if (must_leave(mm)) {
      ++progress_;
      return Walk::broken_off;
    }
    const VirtAddr start = align_up(vma->range.start, kHugeBytes), end = align_down(vma->range.end, kHugeBytes);
    const bool eligible = thp_vma_allowable(kernel_, mm, *vma, /*enforce_sysfs=*/true, /*in_fault=*/false);
    if (kernel_.observer) kernel_.observer->vma_looked_at(mm, *vma, eligible);
    if (!eligible || scan_.address > end) {
      ++progress_, ++skipped;
      continue;
    }
    scan_.address = std::max(scan_.address, start);
    vma_end_ = end;
    if (scan_.address < end) return Walk::at_range;
  }
  return Walk::at_end;
}

void Khugepaged::vmas_skipped() {
  if (walk_ != Walk::at_range) return leave_mm(walk_);
  scan_range();
}

void Khugepaged::scan_range() {
  if (must_leave(*scan_.mm_slot->mm)) return leave_mm(Walk::broken_off);
  const Vma* vma = scan_.mm_slot->mm->find(scan_.address);
  if (!vma->is_anonymous()) return scan_file_range(*vma);
  scan_and_collapse(*scan_.mm_slot->mm, scan_.address, range_done_);
}

void Khugepaged::scan_and_collapse(AddressSpace& mm, VirtAddr base, Event& done) {
  request_.mm = &mm;
  request_.base = base;
  request_.owner = LockOwner::khugepaged;
  request_.cpu = knobs().cpu.cpu;
  request_.done = &done;
  collapse_.scan_and_collapse(request_);
}

void Khugepaged::note_range() {
  last_result_ = request_.result;
  stats().pages_collapsed += request_.result == ScanResult::SUCCEED;
  count_range(request_.result, request_.counts.looked_at);
}

// The cursor moves on whatever came out. After a collapse was tried mmap_lock is gone, and with it the visit.
void Khugepaged::range_done() {
  note_range();
  scan_.address += kHugeBytes;
  progress_ += progress_of_range();
  if (request_.mmap_lock_dropped) holds_mmap_lock_ = false;
  if (request_.mmap_lock_dropped || progress_ >= budget_) return leave_mm(Walk::broken_off);
  if (scan_.address < vma_end_) return scan_range();
  walk_vmas();
}

// Where each PTE is counted, a range without a page table, or huge already, counts 1.
std::uint64_t Khugepaged::progress_of_range() const {
  switch (kernel_.rules.progress) {
    case Rules::Progress::whole_range: return kHugePages;
    case Rules::Progress::ptes_looked_at: return std::max<std::uint64_t>(request_.counts.looked_at, 1);
  }
  return kHugePages;
}

void Khugepaged::count_range(ScanResult result, std::uint64_t looked_at) {
  ++stats().ranges_scanned;
  ++stats().scan[std::size_t(result)];
  stats().ptes_scanned += looked_at;
}

void Khugepaged::leave_mm(Walk how) {
  AddressSpace& mm = *scan_.mm_slot->mm;
  draw_visit();
  if (holds_mmap_lock_) mm.mmap_lock().release_read();
  holds_mmap_lock_ = false;
  const bool is_done_with = mm.exited() || (kernel_.rules.disabled_mm_ends_its_turn && mm.thp_disabled());
  if (how == Walk::at_end || is_done_with) advance_cursor();
  mm_left();
}

// To the next process; behind the last, a full scan is complete. collect_mm_slot: a dead process loses its slot now.
void Khugepaged::advance_cursor() {
  AddressSpace& mm = *scan_.mm_slot->mm;
  const auto next = std::next(mm_slots_hash_.at(mm.asid()));
  scan_.mm_slot = next == scan_.mm_head.end() ? nullptr : &*next;
  scan_.address = {};
  stats().full_scans += scan_.mm_slot == nullptr;
  if (mm.exited()) remove_slot(mm);
}

void Khugepaged::spend(Duration work, Event& end) {
  stats().cpu += work;
  stats().cpu_scan += work;
  const Time now = kernel_.queue.now();
  draw("scan", now, now + work, SpanNote::word("account", "scan"), SpanNote::time("cpu_ns", work));
  kernel_.cpus.run_kernel(knobs().cpu.cpu, work, end);
}

}  // namespace collapsar
