// From the flush to the commit, or back: khugepaged.md 5.1, phases 6 to 12 without the copy (collapse_copy.cc). mmap_lock is held for write throughout.
#include <algorithm>
#include <utility>

#include "models/kernel/collapse_context.h"

namespace collapsar {

// --- 6, 7: pmdp_collapse_flush. Hardware walks miss from the beginning on; translations held in TLBs serve to the end
// ---

void Collapse::Context::begin_flush() {
  table = mm().table().detach_pte_table(request->base);
  const Duration shootdown = kernel.shootdown.flush_duration(mm().asid(), range(), PageSize::k4K, request->cpu);
  spend(kernel.config.costs.collapse_flush + shootdown, &KhugepagedStats::cpu_flush, flush_);
}

void Collapse::Context::flush_done() {
  kernel.shootdown.flush(mm().asid(), range(), PageSize::k4K, request->cpu, kernel.rules.flush_frees_tables);
  if (!kernel.rules.table_sync_interrupts_all) return begin_isolate();
  spend(kernel.shootdown.interrupt_all(request->cpu), &KhugepagedStats::cpu_flush, synced_);
}

// --- 8: __collapse_huge_page_isolate, khugepaged.md 5.4 ---

void Collapse::Context::begin_isolate() {
  spend(kernel.config.costs.isolate_page * present_pages(), &KhugepagedStats::cpu_isolate, isolate_);
}

void Collapse::Context::isolate_done() {
  ScanCounts counts;
  const ScanResult result = isolate_all(counts);
  request->isolate = {.counts = counts, .status = result};
  collapse.count_exceeded(result);
  if (result != ScanResult::SUCCEED) {
    why_rollback = result;
    return begin_rollback();
  }
  begin_copy();
}

ScanResult Collapse::Context::isolate_all(ScanCounts& counts) {
  for (const Pte pte : ptes()) {
    if (pte.none() || pte.zero_page()) {
      if (++counts.none_or_zero > limits.none) return ScanResult::EXCEED_NONE_PTE;
      continue;
    }
    if (!pte.present()) return ScanResult::PTE_NON_PRESENT;
    if (pte.bits & Pte::kUffdWp) return ScanResult::PTE_UFFD_WP;
    if (const ScanResult page = isolate_page(pte, counts); page != ScanResult::SUCCEED) return page;
  }
  if (kernel.rules.needs_writable_pte && !counts.writable) return ScanResult::PAGE_RO;
  if (limits.young_test && counts.referenced == 0) return ScanResult::LACK_REFERENCED_PAGE;
  return ScanResult::SUCCEED;
}

ScanResult Collapse::Context::isolate_page(Pte pte, ScanCounts& counts) {
  const Pfn folio = kernel.memory.head_of(pte.pfn());
  const Frame& frame = kernel.memory.frame(folio);
  if (frame.used_as() != FrameUse::anon) return ScanResult::PAGE_NULL;
  if (collapse.is_lazyfree(frame, pte, limits)) return ScanResult::PAGE_LAZYFREE;
  if (collapse.rmap_.is_shared(pte.pfn()) && ++counts.shared > limits.shared) return ScanResult::EXCEED_SHARED_PTE;
  if (!is_isolated(folio)) {
    const ScanResult result = take_folio(folio, pte.pfn());
    if (result != ScanResult::SUCCEED) return result;
  }
  counts.referenced += limits.young_test && (pte.accessed() || frame.is(Frame::kReferenced));
  counts.writable |= pte.writable();
  return ScanResult::SUCCEED;
}

ScanResult Collapse::Context::take_folio(Pfn folio, Pfn page) {
  if (!collapse.locks_.try_lock(folio)) return ScanResult::PAGE_LOCK;
  ScanResult result = ScanResult::SUCCEED;
  if (collapse.rmap_.has_extra_references(page)) result = ScanResult::PAGE_COUNT;
  else if (!collapse.reclaim_.isolate(folio)) result = ScanResult::DEL_PAGE_LRU;
  if (result == ScanResult::SUCCEED) isolated.push_back(folio);
  else collapse.locks_.unlock(folio);
  return result;
}

// True for the further PTEs of a large folio that this collapse has taken already.
bool Collapse::Context::is_isolated(Pfn folio) const {
  return kernel.memory.frame(folio).is(Frame::kIsolated) &&
         std::find(isolated.rbegin(), isolated.rend(), folio) != isolated.rend();
}

void Collapse::Context::put_back() {
  for (const Pfn folio : isolated) put_back(folio);
  isolated.clear();
}

void Collapse::Context::put_back(Pfn folio) {
  collapse.locks_.unlock(folio);
  collapse.reclaim_.putback(folio);
  collapse.rmap_.free_if_unused(folio);
}

// --- 11, 12: install ---

void Collapse::Context::begin_commit() {
  spend(kernel.config.costs.collapse_commit, &KhugepagedStats::cpu_commit, commit_);
}

// No flush: the PMD was empty. The emptied table is deposited under the huge page.
void Collapse::Context::commit_done() {
  collapse.rmap_.commit_collapse(mm(), *vma, request->base, head, huge_leaf(), table);
  collapse.reclaim_.add_new(head, request->cpu);
  collapse.split_.enlist(head);
  table = nullptr;
  ++mm().mappings()[vma->mapping].collapsed;
  drop_lock();
  finish(ScanResult::SUCCEED);
}

// Writable iff the VMA is, even over read-only PTEs; dirty, accessed, exclusive (khugepaged.md 5.7).
Pte Collapse::Context::huge_leaf() const {
  const bool accessible = vma->flags & (Vma::kRead | Vma::kWrite | Vma::kExec);
  std::uint64_t flags = Pte::kUser | Pte::kAccessed | Pte::kDirty | Pte::kHuge | Pte::kSoftExclusive;
  flags |= accessible ? Pte::kPresent : Pte::kProtNone;
  if (vma->writable()) flags |= Pte::kWritable;
  if (!vma->is(Vma::kExec)) flags |= Pte::kNoExec;
  return Pte::make(head, flags);
}

// --- after a failed isolation or copy: rollback A and B, khugepaged.md 5.6. Putting a page back costs as much as taking
// it ---

void Collapse::Context::begin_rollback() {
  const auto taken = std::int64_t(isolated.size());
  spend(kernel.config.costs.isolate_page * taken, &KhugepagedStats::cpu_rollback, rollback_);
}

// The same table returns to the PMD with its entries as they were; nothing can have cached the empty PMD: no flush.
void Collapse::Context::rollback_done() {
  put_back();
  mm().table().attach_pte_table(request->base, table);
  table = nullptr;
  fail(why_rollback);
}

}  // namespace collapsar
