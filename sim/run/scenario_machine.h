// ScenarioMachine: the machine of the oracle's recorder: 2 GiB, one CPU, 256 MiB of swap without readahead, and a driver
// process that every scenario process is forked from.
//
// Models:      the simulated kernel alone. What a CPU would do is done by hand: a reference is a walk of the page table and,
//              where the entry does not allow it, a fault.
// Simplified:  no TLB and no caches: nothing that a scenario shows depends on them.
// Time:        the kernel's own costs; each request is run to its end before the next begins.
// Source:      tests/oracle/README.md, tests/oracle/driver.c; the driver's VMAs as the recorded snapshots list them.
#pragma once

#include <memory>
#include <string>

#include "models/kernel/kernel.h"

namespace collapsar {

// What a system call of a scenario gave back, as the recorder saw it: rc -1 with an errno, or the result.
struct CallResult {
  std::int64_t rc = 0;
  int error = 0;
};

class ScenarioMachine {
 public:
  explicit ScenarioMachine(const std::string& kernel_version);
  ScenarioMachine(const ScenarioMachine&) = delete;
  ScenarioMachine& operator=(const ScenarioMachine&) = delete;
  ~ScenarioMachine();

  Kernel& kernel() { return *kernel_; }
  EventQueue& queue() { return queue_; }

  // A process with the driver's own VMAs and nothing else.
  TaskId new_process();
  AddressSpace& mm(TaskId task) { return *kernel_->processes().mm_of(task); }
  // Runs a system call to its end; waits, as the recorder does, for khugepaged to be asleep again.
  CallResult call(SyscallRequest& request);
  // One reference; false: no VMA there, or its protection forbids it.
  bool touch(TaskId task, VirtAddr va, Access access);
  // Lets time pass until khugepaged sleeps and nothing is under way.
  void settle();
  void run_for(Duration time) { queue_.run_until(queue_.now() + time); }

  // swapoff reads back what is swapped out, then no more goes out until swapon.
  void swap_off();
  void swap_on() { swap_.set_active(true); }

  static SyscallRequest request(SyscallRequest::Op op, TaskId task, VirtAddr address = {}, std::uint64_t length = 0);

 private:
  struct NoTlbs;
  struct NoCpus;
  TaskId make_driver();
  bool walk(TaskId task, VirtAddr va, Access access);
  template <class Done>
  void run_until(const Done& done);

  EventQueue queue_;
  PhysicalMemory memory_;
  Dram dram_;
  SwapDevice swap_;
  std::unique_ptr<NoTlbs> tlbs_;
  std::unique_ptr<NoCpus> cpus_;
  std::unique_ptr<Kernel> kernel_;
  TaskId driver_ = 0;
  std::uint32_t next_pid_ = 2;  // 1 is the driver
};

}  // namespace collapsar
