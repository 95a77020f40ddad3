// From the flush to the commit, or back: khugepaged.md 5.9, collapse steps 3 to 7.
#include "models/kernel/file_collapse_context.h"
#include "models/kernel/memcg.h"

namespace collapsar {

// --- 3: the TLBs forget what was unmapped ---

void FileCollapse::Context::begin_flush() {
  spend(flushes.duration(kernel, request->cpu), &KhugepagedStats::cpu_flush, flush_);
}

// After a failure too.
void FileCollapse::Context::flush_done() {
  flushes.flush(kernel, request->cpu);
  if (why_rollback != ScanResult::SUCCEED) {
    const auto back = std::int64_t(taken.size());
    return spend(kernel.config.costs.isolate_page * back, &KhugepagedStats::cpu_rollback, rollback_);
  }
  begin_copy();
}

// --- 4: copy, zero-fill holes ---

void FileCollapse::Context::begin_copy() {
  const Duration work = copy.cost(sources);
  cost += work;
  if (by_khugepaged()) {
    kernel.stats.khugepaged.cpu_copy += work;
    kernel.stats.khugepaged.cpu += work;
  }
  copy.start(sources, head, request->cpu, copy_);
}

void FileCollapse::Context::copy_done() {
  for (std::uint64_t i = 0; i < kHugePages; ++i)
    if (sources[i] != kNoPfn && kernel.memory.frame(sources[i]).is(Frame::kData))
      kernel.memory.frame(head + i).set(Frame::kData);
  const ScanResult result = look_at_holes();
  if (result != ScanResult::SUCCEED) return begin_rollback(result);
  begin_commit();
}

// --- 5: holes that were filled meanwhile, or that somebody waits for ---

ScanResult FileCollapse::Context::look_at_holes() const {
  if (!kernel.rules.file_holes_may_fill || holes.empty()) return ScanResult::SUCCEED;
  for (const std::uint64_t index : holes)
    if (!cache.find(request->file, index).none()) return ScanResult::PAGE_FILLED;
  if (collapse.tables_.is_watched_for_missing(request->file, request->first)) return ScanResult::EXCEED_NONE_PTE;
  return ScanResult::SUCCEED;
}

// --- 6, 7: replace, empty the page tables ---

void FileCollapse::Context::begin_commit() {
  const KernelCosts& costs = kernel.config.costs;
  const Duration tables = collapse.tables_.retract_cost(request->file, request->first, request->cpu);
  spend(costs.collapse_commit + costs.release_page * std::int64_t(taken.size()) + tables, &KhugepagedStats::cpu_commit,
        commit_);
}

// khugepaged leaves the PMDs empty: the next fault maps the huge page. MADV_COLLAPSE maps it: 6.1 here, 6.12 in a step
// of its own, for which the result asks.
void FileCollapse::Context::commit_done() {
  release_old(cache.replace_block(request->file, request->first, head));
  if (is_shmem()) kernel.memory.frame(head).set(Frame::kDirty);
  collapse.reclaim_.add_new(head, request->cpu);
  const ScanResult of_asker = collapse.tables_.retract(request->file, request->first, head, asker());
  collapse.locks_.unlock(head);
  if (kernel.rules.defers_busy_tables) return finish(of_asker);
  finish(by_khugepaged() ? ScanResult::SUCCEED : ScanResult::PTE_MAPPED_HUGEPAGE);
}

void FileCollapse::Context::release_old(const std::vector<Pfn>& old) {
  for (const Pfn pfn : old) {
    kernel.memory.frame(pfn).clear(Frame::kIsolated);
    collapse.locks_.unlock(pfn);
    collapse.rmap_.free_if_unused(pfn);
  }
  taken.clear();
}

// --- back: the pages stay, unmapped ---

void FileCollapse::Context::begin_rollback(ScanResult why) {
  why_rollback = why;
  begin_flush();
}

void FileCollapse::Context::rollback_done() {
  for (const Pfn pfn : taken) {
    collapse.locks_.unlock(pfn);
    collapse.reclaim_.putback(pfn);
  }
  taken.clear();
  if (!kernel.rules.file_holes_may_fill)
    for (const std::uint64_t index : holes) cache.unreserve(request->file, index, head + (index - request->first));
  collapse.locks_.unlock(head);
  free_frames(kernel, std::exchange(head, kNoPfn), kHugeOrder);
  finish(why_rollback);
}

}  // namespace collapsar
