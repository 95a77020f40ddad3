// Machine: the simulated computer: builds, connects and owns all models, and adds up what they counted.
//
// Order:       what is declared first is built first and needed by what follows; the kernel comes last, then the
//              scheduler learns of it.
// Time:        none of its own.
#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "models/cpu/cpu.h"
#include "models/cpu/scheduler.h"
#include "models/kernel/kernel.h"
#include "models/mem/cache.h"
#include "models/mem/dram.h"
#include "models/mem/physical_memory.h"
#include "models/mem/swap_device.h"
#include "models/mmu/mmu.h"
#include "models/mmu/shootdown.h"
#include "sim/run/experiment_config.h"
#include "sim/run/memory_ledger.h"
#include "sim/run/range_chronicle.h"
#include "sim/run/ranges.h"
#include "sim/run/span_log.h"
#include "sim/run/timeline.h"
#include "sim/run/walk_account.h"

namespace collapsar {

struct MachineSwitches {
  bool one_event_per_step = false;
  std::optional<std::uint64_t> record{};  // keeps spans, so many of a kind at most, and the states of ranges over time
  bool check = false;  // TLBs are held against the page tables after every flush, the kernel at each interval
};

class Machine {
 public:
  Machine(const ExperimentConfig& config, TraceSource& source, MachineSwitches switches);
  Machine(const Machine&) = delete;
  Machine& operator=(const Machine&) = delete;
  ~Machine();

  // Daemons, the image of the initial processes, their resident pages. Then the queue may run.
  void prepare();

  EventQueue& queue() { return queue_; }
  Scheduler& scheduler() { return scheduler_; }
  Kernel& kernel() { return *kernel_; }
  PhysicalMemory& memory() { return memory_; }
  const std::vector<std::unique_ptr<Mmu>>& mmus() const { return mmus_; }  // by CPU
  WalkAccount& walks() { return *walks_; }
  MemoryLedger& ledger() { return *ledger_; }
  RangeBook& ranges() { return *ranges_; }
  // What was busy when. Requires: the run is over. Empty if nothing is recorded.
  SpanRecord take_spans();

  // Every stat, from time 0 up to now. machine_stats.cc.
  StatTable collect();
  // The same moment for the time series, cheap.
  TimePoint sample();
  // Frames are conserved, counters agree with the page tables. SIM_ASSERTs. In the middle of a run, what is under way
  // (a page between allocation and mapping) is allowed for; at its end only if a daemon or the swap device is at work.
  void check_kernel();

 private:
  void connect(bool check);
  void record(std::uint64_t spans_of_a_kind);
  CpuStats sum_cpus();
  MmuStats sum_mmus();
  void collect_processes(StatTable& table);

  const ExperimentConfig config_;
  const Clock clock_;
  EventQueue queue_;
  PhysicalMemory memory_;
  Dram dram_;
  std::optional<CacheHierarchy> caches_;
  SwapDevice swap_;
  std::vector<std::unique_ptr<Mmu>> mmus_;
  Shootdown shootdown_;
  Scheduler scheduler_;
  std::vector<std::unique_ptr<Cpu>> cpus_;
  std::unique_ptr<Kernel> kernel_;
  std::unique_ptr<WalkAccount> walks_;
  std::unique_ptr<MemoryLedger> ledger_;
  std::optional<SpanLog> spans_;
  std::unique_ptr<RangeChronicle> chronicle_;
  std::unique_ptr<RangeBook> ranges_;
  std::unique_ptr<ExitWatch> exit_watch_;
};

}  // namespace collapsar
