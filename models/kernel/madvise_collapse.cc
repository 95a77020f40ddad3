#include "models/kernel/madvise_collapse.h"

#include <cerrno>
#include <utility>

#include "models/kernel/observer.h"
#include "models/kernel/page_cache.h"

namespace collapsar {

namespace {

// Results after which the call goes on with the next 2 MiB. Where there is one code for want of a page table, so does it.
bool goes_on_after(ScanResult result) {
  switch (result) {
    case ScanResult::PMD_NULL:
    case ScanResult::NO_PTE_TABLE:
    case ScanResult::PTE_NON_PRESENT:
    case ScanResult::PTE_UFFD_WP:
    case ScanResult::PAGE_RO:
    case ScanResult::LACK_REFERENCED_PAGE:
    case ScanResult::PAGE_NULL:
    case ScanResult::PAGE_COUNT:
    case ScanResult::PAGE_LOCK:
    case ScanResult::PAGE_COMPOUND:
    case ScanResult::PAGE_LRU:
    case ScanResult::DEL_PAGE_LRU: return true;
    case ScanResult::FAIL:
    case ScanResult::SUCCEED:
    case ScanResult::PMD_NONE:
    case ScanResult::PMD_MAPPED:
    case ScanResult::EXCEED_NONE_PTE:
    case ScanResult::EXCEED_SWAP_PTE:
    case ScanResult::EXCEED_SHARED_PTE:
    case ScanResult::PTE_MAPPED_HUGEPAGE:
    case ScanResult::SCAN_ABORT:
    case ScanResult::PAGE_ANON:
    case ScanResult::PAGE_LAZYFREE:
    case ScanResult::ANY_PROCESS:
    case ScanResult::VMA_NULL:
    case ScanResult::VMA_CHECK:
    case ScanResult::ADDRESS_RANGE:
    case ScanResult::ALLOC_HUGE_PAGE_FAIL:
    case ScanResult::CGROUP_CHARGE_FAIL:
    case ScanResult::TRUNCATED:
    case ScanResult::PAGE_HAS_PRIVATE:
    case ScanResult::STORE_FAILED:
    case ScanResult::COPY_MC:
    case ScanResult::PAGE_FILLED:
    case ScanResult::PAGE_DIRTY_OR_WRITEBACK: return false;
  }
  return false;
}

}  // namespace

MadviseCollapse::MadviseCollapse(KernelContext& kernel, Collapse& collapse, FileCollapse& file_collapse,
                                 LruBatches& lru_batches)
    : kernel_(kernel), collapse_(collapse), file_collapse_(file_collapse), lru_batches_(lru_batches) {
  waiter_.granted = &locked_;
  waiter_.owner = LockOwner::madvise_collapse;
}

void MadviseCollapse::start(AddressSpace& mm, TaskId task, CpuId cpu, VirtRange range, Event& done) {
  mm_ = &mm;
  task_ = task;
  range_ = range;
  done_ = &done;
  error_ = 0;
  request_ = {};
  request_.mm = &mm;
  request_.owner = LockOwner::madvise_collapse;
  request_.cpu = cpu;
  request_.done = &scanned_;
  take_lock(&MadviseCollapse::begin_vma);
}

void MadviseCollapse::take_lock(void (MadviseCollapse::*next)(), Held how) {
  after_lock_ = next;
  wanted_ = how;
  slept_ = !(how == Held::write ? mm_->mmap_lock().write(waiter_) : mm_->mmap_lock().read(waiter_));
  if (slept_) return kernel_.cpus.task_sleeps(task_);
  locked();
}

void MadviseCollapse::locked() {
  if (slept_) kernel_.cpus.task_wakes(task_);
  held_ = wanted_;
  (this->*after_lock_)();
}

void MadviseCollapse::release_lock() {
  const Held was = std::exchange(held_, Held::none);
  if (was == Held::read) mm_->mmap_lock().release_read();
  if (was == Held::write) mm_->mmap_lock().release_write();
}

// madvise_walk_vmas: an unmapped hole makes ENOMEM of the whole, but does not stop it.
void MadviseCollapse::begin_vma() {
  Vma* vma = range_.empty() ? nullptr : mm_->first_ending_above(range_.start);
  if (!range_.empty() && (!vma || vma->range.start > range_.start)) error_ = ENOMEM;
  if (!vma || vma->range.start >= range_.end) return finish();
  const VirtRange part = vma->range.intersect(range_);
  if (!thp_vma_allowable(kernel_, *mm_, *vma, /*enforce_sysfs=*/false, /*in_fault=*/false)) {
    error_ = EINVAL;
    return finish();
  }
  lru_batches_.drain_all();
  vma_end_ = part.end;
  address_ = first_ = align_up(part.start, kHugeBytes);
  end_ = huge_base(part.end);
  huge_ = 0;
  has_written_back_ = false;
  last_failure_ = ScanResult::FAIL;
  next_range();
}

void MadviseCollapse::next_range() {
  if (address_ >= end_) return end_vma();
  if (held_ == Held::none) return take_lock(&MadviseCollapse::revalidate);
  scan();
}

// hugepage_vma_revalidate: the lock was dropped, the VMA may be another.
void MadviseCollapse::revalidate() {
  const ScanResult result = revalidation();
  if (result != ScanResult::SUCCEED) return fail(result);
  end_ = std::min(end_, huge_base(mm_->find(address_)->range.end));
  scan();
}

ScanResult MadviseCollapse::revalidation() const {
  if (mm_->exited()) return ScanResult::ANY_PROCESS;
  const Vma* vma = mm_->first_ending_above(address_);
  if (!vma) return ScanResult::VMA_NULL;
  if (!vma->holds_huge_block(address_)) return ScanResult::ADDRESS_RANGE;
  if (!thp_vma_allowable(kernel_, *mm_, *vma, false, false)) return ScanResult::VMA_CHECK;
  return ScanResult::SUCCEED;
}

void MadviseCollapse::scan() {
  const Vma* vma = mm_->find(address_);
  if (!vma->is_anonymous()) return scan_file(*vma);
  request_.base = address_;
  request_.mmap_lock_dropped = false;
  collapse_.scan_and_collapse(request_);
}

void MadviseCollapse::scanned() {
  if (request_.mmap_lock_dropped) held_ = Held::none;
  settle(request_.result);
}

// --- files and shared memory: without mmap_lock ---

void MadviseCollapse::scan_file(const Vma& vma) {
  file_request_.mm = mm_;
  file_request_.base = address_;
  file_request_.file = vma.file;
  file_request_.first = vma.page_index(address_);
  file_request_.owner = LockOwner::madvise_collapse;
  file_request_.cpu = request_.cpu;
  file_request_.done = &file_scanned_;
  release_lock();
  file_collapse_.scan_and_collapse(file_request_);
}

// The page is huge; it is to be mapped here too. Dirty pages are written back, once, before another attempt.
void MadviseCollapse::file_scanned() {
  if (file_request_.result == ScanResult::PAGE_DIRTY_OR_WRITEBACK && !std::exchange(has_written_back_, true))
    return wait_for_write_back();
  if (file_request_.result != ScanResult::PTE_MAPPED_HUGEPAGE) return settle(file_request_.result);
  take_lock(&MadviseCollapse::map_file, kernel_.rules.defers_busy_tables ? Held::write : Held::read);
}

void MadviseCollapse::wait_for_write_back() {
  kernel_.page_cache->hold(file_request_.file);
  kernel_.cpus.task_sleeps(task_);
  file_collapse_.writeback().write_and_wait(file_request_.file, file_request_.first, written_);
}

void MadviseCollapse::written_back() {
  kernel_.cpus.task_wakes(task_);
  kernel_.page_cache->release(file_request_.file);
  take_lock(&MadviseCollapse::revalidate);
}

void MadviseCollapse::map_file() {
  const Duration cost = file_collapse_.tables().cost(*mm_, address_, request_.cpu);
  kernel_.cpus.run_kernel(request_.cpu, cost, file_mapped_);
}

void MadviseCollapse::file_mapped() {
  const FileTables::Asker asker{mm_, address_, /*is_khugepaged=*/false, request_.cpu};
  const ScanResult result = file_collapse_.tables().collapse_pte_mapped(asker, /*install=*/true);
  if (kernel_.observer) kernel_.observer->pte_mapped(*mm_, address_, /*by_khugepaged=*/false, result);
  release_lock();
  settle(result);
}

// --- one range is done ---

void MadviseCollapse::settle(ScanResult result) {
  if (result == ScanResult::SUCCEED || result == ScanResult::PMD_MAPPED) ++huge_;
  else if (goes_on_after(result)) last_failure_ = result;
  else return fail(result);
  address_ += kHugeBytes;
  has_written_back_ = false;
  next_range();
}

void MadviseCollapse::fail(ScanResult result) {
  last_failure_ = result;
  end_vma();
}

// Done if every 2 MiB was. A VMA whose inner range is negative (no whole block of it in the advice) fails, as the
// unsigned count does.
void MadviseCollapse::end_vma() {
  const bool all_done = first_ <= end_ && huge_ == (end_ - first_) / kHugeBytes;
  range_.start = vma_end_;
  if (!all_done) {
    error_ = error_of(last_failure_);
    return finish();
  }
  if (range_.empty()) return finish();
  if (held_ == Held::none) return take_lock(&MadviseCollapse::begin_vma);
  begin_vma();
}

void MadviseCollapse::finish() {
  release_lock();
  kernel_.queue.schedule(*done_, kernel_.queue.now());
}

// madvise_collapse_errno.
int MadviseCollapse::error_of(ScanResult result) const {
  switch (result) {
    case ScanResult::ALLOC_HUGE_PAGE_FAIL: return ENOMEM;
    case ScanResult::CGROUP_CHARGE_FAIL: return EBUSY;
    case ScanResult::EXCEED_NONE_PTE: return kernel_.rules.none_pte_errno_is_busy ? EBUSY : EINVAL;
    case ScanResult::PAGE_COUNT:
    case ScanResult::PAGE_LOCK:
    case ScanResult::PAGE_LRU:
    case ScanResult::DEL_PAGE_LRU:
    case ScanResult::PAGE_FILLED:
    case ScanResult::PAGE_DIRTY_OR_WRITEBACK: return EAGAIN;
    case ScanResult::FAIL:
    case ScanResult::SUCCEED:
    case ScanResult::PMD_NULL:
    case ScanResult::PMD_NONE:
    case ScanResult::NO_PTE_TABLE:
    case ScanResult::PMD_MAPPED:
    case ScanResult::EXCEED_SWAP_PTE:
    case ScanResult::EXCEED_SHARED_PTE:
    case ScanResult::PTE_NON_PRESENT:
    case ScanResult::PTE_UFFD_WP:
    case ScanResult::PTE_MAPPED_HUGEPAGE:
    case ScanResult::PAGE_RO:
    case ScanResult::LACK_REFERENCED_PAGE:
    case ScanResult::PAGE_NULL:
    case ScanResult::SCAN_ABORT:
    case ScanResult::PAGE_ANON:
    case ScanResult::PAGE_LAZYFREE:
    case ScanResult::PAGE_COMPOUND:
    case ScanResult::ANY_PROCESS:
    case ScanResult::VMA_NULL:
    case ScanResult::VMA_CHECK:
    case ScanResult::ADDRESS_RANGE:
    case ScanResult::TRUNCATED:
    case ScanResult::PAGE_HAS_PRIVATE:
    case ScanResult::STORE_FAILED:
    case ScanResult::COPY_MC: return EINVAL;
  }
  return EINVAL;
}

}  // namespace collapsar
