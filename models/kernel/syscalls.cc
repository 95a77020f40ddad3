#include "models/kernel/syscalls.h"

#include <cerrno>

#include "models/kernel/madvise_collapse.h"

namespace collapsar {

// One call, from entry to return. The states stand in their order.
struct SyscallTable::Context {
  explicit Context(SyscallTable& owner)
      : table(owner),
        kernel(owner.kernel_),
        collapse(owner.kernel_, owner.collapse_, owner.file_collapse_, owner.reclaim_.batches()) {
    waiter.granted = &locked_;
    waiter.owner = LockOwner::syscall;
    pte_waiter.granted = &worked_;
    reclaiming.done = &make_room_;
  }

  void start(SyscallRequest& r);
  void entered();
  void locked();
  void drain();  // 6.12: waits for the faults that run under the locks of the VMAs to be changed
  void drained();
  void make_room();  // fork: frames for the page tables of the child
  void worked();
  void change();
  void flushed();
  void unlock();
  void next_populate();
  void finish();
  void written();

  bool is(SyscallRequest::Op op) const { return request->op == op; }
  bool is_advice(Advice a) const { return is(SyscallRequest::Op::madvise) && Advice(request->advice) == a; }
  bool changes_mm() const { return is(SyscallRequest::Op::exec) || is(SyscallRequest::Op::exit); }
  Vma* next_to_drain();
  void sleep() { asleep = true, kernel.cpus.task_sleeps(request->task); }
  void wake() {
    if (asleep) kernel.cpus.task_wakes(request->task);
    asleep = false;
  }
  Time now() const { return kernel.queue.now(); }

