// KernelBench: a whole simulated kernel on a small machine without CPUs, for the tests of its parts.
//
// Models:      what a CPU would do is done by hand: touch() is a reference with its page walk, call() a system call.
//              Memory and swap take no time unless the test asks for it; the shootdown and CPU doors record what they
//              are asked.
// Time:        the bench runs the queue until the request at hand is done; wait() lets simulated time pass.
#pragma once

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "models/kernel/kernel.h"
#include "tests/support/basics.h"

namespace collapsar::test {

// Records flushes. A flush takes `cost`, zero unless set.
struct FakeShootdown : TlbShootdown {
  struct Flush {
    Asid asid;
    VirtRange range;
    PageSize stride;
    CpuId initiator;
    bool tables_freed;
    Time at;
  };
  explicit FakeShootdown(EventQueue& events) : queue(events) {}
  Duration flush_duration(Asid, VirtRange, PageSize, CpuId) override { return cost; }
  void flush(Asid asid, VirtRange range, PageSize stride, CpuId initiator, bool tables_freed) override {
    flushes.push_back({asid, range, stride, initiator, tables_freed, queue.now()});
  }
  Duration interrupt_all(CpuId) override {
    ++interrupts_of_all;
    return cost;
  }
  void forget(Asid asid) override { forgotten.push_back(asid); }

  EventQueue& queue;
  Duration cost{};
  std::vector<Flush> flushes;
  std::vector<Asid> forgotten;
  unsigned interrupts_of_all = 0;
};

// Every kernel thread gets its time at once; sleeps are recorded.
struct FakeCpus : CpuPort {
  struct Sleep {
    TaskId task;
    bool wakes;
    Time at;
  };
  explicit FakeCpus(EventQueue& events) : queue(events) {}
  void run_kernel(CpuId cpu, Duration work, Event& done) override {
    if (cpu != kNoCpu) taken += work;
    queue.schedule(done, queue.now() + work);
  }
  void task_sleeps(TaskId task) override { sleeps.push_back({task, false, queue.now()}); }
  void task_wakes(TaskId task) override { sleeps.push_back({task, true, queue.now()}); }

  EventQueue& queue;
  Duration taken{};  // of traced CPUs, by kernel threads
  std::vector<Sleep> sleeps;
};

// An event that remembers that it came, and when.
struct Signal {
  explicit Signal(EventQueue& events, Phase phase = Phase::cpu)
      : queue(events), event(collapsar::event<&Signal::arrive>(this, "test.signal", phase)) {}
  ~Signal() { queue.cancel(event); }
  void arrive() { ++count, at = queue.now(); }
  bool arrived() const { return count > 0; }

  EventQueue& queue;
  unsigned count = 0;
  Time at{};
  Event event;
};

struct BenchConfig {
  Bytes memory{64 * kMiB};
  SwapConfig swap{
      .device = SwapKind::ideal, .size = Bytes{64 * kMiB}, .queue_depth = {}, .read = {}, .write = {}, .bandwidth = {}};
  DramConfig dram{.ideal = Duration::zero()};
  KernelConfig kernel;
  unsigned levels = 4;
};

inline BenchConfig config_for(std::string version, ThpEnabled enabled = ThpEnabled::always) {
  BenchConfig config;
  config.kernel.version = std::move(version);
  config.kernel.thp.enabled = enabled;
  return config;
}

// The first byte of a page of the memory that tests map.
constexpr VirtAddr at(std::uint64_t page) { return kBase + page * kPageBytes; }

class KernelBench {
 public:
  explicit KernelBench(const BenchConfig& config = {})
      : memory(MemoryConfig{config.memory}),
        dram(queue, config.dram),
        swap(queue, config.swap, 1),
        shootdown(queue),
        cpus(queue),
        kernel(queue, memory, dram, swap, shootdown, cpus, config.kernel, config.levels) {}
  ~KernelBench() { queue.clear(); }

  const KernelCosts& costs() { return kernel.context().config.costs; }
  KernelStats& stats() { return kernel.stats(); }
  TaskId process(std::uint32_t pid = 1) { return kernel.syscalls().create_process(pid, "test"); }
  AddressSpace& mm(TaskId task) { return *kernel.processes().mm_of(task); }

