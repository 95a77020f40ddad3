// One collapse, step by step: what changes at which tick, who must wait, and what an interference in each phase leads to
// (khugepaged.md 5.1, 5.2, 5.8).
#include "tests/flow/collapse_flow.h"

namespace collapsar::test {
namespace {

// --- each step changes the world at its end ---

TEST_P(CollapseFlow, HoldsThePteTableAndMmapLockForReadWhileItScans) {
  layout.pages(kBase, 512);
  start();
  run_to(scanned() - kTick);
  EXPECT_TRUE(mm().pte_table_locked(kBase));
  EXPECT_TRUE(mm().mmap_lock().read_locked());
  run_to(scanned());
  EXPECT_FALSE(mm().pte_table_locked(kBase));
  EXPECT_FALSE(mm().mmap_lock().read_locked()) << "the huge page is allocated without mmap_lock";
}

TEST_P(CollapseFlow, JudgesTheEntriesAsTheyAreAtTheEndOfTheScan) {
  layout.pages(kBase, 512, Layout::kOld);
  start();
  run_to(scanned() - kTick);
  mm().table().pte(at(4))->set(Pte::kAccessed);
  EXPECT_EQ(finish(), ScanResult::SUCCEED);
}

TEST_P(CollapseFlow, AllocatesAtTheEndOfTheAllocation) {
  layout.pages(kBase, 512);
  const std::uint64_t free = bench.memory.free_pages();
  start();
  run_to(allocated() - kTick);
  EXPECT_EQ(bench.memory.free_pages(), free);
  run_to(allocated());
  EXPECT_EQ(bench.memory.free_pages(), free - 512);
  EXPECT_TRUE(mm().mmap_lock().read_locked()) << "to revalidate";
}

TEST_P(CollapseFlow, HoldsMmapLockForWriteFromTheSecondRevalidationToTheEnd) {
  layout.pages(kBase, 512);
  start();
  run_to(revalidated() - kTick);
  EXPECT_TRUE(mm().mmap_lock().read_locked());
  run_to(revalidated());
  EXPECT_EQ(mm().mmap_lock().writer(), LockOwner::khugepaged);
  run_to(committed() - kTick);
  EXPECT_TRUE(mm().mmap_lock().write_locked());
  run_to(committed());
  EXPECT_FALSE(mm().mmap_lock().write_locked());
}

TEST_P(CollapseFlow, TakesThePmdAwayBeforeTheFlushWhichTakesEffectAtItsEnd) {
  layout.pages(kBase, 512);
  start();
  run_to(rechecked() - kTick);
  EXPECT_TRUE(mm().table().pmd_is_table(kBase));
  run_to(rechecked());
  EXPECT_TRUE(mm().table().pmd(kBase)->none());
  run_to(flushed() - kTick);
  EXPECT_TRUE(bench.shootdown.flushes.empty());
  run_to(flushed());
  ASSERT_EQ(bench.shootdown.flushes.size(), 1U);
  const auto& flush = bench.shootdown.flushes[0];
  EXPECT_EQ(flush.range, (VirtRange{kBase, kBase + kHugeBytes}));
  EXPECT_EQ(flush.tables_freed, !is_6_1());
}

TEST_P(CollapseFlow, IsolatesReleasesAndInstallsAtTheEndOfEachPhase) {
  layout.pages(kBase, 512);
  const Pfn old = mm().table().pte(at(17))->pfn();
  const Frame& frame = bench.memory.frame(old);
  start();
  run_to(isolated() - kTick);
  EXPECT_TRUE(frame.is(Frame::kLru));
  run_to(isolated());
  EXPECT_TRUE(frame.is(Frame::kLocked) && frame.is(Frame::kIsolated) && !frame.is(Frame::kLru));
  // 6.1 releases each 16 pages (a step of the copy) with their copy, later kernels all of them after it.
  const Duration of_step = (cost().copy_page + cost().release_page) * 16;
  const Duration gone = is_6_1() ? isolated() + 2 * of_step : released();
  run_to(gone - kTick);
  EXPECT_EQ(frame.used_as(), FrameUse::anon);
  run_to(gone);
  EXPECT_EQ(frame.used_as(), FrameUse::free);
  run_to(committed() - kTick);
  EXPECT_TRUE(mm().table().pmd(kBase)->none());
  EXPECT_FALSE(done.arrived());
  run_to(committed());
  EXPECT_TRUE(mm().table().pmd_is_huge(kBase));
  EXPECT_TRUE(done.arrived());
}

// --- how long it takes: 32 us, 0.174 us to clear or 0.209 us to copy each page, 0.70 us per present page ---

TEST_P(CollapseFlow, TakesTheMeasuredTimeForAnyNumberOfPresentPages) {
  bench.shootdown.cost = {};
  for (const std::int64_t pages : {1, 64, 256, 512}) {
    const VirtAddr base = kElsewhere + 4 * kHugeBytes * std::uint64_t(pages);
    layout.vma(base, kHugeBytes);
    layout.pages(base, std::uint64_t(pages));
    Signal ready(bench.queue, Phase::kernel);
    request = {};
    request.mm = &mm();
    request.base = base;
    request.owner = LockOwner::madvise_collapse;
    request.done = &ready.event;
    ASSERT_TRUE(mm().mmap_lock().try_read());
    const Time began = bench.queue.now();
    bench.kernel.collapse().scan_and_collapse(request);
    bench.run_until(ready);
    EXPECT_EQ(request.result, ScanResult::SUCCEED);
    EXPECT_EQ(ready.at - began, 32us + 700ns * pages + 209ns * pages + 174ns * (512 - pages));
  }
}

TEST_P(CollapseFlow, AddsNoTimeOfItsOwnToTheScanOfKhugepaged) {
  layout.pages(kBase, 100);
  start();
  EXPECT_EQ(finish(), ScanResult::SUCCEED);
  EXPECT_EQ(done.at - kTimeZero, committed());
  EXPECT_EQ(bench.stats().khugepaged.cpu, committed());
  const KhugepagedStats& s = bench.stats().khugepaged;
  EXPECT_EQ(s.cpu, s.cpu_scan + s.cpu_alloc + s.cpu_swapin + s.cpu_flush + s.cpu_isolate + s.cpu_copy + s.cpu_commit);
  EXPECT_EQ(bench.kernel.history().find(mm().asid(), kBase)->collapse_cost, committed() - scanned());
}

// --- phase 1: the world goes on while the huge page is allocated ---

TEST_P(CollapseFlow, FailsIfTheProcessExitedMeanwhile) {
  layout.pages(kBase, 512);
  start();
  run_to(scanned());
  mm().set_exited();
  EXPECT_EQ(finish(), ScanResult::ANY_PROCESS);
}

TEST_P(CollapseFlow, FailsIfTheMappingIsGone) {
  layout.pages(kBase, 512);
  mm().remove({kElsewhere, kElsewhere + kHugeBytes});
  start();
  run_to(scanned());
  bench.kernel.rmap().zap_range(mm(), vma->range);
  mm().remove({kBase, kBase + kHugeBytes});
  EXPECT_EQ(finish(), ScanResult::VMA_NULL);
}

TEST_P(CollapseFlow, FailsIfTheMappingNoLongerHoldsTheRange) {
  layout.pages(kBase, 512);
  start();
  run_to(scanned());
  const VirtRange tail{at(511), at(512)};
  bench.kernel.rmap().zap_range(mm(), tail);
  mm().split_at(tail);
  mm().remove(tail);
  EXPECT_EQ(finish(), ScanResult::ADDRESS_RANGE);
  EXPECT_TRUE(mm().table().pmd_is_table(kBase));
}

TEST_P(CollapseFlow, FailsIfHugePagesWereForbidden) {
  layout.pages(kBase, 512);
  start();
  run_to(scanned());
  vma->flags |= Vma::kNoHugePage;
  EXPECT_EQ(finish(), ScanResult::VMA_CHECK);
}

// 6.12 turns a process away that switched THP off; 6.1 finds the same by its VMA.
TEST_P(CollapseFlow, FailsIfTheProcessSwitchedThpOff) {
  layout.pages(kBase, 512);
  start();
  run_to(scanned());
  mm().thp = AddressSpace::Disabled::completely;
  EXPECT_EQ(finish(), is_6_1() ? ScanResult::VMA_CHECK : ScanResult::ANY_PROCESS);
}

TEST_P(CollapseFlow, FailsIfThePmdBecameHugeOrEmpty) {
  layout.pages(kBase, 512);
  start();
  run_to(scanned());
  bench.kernel.rmap().zap_range(mm(), vma->range);
  mm().table().free_tables({kBase, kBase + kHugeBytes}, kBase, kBase + kHugeBytes);
  layout.huge(kBase);
  EXPECT_EQ(finish(), ScanResult::PMD_MAPPED);
  bench.kernel.check();
}

TEST_P(CollapseFlow, GivesTheNewPageBackWhenItFails) {
  layout.pages(kBase, 512);
  const std::uint64_t free = bench.memory.free_pages();
  start();
  run_to(allocated());
  vma->flags |= Vma::kNoHugePage;
  EXPECT_EQ(finish(), ScanResult::VMA_CHECK);
  EXPECT_EQ(bench.memory.free_pages(), free);
  EXPECT_EQ(done.at - kTimeZero, revalidated());
  EXPECT_FALSE(mm().mmap_lock().read_locked());
  EXPECT_TRUE(bench.shootdown.flushes.empty());
  bench.kernel.check();
}

TEST_P(CollapseFlow, LetsFaultsPassWhileItAllocates) {
  layout.pages(kBase, 511);
  start();
  run_to(scanned());
  const auto touch = bench.touch(task, at(511));
  EXPECT_EQ(touch.took, cost().fault_entry + cost().fault_anon + cost().clear_page);
  EXPECT_LT(bench.queue.now() - kTimeZero, allocated());
}

// --- between the read and the write lock ---

// A writer that came first has its turn; what it did is found by the second look.
TEST_P(CollapseFlow, FailsIfThePageTableIsAnotherOne) {
  layout.pages(kBase, 512);
  start();
  run_to(allocated());
  Signal granted(bench.queue, Phase::kernel);
  TimedRwLock::Waiter waiter{.granted = &granted.event, .owner = LockOwner::syscall};
  ASSERT_FALSE(mm().mmap_lock().write(waiter));
  run_to(revalidated());
  ASSERT_TRUE(granted.arrived());
  run_to(revalidated() + 50us);
  EXPECT_EQ(mm().mmap_lock().writer(), LockOwner::syscall);
  mm().table().move_pmd(kBase, kElsewhere);
  ASSERT_TRUE(mm().table().ensure_pte_table(kBase));
  mm().mmap_lock().release_write();
  EXPECT_EQ(finish(), ScanResult::FAIL);
  EXPECT_EQ(done.at - kTimeZero, revalidated() + 50us + cost().collapse_lock / 2);
}

class CollapseWithVmaLocks : public CollapseFlow {};

TEST_P(CollapseWithVmaLocks, WaitsForFaultsThatHoldItsVma) {
  layout.pages(kBase, 512);
  ASSERT_TRUE(mm().vma_start_read(*vma));
  start();
  run_to(rechecked() + 1ms);
  EXPECT_TRUE(mm().table().pmd_is_table(kBase));
  EXPECT_FALSE(mm().vma_start_read(*vma)) << "new faults take mmap_lock";
  mm().vma_end_read(*vma);
  EXPECT_EQ(finish(), ScanResult::SUCCEED);
  EXPECT_EQ(done.at - kTimeZero, committed() + 1ms);
  EXPECT_TRUE(mm().vma_start_read(*vma));
}

// --- phases 4 to 12: who waits ---

TEST_P(CollapseFlow, MakesFaultsInItsMappingWaitToTheEnd) {
  layout.pages(kBase, 511);
  start();
  run_to(flushed());
  const auto touch = bench.touch(task, at(511));
  EXPECT_EQ(request.result, ScanResult::SUCCEED);
  EXPECT_GE(bench.queue.now() - kTimeZero, committed());
  EXPECT_EQ(touch.faults, 1U);
  EXPECT_TRUE(bench.entry(task, at(511)).huge());
  EXPECT_EQ(bench.stats().stall.collapse_ns.count(), 1U);
}

TEST_P(CollapseFlow, MakesFaultsElsewhereWaitOnlyWithoutPerVmaLocks) {
  layout.pages(kBase, 512);
  start();
  run_to(flushed());
  bench.touch(task, kElsewhere);
  if (is_6_1()) EXPECT_GE(bench.queue.now() - kTimeZero, committed());
  else EXPECT_LT(bench.queue.now() - kTimeZero, isolated());
  EXPECT_EQ(bench.stats().stall.collapse_ns.count(), is_6_1() ? 1U : 0U);
}

// --- system calls that arrive meanwhile ---

TEST_P(CollapseFlow, LosesItsMappingToAnUnmapThatComesBeforeTheLock) {
  layout.pages(kBase, 512);
  start();
  run_to(scanned());
  bench.call(KernelBench::request(SyscallRequest::Op::munmap, task, kBase, kHugeBytes));
  EXPECT_EQ(finish(), ScanResult::ADDRESS_RANGE) << "find_vma() gives the mapping above";
  bench.kernel.check();
}

TEST_P(CollapseFlow, MakesAnUnmapWaitToTheEnd) {
  layout.pages(kBase, 512);
  start();
  run_to(flushed());
  bench.call(KernelBench::request(SyscallRequest::Op::munmap, task, kBase, kHugeBytes));
  EXPECT_EQ(request.result, ScanResult::SUCCEED);
  EXPECT_GE(bench.queue.now() - kTimeZero, committed());
  EXPECT_EQ(mm().huge_pages, 0U);
  EXPECT_GE(bench.stats().stall.collapse_ns.count(), 1U);
  bench.kernel.check();
}

TEST_P(CollapseFlow, IsCalledOffByAnExitBeforeThePageTableIsOut) {
  layout.pages(kBase, 512);
  start();
  run_to(revalidated() + kTick);  // mmap_lock is held for write
  bench.call(KernelBench::request(SyscallRequest::Op::exit, task));
  EXPECT_EQ(request.result, ScanResult::ANY_PROCESS);
  EXPECT_EQ(done.at - kTimeZero, rechecked());
  bench.kernel.check();
}

TEST_P(CollapseFlow, MakesAnExitWaitOnceThePageTableIsOut) {
  layout.pages(kBase, 512);
  start();
  run_to(rechecked() + kTick);
  bench.call(KernelBench::request(SyscallRequest::Op::exit, task));
  EXPECT_EQ(request.result, ScanResult::SUCCEED);
  EXPECT_EQ(done.at - kTimeZero, committed());
  EXPECT_EQ(mm().anon_rss, 0U);
  bench.kernel.check();
}

INSTANTIATE_TEST_SUITE_P(Kernels, CollapseFlow, testing::Values("6.1", "6.12"));
INSTANTIATE_TEST_SUITE_P(Kernels, CollapseWithVmaLocks, testing::Values("6.12"));

// --- phase 3: swapped-out pages ---

BenchConfig config_with(const std::string& version, SwapKind device) {
  BenchConfig config = config_of_flow(version);
  config.swap.device = device;
  return config;
}

class SwappingIn : public CollapseFlow {
 protected:
  explicit SwappingIn(SwapKind device) : CollapseFlow(config_with(GetParam(), device)) {}
  void SetUp() override {
    CollapseFlow::SetUp();
    layout.pages(kBase, 509);
    layout.swapped_out(at(509), 3);
  }
};

class SwappingInAtOnce : public SwappingIn {
 protected:
  SwappingInAtOnce() : SwappingIn(SwapKind::zram) {}
};

TEST_P(SwappingInAtOnce, WaitsForEachPageWithMmapLockHeldForRead) {
  start();
  run_to(revalidated() + cost().fault_swap + kTick);
  EXPECT_TRUE(mm().mmap_lock().read_locked());
  EXPECT_EQ(finish(), ScanResult::SUCCEED);
  EXPECT_EQ(bench.stats().khugepaged.cpu_swapin, cost().fault_swap * 3);
  EXPECT_EQ(bench.swap.stats().reads, 3U);
  EXPECT_EQ(mm().swap_entries, 0U);
  bench.kernel.check();
}

class SwappingInFromADisk : public SwappingIn {
 protected:
  SwappingInFromADisk() : SwappingIn(SwapKind::nvme) {}
};

TEST_P(SwappingInFromADisk, GivesUpAtThePageThatMustBeWaitedFor) {
  start();
  EXPECT_EQ(finish(), ScanResult::PAGE_LOCK);
  EXPECT_EQ(done.at - kTimeZero, revalidated() + cost().fault_swap);
  EXPECT_FALSE(mm().mmap_lock().read_locked());
  EXPECT_GE(bench.swap.stats().submitted, 1U) << "a later pass finds the page";
}

TEST_P(SwappingInFromADisk, FindsThePageInItsNextPass) {
  start();
  ASSERT_EQ(finish(), ScanResult::PAGE_LOCK);
  EXPECT_EQ(mm().swap_entries, 3U) << "read, not mapped";
  bench.wait(1ms);
  ASSERT_TRUE(mm().mmap_lock().try_read());
  bench.kernel.collapse().scan_and_collapse(request);
  while (done.count < 2) ASSERT_TRUE(bench.queue.run_one());
  EXPECT_EQ(request.result, ScanResult::SUCCEED) << "the read brought its neighbours along";
  EXPECT_EQ(request.swapin->swapped_in, 3U);
  EXPECT_EQ(mm().swap_entries, 0U);
  bench.kernel.check();
}

INSTANTIATE_TEST_SUITE_P(Kernels, SwappingInAtOnce, testing::Values("6.1", "6.12"));
INSTANTIATE_TEST_SUITE_P(Kernels, SwappingInFromADisk, testing::Values("6.1", "6.12"));

// --- phase 10 on modelled DRAM ---

BenchConfig config_with_slow_memory() {
  BenchConfig config = config_of_flow("6.12");
  config.dram = {.ideal = {}, .channels = 1, .ranks = 1};
  return config;
}

class CopyingInDram : public CollapseFlow {
 protected:
  CopyingInDram() : CollapseFlow(config_with_slow_memory()) {}
};

TEST_P(CopyingInDram, TakesTheTimeOfTheMemoryWhereThatIsLonger) {
  layout.pages(kBase, 512);
  start();
  EXPECT_EQ(finish(), ScanResult::SUCCEED);
  const double seconds = 2 * double(kHugeBytes) / bench.dram.peak_bandwidth();  // read and written
  const auto least = Duration(std::int64_t(seconds * 1e12));
  ASSERT_GT(least, copied() - isolated());
  EXPECT_GE(done.at - kTimeZero, committed() - (copied() - isolated()) + least);
  EXPECT_EQ(bench.dram.stats().reads, kHugeBytes / 64);
  EXPECT_EQ(bench.dram.stats().writes, kHugeBytes / 64);
}

INSTANTIATE_TEST_SUITE_P(Kernels, CopyingInDram, testing::Values("6.12"));

}  // namespace
}  // namespace collapsar::test
