// From the scan to the write lock: khugepaged.md 5.1, phases 0 to 5. The rest is in collapse_phases.cc.
#include "models/kernel/collapse.h"

#include <utility>

#include "models/kernel/collapse_context.h"
#include "models/kernel/memcg.h"
#include "models/kernel/pmd_state.h"

namespace collapsar {

Collapse::Collapse(KernelContext& kernel, Rmap& rmap, PageFault& faults, PageLocks& locks, Reclaim& reclaim,
                   Compaction& compaction, Split& split)
    : kernel_(kernel),
      rmap_(rmap),
      faults_(faults),
      locks_(locks),
      reclaim_(reclaim),
      compaction_(compaction),
      split_(split) {}

Collapse::~Collapse() = default;

void Collapse::scan_and_collapse(Request& request) {
  SIM_ASSERT(request.base == huge_base(request.base), "collapse asked at {:#x}", request.base.value);
  request.result = ScanResult::FAIL;
  request.counts = {};
  request.swapin.reset();
  request.isolate.reset();
  request.mmap_lock_dropped = request.attempted = false;
  idle_context().start(request);
}

Collapse::Context& Collapse::idle_context() {
  for (auto& context : contexts_)
    if (!context->busy()) return *context;
  return *contexts_.emplace_back(std::make_unique<Context>(*this, contexts_.size()));
}

void Collapse::cut_spans() {
  for (auto& context : contexts_)
    if (context->busy()) context->end_spans("not finished");
}

void Collapse::Context::start(Request& asked) {
  request = &asked;
  limits = collapse.limits_of(asked.owner, *asked.mm, asked.base);
  head = kNoPfn;
  cost = scan_cost = stall = Duration::zero();
  const SpanTrack track = by_khugepaged() ? SpanTrack{"khugepaged"} : SpanTrack{"MADV_COLLAPSE", number};
  steps.start(kernel.spans, track, kernel.queue.now());
  begin_scan();
}

// --- the scan ---

// The PTE table is held while the time of the scan passes. What the entries say is read at its end; a look ahead tells
// how many there are to pay for.
void Collapse::Context::begin_scan() {
  if (collapse.state_of_pmd(mm(), request->base) != ScanResult::SUCCEED) return finish_without_table();
  if (mm().pte_table_locked(request->base)) return mm().wait_pte_table(request->base, wait_for(pte_table_free_));
  mm().lock_pte_table(request->base, request->owner);
  ScanCounts ahead;
  collapse.verdict(mm(), request->base, request->owner, ahead);
  const Duration work = by_khugepaged() ? kernel.config.costs.scan_pte * ahead.looked_at : Duration::zero();
  spend(work, &KhugepagedStats::cpu_scan, scan_);
}

void Collapse::Context::finish_without_table() { finish(collapse.state_of_pmd(mm(), request->base)); }

void Collapse::Context::scan_done() {
  const ScanResult result = collapse.verdict(mm(), request->base, request->owner, request->counts);
  const StallMeter meter(*this);
  mm().unlock_pte_table(request->base);
  collapse.count_exceeded(result);
  if (result != ScanResult::SUCCEED) return finish(result);
  request->attempted = request->mmap_lock_dropped = true;
  mm().mmap_lock().release_read();
  held = Held::none;
  scan_cost = std::exchange(cost, Duration::zero());
  begin_alloc();
}

// --- 1: allocate ---

void Collapse::Context::begin_alloc() {
  spend(kernel.config.costs.collapse_alloc, &KhugepagedStats::cpu_alloc, alloc_);
}

// GFP_TRANSHUGE with defrag, GFP_TRANSHUGE_LIGHT without (khugepaged.md 2.7); MADV_COLLAPSE always reclaims.
void Collapse::Context::alloc_done() {
  const bool may_search = !by_khugepaged() || kernel.config.khugepaged.defrag;
  if (huge_search.take_free(FrameUse::anon, may_search)) return search_done();
  if (!may_search) return give_up_alloc();
  huge_search.start(
      {.done = &search_, .use = FrameUse::anon, .cpu = request->cpu, .takes_cpu = true, .is_daemon = by_khugepaged()});
}

void Collapse::Context::search_done() {
  account(huge_search.cost(), &KhugepagedStats::cpu_alloc);
  head = huge_search.page();
  if (head == kNoPfn) return give_up_alloc();
  kernel.stats.vmstat.pgalloc += kHugePages;
  use_new_page();
}

void Collapse::Context::use_new_page() {
  ++kernel.stats.vmstat.thp_collapse_alloc;
  if (!kernel.memcgs.try_charge(mm(), head, kHugePages)) return fail(ScanResult::CGROUP_CHARGE_FAIL);
  lock_for_read();
}

void Collapse::Context::give_up_alloc() {
  ++kernel.stats.vmstat.thp_collapse_alloc_failed;
  fail(ScanResult::ALLOC_HUGE_PAGE_FAIL);
}

// --- 2: mmap_lock for read, revalidate. collapse_lock pays for both revalidations, half each ---

void Collapse::Context::lock_for_read() {
  if (mm().mmap_lock().read(wait_for(read_lock_))) begin_revalidate();
}

void Collapse::Context::begin_revalidate() {
  held = Held::read;
  spend(kernel.config.costs.collapse_lock / 2, &KhugepagedStats::cpu_commit, revalidate_, "revalidate");
}

void Collapse::Context::revalidate_done() {
  ScanResult result = revalidate();
  if (result == ScanResult::SUCCEED) result = collapse.state_of_pmd(mm(), request->base);
  if (result != ScanResult::SUCCEED) return fail(result);
  seen_table = mm().table().pte_table_id(request->base);
  next_entry = 0;
  if (request->counts.unmapped == 0) return lock_for_write();
  request->swapin = {.referenced = request->counts.referenced};
  begin_swap_in();
}

// hugepage_vma_revalidate, khugepaged.md 5.2.
ScanResult Collapse::Context::revalidate() {
  if (mm().exited() || (kernel.rules.skips_disabled_mm && mm().thp_disabled())) return ScanResult::ANY_PROCESS;
  vma = mm().first_ending_above(request->base);
  if (!vma) return ScanResult::VMA_NULL;
  if (!vma->holds_huge_block(request->base)) return ScanResult::ADDRESS_RANGE;
  if (!thp_vma_allowable(kernel, mm(), *vma, /*enforce_sysfs=*/by_khugepaged(), /*in_fault=*/false))
    return ScanResult::VMA_CHECK;
  if (!vma->is_anonymous() || vma->anon_vma == 0) return ScanResult::PAGE_ANON;
  return ScanResult::SUCCEED;
}

// --- 3: swap in, khugepaged.md 5.3 ---

void Collapse::Context::begin_swap_in() {
  if (!mm().table().pmd_is_table(request->base)) return fail(collapse.state_of_pmd(mm(), request->base));
  const auto& entries = mm().table().pte_table(request->base);
  while (next_entry < kHugePages && !entries[next_entry].swap()) ++next_entry;
  if (next_entry == kHugePages) return all_swapped_in();
  spend(kernel.config.costs.fault_swap, &KhugepagedStats::cpu_swapin, swap_in_);
}

// The pages just read are needed on their list, without the reference of their batch.
void Collapse::Context::all_swapped_in() {
  if (request->swapin->swapped_in > 0) collapse.reclaim_.batches().drain(request->cpu);
  lock_for_write();
}

// Comes again after a wait for the device.
void Collapse::Context::swap_in_done() {
  const VirtAddr va = request->base + next_entry * kPageBytes;
  const Pte* pte = mm().table().pte(va);
  if (!pte || !pte->swap()) return begin_swap_in();
  const PageFault::SwapIn outcome = collapse.faults_.swap_in(mm(), *vma, va, request->cpu, device_);
  switch (outcome) {
    case PageFault::SwapIn::swapped_in: ++request->swapin->swapped_in; return begin_swap_in();
    case PageFault::SwapIn::must_wait: return;
    case PageFault::SwapIn::retry: return give_up_swap_in(ScanResult::PAGE_LOCK);
    case PageFault::SwapIn::failed: return give_up_swap_in(ScanResult::FAIL);
  }
}

void Collapse::Context::give_up_swap_in(ScanResult why) {
  request->swapin->result = why;
  fail(why);
}

// --- 4, 5: mmap_lock for write, revalidate again, VMA lock ---

void Collapse::Context::lock_for_write() {
  drop_lock();
  if (mm().mmap_lock().write(wait_for(write_lock_))) begin_recheck();
}

void Collapse::Context::begin_recheck() {
  held = Held::write;
  const Duration rest = kernel.config.costs.collapse_lock - kernel.config.costs.collapse_lock / 2;
  spend(rest, &KhugepagedStats::cpu_commit, recheck_, "revalidate");
}

void Collapse::Context::recheck_done() {
  if (const ScanResult result = revalidate(); result != ScanResult::SUCCEED) return fail(result);
  steps.enter("wait for faults", kernel.queue.now());
  if (kernel.rules.per_vma_locks && !mm().vma_start_write(*vma, vma_drained_)) return;
  vma_drained();
}

// No fault can run in the VMA any more. check_pmd_still_valid: the PMD must point to the table seen before.
void Collapse::Context::vma_drained() {
  const ScanResult pmd = collapse.state_of_pmd(mm(), request->base);
  if (pmd != ScanResult::SUCCEED) return fail(pmd);
  if (mm().table().pte_table_id(request->base) != seen_table) return fail(ScanResult::FAIL);
  begin_flush();
}

// --- helpers ---

void Collapse::Context::spend(Duration work, Duration KhugepagedStats::*phase, Event& end, std::string_view step) {
  account(work, phase, step);
  kernel.cpus.run_kernel(request->cpu, work, end);
}

void Collapse::Context::account(Duration work, Duration KhugepagedStats::*phase, std::string_view step) {
  const std::string_view name = KhugepagedStats::name_of_phase(phase);
  steps.enter(step.empty() ? name : step, kernel.queue.now(), name, work);
  cost += work;
  if (by_khugepaged()) kernel.stats.khugepaged.add(phase, work);
}

TimedRwLock::Waiter& Collapse::Context::wait_for(Event& granted) {
  steps.enter("wait for lock", kernel.queue.now());
  waiter = {.granted = &granted, .owner = request->owner, .counts_as_stall = !by_khugepaged()};
  return waiter;
}

void Collapse::Context::drop_lock() {
  const StallMeter meter(*this);
  const Held was = held;
  held = Held::none;
  if (was == Held::read) mm().mmap_lock().release_read();
  if (was != Held::write) return;
  if (kernel.rules.per_vma_locks) mm().vma_end_write_all();
  mm().mmap_lock().release_write();
}

// Whatever went wrong, the page table is as it was: the new page goes back, the lock is dropped.
void Collapse::Context::fail(ScanResult why) {
  if (head != kNoPfn) give_back_new_page();
  drop_lock();
  finish(why);
}

void Collapse::Context::give_back_new_page() {
  free_frames(kernel, head, kHugeOrder);
  head = kNoPfn;
}

void Collapse::Context::finish(ScanResult result) {
  request->result = result;
  end_spans(name_of(result));
  record(result);
  if (kernel.observer) kernel.observer->pmd_scanned(as_scan());
  Event& done = *request->done;
  request = nullptr;
  kernel.queue.schedule(done, kernel.queue.now());
}

void Collapse::Context::end_spans(std::string_view result) {
  steps.finish("range", SpanNote::address("base", request->base), SpanNote::word("result", result), kernel.queue.now());
}

KernelObserver::PmdScan Collapse::Context::as_scan() const {
  KernelObserver::PmdScan scan;
  scan.mm = request->mm;
  scan.base = request->base;
  scan.by_khugepaged = by_khugepaged();
  scan.status = request->result;
  scan.counts = request->counts;
  scan.swapin = request->swapin;
  scan.isolate = request->isolate;
  if (request->attempted) scan.collapse = request->result;
  return scan;
}

// A scan alone has only its own cost; what came after a successful one is the collapse's.
void Collapse::Context::record(ScanResult result) const {
  RangeHistory::Scan scan;
  scan.asid = mm().asid();
  scan.base = request->base;
  scan.by = by_khugepaged() ? RangeRecord::By::khugepaged : RangeRecord::By::madvise_collapse;
  scan.result = result;
  scan.counts = request->counts;
  scan.attempted = request->attempted;
  scan.collapsed = scan.maps_pmd = result == ScanResult::SUCCEED;
  scan.scan_cost = request->attempted ? scan_cost : cost;
  scan.collapse_cost = request->attempted ? cost : Duration::zero();
  scan.stall = stall;
  kernel.history->scanned(scan);
}

}  // namespace collapsar
