#include "models/cpu/scheduler.h"

#include <algorithm>

#include "models/cpu/scheduler_thread.h"

namespace collapsar {

namespace {

ProcessUsage counters_of(Cpu& cpu) {
  const CpuStats c = cpu.stats();
  const MmuStats& m = cpu.mmu().stats();
  ProcessUsage u;
  u.refs = c.refs(), u.instructions = c.instructions, u.cycles = std::uint64_t(c.busy_subcycles / Clock::kSubcycles);
  u.l1i_misses = m.l1i.misses, u.l1d_misses = m.l1d.misses;
  u.l2_misses = m.l2.misses + m.l2i.misses + m.l2d.misses;
  u.walks = m.walks, u.walk_cycles = m.walk_cycles;
  return u;
}

void add_difference(ProcessUsage& to, const ProcessUsage& now, const ProcessUsage& before) {
  to.refs += now.refs - before.refs;
  to.instructions += now.instructions - before.instructions;
  to.cycles += now.cycles - before.cycles;
  to.l1i_misses += now.l1i_misses - before.l1i_misses;
  to.l1d_misses += now.l1d_misses - before.l1d_misses;
  to.l2_misses += now.l2_misses - before.l2_misses;
  to.walks += now.walks - before.walks;
  to.walk_cycles += now.walk_cycles - before.walk_cycles;
}

}  // namespace

Scheduler::Scheduler(EventQueue& queue, const CpuConfig& config, const ReplayConfig& replay, TraceSource& source,
                     Duration context_switch)
    : queue_(queue), config_(config), replay_(replay), source_(source), context_switch_(context_switch) {}

Scheduler::~Scheduler() {
  for (const auto& t : threads_)
    for (Event* event : {&t->fault_over_, &t->event_returned_, &t->sleep_over_}) queue_.cancel(*event);
  for (const auto& c : cpus_) queue_.cancel(c->slice_over_);
}

void Scheduler::connect(std::vector<Cpu*> cpus, Syscalls& syscalls, FaultHandler& faults, Shootdown& shootdown) {
  for (Cpu* cpu : cpus) cpus_.push_back(std::make_unique<CpuState>(this, cpu));
  syscalls_ = &syscalls, faults_ = &faults, shootdown_ = &shootdown;
}

void Scheduler::prepare() {
  is_warm_ = replay_.warmup == 0;
  build_initial();
  is_started_ = true;
  look_around();
}

// --- which thread may do what ---

// Whether the thread may go on, or start the next thing in its queue: nothing earlier of its process stands in its way.
bool Scheduler::is_ready(Thread& t) {
  if (!t.is_alive()) return false;
  if (t.work.has_records()) return true;
  if (!fill_queue(t)) return false;
  const Thread::Item& head = t.queue.front();
  if (config_.interleave == Interleave::trace && !is_next_in_file(t, head.sequence)) return false;
  const Process& process = *t.process;
  if (head.is_event())
    return process.events.front() == head.sequence && (process.runs.empty() || *process.runs.begin() > head.sequence);
  if (is_at_end_of_warmup() && busy_threads_ > 0) return false;
  return process.events.empty() || process.events.front() > head.sequence;
}

// A run that the thread is just finishing stands before.
bool Scheduler::is_next_in_file(const Thread& t, std::uint64_t sequence) {
  const std::size_t place = t.in_run ? 1 : 0;
  while (file_order_.size() <= place)
    if (!pull()) return false;
  return file_order_[place] == sequence;
}

// Hands the run at the head of the queue to the thread. Requires: is_ready(), and that head is a run.
void Scheduler::start_run(Thread& t) {
  if (is_at_end_of_warmup()) end_warmup();
  if (!t.is_busy) t.is_busy = true, ++busy_threads_;
  Work& work = t.work;
  work.references += std::uint64_t(work.end - work.begin);
  t.run = take_run(t);
  work.begin = work.next = t.run.records.data(), work.end = work.begin + t.run.records.size();
  work.begin_ns = t.run.begin_ns, work.end_ns = t.run.end_ns;
  references_started_ += t.run.records.size(), queued_references_ -= t.run.records.size();
}

void Scheduler::end_warmup() {
  is_warm_ = true;
  if (on_warmup) on_warmup();
}

// The run at the head of the queue; of one that the warm-up ends in, the first part, and the rest stays.
TraceRun Scheduler::take_run(Thread& t) {
  TraceRun& head = std::get<TraceRun>(t.queue.front().what);
  const std::uint64_t count = replay_.warmup - references_started_;
  if (is_warm_ || head.records.size() <= count) {
    TraceRun whole = std::move(head);
    t.run_sequence = t.queue.front().sequence, t.in_run = true;
    t.queue.pop_front();
    return whole;
  }
  TraceRun part = head;
  const double share = double(count) / double(head.records.size());
  part.end_ns = head.begin_ns + std::int64_t(double(head.end_ns - head.begin_ns) * share);
  part.records = head.records.first(count);
  head.begin_ns = part.end_ns, head.first_index += count, head.records = head.records.subspan(count);
  t.in_run = false;
  return part;
}

void Scheduler::run_finished(Thread& t) {
  if (!t.in_run) return;
  t.in_run = false;
  t.process->runs.erase(t.run_sequence);
  if (config_.interleave == Interleave::trace) file_order_.pop_front();
}

// Looks at every thread that waits: what it waited for may have happened.
void Scheduler::wake_waiting() {
  do {
    has_news_ = false;
    for (std::size_t i = 0; i < threads_.size(); ++i) {  // reading ahead may add threads, and news for those before
      Thread& t = *threads_[i];
      if (t.state == Thread::State::unborn) adopt(t);
      if (t.state == Thread::State::waiting && is_ready(t)) make_runnable(t);
    }
  } while (has_news_);
}

void Scheduler::make_runnable(Thread& t) {
  t.state = Thread::State::runnable;
  runnable_.push_back(&t);
}

void Scheduler::look_around() {
  wake_waiting();
  dispatch();
  check_end();
}

// --- CPUs ---

// Gives idle CPUs to runnable threads, each its last CPU if that is idle; starts slices where threads are left over.
void Scheduler::dispatch() {
  if (!is_started_) return;
  while (!runnable_.empty()) {
    Thread& t = *runnable_.front();
    const auto is_idle = [](const auto& c) { return !c->thread; };
    auto free = cpus_.begin() + t.last_cpu;
    if (!is_idle(*free)) free = std::find_if(cpus_.begin(), cpus_.end(), is_idle);
    if (free == cpus_.end()) break;
    runnable_.pop_front();
    put_on(**free, t);
  }
  if (runnable_.empty()) return;
  for (const auto& c : cpus_)
    if (!c->slice_over_.pending())
      queue_.schedule(c->slice_over_, std::max(queue_.now(), c->switched_at) + config_.time_slice);
}

void Scheduler::put_on(CpuState& c, Thread& t) {
  t.state = Thread::State::running, t.cpu = &c, t.last_cpu = c.cpu->id();
  c.thread = &t, c.slice_is_over = false;
  t.on_cpu_since = queue_.now();
  queue_.cancel(c.slice_over_);
  c.before = counters_of(*c.cpu);
  const AddressSpaceRoot root = syscalls_->root_of(t.task);
  shootdown_->add_space(root);
  c.cpu->begin(t.work, root);
  c.switched_at = queue_.now();
  if (c.last && c.last != &t) {
    ++stats_.context_switches;
    c.cpu->take_time(context_switch_);
    c.switched_at += context_switch_;
  }
  c.last = &t;
}

void Scheduler::take_off(Thread& t) {
  CpuState& c = *t.cpu;
  draw_thread(t);
  c.cpu->end();
  account(c);
  c.thread = nullptr, t.cpu = nullptr;
}

void Scheduler::account(CpuState& c) {
  const ProcessUsage now = counters_of(*c.cpu);
  add_difference(usage_[c.thread->pid], now, c.before);
  c.before = now;
}

void Scheduler::slice_over(CpuState& c) {
  if (!c.thread || runnable_.empty()) return;
  c.slice_is_over = true;
  c.cpu->request_stop();
}

// References that follow references of the same thread need not wait until those before have drained.
bool Scheduler::more(Cpu& cpu) {
  CpuState& c = *cpus_[cpu.id()];
  Thread& t = *c.thread;
  const bool goes_on = !c.slice_is_over && is_ready(t) && !t.queue.front().is_event();
  if (goes_on) run_finished(t), start_run(t);
  if (has_news_) wake_waiting(), dispatch();
  return goes_on;
}

void Scheduler::drained(Cpu& cpu) {
  CpuState& c = *cpus_[cpu.id()];
  Thread& t = *c.thread;
  if (!t.work.has_records()) {
    run_finished(t);
    if (std::exchange(t.is_busy, false)) --busy_threads_;
  }
  proceed(c, t);
}

// A thread on a CPU with nothing under way: it does what comes next, or leaves the CPU.
void Scheduler::proceed(CpuState& c, Thread& t) {
  const bool is_preempted = c.slice_is_over && !runnable_.empty();
  const bool ready = is_ready(t);
  if (is_preempted || !ready) {
    take_off(t);
    if (ready) make_runnable(t);
    else if (t.is_alive()) t.state = Thread::State::waiting;
  } else if (!t.work.has_records() && t.queue.front().is_event()) {
    start_event(c, t);
  } else {
    if (!t.work.has_records()) start_run(t);
    c.slice_is_over = false;
    c.cpu->resume();
  }
  look_around();
}

void Scheduler::fault(Cpu& cpu, VirtAddr va, Access access) {
  Thread& t = *cpus_[cpu.id()]->thread;
  t.fault.task = t.task, t.fault.cpu = cpu.id(), t.fault.va = va, t.fault.access = access;
  t.fault.outcome = FaultRequest::Outcome::resolved, t.fault.done = &t.fault_over_;
  enter_kernel(t, "page fault", SpanNote::address("address", va));
  faults_->handle_fault(t.fault);
}

void Scheduler::fault_over(Thread& t) {
  leave_kernel(t);
  const FaultRequest::Outcome outcome = t.fault.outcome;
  const bool is_first_no = t.work.settle_fault(outcome == FaultRequest::Outcome::resolved);
  if (is_first_no) ++(outcome == FaultRequest::Outcome::protection ? stats_.protection : stats_.outside_vma);
  if (t.cpu) return t.cpu->cpu->fault_done();
  make_runnable(t);
  dispatch();
}

// --- accounts and the end ---

std::map<std::uint32_t, ProcessUsage> Scheduler::usage() {
  for (const auto& c : cpus_)
    if (c->thread) account(*c);
  return usage_;
}

// The run is over when the trace is used up and no thread has anything left.
void Scheduler::check_end() {
  if (is_finished_ || !is_started_) return;
  const auto is_active = [](const auto& t) { return t->is_alive() && t->state != Thread::State::waiting; };
  if (std::any_of(threads_.begin(), threads_.end(), is_active)) return;
  while (pull()) {  // whoever is next in the trace was not waiting for it yet
    wake_waiting();
    if (!runnable_.empty()) return dispatch();
  }
  refuse_leftovers();
  is_finished_ = true;
  if (on_end) on_end();
}

}  // namespace collapsar