  SyscallTable& table;
  KernelContext& kernel;
  MadviseCollapse collapse;
  SyscallRequest* request = nullptr;  // nullptr: free, unless writes are under way
  AddressSpace* mm = nullptr;
  MemoryCalls::LockMode mode = MemoryCalls::LockMode::none;
  SyscallEffect effect;
  std::size_t populated = 0;
  bool asleep = false, writing = false;
  Time drain_since{};
  TimedRwLock::Waiter waiter, pte_waiter;
  Reclaim::DirectReclaim reclaiming;
  bool has_reclaimed = false;
  Event entered_ = event<&Context::entered>(this, "syscall.entered", Phase::kernel);
  Event locked_ = event<&Context::locked>(this, "syscall.locked", Phase::kernel);
  Event drained_ = event<&Context::drained>(this, "syscall.drained", Phase::kernel);
  Event make_room_ = event<&Context::make_room>(this, "syscall.make_room", Phase::kernel);
  Event worked_ = event<&Context::worked>(this, "syscall.worked", Phase::kernel);
  Event flushed_ = event<&Context::flushed>(this, "syscall.flushed", Phase::kernel);
  Event next_populate_ = event<&Context::next_populate>(this, "syscall.populate", Phase::kernel);
  Event finish_ = event<&Context::finish>(this, "syscall.finish", Phase::kernel);
  Event written_ = event<&Context::written>(this, "syscall.written", Phase::kernel);
};

// --- entry and locks ---

void SyscallTable::Context::start(SyscallRequest& r) {
  request = &r;
  request->error = 0;
  mm = table.processes_.mm_of(r.task);
  effect = {};
  populated = 0;
  has_reclaimed = false;
  kernel.queue.schedule_after(entered_, kernel.config.costs.syscall_entry);
}

void SyscallTable::Context::entered() {
  if (!mm) return request->error = ESRCH, finish();
  if (is_advice(Advice::collapse)) {
    const VirtRange range{{request->address}, {request->address + align_up(request->length, kPageBytes)}};
    return collapse.start(*mm, request->task, request->cpu, range, finish_);
  }
  if (changes_mm()) table.calls_.leave(*mm);
  mode = MemoryCalls::lock_mode(*request);
  const bool granted =
      mode == MemoryCalls::LockMode::none ||
      (mode == MemoryCalls::LockMode::read ? mm->mmap_lock().read(waiter) : mm->mmap_lock().write(waiter));
  if (!granted) return sleep();
  locked();
}

void SyscallTable::Context::locked() {
  wake();
  if (mode == MemoryCalls::LockMode::write && kernel.rules.per_vma_locks) return drain();
  make_room();
}

Vma* SyscallTable::Context::next_to_drain() {
  Vma* next = nullptr;
  for (const VirtRange range : table.calls_.changed_vmas(*request, *mm))
    mm->for_each(range, [&](Vma& vma) {
      if (!next && !vma.write_locked) next = &vma;
    });
  return next;
}

void SyscallTable::Context::drain() {
  while (Vma* vma = next_to_drain()) {
    if (mm->vma_start_write(*vma, drained_)) continue;
    drain_since = now();
    return sleep();
  }
  make_room();
}

void SyscallTable::Context::drained() {
  wake();
  kernel.stats.stall.mmap_lock_ns.add(now() - drain_since);
  drain();
}

// --- work ---

void SyscallTable::Context::make_room() {
  wake();
  const std::uint64_t needed = table.calls_.frames_needed(*request, *mm) + kernel.memory.watermarks().min;
  const bool may_try = !has_reclaimed || reclaiming.made_progress;
  if (needed > kernel.memory.watermarks().min && kernel.memory.free_pages() < needed && may_try) {
    has_reclaimed = true;
    sleep();
    return table.reclaim_.direct_reclaim(reclaiming);
  }
  kernel.queue.schedule_after(worked_, table.calls_.cost(*request, *mm));
}

// Entries of a page table that khugepaged is looking at wait for it, as for its page-table lock.
void SyscallTable::Context::worked() {
  const VirtRange range{{request->address}, {request->address + request->length}};
  if (mode == MemoryCalls::LockMode::read)
    if (const auto locked = mm->locked_pte_table_in(range)) return mm->wait_pte_table(*locked, pte_waiter);
  change();
}

void SyscallTable::Context::change() {
  effect = table.calls_.apply(*request, *mm);
  Duration rest = effect.cost;
  if (effect.needs_flush)
    rest += kernel.shootdown.flush_duration(mm->asid(), effect.flush, effect.stride, request->cpu);
  kernel.queue.schedule_after(flushed_, rest);
}

void SyscallTable::Context::flushed() {
  if (effect.needs_flush)
    kernel.shootdown.flush(mm->asid(), effect.flush, effect.stride, request->cpu, effect.tables_freed);
  unlock();
  table.calls_.let_go(effect);
  if (effect.page_out.empty()) return next_populate();
  writing = true;
  kernel.queue.schedule_after(next_populate_, table.reclaim_.page_out(effect.page_out, written_));
}

void SyscallTable::Context::unlock() {
  if (mode == MemoryCalls::LockMode::read) mm->mmap_lock().release_read();
  if (mode != MemoryCalls::LockMode::write) return;
  if (kernel.rules.per_vma_locks) mm->vma_end_write_all();
  mm->mmap_lock().release_write();
}

// --- after the lock ---

void SyscallTable::Context::next_populate() {
  if (populated == effect.populate.size()) return finish();
  const SyscallEffect::Populate& part = effect.populate[populated++];
  table.faults_.populate(request->task, request->cpu, *mm, part.range, part.access, next_populate_);
}

void SyscallTable::Context::finish() {
  if (is_advice(Advice::collapse) && mm) request->error = collapse.error();
  SyscallRequest& answered = *std::exchange(request, nullptr);
  kernel.queue.schedule(*answered.done, now());
}

// MADV_PAGEOUT: the call has returned, or will; its writes are complete.
void SyscallTable::Context::written() { writing = false; }

// --- the table ---

SyscallTable::SyscallTable(KernelContext& kernel, Processes& processes, Rmap& rmap, SwapCache& swap_cache,
                           Reclaim& reclaim, Split& split, PageFault& faults, Collapse& collapse,
                           FileCollapse& file_collapse, KhugepagedEntry& khugepaged)
    : kernel_(kernel),
      processes_(processes),
      reclaim_(reclaim),
      faults_(faults),
      collapse_(collapse),
      file_collapse_(file_collapse),
      calls_(kernel, processes, rmap, swap_cache, reclaim, split, khugepaged) {}

SyscallTable::~SyscallTable() = default;

SyscallTable::Context& SyscallTable::free_context() {
  for (const auto& context : contexts_)
    if (!context->request && !context->writing) return *context;
  return *contexts_.emplace_back(std::make_unique<Context>(*this));
}

bool SyscallTable::at_rest() const {
  for (const auto& context : contexts_)
    if (context->request || context->writing) return false;
  return true;
}

void SyscallTable::syscall(SyscallRequest& request) { free_context().start(request); }

void SyscallTable::syscall_now(SyscallRequest& request) {
  AddressSpace* mm = processes_.mm_of(request.task);
  request.error = mm ? 0 : ESRCH;
  if (!mm) return;
  if (request.op == SyscallRequest::Op::exec || request.op == SyscallRequest::Op::exit) calls_.leave(*mm);
  const SyscallEffect effect = calls_.apply(request, *mm);
  calls_.let_go(effect);  // before time 0 nothing is paged out
  for (const SyscallEffect::Populate& part : effect.populate)
    for (VirtAddr va = part.range.start; va < part.range.end; va += kPageBytes) faults_.fault_now(*mm, va, part.access);
}

TaskId SyscallTable::create_process(std::uint32_t pid, const std::string& name) {
  return processes_.new_task(processes_.create(pid, name));
}

AddressSpaceRoot SyscallTable::root_of(TaskId task) {
  AddressSpace* mm = processes_.mm_of(task);
  return mm ? AddressSpaceRoot{&mm->table(), mm->asid()} : AddressSpaceRoot{};
}

bool SyscallTable::prefault(TaskId task, VirtAddr va, Access access) {
  AddressSpace* mm = processes_.mm_of(task);
  return mm && faults_.fault_now(*mm, va, access);
}

}  // namespace collapsar
