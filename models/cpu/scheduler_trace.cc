// Scheduler, the side that faces the trace: reading ahead, threads that come and go, events as system calls.
#include <algorithm>

#include "models/cpu/scheduler_thread.h"

namespace collapsar {

namespace {

// References read ahead of the threads that will run them: bounds host memory to 64 MiB (16 B each).
constexpr std::uint64_t kReadAhead = 4ULL << 20;

SyscallRequest::Op call_for(TraceEvent::Op op) {
  using From = TraceEvent::Op;
  using To = SyscallRequest::Op;
  switch (op) {
    case From::vma: return To::add_vma;
    case From::stack_room: return To::stack_room;
    case From::heap_room: return To::heap_room;
    case From::mmap: return To::mmap;
    case From::munmap: return To::munmap;
    case From::mprotect: return To::mprotect;
    case From::madvise: return To::madvise;
    case From::mlock: return To::mlock;
    case From::munlock: return To::munlock;
    case From::mremap: return To::mremap;
    case From::brk: return To::brk;
    case From::thp_disable: return To::thp_disable;
    case From::clear_refs: return To::clear_refs;
    case From::fork: return To::fork;
    case From::thread: return To::thread;
    case From::exec: return To::exec;
    case From::thread_exit: return To::thread_exit;
    case From::exit: return To::exit;
    case From::process:
    case From::idle:
    case From::truncated: break;
  }
  SIM_ASSERT(false, "trace event {} is no system call", int(op));
  __builtin_unreachable();
}

}  // namespace

void Scheduler::translate(const TraceEvent& e, SyscallRequest& call) {
  call.op = call_for(e.op);
  call.address = e.address, call.length = e.length, call.new_address = e.new_address, call.new_length = e.new_length;
  call.offset = e.offset, call.value = e.value, call.prot = e.prot, call.map_flags = e.map_flags;
  call.advice = e.advice, call.file = e.file, call.name = e.name, call.error = 0, call.new_task = 0;
}

// --- threads come and go ---

Scheduler::Thread& Scheduler::thread(std::uint32_t pid, std::uint32_t tid) {
  Thread*& t = by_id_[{pid, tid}];
  if (!t) {
    t = threads_.emplace_back(std::make_unique<Thread>(this, pid, tid, &processes_[pid])).get();
    t->last_cpu = CpuId((threads_.size() - 1) % cpus_.size());
  }
  return *t;
}

void Scheduler::birth(Thread& t, TaskId task) {
  if (t.is_alive()) return;  // adopted before
  t.task = task, t.state = Thread::State::waiting;
  t.work.restart_pace(queue_.now());
  if (by_task_.size() <= task) by_task_.resize(task + 1);
  by_task_[task] = &t;
  if (std::exchange(t.process->is_alive, true)) return;
  ++alive_;
  t.process->first = &t;
}

// A thread whose creation the trace does not show is created when its turn has come.
void Scheduler::adopt(Thread& t) {
  const Process& process = *t.process;
  if (t.queue.empty() || !process.is_alive) return;
  if (!process.events.empty() && process.events.front() < t.queue.front().sequence) return;
  SyscallRequest call;
  call.op = SyscallRequest::Op::thread, call.task = process.first->task;
  syscalls_->syscall_now(call);
  birth(t, call.new_task);
}

void Scheduler::end_thread(Thread& t) {
  t.state = Thread::State::done;
  by_task_[t.task] = nullptr;
}

void Scheduler::end_process(Process& process) {
  for (const auto& t : threads_) {
    if (t->process != &process || !t->is_alive()) continue;
    SIM_ASSERT(!t->work.has_records(), "process {} exits while its thread {} has references", t->pid, t->tid);
    end_thread(*t);
  }
}

// --- reading ahead ---

// Reads the next item of the trace into the queue of its thread. False: there is none.
bool Scheduler::pull() {
  while (!is_exhausted_) {
    std::optional<TraceItem> item = source_.next();
    if (item && (pass_ == 0 || is_repeated(*item))) return take_in(std::move(*item)), true;
    if (item) continue;
    pass_start_ns_ = last_stamp_ns_;
    is_exhausted_ = ++pass_ >= replay_.repeat;
    if (!is_exhausted_) source_.rewind();
  }
  return false;
}

// Address-space events count only the first time.
bool Scheduler::is_repeated(const TraceItem& item) const {
  const TraceEvent* const event = std::get_if<TraceEvent>(&item);
  return !event || event->op == TraceEvent::Op::idle;
}

// The user half of an address space ends at 2^47 with 4 levels of page table and at 2^56 with 5.
void Scheduler::refuse_beyond_user_space(const TraceRun& run) const {
  const std::uint64_t end = 1ULL << (replay_.levels == 5 ? 56 : 47);
  if (run.reach < end) return;
  for (const Record& r : run.records)
    if (r.va >= end || r.size > end - r.va)
      throw TraceError(
          fmt::format("{}: record {}: address {} is beyond user space, which ends at {} with {} levels of page table{}",
                      source_.info().name, run.first_index + std::uint64_t(&r - run.records.data()), to_hex(r.va),
                      to_hex(end), replay_.levels, replay_.levels == 4 ? "; mmu.levels: 5 has more" : ""));
}

void Scheduler::take_in(TraceItem&& item) {
  const auto [pid, tid] = std::visit([](const auto& i) { return std::pair(i.pid, i.tid); }, item);
  Thread& t = thread(pid, tid);
  const std::uint64_t sequence = next_sequence_++;
  if (auto* run = std::get_if<TraceRun>(&item)) {
    run->begin_ns += pass_start_ns_, run->end_ns += pass_start_ns_;
    last_stamp_ns_ = std::max(last_stamp_ns_, run->end_ns);
    refuse_beyond_user_space(*run);
    t.process->runs.insert(sequence);
    queued_references_ += run->records.size();
  } else {
    auto& event = std::get<TraceEvent>(item);
    event.stamp_ns += pass_start_ns_;
    last_stamp_ns_ = std::max(last_stamp_ns_, event.stamp_ns);
    if (event.op == TraceEvent::Op::process && !t.process->is_alive) return ++stats_.events, start_now(t, event);
    t.process->events.push_back(sequence);
  }
  if (config_.interleave == Interleave::trace) file_order_.push_back(sequence);
  has_news_ |= t.queue.empty() && (t.state == Thread::State::waiting || t.state == Thread::State::unborn);
  t.queue.push_back({sequence, std::move(item)});
}

// A process that was there before the recording met it.
void Scheduler::start_now(Thread& t, const TraceEvent& event) {
  birth(t, syscalls_->create_process(event.pid, event.name));
}

// Reads ahead until the thread has something. False: nothing for it (yet).
bool Scheduler::fill_queue(Thread& t) {
  if (config_.interleave == Interleave::trace) {
    if (t.queue.empty() && file_order_.size() <= t.in_run) pull();
  } else {
    while (t.queue.empty() && queued_references_ < kReadAhead && pull()) {
    }
  }
  return !t.queue.empty();
}

// --- events in their time ---

// The exit of the last process is where the report is taken; with repetitions no exit comes before the end.
bool Scheduler::is_deferred(const TraceEvent& event) const {
  if (event.op == TraceEvent::Op::thread_exit) return replay_.repeat > 1;
  return event.op == TraceEvent::Op::exit && (replay_.repeat > 1 || alive_ == 1);
}

void Scheduler::start_event(CpuState& c, Thread& t) {
  using Op = TraceEvent::Op;
  const Time due = c.cpu->moment_of(std::get<TraceEvent>(t.queue.front().what).stamp_ns);
  if (due > queue_.now()) return sleep_until(t, due);
  t.event = std::move(std::get<TraceEvent>(t.queue.front().what));
  t.queue.pop_front();
  t.in_event = true;
  t.is_skipped = t.event.op == Op::truncated || t.event.op == Op::process || is_deferred(t.event);
  if (t.is_skipped) return queue_.schedule(t.event_returned_, queue_.now());
  if (t.event.op == Op::idle) return sleep_until(t, queue_.now() + std::chrono::nanoseconds(t.event.value));
  if (t.event.op == Op::exit) t.process->is_alive = false, --alive_;
  translate(t.event, t.call);
  t.call.task = t.task, t.call.cpu = c.cpu->id(), t.call.done = &t.event_returned_;
  enter_kernel(t, name_of(t.event.op), SpanNote::count("number", stats_.events));
  syscalls_->syscall(t.call);
}

void Scheduler::event_returned(Thread& t) {
  ++stats_.events;
  leave_kernel(t);
  t.in_event = false;
  t.process->events.pop_front();
  if (config_.interleave == Interleave::trace) file_order_.pop_front();
  if (!t.is_skipped) after_event(t, t.event);
  if (t.cpu) return proceed(*t.cpu, t);
  if (t.is_alive()) t.state = Thread::State::waiting;
  look_around();
}

void Scheduler::after_event(Thread& t, const TraceEvent& event) {
  using Op = TraceEvent::Op;
  const bool has_worked = t.call.error == 0;
  if (event.op == Op::fork && has_worked)
    birth(thread(std::uint32_t(event.value), event.new_tid ? std::uint32_t(event.new_tid) : 1), t.call.new_task);
  if (event.op == Op::thread && has_worked) birth(thread(event.pid, std::uint32_t(event.value)), t.call.new_task);
  if (event.op == Op::exec && t.cpu) {
    const AddressSpaceRoot root = syscalls_->root_of(t.task);
    shootdown_->add_space(root);
    t.cpu->cpu->change_space(root);
  }
  if (event.op == Op::idle) t.work.restart_pace(queue_.now());
  if (event.op == Op::thread_exit) end_thread(t);
  if (event.op == Op::exit) end_process(*t.process);
}

// --- sleeping ---

void Scheduler::sleep_until(Thread& t, Time moment) {
  take_off(t);
  t.state = Thread::State::sleeping;
  queue_.schedule(t.sleep_over_, moment);
}

void Scheduler::sleep_over(Thread& t) {
  if (t.in_event) return event_returned(t);
  t.state = Thread::State::waiting;
  look_around();
}

void Scheduler::task_sleeps(TaskId task) {
  if (task >= by_task_.size() || !by_task_[task]) return;
  Thread& t = *by_task_[task];
  if (!t.cpu) return;
  take_off(t);
  t.state = Thread::State::sleeping;
  dispatch();
}

void Scheduler::task_wakes(TaskId) {}

// A thread in MADV_COLLAPSE does that work itself and waits for it in its call: nothing is taken from it.
void Scheduler::run_kernel(CpuId cpu, Duration work, Event& done) {
  constexpr std::uint32_t kMadvCollapse = 25;  // asm-generic/mman-common.h
  const Thread* const t = cpu < cpus_.size() ? cpus_[cpu]->thread : nullptr;
  const bool is_own_work =
      t && t->in_event && t->event.op == TraceEvent::Op::madvise && t->event.advice == kMadvCollapse;
  if (cpu < cpus_.size() && !is_own_work) cpus_[cpu]->cpu->take_time(work);
  queue_.schedule_after(done, work);
}

// At the end of the trace nothing is left to do but what belongs to nobody; others of its process may wait for it.
void Scheduler::refuse_leftovers() const {
  for (const auto& t : threads_) {
    if (t->queue.empty() || t->is_alive()) continue;
    const char* const why = t->state == Thread::State::done ? "after its exit" : "before its process is there";
    throw TraceError(
        fmt::format("thread {} of process {}: {} runs and events {}; a `process`, `fork` or `thread` event "
                    "starts a thread and must come first",
                    t->tid, t->pid, t->queue.size(), why));
  }
  for (const auto& t : threads_)
    SIM_ASSERT(t->queue.empty(), "thread {}.{} waits for ever with {} items queued", t->pid, t->tid, t->queue.size());
}

}  // namespace collapsar
