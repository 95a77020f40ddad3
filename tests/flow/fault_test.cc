// One fault, step by step: what happens at which moment, and who waits for whom.
#include "tests/support/layout.h"

namespace collapsar::test {
namespace {

using namespace std::chrono_literals;

BenchConfig machine(std::string version, ThpEnabled thp = ThpEnabled::never) {
  BenchConfig config;
  config.kernel.version = version;
  config.kernel.thp.enabled = thp;
  config.swap = {
      .device = SwapKind::nvme, .size = Bytes{64 * kMiB}, .queue_depth = {}, .read = {}, .write = {}, .bandwidth = {}};
  return config;
}

// A fault that runs while the test looks on.
struct Fault {
  Fault(KernelBench& bench, TaskId task, VirtAddr va, Access access = Access::write)
      : done(bench.queue), request{.task = task, .cpu = 0, .va = va, .access = access, .done = &done.event} {
    bench.kernel.faults().handle_fault(request);
  }
  Signal done;
  FaultRequest request;
};

TEST(FaultFlow, AnonymousWriteTakesItsStepsInOrder) {
  KernelBench b(machine("6.12"));
  const TaskId task = b.process();
  b.map(task, kBase, 1 * kMiB);
  AddressSpace& mm = b.mm(task);
  const std::uint64_t free = b.memory.free_pages();
  Fault fault(b, task, kBase);
  b.wait(b.costs().fault_entry - Duration(1));
  EXPECT_EQ(mm.find(kBase)->fault_readers, 0U);
  b.wait(Duration(1));
  EXPECT_EQ(mm.find(kBase)->fault_readers, 1U);  // the VMA's lock, not mmap_lock
  EXPECT_FALSE(mm.mmap_lock().read_locked());
  EXPECT_LT(b.memory.free_pages(), free);
  b.wait(b.costs().clear_page + b.costs().fault_anon - Duration(1));
  EXPECT_TRUE(b.entry(task, kBase).none());
  b.wait(Duration(1));
  EXPECT_TRUE(b.entry(task, kBase).present());
  EXPECT_EQ(mm.find(kBase)->fault_readers, 0U);
  EXPECT_TRUE(fault.done.arrived());
  EXPECT_TRUE(b.cpus.sleeps.empty());
}

TEST(FaultFlow, Before612FaultsRunUnderMmapLock) {
  KernelBench b(machine("6.1"));
  const TaskId task = b.process();
  b.map(task, kBase, 1 * kMiB);
  Fault fault(b, task, kBase);
  b.wait(b.costs().fault_entry);
  EXPECT_TRUE(b.mm(task).mmap_lock().read_locked());
  b.run_until(fault.done);
  EXPECT_FALSE(b.mm(task).mmap_lock().read_locked());
}

TEST(FaultFlow, FaultWaitsForAWriterOfMmapLockAndCountsTheStall) {
  KernelBench b(machine("6.1"));
  const TaskId task = b.process();
  b.map(task, kBase, 1 * kMiB);
  ASSERT_TRUE(b.mm(task).mmap_lock().try_write(LockOwner::khugepaged));
  Fault fault(b, task, kBase);
  b.wait(100us);
  EXPECT_FALSE(fault.done.arrived());
  ASSERT_EQ(b.cpus.sleeps.size(), 1U);
  b.mm(task).mmap_lock().release_write();
  b.run_until(fault.done);
  EXPECT_EQ(fault.done.at - kTimeZero, 100us + b.costs().clear_page + b.costs().fault_anon);
  ASSERT_EQ(b.cpus.sleeps.size(), 2U);
  EXPECT_TRUE(b.cpus.sleeps[1].wakes);
  EXPECT_EQ(b.stats().stall.mmap_lock_ns.count(), 1U);
  EXPECT_EQ(b.stats().stall.collapse_ns.sum(), rounded_ns(100us - b.costs().fault_entry));
}

TEST(FaultFlow, From612AFaultInAnotherVmaGoesOnUnderAWriter) {
  KernelBench b(machine("6.12"));
  const TaskId task = b.process();
  b.map(task, kBase, 1 * kMiB);
  b.map(task, kBase + 64 * kMiB, 1 * kMiB);
  AddressSpace& mm = b.mm(task);
  ASSERT_TRUE(mm.mmap_lock().try_write(LockOwner::khugepaged));
  Signal drained(b.queue);
  ASSERT_TRUE(mm.vma_start_write(*mm.find(kBase), drained.event));
  Fault same(b, task, kBase);
  const TaskId thread = b.now(KernelBench::request(SyscallRequest::Op::thread, task)).new_task;
  Fault other(b, thread, kBase + 64 * kMiB);
  b.wait(100us);
  EXPECT_TRUE(other.done.arrived());
  EXPECT_FALSE(same.done.arrived());
  mm.vma_end_write_all();
  mm.mmap_lock().release_write();
  b.run_until(same.done);
}

TEST(FaultFlow, FaultWaitsForThePageTableThatKhugepagedScans) {
  KernelBench b(machine("6.12"));
  const TaskId task = b.process();
  b.map(task, kBase, 4 * kMiB);
  b.touch(task, kBase);
  const Time start = b.queue.now();
  b.mm(task).lock_pte_table(kBase, LockOwner::khugepaged);
  Fault fault(b, task, kBase + kPageBytes);
  b.wait(50us);
  EXPECT_FALSE(fault.done.arrived());
  EXPECT_TRUE(b.cpus.sleeps.empty());  // a spinlock
  b.mm(task).unlock_pte_table(kBase);
  b.run_until(fault.done);
  EXPECT_EQ(fault.done.at - start, 50us + b.costs().clear_page + b.costs().fault_anon);
  EXPECT_EQ(b.stats().stall.collapse_ns.count(), 1U);
}

TEST(FaultFlow, LockTakenDuringTheClearHoldsUpTheInstall) {
  KernelBench b(machine("6.12"));
  const TaskId task = b.process();
  b.map(task, kBase, 4 * kMiB);
  b.touch(task, kBase);
  const Time start = b.queue.now();
  Fault fault(b, task, kBase + kPageBytes);
  b.wait(b.costs().fault_entry + b.costs().clear_page);
  b.mm(task).lock_pte_table(kBase, LockOwner::khugepaged);
  b.wait(50us);
  EXPECT_TRUE(b.entry(task, kBase + kPageBytes).none());
  b.mm(task).unlock_pte_table(kBase);
  b.run_until(fault.done);
  EXPECT_EQ(fault.done.at - start, b.costs().fault_entry + b.costs().clear_page + 50us);
}

TEST(FaultFlow, SecondOfTwoFaultsOnOnePageGivesItsFrameBack) {
  KernelBench b(machine("6.12"));
  const TaskId task = b.process();
  b.map(task, kBase, 1 * kMiB);
  const TaskId thread = b.now(KernelBench::request(SyscallRequest::Op::thread, task)).new_task;
  Fault first(b, task, kBase);
  Fault second(b, thread, kBase + 8);
  b.run_until(first.done);
  b.run_until(second.done);
  EXPECT_EQ(second.done.at - first.done.at, b.costs().fault_spurious);
  EXPECT_EQ(b.mm(task).anon_rss, 1U);
  EXPECT_EQ(b.stats().vmstat.pgfree, 1U);
  b.kernel.check();
}

TEST(FaultFlow, SwapInSleepsForTheDeviceWithoutItsLock) {
  KernelBench b(machine("6.12"));
  const TaskId task = b.process();
  Layout layout(b, task);
  layout.vma(kBase, 2 * kMiB);
  layout.swapped_out(kBase, 8);
  Fault fault(b, task, kBase, Access::read);
  b.wait(b.costs().fault_entry);
  EXPECT_EQ(b.swap.in_flight(), 8U);  // one, and seven read ahead
  EXPECT_EQ(b.mm(task).find(kBase)->fault_readers, 0U);
  b.run_until(fault.done);
  ASSERT_EQ(b.cpus.sleeps.size(), 2U);
  EXPECT_EQ(fault.done.at, b.cpus.sleeps[1].at + b.costs().fault_swap);
  EXPECT_EQ(b.stats().faults.major, 1U);
  EXPECT_FALSE(b.entry(task, kBase).dirty());
  b.wait(1ms);
  const auto next = b.touch(task, kBase + kPageBytes, Access::read);
  EXPECT_EQ(next.took, b.costs().fault_entry + b.costs().fault_swap);
  EXPECT_EQ(b.stats().faults.minor, 1U);
  b.kernel.check();
}

TEST(FaultFlow, TwoFaultsOnOneSwappedPageReadItOnce) {
  KernelBench b(machine("6.12"));
  const TaskId task = b.process();
  Layout layout(b, task);
  layout.vma(kBase, 2 * kMiB);
  layout.swapped_out(kBase);
  const TaskId thread = b.now(KernelBench::request(SyscallRequest::Op::thread, task)).new_task;
  Fault first(b, task, kBase, Access::read);
  b.wait(1us);
  Fault second(b, thread, kBase, Access::read);
  b.run_until(first.done);
  b.run_until(second.done);
  EXPECT_EQ(b.swap.stats().reads, 1U);
  EXPECT_EQ(b.mm(task).anon_rss, 1U);
  b.kernel.check();
}

TEST(FaultFlow, SwapInForACollapse) {
  for (const auto& [version, device] : {std::pair{"6.1", SwapKind::nvme},
                                        {"6.1", SwapKind::zram},
                                        {"6.12", SwapKind::nvme},
                                        {"6.12", SwapKind::zram}}) {
    BenchConfig config = machine(version);
    config.swap.device = device;
    KernelBench b(config);
    const TaskId task = b.process();
    Layout layout(b, task);
    Vma& vma = layout.vma(kBase, 2 * kMiB);
    layout.swapped_out(kBase);
    Signal done(b.queue);
    using SwapIn = PageFault::SwapIn;
    const SwapIn first = b.kernel.faults().swap_in(b.mm(task), vma, kBase, kNoCpu, done.event);
    EXPECT_EQ(first, device == SwapKind::zram ? SwapIn::must_wait : SwapIn::retry);
    b.wait(1ms);
    EXPECT_EQ(done.arrived(), device == SwapKind::zram);
    EXPECT_EQ(b.kernel.faults().swap_in(b.mm(task), vma, kBase, kNoCpu, done.event), SwapIn::swapped_in);
    EXPECT_TRUE(b.entry(task, kBase).present());
    // Known to be the only user's if it was read past the swap cache.
    const bool is_sole = device == SwapKind::zram;
    EXPECT_EQ(b.entry(task, kBase).writable(), is_sole && b.kernel.context().rules.swap_in_maps_writable);
    b.kernel.check();
  }
}

TEST(FaultFlow, StackGrowsByAFault) {
  for (const char* version : {"6.1", "6.12"}) {
    KernelBench b(machine(version));
    const TaskId task = b.process();
    AddressSpace& mm = b.mm(task);
    mm.stack_room = {{0x7ff0'0000'0000}, {0x7ff0'0080'0000}};
    const VirtAddr top = mm.stack_room.end;
    mm.insert({.range = {top - 2 * kPageBytes, top},
               .flags = Vma::kRead | Vma::kWrite | Vma::kGrowsDown,
               .pgoff = (top - 2 * kPageBytes).value >> kPageShift,
               .mapping = mm.mapping_named("stack")});
    EXPECT_EQ(b.touch(task, top - 5 * kPageBytes).outcome, FaultRequest::Outcome::resolved);
    EXPECT_EQ(mm.find(top - 1)->range.start, top - 5 * kPageBytes);
    EXPECT_EQ(b.touch(task, top - 16 * kMiB).outcome, FaultRequest::Outcome::outside_vma);
  }
}

}  // namespace
}  // namespace collapsar::test
