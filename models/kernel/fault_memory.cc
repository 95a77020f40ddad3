// What all kinds of faults share: getting a frame, clearing it, waiting for a page, finding the entry unchanged.
#include "models/kernel/fault_context.h"
#include "models/kernel/memcg.h"

namespace collapsar {

// --- frames ---

// get_page_from_freelist() above low; then kswapd is woken and the reserve down to min may be used.
Pfn PageFault::Context::allocate(unsigned order, FrameUse use) {
  PhysicalMemory& memory = kernel.memory;
  auto pfn = memory.allocate(order, MigrateType::movable, use, AllocLevel::low);
  if (!pfn) {
    if (!timeless) fault.reclaim_.wake_kswapd();
    pfn = memory.allocate(order, MigrateType::movable, use, AllocLevel::min);
  }
  if (!pfn) return kNoPfn;
  kernel.stats.vmstat.pgalloc += 1ULL << order;
  if (!timeless) fault.reclaim_.wake_kswapd_if_low();
  return *pfn;
}

// Before time 0 there are no batches.
void PageFault::Context::add_to_lru(Pfn pfn) const {
  timeless ? fault.reclaim_.add(pfn, false) : fault.reclaim_.add_new(pfn, request->cpu);
}

void PageFault::Context::drain_lru() const {
  if (!timeless) fault.reclaim_.batches().drain(request->cpu);
}

bool PageFault::Context::take_page(FrameUse use) {
  page = allocate(0, use);
  if (page == kNoPfn) reclaim_memory(Reclaim::kSwapClusterMax);
  else if (!kernel.memcgs.try_charge(*mm, page, 1)) over_limit();
  return page != kNoPfn;
}

void PageFault::Context::over_limit() {
  give_back(std::exchange(page, kNoPfn));
  busy = false;
  throw SimulationError(
      fmt::format("process {} needs a page at {:#x}, and its memory control group is at its limit of "
                  "{} pages; a higher limit would help",
                  mm->pid(), va.value, kernel.memcgs.charged(*mm)));
}

bool PageFault::Context::ensure_pte_table() {
  if (mm->table().ensure_pte_table(va)) return true;
  reclaim_memory(Reclaim::kSwapClusterMax);
  return false;
}

// The lock stays; afterwards the fault looks at its PMD again.
void PageFault::Context::reclaim_memory(std::uint64_t pages) {
  if (timeless) {
    if (fault.reclaim_.drop_files_now(pages) > 0) return at_pmd();
    busy = false;
    fault.reclaim_.out_of_memory(mm->pid(), 1);
  }
  direct_reclaim = {.done = &reclaimed_, .pages_wanted = pages, .cpu = request->cpu};
  sleep();
  fault.reclaim_.direct_reclaim(direct_reclaim);
}

void PageFault::Context::reclaimed() {
  wake();
  if (!direct_reclaim.made_progress && !may_get_table()) fault.reclaim_.out_of_memory(mm->pid(), 1);
  at_pmd();
}

void PageFault::Context::give_back(Pfn pfn) {
  const unsigned order = unsigned(kernel.memory.frame(pfn).order);
  free_frames(kernel, pfn, order);
}

void PageFault::Context::drop_source() {
  if (source == kNoPfn) return;
  --kernel.memory.frame(kernel.memory.head_of(source)).pins;
  fault.rmap_.free_if_unused(source);
  source = kNoPfn;
}

void PageFault::Context::lost_race() {
  if (page != kNoPfn) give_back(std::exchange(page, kNoPfn));
  drop_source();
  at_pmd();
}

void PageFault::Context::clear(Pfn target, std::uint64_t pages, Event& done, void (Context::*then)()) {
  if (timeless) return (this->*then)();
  copy.clear(target, pages, costs().clear_page * std::int64_t(pages), done);
}

// --- waiting ---

// folio_lock_or_retry(): the lock is dropped for the time of the sleep.
void PageFault::Context::wait_for_page(Pfn locked_page) {
  waited = retried = true;
  fault.locks_.wait(locked_page, page_unlocked_);
  release_lock();
  sleep();
}

// Of the read that this fault started. A synchronous device (SWP_SYNCHRONOUS_IO) works in the task's own time.
void PageFault::Context::wait_for_read(Pfn locked_page) {
  if (!kernel.swap.is_synchronous()) return wait_for_page(locked_page);
  waited = true;
  fault.locks_.wait(locked_page, read_done_);
}

// The page-table lock is a spinlock: the task keeps its CPU.
bool PageFault::Context::entry_is_free(Event& again) {
  if (timeless || !mm->pte_table_locked(va)) return true;
  waiter = {.granted = &again, .owner = LockOwner::fault};
  mm->wait_pte_table(va, waiter);
  return false;
}

Pte* PageFault::Context::unchanged_entry() {
  Pte* pte = mm->table().pte(va);
  return pte && *pte == seen ? pte : nullptr;
}

// --- entries ---

// ptep_clear_flush() of a page that other CPUs may have cached read-only.
Duration PageFault::Context::flush_cost() const {
  const VirtRange range{page_address(), page_address() + kPageBytes};
  return timeless ? Duration{} : kernel.shootdown.flush_duration(mm->asid(), range, PageSize::k4K, request->cpu);
}

void PageFault::Context::flush_page() const {
  const VirtRange range{page_address(), page_address() + kPageBytes};
  if (!timeless) kernel.shootdown.flush(mm->asid(), range, PageSize::k4K, request->cpu, false);
}

// As vm_page_prot on x86: accessed from the start.
Pte PageFault::Context::small_pte(Pfn pfn, std::uint64_t flags) const {
  const std::uint64_t no_exec = bits_if(!vma->is(Vma::kExec), Pte::kNoExec);
  return Pte::make(pfn, Pte::kPresent | Pte::kUser | Pte::kAccessed | no_exec | flags);
}

}  // namespace collapsar
