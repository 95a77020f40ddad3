#include "models/kernel/page_fault.h"

#include "models/kernel/fault_context.h"

namespace collapsar {

PageFault::PageFault(KernelContext& kernel, Processes& processes, Rmap& rmap, SwapCache& swap_cache, PageLocks& locks,
                     Reclaim& reclaim, Compaction& compaction, Split& split, KhugepagedEntry& khugepaged)
    : kernel_(kernel),
      processes_(processes),
      rmap_(rmap),
      swap_cache_(swap_cache),
      locks_(locks),
      reclaim_(reclaim),
      compaction_(compaction),
      split_(split),
      khugepaged_(khugepaged),
      timeless_(std::make_unique<Context>(*this)) {
  timeless_->timeless = true;
}
PageFault::~PageFault() = default;

PageFault::Context& PageFault::context_of(TaskId task) {
  while (contexts_.size() <= task) contexts_.push_back(nullptr);
  if (!contexts_[task]) contexts_[task] = std::make_unique<Context>(*this);
  return *contexts_[task];
}

void PageFault::handle_fault(FaultRequest& request) {
  context_of(request.task).begin(request, processes_.mm_of(request.task), true);
}

bool PageFault::fault_now(AddressSpace& mm, VirtAddr va, Access access) {
  timeless_->reset(&mm, va, access);
  timeless_->take_lock();
  return timeless_->outcome == FaultRequest::Outcome::resolved;
}

std::uint64_t PageFault::host_bytes() const {
  std::uint64_t bytes = contexts_.capacity() * sizeof(contexts_[0]);
  for (const auto& c : contexts_) bytes += c ? sizeof(Context) : 0;
  return bytes;
}

// --- entry ---

void PageFault::Context::reset(AddressSpace* space, VirtAddr address, Access kind) {
  SIM_ASSERT(!busy, "a second fault at {:#x} while the one at {:#x} is handled", address.value, va.value);
  busy = true;
  mm = space;
  vma = nullptr;
  va = address;
  access = kind;
  began = kernel.queue.now();
  lock = Lock::none;
  retried = waited = no_huge = over_charge = got_huge = got_cow = asleep = false;
  page = source = file_page = kNoPfn;
}

void PageFault::Context::begin(FaultRequest& asked, AddressSpace* space, bool exception) {
  reset(space, asked.va, asked.access);
  request = &asked;
  is_exception = exception;
  kernel.queue.schedule_after(entered_, costs().fault_entry);
}

// --- locks ---

// rules.per_vma_locks: lock_vma_under_rcu(); a fault that slept goes on under mmap_lock.
void PageFault::Context::take_lock() {
  if (!mm || mm->exited()) return finish(FaultRequest::Outcome::outside_vma);
  if (timeless) return lock_granted();
  if (kernel.rules.per_vma_locks && !retried) {
    vma = mm->find(va);
    if (vma && mm->vma_start_read(*vma)) {
      lock = Lock::vma;
      return at_vma();
    }
  }
  waiter = {.granted = &lock_granted_, .owner = LockOwner::fault};
  if (mm->mmap_lock().read(waiter)) return lock_granted();
  sleep();
}

void PageFault::Context::lock_granted() {
  wake();
  if (!timeless) lock = Lock::mmap;
  if (mm->exited()) return finish(FaultRequest::Outcome::outside_vma);
  vma = mm->find(va);
  if (!vma) {
    vma = mm->expand_stack(va);
    if (vma && kernel.rules.stack_growth_registers) fault.khugepaged_.enter_vma(*mm, *vma);
  }
  at_vma();
}

void PageFault::Context::release_lock() {
  switch (std::exchange(lock, Lock::none)) {
    case Lock::none: return;
    case Lock::vma: return mm->vma_end_read(*vma);
    case Lock::mmap: return mm->mmap_lock().release_read();
  }
}

void PageFault::Context::sleep() {
  if (timeless || std::exchange(asleep, true)) return;
  kernel.cpus.task_sleeps(request->task);
}

void PageFault::Context::wake() {
  if (std::exchange(asleep, false)) kernel.cpus.task_wakes(request->task);
}

// --- dispatch ---

namespace {
// x86 access_error(): any access right makes a page readable.
bool is_allowed(const Vma& vma, Access access) {
  switch (access) {
    case Access::read: return vma.flags & (Vma::kRead | Vma::kWrite | Vma::kExec);
    case Access::write: return vma.is(Vma::kWrite);
    case Access::execute: return vma.is(Vma::kExec);
  }
  return false;
}
}  // namespace

void PageFault::Context::at_vma() {
  if (!vma) return finish(FaultRequest::Outcome::outside_vma);
  if (!is_allowed(*vma, access)) return finish(FaultRequest::Outcome::protection);
  at_pmd();
}

void PageFault::Context::at_pmd() {
  if (vma->is(Vma::kHugetlb)) return hugetlb();
  const Pte* pmd = mm->table().pmd(va);
  if (pmd && pmd->huge()) return at_huge_pmd();
  if ((!pmd || pmd->none()) && vma->is(Vma::kUffdMissing)) nobody_answers();
  if ((!pmd || pmd->none()) && wants_huge()) return huge_missing();
  at_pte();
}

void PageFault::Context::at_pte() {
  if (!entry_is_free(table_unlocked_)) return;
  const Pte* pte = mm->table().pte(va);
  seen = pte ? *pte : Pte{};
  if (seen.none() && vma->is(Vma::kUffdMissing)) nobody_answers();
  if (is_write() && (seen.bits & Pte::kUffdWp) && seen.present() && vma->is(Vma::kUffdWp)) nobody_answers();
  may_look_around = !is_write();
  if (seen.none()) return vma->is_anonymous() ? anon_missing() : file_missing();
  if (seen.swap()) return swap_fault();
  if (is_write() && !seen.writable()) return write_protected();
  spurious();
}

// handle_userfault() waits for its program.
void PageFault::Context::nobody_answers() {
  busy = false;
  throw SimulationError(fmt::format(
      "process {} waits for its userfaultfd at {:#x}, and nobody answers: do not touch what a userfaultfd watches",
      mm->pid(), va.value));
}

void PageFault::Context::spurious() { pass<&Context::resolved>(costs().fault_spurious, spurious_); }

// --- end ---

void PageFault::Context::finish(FaultRequest::Outcome result) {
  SIM_ASSERT(page == kNoPfn && source == kNoPfn, "the fault at {:#x} ends with frame {:#x} in hand", va.value,
             page.value);
  outcome = result;
  if (result == FaultRequest::Outcome::resolved) count();
  release_lock();
  busy = false;
  if (timeless) return;
  request->outcome = result;
  kernel.queue.schedule(*std::exchange(request, nullptr)->done, kernel.queue.now());
}

// Faults before time 0 are no faults of the run.
void PageFault::Context::count() {
  if (timeless) return;
  KernelStats& stats = kernel.stats;
  Mapping& mapping = mm->mappings()[vma->mapping];
  ++stats.vmstat.pgfault;
  stats.vmstat.pgmajfault += waited;
  ++(waited ? stats.faults.major : stats.faults.minor);
  ++(waited ? mapping.faults_major : mapping.faults_minor);
  stats.faults.huge += got_huge;
  mapping.faults_huge += got_huge;
  stats.faults.cow += got_cow;
  if (is_exception) stats.faults.stall_ns.add(kernel.queue.now() - began);
}

// --- populate ---

struct PageFault::Populate {
  explicit Populate(PageFault& owner) : fault(owner) { request.done = &page_done_; }
  void page_done() { request.outcome == FaultRequest::Outcome::resolved ? next() : finish(); }
  void next();
  void touch(const PageTable::Leaf& leaf);
  void finish() { fault.kernel_.queue.schedule(*std::exchange(done, nullptr), fault.kernel_.queue.now()); }

