// Who is in khugepaged's list, and how one visit to a process goes. When: tests/flow/wakeup_test.cc.
#include "models/kernel/khugepaged.h"

#include "tests/support/layout.h"

namespace collapsar::test {
namespace {

class KhugepagedTest : public testing::TestWithParam<const char*> {
 protected:
  KhugepagedTest() { config = config_for(GetParam()); }
  void SetUp() override { bench = std::make_unique<KernelBench>(config); }

  Khugepaged& daemon() { return bench->kernel.khugepaged(); }
  KhugepagedStats& stats() { return bench->stats().khugepaged; }
  const Khugepaged::Scan& scan() { return daemon().khugepaged_scan(); }
  std::size_t slots() { return scan().mm_head.size(); }
  std::uint64_t scanned(TaskId task, VirtAddr base) {
    const RangeRecord* record = bench->kernel.history().find(bench->mm(task).asid(), base);
    return record ? record->times_scanned : 0;
  }
  // A process with `ranges` old, fully populated ranges (scanned, never collapsed) from kBase on.
  TaskId old_process(std::uint32_t pid, std::uint64_t ranges) {
    const TaskId task = bench->process(pid);
    Layout layout(*bench, task);
    layout.vma(kBase, ranges * kHugeBytes);
    for (std::uint64_t i = 0; i < ranges; ++i) layout.page(kBase + i * kHugeBytes, Layout::kOld);
    return task;
  }
  // VMAs below kBase in which no huge page can stand.
  void add_small_vmas(TaskId task, std::uint64_t count) {
    Layout layout(*bench, task);
    for (std::uint64_t i = 0; i < count; ++i) layout.vma(VirtAddr{(16 + 2 * i) * kMiB}, kPageBytes);
  }
  // One activation.
  void wake_up() {
    const std::uint64_t before = stats().wakeups;
    while (stats().wakeups == before || !daemon().asleep()) ASSERT_TRUE(bench->queue.run_one());
  }

