// From the scan to the last page isolated: khugepaged.md 5.9, collapse steps 1 and 2.
#include "models/kernel/file_collapse.h"

#include <utility>

#include "models/kernel/file_collapse_context.h"
#include "models/kernel/memcg.h"
#include "models/kernel/observer.h"

namespace collapsar {

FileCollapse::FileCollapse(KernelContext& kernel, Rmap& rmap, PageFault& faults, PageLocks& locks, Reclaim& reclaim,
                           Compaction& compaction, FileTables& tables)
    : kernel_(kernel),
      rmap_(rmap),
      faults_(faults),
      locks_(locks),
      reclaim_(reclaim),
      compaction_(compaction),
      tables_(tables),
      writeback_(kernel, rmap) {}

FileCollapse::~FileCollapse() = default;

void FileCollapse::scan_and_collapse(Request& request) {
  SIM_ASSERT(request.first % kHugePages == 0, "collapse asked at page {} of file {}", request.first, request.file);
  Context* idle = nullptr;
  for (auto& context : contexts_)
    if (!context->busy()) idle = context.get();
  if (!idle) idle = contexts_.emplace_back(std::make_unique<Context>(*this, contexts_.size())).get();
  idle->start(request);
}

void FileCollapse::cut_spans() {
  for (auto& context : contexts_)
    if (context->busy()) context->end_spans("not finished");
}

// --- the scan ---

void FileCollapse::Context::start(Request& asked) {
  request = &asked;
  request->collapse.reset();
  request->scan_cost = request->collapse_cost = Duration::zero();
  head = kNoPfn;
  cost = Duration::zero();
  cache.hold(request->file);
  const SpanTrack track = by_khugepaged() ? SpanTrack{"khugepaged"} : SpanTrack{"MADV_COLLAPSE of files", number};
  steps.start(kernel.spans, track, kernel.queue.now());
  collapse.verdict(*request);  // how many entries there are to pay for; what they say is read at the end
  const Duration work = by_khugepaged() ? kernel.config.costs.scan_pte * request->looked_at : Duration::zero();
  spend(work, &KhugepagedStats::cpu_scan, scan_);
}

void FileCollapse::Context::scan_done() {
  const ScanResult result = collapse.verdict(*request);
  collapse.count_exceeded(result);
  request->scan_cost = std::exchange(cost, Duration::zero());  // from here on it is the collapse's
  if (result != ScanResult::SUCCEED) return finish(result);
  request->collapse = ScanResult::FAIL;
  spend(kernel.config.costs.collapse_alloc, &KhugepagedStats::cpu_alloc, alloc_);
}

// --- allocate, as Collapse does ---

void FileCollapse::Context::alloc_done() {
  const bool may_search = !by_khugepaged() || kernel.config.khugepaged.defrag;
  if (huge_search.take_free(FrameUse::file, may_search)) return search_done();
  if (!may_search) return give_up_alloc();
  huge_search.start(
      {.done = &search_, .use = FrameUse::file, .cpu = request->cpu, .takes_cpu = true, .is_daemon = by_khugepaged()});
}

void FileCollapse::Context::search_done() {
  account(huge_search.cost(), &KhugepagedStats::cpu_alloc);
  head = huge_search.page();
  if (head == kNoPfn) return give_up_alloc();
  kernel.stats.vmstat.pgalloc += kHugePages;
  use_new_page();
}

void FileCollapse::Context::use_new_page() {
  ++kernel.stats.vmstat.thp_collapse_alloc;
  if (!kernel.memcgs.try_charge(mm(), head, kHugePages)) {
    free_frames(kernel, std::exchange(head, kNoPfn), kHugeOrder);
    return finish(ScanResult::CGROUP_CHARGE_FAIL);
  }
  collapse.locks_.try_lock(head);
  why_rollback = ScanResult::SUCCEED;
  next_index = 0;
  taken.clear();
  holes.clear();
  flushes = {};
  sources.fill(kNoPfn);
  gather();
}

void FileCollapse::Context::give_up_alloc() {
  ++kernel.stats.vmstat.thp_collapse_alloc_failed;
  finish(ScanResult::ALLOC_HUGE_PAGE_FAIL);
}

// --- page by page, up to the next that must be read ---

bool FileCollapse::Context::must_read(PageCache::Entry entry) const {
  return entry.swap() || (!is_shmem() && entry.none());
}

void FileCollapse::Context::gather() {
  std::int64_t pages = 0;
  for (std::uint64_t i = next_index; i < kHugePages; ++i) {
    const PageCache::Entry entry = cache.find(request->file, request->first + i);
    if (must_read(entry)) break;
    pages += entry.page();
  }
  spend(kernel.config.costs.isolate_page * pages, &KhugepagedStats::cpu_isolate, gather_);
}

void FileCollapse::Context::gathered() {
  for (; next_index < kHugePages; ++next_index) {
    const std::uint64_t index = request->first + next_index;
    if (must_read(cache.find(request->file, index))) return read_in();
    if (const ScanResult result = pass_index(index); result != ScanResult::SUCCEED) return begin_rollback(result);
  }
  // A writer that came while the pages were taken.
  if (!is_shmem() && cache.is_open_for_write(request->file)) return begin_rollback(ScanResult::FAIL);
  begin_flush();
}

ScanResult FileCollapse::Context::pass_index(std::uint64_t index) {
  const PageCache::Entry entry = cache.find(request->file, index);
  if (entry.none()) return pass_hole(index);
  if (const Frame& page = kernel.memory.frame(kernel.memory.head_of(entry.pfn())); !is_shmem()) {
    if (page.is(Frame::kDirty)) collapse.writeback_.start(request->file);
    if (page.is(Frame::kWriteback))
      return kernel.rules.retries_after_write_back ? ScanResult::PAGE_DIRTY_OR_WRITEBACK : ScanResult::FAIL;
  }
  return take(index, entry.pfn());
}

// Shared memory that was truncated meanwhile, or was never touched.
ScanResult FileCollapse::Context::pass_hole(std::uint64_t index) {
  if (index == request->first && cache.is_block_empty(request->file, index, /*swap_counts=*/true))
    return ScanResult::TRUNCATED;
  holes.push_back(index);
  if (!kernel.rules.file_holes_may_fill) cache.reserve(request->file, index, head + (index - request->first));
  return ScanResult::SUCCEED;
}

ScanResult FileCollapse::Context::take(std::uint64_t index, Pfn pfn) {
  const Pfn folio = kernel.memory.head_of(pfn);
  if (!collapse.locks_.try_lock(folio)) return ScanResult::PAGE_LOCK;
  const ScanResult result = take_locked(pfn);
  if (result == ScanResult::SUCCEED) {
    taken.push_back(pfn);
    sources[index - request->first] = pfn;
  } else {
    collapse.locks_.unlock(folio);
  }
  return result;
}

ScanResult FileCollapse::Context::take_locked(Pfn pfn) {
  const Frame& frame = kernel.memory.frame(pfn);
  if (frame.is(Frame::kHead)) return ScanResult::PTE_MAPPED_HUGEPAGE;
  if (!collapse.reclaim_.isolate(pfn)) return ScanResult::DEL_PAGE_LRU;
  collapse.rmap_.unmap_file_page(pfn, [&](AddressSpace& where, VirtRange range) { flushes.note(where.asid(), range); });
  if (!collapse.rmap_.has_extra_references(pfn) && !frame.is(Frame::kSwapCache)) return ScanResult::SUCCEED;
  collapse.reclaim_.putback(pfn);
  return ScanResult::PAGE_COUNT;
}

// --- what is on swap or not cached ---

void FileCollapse::Context::read_in() {
  if (!is_shmem()) return read_file();
  spend(kernel.config.costs.fault_swap, &KhugepagedStats::cpu_swapin, swap_in_);
}

// Comes again after a wait for the device.
void FileCollapse::Context::swapped_in() {
  const std::uint64_t index = request->first + next_index;
  switch (collapse.faults_.swap_in_shmem(request->file, index, request->cpu, swap_in_)) {
    case PageFault::SwapIn::must_wait: return;
    case PageFault::SwapIn::retry: return begin_rollback(ScanResult::PAGE_LOCK);
    case PageFault::SwapIn::failed: return begin_rollback(ScanResult::FAIL);
    case PageFault::SwapIn::swapped_in: break;
  }
  if (kernel.rules.drains_lru_for_shmem_collapse) collapse.reclaim_.batches().drain(request->cpu);
  gather();
}

// page_cache_sync_readahead(): the pages from here to the next that is cached, then a wait for the first.
void FileCollapse::Context::read_file() {
  std::int64_t pages = 0;
  for (std::uint64_t i = next_index; i < kHugePages; ++i) {
    const std::uint64_t index = request->first + i;
    if (!cache.find(request->file, index).none()) break;
    const auto pfn = kernel.memory.allocate(0, MigrateType::movable, FrameUse::file, AllocLevel::low);
    if (!pfn) break;
    ++kernel.stats.vmstat.pgalloc;
    cache.add(request->file, index, *pfn);
    collapse.reclaim_.add_new(*pfn, request->cpu);
    collapse.locks_.try_lock(*pfn);
    reading.push_back(*pfn);
    ++pages;
  }
  collapse.reclaim_.batches().drain(request->cpu);
  if (pages == 0) return begin_rollback(ScanResult::FAIL);
  steps.enter("read file", kernel.queue.now());
  kernel.queue.schedule_after(read_, kernel.config.costs.file_read * pages);
}

void FileCollapse::Context::file_was_read() {
  for (const Pfn pfn : reading) collapse.locks_.unlock(pfn);
  reading.clear();
  gather();
}

// --- helpers ---

void FileCollapse::Context::spend(Duration work, Duration KhugepagedStats::*phase, Event& end) {
  account(work, phase);
  kernel.cpus.run_kernel(request->cpu, work, end);
}

void FileCollapse::Context::account(Duration work, Duration KhugepagedStats::*phase) {
  const std::string_view name = KhugepagedStats::name_of_phase(phase);
  steps.enter(name, kernel.queue.now(), name, work);
  cost += work;
  if (by_khugepaged()) kernel.stats.khugepaged.add(phase, work);
}

void FileCollapse::Context::end_spans(std::string_view result) {
  steps.finish("file range", SpanNote::address("base", request->base), SpanNote::word("result", result),
               kernel.queue.now());
}

void FileCollapse::Context::finish(ScanResult result) {
  request->result = result;
  end_spans(name_of(result));
  if (request->collapse) request->collapse = result;
  record();
  report();
  cache.release(request->file);
  collapse.rmap_.drop_shmem_file(request->file);
  Event& done = *request->done;
  request = nullptr;
  kernel.queue.schedule(done, kernel.queue.now());
}

void FileCollapse::Context::report() const {
  if (!kernel.observer) return;
  KernelObserver::FileScan scan;
  scan.mm = request->mm;
  scan.base = request->base;
  scan.index = request->first;
  scan.by_khugepaged = by_khugepaged();
  scan.status = request->result;
  scan.present = request->present;
  scan.swap = request->swap;
  scan.collapse = request->collapse;
  kernel.observer->file_scanned(scan);
}

void FileCollapse::Context::record() const {
  request->made_huge = head != kNoPfn;
  request->collapse_cost = cost;
  if (!by_khugepaged()) kernel.history->scanned(request->story());
}

RangeHistory::Scan FileCollapse::Request::story() const {
  RangeHistory::Scan scan;
  scan.asid = mm->asid();
  scan.base = base;
  scan.by = owner == LockOwner::khugepaged ? RangeRecord::By::khugepaged : RangeRecord::By::madvise_collapse;
  scan.result = result;
  const bool saw_all = collapse.has_value() || result == ScanResult::EXCEED_NONE_PTE;
  scan.counts.none_or_zero = saw_all ? std::uint32_t(kHugePages) - present - swap : 0;
  scan.counts.unmapped = swap;
  scan.counts.looked_at = saw_all ? std::uint32_t(kHugePages) : looked_at;
  scan.attempted = collapse.has_value();
  scan.collapsed = made_huge;
  scan.scan_cost = scan_cost;
  scan.collapse_cost = collapse_cost;
  return scan;
}

}  // namespace collapsar
