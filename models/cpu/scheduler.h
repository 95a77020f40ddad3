// Scheduler: which trace thread runs on which CPU, and address-space events as barriers between references.
//
// Models:      threads in the order of the trace, one CPU each while there are enough, else slices of time_slice with
//              context-switch costs; threads that sleep in the kernel give their CPU away; `interleave: trace` runs
//              everything in the file's total order.
// Simplified:  no priorities, no migration costs; a kernel thread on a traced CPU takes the CPU at once; a thread that
//              wakes in the kernel goes on there without waiting for a CPU and needs one only to return; a thread whose
//              references lie more than 4 M ahead of those being run waits until the others have come nearer.
// Order:       an address-space event waits until all earlier references of its process are done, and none later starts
//              before it is done. With pace timestamps it also waits for its own stamp.
// Warm-up:     ends between two references, when all before have finished and none after has started.
// Owns:        threads with their queues of work, read ahead from the trace.
// Errors:      TraceError for references of a process that does not exist (any more).
// Source:      design, section 9 ("Threads and order", "End").
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "models/cpu/cpu.h"
#include "sim/core/span.h"

namespace collapsar {

struct SchedulerStats {
  std::uint64_t context_switches = 0, events = 0;
  std::uint64_t outside_vma = 0;  // references that no VMA covers
  std::uint64_t protection = 0;   // references that their VMA does not allow; both are skipped
};

// What one process used, summed over its threads.
struct ProcessUsage {
  std::uint64_t refs = 0, instructions = 0, l1i_misses = 0, l1d_misses = 0, l2_misses = 0;
  std::uint64_t walks = 0, walk_cycles = 0, cycles = 0;
  template <class V>
  void describe(V& v) {
    v("refs", refs, "references", "of this process");
    v("instructions", instructions, "instructions", "of this process");
    v("cycles", cycles, "cycles", "its threads were on a CPU and not idle");
    v("mmu.l1i.misses", l1i_misses, "look-ups", "of this process");
    v("mmu.l1d.misses", l1d_misses, "look-ups", "of this process");
    v("mmu.l2.misses", l2_misses, "look-ups", "of this process");
    v("mmu.walks", walks, "walks", "of this process");
    v("mmu.walk_cycles", walk_cycles, "cycles", "in walks of this process");
  }
};

enum class Prefault : std::uint8_t { touched, vmas, none };
template <>
struct EnumNames<Prefault> {
  static constexpr std::array<std::pair<std::string_view, Prefault>, 3> names{
      {{"touched", Prefault::touched}, {"vmas", Prefault::vmas}, {"none", Prefault::none}}};
};

struct ReplayConfig {
  std::uint64_t repeat = 1;
  std::uint64_t warmup = 0;  // references before counting starts
  Prefault prefault = Prefault::touched;
  std::uint32_t levels = 4;  // of the page tables: how far user addresses go
};

class Scheduler : public CpuClient, public CpuPort {
 public:
  Scheduler(EventQueue& queue, const CpuConfig& config, const ReplayConfig& replay, TraceSource& source,
            Duration context_switch);
  ~Scheduler() override;
  // The neighbours that are built after it.
  void connect(std::vector<Cpu*> cpus, Syscalls& syscalls, FaultHandler& faults, Shootdown& shootdown);

  // Builds the initial processes (events before the first reference, free of cost), puts the resident set in place, and
  // makes the threads runnable at time 0.
  void prepare();
  // Called once when `warmup` references are done and before the next starts; and once when the trace is used up and
  // every thread is done.
  std::function<void()> on_warmup, on_end;
  bool finished() const { return is_finished_; }
  // Before prepare(): who draws which thread is on which CPU, and its faults and calls. nullptr: nobody.
  void set_spans(SpanSink* sink) { spans_ = sink; }
  void cut_spans();  // what is under way is drawn up to now

  std::uint64_t references_started() const { return references_started_; }  // handed to CPUs so far
  const SchedulerStats& stats() const { return stats_; }
  // By pid, up to now.
  std::map<std::uint32_t, ProcessUsage> usage();