  BenchConfig config;
  std::unique_ptr<KernelBench> bench;
};

// --- registration ---

TEST_P(KhugepagedTest, RegistersAProcessOnceForAnEligibleMapping) {
  const TaskId task = bench->process();
  Layout layout(*bench, task);
  layout.vma(kBase, kHugeBytes);
  EXPECT_TRUE(bench->mm(task).registered);
  layout.vma(kBase + kGiB, kHugeBytes);
  EXPECT_EQ(slots(), 1U);
  EXPECT_EQ(scan().mm_head.front().mm, &bench->mm(task));
}

TEST_P(KhugepagedTest, DoesNotRegisterForAMappingWithoutRoomOrPermission) {
  const TaskId task = bench->process();
  Layout layout(*bench, task);
  layout.vma(kBase, kHugeBytes - kPageBytes);
  layout.vma(kBase + kGiB + kPageBytes, kHugeBytes);
  layout.vma(kBase + 2 * kGiB, kHugeBytes, Vma::kRead | Vma::kWrite | Vma::kNoHugePage);
  EXPECT_FALSE(bench->mm(task).registered);
  Vma untouched{.range = {kBase + 3 * kGiB, kBase + 4 * kGiB}, .flags = Vma::kRead | Vma::kWrite, .mapping = kUnnamed};
  daemon().enter_vma(bench->mm(task), *bench->mm(task).add(untouched));
  EXPECT_FALSE(bench->mm(task).registered) << "no anon_vma yet";
  EXPECT_EQ(slots(), 0U);
}

class KhugepagedByHint : public KhugepagedTest {
 protected:
  KhugepagedByHint() { config.kernel.thp.enabled = ThpEnabled::madvise; }
};

TEST_P(KhugepagedByHint, RegistersOnlyForAdvisedMappings) {
  const TaskId task = bench->process();
  Layout layout(*bench, task);
  layout.vma(kBase, kHugeBytes);
  EXPECT_EQ(slots(), 0U);
  layout.vma(kBase + kGiB, kHugeBytes, Vma::kRead | Vma::kWrite | Vma::kHugePage);
  EXPECT_EQ(slots(), 1U);
}

class KhugepagedOff : public KhugepagedTest {
 protected:
  KhugepagedOff() {
    config.kernel.thp.enabled = ThpEnabled::never;
    config.kernel.compaction.proactiveness = 0;  // nor does kcompactd: the agenda stays empty
  }
};

TEST_P(KhugepagedOff, DoesNothingAtAll) {
  old_process(1, 1);
  bench->kernel.start();
  EXPECT_FALSE(bench->queue.run());
  EXPECT_EQ(slots(), 0U);
  EXPECT_EQ(stats().wakeups, 0U);
}

TEST_P(KhugepagedTest, RegistersAForkedProcessIffItsParentIs) {
  const TaskId parent = bench->process(1), child = bench->process(2), grandchild = bench->process(3);
  daemon().fork(bench->mm(parent), bench->mm(child));
  EXPECT_FALSE(bench->mm(child).registered);
  Layout(*bench, child).vma(kBase, kHugeBytes);
  daemon().fork(bench->mm(child), bench->mm(grandchild));
  EXPECT_TRUE(bench->mm(grandchild).registered);
  EXPECT_EQ(scan().mm_head.back().mm, &bench->mm(grandchild)) << "at the tail";
}

TEST_P(KhugepagedTest, DropsTheSlotOfAnExitedProcess) {
  const TaskId first = old_process(1, 1), second = old_process(2, 1);
  AddressSpace& mm = bench->mm(first);
  mm.set_exited();
  daemon().exit(mm);
  EXPECT_FALSE(mm.registered);
  ASSERT_EQ(slots(), 1U);
  EXPECT_EQ(scan().mm_head.front().mm, &bench->mm(second));
}

TEST_P(KhugepagedTest, KeepsTheSlotUnderTheCursorUntilItComesBy) {
  const TaskId first = old_process(1, 9), second = old_process(2, 1);
  AddressSpace& mm = bench->mm(first);
  bench->kernel.start();
  wake_up();
  ASSERT_EQ(scan().mm_slot->mm, &mm) << "eight ranges use up the budget";
  mm.set_exited();
  daemon().exit(mm);
  EXPECT_TRUE(mm.registered);
  wake_up();
  EXPECT_FALSE(mm.registered);
  EXPECT_EQ(slots(), 1U);
  EXPECT_EQ(scanned(first, kBase + 8 * kHugeBytes), 0U);
  EXPECT_EQ(scanned(second, kBase), 2U) << "the rest of the list, and one complete pass";
}

// --- the visit ---

TEST_P(KhugepagedTest, ScansOnlyWholeAlignedRangesOfAMapping) {
  const TaskId task = bench->process();
  Layout layout(*bench, task);
  layout.vma(kBase + kPageBytes, 3 * kHugeBytes);
  for (std::uint64_t i = 0; i < 4; ++i) layout.page(kBase + i * kHugeBytes + (i < 3 ? kPageBytes : 0), Layout::kOld);
  bench->kernel.start();
  wake_up();
  EXPECT_EQ(stats().ranges_scanned, 2U);
  EXPECT_EQ(scanned(task, kBase), 0U);
  EXPECT_EQ(scanned(task, kBase + kHugeBytes), 1U);
  EXPECT_EQ(scanned(task, kBase + 2 * kHugeBytes), 1U);
  EXPECT_EQ(scanned(task, kBase + 3 * kHugeBytes), 0U);
}

TEST_P(KhugepagedTest, VisitsProcessesInTheOrderTheyJoined) {
  const TaskId first = old_process(1, 4), second = old_process(2, 4), third = old_process(3, 4);
  bench->kernel.start();
  wake_up();
  EXPECT_EQ(scanned(first, kBase), 1U);
  EXPECT_EQ(scanned(second, kBase), 1U);
  EXPECT_EQ(scanned(third, kBase), 0U);
  wake_up();
  EXPECT_EQ(scanned(third, kBase), 1U);
  EXPECT_EQ(stats().full_scans, 1U);
}

TEST_P(KhugepagedTest, PassesOverAProcessWhoseMmapLockIsTaken) {
  const TaskId busy = old_process(1, 1), other = old_process(2, 1);
  ASSERT_TRUE(bench->mm(busy).mmap_lock().try_write(LockOwner::syscall));
  bench->kernel.start();
  wake_up();
  EXPECT_EQ(stats().busy, 1U);
  EXPECT_EQ(scanned(busy, kBase), 0U);
  EXPECT_EQ(scanned(other, kBase), 1U);
  EXPECT_EQ(stats().full_scans, 1U);
}

TEST_P(KhugepagedTest, StartsOverInAProcessThatWasBusy) {
  const TaskId task = old_process(1, 9);
  bench->kernel.start();
  wake_up();
  EXPECT_EQ(scan().address, kBase + 8 * kHugeBytes);
  ASSERT_TRUE(bench->mm(task).mmap_lock().try_write(LockOwner::syscall));
  wake_up();
  EXPECT_EQ(scan().mm_slot, nullptr);
  bench->mm(task).mmap_lock().release_write();
  wake_up();
  EXPECT_EQ(scanned(task, kBase), 2U);
  EXPECT_EQ(scanned(task, kBase + 8 * kHugeBytes), 0U);
}

// --- the budget: 1 for the visit, 1 for each VMA passed over, 512 for each range ---

class KhugepagedBudget : public KhugepagedTest {
 protected:
  static constexpr std::uint64_t kSmallVmas = 7;
  static constexpr std::uint64_t kFirstRange = 1 + kSmallVmas + kHugePages;
  std::uint64_t ranges_scanned_with(std::uint64_t pages_to_scan) {
    config.kernel.khugepaged.pages_to_scan = pages_to_scan;
    bench = std::make_unique<KernelBench>(config);
    add_small_vmas(old_process(1, 4), kSmallVmas);
    bench->kernel.start();
    wake_up();
    return stats().ranges_scanned;
  }
};

TEST_P(KhugepagedBudget, IsUsedByVisitsVmasAndRanges) {
  EXPECT_EQ(ranges_scanned_with(kFirstRange), 1U);
  EXPECT_EQ(ranges_scanned_with(kFirstRange + 1), 2U);
  EXPECT_EQ(ranges_scanned_with(kFirstRange + kHugePages), 2U);
  EXPECT_EQ(ranges_scanned_with(kFirstRange + kHugePages + 1), 3U);
}

TEST_P(KhugepagedBudget, IsTestedOnlyAfterARange) {
  EXPECT_EQ(ranges_scanned_with(1), 1U);
  EXPECT_EQ(bench->stats().khugepaged.cpu, bench->costs().scan_mm + bench->costs().scan_vma * std::int64_t(kSmallVmas) +
                                               bench->costs().scan_pte * 512);
}

TEST_P(KhugepagedBudget, IsUsedByEachVisitAgainAfterACollapse) {
  config.kernel.khugepaged.pages_to_scan = 2 * (kHugePages + 1);
  bench = std::make_unique<KernelBench>(config);
  const TaskId task = bench->process();
  Layout layout(*bench, task);
  layout.vma(kBase, 4 * kHugeBytes);
  for (std::uint64_t i = 0; i < 4; ++i) layout.page(kBase + i * kHugeBytes);
  bench->kernel.start();
  wake_up();
  EXPECT_EQ(stats().pages_collapsed, 2U);
}

// 6.1 walks a process that has switched THP off VMA by VMA; 6.12 turns away at once.
TEST_P(KhugepagedBudget, OfAProcessWithThpOffDependsOnTheKernel) {
  config.kernel.khugepaged.pages_to_scan = 1 + kSmallVmas + 1 + 1 + kHugePages;
  bench = std::make_unique<KernelBench>(config);
  const TaskId off = old_process(1, 1), on = old_process(2, 4);
  add_small_vmas(off, kSmallVmas);
  bench->mm(off).thp = AddressSpace::Disabled::completely;
  bench->kernel.start();
  wake_up();
  EXPECT_EQ(scanned(off, kBase), 0U);
  const bool is_6_1 = std::string(GetParam()) == "6.1";
  EXPECT_EQ(scanned(on, kBase), 1U);
  EXPECT_EQ(scanned(on, kBase + kHugeBytes), is_6_1 ? 0U : 1U);
}

TEST_P(KhugepagedTest, CountsRangesWithoutAPageTable) {
  const TaskId task = bench->process();
  Layout(*bench, task).vma(kBase, 2 * kGiB);
  bench->kernel.start();
  wake_up();
  EXPECT_EQ(stats().scan[std::size_t(ScanResult::PMD_NULL)], 8U);
  EXPECT_EQ(stats().ptes_scanned, 0U);
}

INSTANTIATE_TEST_SUITE_P(Kernels, KhugepagedTest, testing::Values("6.1", "6.12"));
INSTANTIATE_TEST_SUITE_P(Kernels, KhugepagedByHint, testing::Values("6.1", "6.12"));
INSTANTIATE_TEST_SUITE_P(Kernels, KhugepagedOff, testing::Values("6.12"));
INSTANTIATE_TEST_SUITE_P(Kernels, KhugepagedBudget, testing::Values("6.1", "6.12"));

}  // namespace
}  // namespace collapsar::test