  PageFault& fault;
  AddressSpace* mm = nullptr;
  VirtAddr at{}, end{};
  Event* done = nullptr;
  FaultRequest request;
  Event page_done_ = event<&Populate::page_done>(this, "fault.populate_page_done", Phase::kernel);
};

// FOLL_TOUCH: what follow_page() finds counts as accessed, also after its fault.
void PageFault::Populate::touch(const PageTable::Leaf& leaf) {
  Pte& entry = *leaf.entry;
  if (entry.huge()) entry.set(Pte::kAccessed | bits_if(request.access == Access::write, Pte::kDirty));
  else if (!entry.zero_page()) fault.reclaim_.mark_accessed(fault.kernel_.memory.head_of(entry.pfn()), request.cpu);
}

// faultin_page() for what follow_page() does not find.
void PageFault::Populate::next() {
  while (at < end) {
    const PageTable::Leaf leaf = mm->table().lookup(at);
    const bool is_there = leaf.entry && leaf.entry->present() && (leaf.size == PageSize::k4K || leaf.entry->huge()) &&
                          (request.access != Access::write || leaf.entry->writable());
    if (!is_there) {
      request.va = at;
      return fault.context_of(request.task).begin(request, mm, false);
    }
    touch(leaf);
    at = align_down(at, page_bytes(leaf.size)) + page_bytes(leaf.size);
  }
  finish();
}

void PageFault::populate(TaskId task, CpuId cpu, AddressSpace& mm, VirtRange range, Access access, Event& done) {
  Populate* populate = nullptr;
  for (auto& p : populates_)
    if (!p->done) populate = p.get();
  if (!populate) populate = populates_.emplace_back(std::make_unique<Populate>(*this)).get();
  populate->mm = &mm;
  populate->at = align_down(range.start, kPageBytes);
  populate->end = range.end;
  populate->done = &done;
  populate->request.task = task;
  populate->request.cpu = cpu;
  populate->request.access = access;
  populate->next();
}

}  // namespace collapsar
