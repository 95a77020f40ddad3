// khugepaged's wake-ups on the layouts whose figures were measured on a real kernel (docs/hardware.md 4.1), tick by tick.
#include "models/kernel/khugepaged.h"
#include "tests/support/layout.h"

namespace collapsar::test {
namespace {

using namespace std::chrono_literals;

constexpr std::uint64_t kFootprint = 256 * kMiB;
constexpr std::uint64_t kRanges = kFootprint / kHugeBytes;
constexpr std::int64_t kPerWakeup = 8;  // ranges: 4096 pages

BenchConfig config_of_wakeup(const std::string& version) {
  BenchConfig config = config_for(version);
  config.memory = Bytes{1 * kGiB};
  return config;
}

class Wakeup : public testing::TestWithParam<const char*> {
 protected:
  Wakeup() { config = config_of_wakeup(GetParam()); }
  void SetUp() override { bench = std::make_unique<KernelBench>(config); }
  // One process with `per_range` pages at the head of each 2 MiB of its 256 MiB.
  void populate(std::uint64_t per_range, std::uint64_t flags = Layout::kWarm) {
    task = bench->process();
    Layout layout(*bench, task);
    layout.vma(kBase, kFootprint);
    for (std::uint64_t i = 0; i < kRanges; ++i) layout.pages(kBase + i * kHugeBytes, per_range, flags);
  }
  void run_to(Duration moment) { bench->queue.run_until(kTimeZero + moment); }
  // Runs to the beginning of the next wake-up, and to its end. Returns when that was.
  Duration next_begin() {
    const std::uint64_t before = stats().wakeups;
    while (stats().wakeups == before) EXPECT_TRUE(bench->queue.run_one());
    return now();
  }
  Duration next_end() {
    while (!bench->kernel.khugepaged().asleep()) EXPECT_TRUE(bench->queue.run_one());
    return now();
  }
  Duration now() { return bench->queue.now() - kTimeZero; }
  KhugepagedStats& stats() { return bench->stats().khugepaged; }
  AddressSpace& mm() { return bench->mm(task); }
  const KernelCosts& cost() { return bench->costs(); }
  Duration collapse_time(std::int64_t present) {
    return cost().collapse_alloc + cost().collapse_lock + cost().collapse_flush + cost().collapse_commit +
           (cost().isolate_page + cost().copy_page + cost().release_page) * present +
           cost().clear_page * (512 - present);
  }