  // CpuClient
  bool more(Cpu& cpu) override;
  void drained(Cpu& cpu) override;
  void fault(Cpu& cpu, VirtAddr va, Access access) override;
  // CpuPort
  void run_kernel(CpuId cpu, Duration work, Event& done) override;
  void task_sleeps(TaskId task) override;
  void task_wakes(TaskId task) override;

 private:
  struct Process;
  struct Thread;
  struct CpuState;
  struct InitialMemory;

  // scheduler_start.cc: before time 0
  void build_initial();
  void apply_now(const TraceEvent& event, InitialMemory& memory);
  void prefault(std::uint32_t pid, VirtRange range);

  // scheduler_trace.cc: from the trace to threads
  bool pull();
  bool is_repeated(const TraceItem& item) const;
  bool fill_queue(Thread& t);
  void refuse_beyond_user_space(const TraceRun& run) const;
  void take_in(TraceItem&& item);
  void start_now(Thread& t, const TraceEvent& event);
  Thread& thread(std::uint32_t pid, std::uint32_t tid);
  void birth(Thread& t, TaskId task);
  void adopt(Thread& t);
  void end_thread(Thread& t);
  void end_process(Process& process);
  bool is_deferred(const TraceEvent& event) const;
  void start_event(CpuState& c, Thread& t);
  void event_returned(Thread& t);
  void after_event(Thread& t, const TraceEvent& event);
  void sleep_until(Thread& t, Time moment);
  void sleep_over(Thread& t);
  void refuse_leftovers() const;
  static void translate(const TraceEvent& event, SyscallRequest& call);

  // scheduler.cc: threads on CPUs
  bool is_ready(Thread& t);
  bool is_next_in_file(const Thread& t, std::uint64_t sequence);
  bool is_at_end_of_warmup() const { return !is_warm_ && references_started_ == replay_.warmup; }
  void start_run(Thread& t);
  void end_warmup();
  TraceRun take_run(Thread& t);
  void run_finished(Thread& t);
  void wake_waiting();
  void look_around();
  void make_runnable(Thread& t);
  void dispatch();
  void put_on(CpuState& c, Thread& t);
  void take_off(Thread& t);
  void proceed(CpuState& c, Thread& t);
  void fault_over(Thread& t);
  void slice_over(CpuState& c);
  void account(CpuState& c);
  void check_end();

  // scheduler_spans.cc
  void draw_thread(const Thread& t) const;
  void enter_kernel(Thread& t, std::string_view why, SpanNote note = {});
  void leave_kernel(Thread& t) const;

  EventQueue& queue_;
  const CpuConfig& config_;
  ReplayConfig replay_;
  TraceSource& source_;
  Duration context_switch_;
  std::vector<std::unique_ptr<CpuState>> cpus_;
  Syscalls* syscalls_ = nullptr;
  FaultHandler* faults_ = nullptr;
  Shootdown* shootdown_ = nullptr;

  std::vector<std::unique_ptr<Thread>> threads_;  // in order of first appearance
  std::map<std::pair<std::uint32_t, std::uint32_t>, Thread*> by_id_;
  std::vector<Thread*> by_task_;
  std::map<std::uint32_t, Process> processes_;
  std::uint64_t alive_ = 0;  // processes
  std::deque<Thread*> runnable_;
  std::deque<std::uint64_t> file_order_;  // interleave: trace: what is not finished
  std::map<std::uint32_t, ProcessUsage> usage_;

  std::uint64_t next_sequence_ = 0, queued_references_ = 0;
  std::uint64_t references_started_ = 0, busy_threads_ = 0;
  std::uint64_t pass_ = 0;
  std::int64_t pass_start_ns_ = 0, last_stamp_ns_ = 0;  // stamps go on from one pass to the next
  bool is_started_ = false, is_warm_ = false, is_exhausted_ = false, is_finished_ = false;
  SpanSink* spans_ = nullptr;
  bool has_news_ = false;  // a thread that had nothing to do was given something
  SchedulerStats stats_;
};

}  // namespace collapsar