  // --- running ---
  void wait(Duration time) { queue.run_until(queue.now() + time); }
  void run_until(const Signal& signal) {
    while (!signal.arrived()) ASSERT_TRUE(queue.run_one()) << "nothing is left to do, and the request is not done";
  }

  // --- system calls ---
  using Op = SyscallRequest::Op;
  static constexpr std::uint32_t kPrivateAnon = 0x22, kSharedAnon = 0x21;  // MAP_* bits
  static constexpr std::uint32_t kReadWrite = 3;                           // PROT_READ | PROT_WRITE
  static SyscallRequest request(Op op, TaskId task, VirtAddr address = {}, std::uint64_t length = 0) {
    SyscallRequest r;
    r.op = op;
    r.task = task;
    r.address = address.value;
    r.length = length;
    r.map_flags = kPrivateAnon;
    r.prot = kReadWrite;
    return r;
  }
  static SyscallRequest advice(TaskId task, Advice what, VirtAddr address, std::uint64_t length) {
    SyscallRequest r = request(Op::madvise, task, address, length);
    r.advice = std::uint32_t(what);
    return r;
  }
  // Runs the call to its end. Returns how long it took.
  Duration call(SyscallRequest& r) {
    Signal done(queue);
    const Time start = queue.now();
    r.done = &done.event;
    kernel.syscalls().syscall(r);
    run_until(done);
    return done.at - start;
  }
  Duration call(SyscallRequest&& r) { return call(r); }
  // Free of time.
  SyscallRequest now(SyscallRequest r) {
    kernel.syscalls().syscall_now(r);
    return r;
  }
  // A private anonymous read-write mapping, free of time.
  VirtRange map(TaskId task, VirtAddr address, std::uint64_t bytes) {
    now(request(Op::mmap, task, address, bytes));
    return {address, address + bytes};
  }
  TaskId fork(TaskId task, std::uint32_t pid) {
    SyscallRequest r = request(Op::fork, task);
    r.value = pid;
    call(r);
    return r.new_task;
  }

  // --- references ---
  struct Touch {
    FaultRequest::Outcome outcome = FaultRequest::Outcome::resolved;
    unsigned faults = 0;
    Duration took{};
  };
  // One reference as the hardware does it: walks, faults until the entry allows the access, sets accessed and dirty
  // bits.
  Touch touch(TaskId task, VirtAddr va, Access access = Access::write, CpuId cpu = 0) {
    Touch result;
    const Time start = queue.now();
    while (!walk(task, va, access) && result.outcome == FaultRequest::Outcome::resolved && result.faults < 8) {
      Signal done(queue);
      FaultRequest fault{.task = task, .cpu = cpu, .va = va, .access = access, .done = &done.event};
      kernel.faults().handle_fault(fault);
      run_until(done);
      ++result.faults;
      result.outcome = fault.outcome;
    }
    EXPECT_LT(result.faults, 8U) << "the fault at " << to_hex(va.value) << " comes again and again";
    result.took = queue.now() - start;
    return result;
  }
  void touch_all(TaskId task, VirtRange range, Access access = Access::write, std::uint64_t step = kPageBytes) {
    for (VirtAddr va = range.start; va < range.end; va += step) touch(task, va, access);
  }
  // What was touched waits in the batch of a CPU: it comes to its list.
  void drain_lru() { kernel.reclaim().batches().drain_all(); }
  // The page-table entry that maps `va`; none if there is no table.
  Pte entry(TaskId task, VirtAddr va) {
    const PageTable::Leaf leaf = mm(task).table().lookup(va);
    return leaf.entry ? *leaf.entry : Pte{};
  }

  EventQueue queue;
  PhysicalMemory memory;
  Dram dram;
  SwapDevice swap;
  FakeShootdown shootdown;
  FakeCpus cpus;
  Kernel kernel;

 private:
  bool walk(TaskId task, VirtAddr va, Access access) {
    Pte* e = mm(task).table().lookup(va).entry;
    if (!e || !e->hw_present() || (access == Access::write && !e->writable())) return false;
    if (access == Access::execute && !e->executable()) return false;
    e->set(access == Access::write ? Pte::kAccessed | Pte::kDirty : Pte::kAccessed);
    return true;
  }
};

}  // namespace collapsar::test
