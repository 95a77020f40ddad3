// What the scheduler keeps of a process, of a thread and of a CPU. Included by scheduler*.cc alone.
#pragma once

#include <deque>
#include <set>

#include "models/cpu/scheduler.h"

namespace collapsar {

// What a process has been given to do and has not finished, as sequence numbers in the order of the trace.
struct Scheduler::Process {
  std::set<std::uint64_t> runs;
  std::deque<std::uint64_t> events;
  bool is_alive = false;
  Thread* first = nullptr;  // whose task stands for the process
};

struct Scheduler::Thread {
  enum class State : std::uint8_t {
    unborn,    // seen in the trace, not yet created by its process
    waiting,   // has nothing ready to do
    runnable,  // waits for a CPU
    running,   // on a CPU, in user mode or in the kernel
    sleeping,  // in the kernel or idle, without a CPU
    done,
  };
  struct Item {
    std::uint64_t sequence;
    TraceItem what;
    bool is_event() const { return std::holds_alternative<TraceEvent>(what); }
  };
  Thread(Scheduler* scheduler, std::uint32_t p, std::uint32_t t, Process* of)
      : owner(scheduler), pid(p), tid(t), process(of) {}
  void fault_over() { owner->fault_over(*this); }
  void event_returned() { owner->event_returned(*this); }
  void sleep_over() { owner->sleep_over(*this); }
  bool is_alive() const { return state != State::unborn && state != State::done; }

  Scheduler* owner;
  std::uint32_t pid, tid;
  Process* process;
  TaskId task = ~0U;
  State state = State::unborn;
  CpuState* cpu = nullptr;  // where it runs
  CpuId last_cpu = 0;
  std::deque<Item> queue;  // read ahead, not started
  Work work;               // the run under way
  TraceRun run;            // keeps its records alive
  std::uint64_t run_sequence = 0;
  bool in_run = false;   // the run under way is the last part of run_sequence
  bool is_busy = false;  // has references that may still be under way
  bool in_event = false;
  bool is_skipped = false;  // the event under way changes nothing
  // For whoever draws: since when it is on its CPU, and there in the kernel, for what.
  Time on_cpu_since{}, in_kernel_since{};
  std::string_view in_kernel{};
  SpanNote in_kernel_note{};
  FaultRequest fault;
  SyscallRequest call;
  TraceEvent event;
  Event fault_over_ = collapsar::event<&Thread::fault_over>(this, "scheduler.fault_over", Phase::kernel);
  Event event_returned_ = collapsar::event<&Thread::event_returned>(this, "scheduler.event_returned", Phase::kernel);
  Event sleep_over_ = collapsar::event<&Thread::sleep_over>(this, "scheduler.sleep_over", Phase::kernel);
};

struct Scheduler::CpuState {
  CpuState(Scheduler* scheduler, Cpu* c) : owner(scheduler), cpu(c) {}
  void slice_over() { owner->slice_over(*this); }

  Scheduler* owner;
  Cpu* cpu;
  Thread* thread = nullptr;
  Thread* last = nullptr;  // that ran here before
  Time switched_at{};      // when its user code went on: a slice starts then
  bool slice_is_over = false;
  ProcessUsage before;  // counters of the CPU when the thread came
  Event slice_over_ = collapsar::event<&CpuState::slice_over>(this, "scheduler.slice_over", Phase::kernel);
};

}  // namespace collapsar
