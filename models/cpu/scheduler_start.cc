// Scheduler, before time 0: the processes that the trace finds, and the pages they had touched.
#include <algorithm>

#include "models/cpu/scheduler_thread.h"

namespace collapsar {

// What the events before the first reference have mapped, for `prefault: vmas`. What was unmapped again stays in the
// list: no page can be put there.
struct Scheduler::InitialMemory {
  std::vector<std::pair<std::uint32_t, VirtRange>> mappings;  // with their pid
  std::map<std::uint32_t, std::uint64_t> heap_start;          // by pid

  void note(const TraceEvent& event);
  void forget(std::uint32_t pid) {
    std::erase_if(mappings, [&](const auto& mapping) { return mapping.first == pid; });
  }
  void copy(std::uint32_t parent, std::uint32_t child);
};

void Scheduler::InitialMemory::note(const TraceEvent& event) {
  using Op = TraceEvent::Op;
  const auto add = [&](std::uint64_t start, std::uint64_t end) {
    mappings.emplace_back(event.pid, VirtRange{{start}, {end}});
  };
  if (event.op == Op::vma || event.op == Op::mmap) add(event.address, event.address + event.length);
  if (event.op == Op::mremap) add(event.new_address, event.new_address + event.new_length);
  if (event.op == Op::heap_room) heap_start[event.pid] = event.address;
  if (event.op == Op::brk && heap_start.contains(event.pid)) add(heap_start[event.pid], event.address);
  if (event.op == Op::fork) copy(event.pid, std::uint32_t(event.value));
  if (event.op == Op::exec || event.op == Op::exit) forget(event.pid);
}

void Scheduler::InitialMemory::copy(std::uint32_t parent, std::uint32_t child) {
  const std::size_t count = mappings.size();
  for (std::size_t i = 0; i < count; ++i)
    if (mappings[i].first == parent) mappings.emplace_back(child, mappings[i].second);
  if (heap_start.contains(parent)) heap_start[child] = heap_start[parent];
}

void Scheduler::build_initial() {
  std::map<std::uint32_t, std::vector<VirtRange>> resident;
  if (replay_.prefault == Prefault::touched)
    resident = source_.info().resident ? *source_.info().resident : touched_before_window(source_);
  InitialMemory memory;
  while (std::optional<TraceItem> item = source_.next()) {
    const TraceEvent* const event = std::get_if<TraceEvent>(&*item);
    if (!event || event->op == TraceEvent::Op::idle) {
      take_in(std::move(*item));
      break;
    }
    apply_now(*event, memory);
  }
  if (replay_.prefault == Prefault::vmas)
    for (const auto& [pid, range] : memory.mappings) prefault(pid, range);
  for (const auto& [pid, ranges] : resident)
    for (const VirtRange& range : ranges) prefault(pid, range);
}

void Scheduler::apply_now(const TraceEvent& event, InitialMemory& memory) {
  using Op = TraceEvent::Op;
  Thread& t = thread(event.pid, event.tid == 0 ? 1 : event.tid);
  Process& process = *t.process;
  ++stats_.events;
  if (!process.is_alive) start_now(t, event);
  if (event.op == Op::process || event.op == Op::truncated || is_deferred(event)) return;
  SyscallRequest call;
  translate(event, call);
  call.task = t.is_alive() ? t.task : process.first->task;
  syscalls_->syscall_now(call);
  memory.note(event);
  if (event.op == Op::fork)
    birth(thread(std::uint32_t(event.value), event.new_tid ? std::uint32_t(event.new_tid) : 1), call.new_task);
  if (event.op == Op::thread) birth(thread(event.pid, std::uint32_t(event.value)), call.new_task);
  if (event.op == Op::thread_exit && t.is_alive()) end_thread(t);
  if (event.op == Op::exit) process.is_alive = false, --alive_, end_process(process);
}

// As the access that the mapping allows: what could be written is taken to have been.
void Scheduler::prefault(std::uint32_t pid, VirtRange range) {
  const auto found = processes_.find(pid);
  if (found == processes_.end() || !found->second.is_alive) return;  // a child that does not exist yet
  const TaskId task = found->second.first->task;
  for (VirtAddr va = align_down(range.start, kPageBytes); va < range.end; va += kPageBytes)
    for (const Access access : {Access::write, Access::read, Access::execute})
      if (syscalls_->prefault(task, va, access)) break;
}

}  // namespace collapsar