  BenchConfig config;
  std::unique_ptr<KernelBench> bench;
  TaskId task = 0;
};

// --- K1 ---

TEST_P(Wakeup, CollapsesExactlyEightRangesOfPopulatedMemory) {
  populate(512);
  const std::uint64_t rss = mm().anon_rss;
  bench->kernel.start();
  const Duration busy = (cost().scan_mm + cost().scan_pte * 512 + collapse_time(512)) * kPerWakeup;
  Duration begin{};
  for (std::uint64_t n = 1; n <= kRanges / kPerWakeup; ++n) {
    EXPECT_EQ(next_begin(), begin);
    EXPECT_EQ(stats().pages_collapsed, (n - 1) * kPerWakeup);
    EXPECT_EQ(next_end(), begin + busy);
    EXPECT_EQ(stats().pages_collapsed, n * kPerWakeup);
    EXPECT_EQ(mm().huge_pages, n * kPerWakeup);
    EXPECT_EQ(mm().anon_rss, rss);
    begin += busy + 10s;
  }
  EXPECT_EQ(stats().scan[std::size_t(ScanResult::SUCCEED)], kRanges);
  EXPECT_EQ(bench->stats().vmstat.thp_collapse_alloc, kRanges);
  EXPECT_EQ(stats().cpu, busy * std::int64_t(kRanges / kPerWakeup));
  bench->kernel.check();
}

TEST_P(Wakeup, FindsHugePagesOnItsNextPassAndCountsAFullScan) {
  populate(512);
  bench->kernel.start();
  for (std::uint64_t n = 0; n < kRanges / kPerWakeup; ++n) next_begin(), next_end();
  EXPECT_EQ(stats().full_scans, 0U);
  next_begin(), next_end();
  EXPECT_EQ(stats().full_scans, 1U);
  EXPECT_EQ(stats().scan[std::size_t(ScanResult::PMD_MAPPED)], 8U);
  EXPECT_EQ(bench->kernel.khugepaged().khugepaged_scan().address, kBase + 8 * kHugeBytes);
}

// --- K2 ---

TEST_P(Wakeup, FillsSparseMemoryBy16352KiB) {
  populate(1);
  bench->kernel.start();
  for (std::uint64_t n = 1; n <= 4; ++n) {
    const std::uint64_t rss = mm().anon_rss;
    next_begin(), next_end();
    EXPECT_EQ((mm().anon_rss - rss) * kPageBytes, 16352 * kKiB);
    EXPECT_EQ(stats().pages_collapsed, n * kPerWakeup);
  }
}

// --- K3 ---

TEST_P(Wakeup, ScansButLeavesMemoryThatNobodyReferences) {
  populate(512, Layout::kOld);
  bench->kernel.start();
  for (std::uint64_t n = 1; n <= 3; ++n) {
    const Duration begin = next_begin();
    EXPECT_EQ(next_end() - begin, cost().scan_mm + cost().scan_pte * 4096);
    EXPECT_EQ(stats().ptes_scanned, n * 4096);
    EXPECT_EQ(stats().scan[std::size_t(ScanResult::LACK_REFERENCED_PAGE)], n * 8);
  }
  EXPECT_EQ(stats().pages_collapsed, 0U);
}

// --- K4 ---

class WakeupWithoutTolerance : public Wakeup {
 protected:
  WakeupWithoutTolerance() { config.kernel.khugepaged.max_ptes_none = 0; }
};

TEST_P(WakeupWithoutTolerance, LeavesSparseMemory) {
  populate(1);
  const std::uint64_t rss = mm().anon_rss;
  bench->kernel.start();
  next_begin(), next_end();
  EXPECT_EQ(stats().scan[std::size_t(ScanResult::EXCEED_NONE_PTE)], 8U);
  EXPECT_EQ(stats().ptes_scanned, 16U) << "each range is given up at its second entry";
  EXPECT_EQ(bench->stats().vmstat.thp_scan_exceed_none_pte, 8U);
  EXPECT_EQ(mm().anon_rss, rss);
}

TEST_P(WakeupWithoutTolerance, StillCollapsesFullMemory) {
  populate(512);
  bench->kernel.start();
  next_begin(), next_end();
  EXPECT_EQ(stats().pages_collapsed, 8U);
}

// --- K5, and when the daemon wakes at all ---

TEST_P(Wakeup, KnowsWhatAWakeupCanCollapseAtMost) {
  EXPECT_EQ(bench->kernel.khugepaged().ranges_per_wakeup(), std::uint64_t(kPerWakeup));
}

TEST_P(Wakeup, ComesAtOnceWhenTheFirstProcessJoins) {
  bench->kernel.start();
  run_to(5s);
  EXPECT_EQ(stats().wakeups, 0U);
  populate(1);
  run_to(5s + cost().scan_mm - kTick);
  EXPECT_EQ(stats().wakeups, 1U);
  EXPECT_FALSE(mm().mmap_lock().read_locked());
  run_to(5s + cost().scan_mm);
  EXPECT_TRUE(mm().mmap_lock().read_locked());
}

TEST_P(Wakeup, DoesNotComeEarlierForASecondProcess) {
  populate(1);
  bench->kernel.start();
  const Duration begin = next_begin(), end = next_end();
  Layout(*bench, bench->process(2)).vma(kBase, kHugeBytes);
  EXPECT_EQ(begin, Duration::zero());
  EXPECT_EQ(next_begin(), end + 10s);
}

TEST_P(Wakeup, PassesOverTheListOnceHoweverMuchBudgetIsLeft) {
  task = bench->process();
  Layout layout(*bench, task);
  layout.vma(kBase, kHugeBytes);
  layout.pages(kBase, 512, Layout::kOld);
  bench->kernel.start();
  next_begin(), next_end();
  EXPECT_EQ(stats().ranges_scanned, 1U);
  EXPECT_EQ(stats().full_scans, 1U);
}

class WakeupWithoutPause : public Wakeup {
 protected:
  WakeupWithoutPause() { config.kernel.khugepaged.scan_sleep = Duration::zero(); }
};

TEST_P(WakeupWithoutPause, GoesOnAtOnceButTimePasses) {
  populate(512, Layout::kOld);
  bench->kernel.start();
  run_to(100ms);
  EXPECT_GT(stats().wakeups, 200U);
  EXPECT_GT(stats().cpu, 99ms);
  EXPECT_LE(stats().cpu, 101ms);
}

// --- no huge page to be had (khugepaged.md 2.6) ---

class WakeupWithoutMemory : public Wakeup {
 protected:
  WakeupWithoutMemory() { config.kernel.khugepaged.defrag = false; }
  Duration attempt() { return cost().scan_mm + cost().scan_pte * 512 + cost().collapse_alloc; }
  // Every 2 MiB that a collapse could get.
  std::vector<Pfn> take_all() {
    std::vector<Pfn> taken;
    while (const auto block =
               bench->memory.allocate(kHugeOrder, MigrateType::movable, FrameUse::hugetlb, AllocLevel::low))
      taken.push_back(*block);
    return taken;
  }
};

TEST_P(WakeupWithoutMemory, TriesTwoRangesWithOneAllocationSleepBetween) {
  populate(512);
  while (bench->memory.allocate(kHugeOrder, MigrateType::movable, FrameUse::hugetlb, AllocLevel::reserve)) {
  }
  bench->kernel.start();
  const Duration attempt = cost().scan_mm + cost().scan_pte * 512 + cost().collapse_alloc;
  run_to(attempt);
  EXPECT_EQ(bench->stats().vmstat.thp_collapse_alloc_failed, 1U);
  EXPECT_EQ(next_end(), attempt + 60s + attempt);
  EXPECT_EQ(bench->stats().vmstat.thp_collapse_alloc_failed, 2U);
  EXPECT_EQ(stats().scan[std::size_t(ScanResult::ALLOC_HUGE_PAGE_FAIL)], 2U);
  EXPECT_EQ(bench->kernel.khugepaged().khugepaged_scan().address, kBase + 2 * kHugeBytes) << "neither is tried again";
  EXPECT_EQ(next_begin(), attempt + 60s + attempt + 10s);
}

TEST_P(WakeupWithoutMemory, GoesOnWithTheNextRangeWhenTheSleepHasBroughtAPage) {
  populate(512);
  const std::vector<Pfn> taken = take_all();
  bench->kernel.start();
  run_to(attempt() + 60s - kTick);
  EXPECT_EQ(stats().ranges_scanned, 1U);
  bench->memory.free(taken[0], kHugeOrder);
  // Each collapse gives back the 512 pages that the next one needs.
  const Duration good = cost().scan_mm + cost().scan_pte * 512 + collapse_time(512);
  EXPECT_EQ(next_end(), attempt() + 60s + 7 * good);
  EXPECT_EQ(stats().pages_collapsed, 7U);
  EXPECT_FALSE(mm().table().pmd_is_huge(kBase)) << "the first is not tried again";
  EXPECT_EQ(bench->stats().vmstat.thp_collapse_alloc_failed, 1U);
}

TEST_P(WakeupWithoutMemory, EndsAtTheSecondFailureThoughOneSucceededBetween) {
  populate(512);
  const std::vector<Pfn> taken = take_all();
  bench->kernel.start();
  run_to(attempt() + 60s - kTick);
  bench->memory.free(taken[0], kHugeOrder);
  while (stats().pages_collapsed == 0) ASSERT_TRUE(bench->queue.run_one());
  take_all();
  const Duration good = cost().scan_mm + cost().scan_pte * 512 + collapse_time(512);
  EXPECT_EQ(next_end(), attempt() + 60s + good + attempt());
  EXPECT_EQ(stats().ranges_scanned, 3U);
  EXPECT_EQ(bench->stats().vmstat.thp_collapse_alloc_failed, 2U);
  EXPECT_EQ(next_begin(), attempt() + 60s + good + attempt() + 10s);
}

// --- on a CPU of the trace ---

class WakeupOnATracedCpu : public Wakeup {
 protected:
  WakeupOnATracedCpu() { config.kernel.khugepaged.cpu.cpu = 0; }
};

TEST_P(WakeupOnATracedCpu, TakesAllItsTimeFromThatCpu) {
  populate(512);
  bench->kernel.start();
  next_begin(), next_end();
  EXPECT_EQ(bench->cpus.taken, stats().cpu);
  EXPECT_GT(stats().cpu, Duration::zero());
}

INSTANTIATE_TEST_SUITE_P(Kernels, Wakeup, testing::Values("6.1", "6.12"));
INSTANTIATE_TEST_SUITE_P(Kernels, WakeupWithoutTolerance, testing::Values("6.1", "6.12"));
INSTANTIATE_TEST_SUITE_P(Kernels, WakeupWithoutPause, testing::Values("6.12"));
INSTANTIATE_TEST_SUITE_P(Kernels, WakeupWithoutMemory, testing::Values("6.1", "6.12"));
INSTANTIATE_TEST_SUITE_P(Kernels, WakeupOnATracedCpu, testing::Values("6.12"));

}  // namespace
}  // namespace collapsar::test
