// A program faults pages in on one CPU while khugepaged looks at them from another: what waits in the program's batch is
// on no list, and the batch holds a reference (khugepaged.md 4.2 rows 10 and 13, 5.4).
#include "models/kernel/khugepaged.h"
#include "tests/flow/collapse_flow.h"

namespace collapsar::test {
namespace {

class LruBatch : public testing::TestWithParam<const char*> {
 protected:
  static constexpr std::uint64_t kOldRanges = 3;
  static constexpr VirtAddr kNew = kBase + kOldRanges * kHugeBytes;  // where the program faults
  LruBatch() {
    config = config_of_flow(GetParam());
    config.kernel.costs.scan_pte = 1us;  // so that a program has time while a range is scanned
  }
  // The daemon is in the middle of its first range; all of the first three are refused for want of a young page.
  void SetUp() override {
    bench = std::make_unique<KernelBench>(config);
    task = bench->process();
    Layout layout(*bench, task);
    layout.vma(kBase, (kOldRanges + 1) * kHugeBytes);
    layout.pages(kBase, kOldRanges * kHugePages, Layout::kOld);
    layout.zero_page(kNew + 511 * kPageBytes);  // a page table
    bench->kernel.start();
    bench->queue.run_until(kTimeZero + bench->costs().scan_mm + bench->costs().scan_pte * 256);
    ASSERT_FALSE(bench->kernel.khugepaged().asleep());
  }
  void fault(std::uint64_t pages, CpuId cpu = 0) {
    for (std::uint64_t i = 0; i < pages; ++i, ++faulted)
      bench->touch(task, kNew + faulted * kPageBytes, Access::write, cpu);
  }
  void finish_activation() {
    while (!bench->kernel.khugepaged().asleep()) ASSERT_TRUE(bench->queue.run_one());
    ASSERT_EQ(stats().wakeups, 1U);
  }
  KhugepagedStats& stats() { return bench->stats().khugepaged; }
  std::uint64_t with_result(ScanResult result) { return stats().scan[std::size_t(result)]; }
  std::uint64_t full() { return bench->kernel.context().rules.lru_batch_pages; }

  BenchConfig config;
  std::unique_ptr<KernelBench> bench;
  TaskId task = 0;
  std::uint64_t faulted = 0;
};

TEST_P(LruBatch, HidesItsPagesFromTheScanUntilItIsFull) {
  fault(full() - 1);
  finish_activation();
  EXPECT_EQ(with_result(ScanResult::PAGE_LRU), 1U);
  EXPECT_EQ(stats().ptes_scanned, kOldRanges * kHugePages + 1) << "the first page is not on its list";
  EXPECT_EQ(stats().pages_collapsed, 0U);
  bench->kernel.check();
}

TEST_P(LruBatch, ReachesTheListWithThePageThatFillsIt) {
  fault(full());
  finish_activation();
  EXPECT_EQ(with_result(ScanResult::PAGE_LRU), 0U);
  EXPECT_EQ(stats().pages_collapsed, 1U);
}

TEST_P(LruBatch, BeginsAnewWithTheNextPage) {
  fault(full() + 1);
  finish_activation();
  EXPECT_EQ(with_result(ScanResult::PAGE_LRU), 1U);
  EXPECT_EQ(stats().ptes_scanned, kOldRanges * kHugePages + full() + 1) << "up to the one that waits";
}

TEST_P(LruBatch, IsOneForEachCpu) {
  fault(full() - 1, 0);
  fault(1, 1);
  finish_activation();
  EXPECT_EQ(with_result(ScanResult::PAGE_LRU), 1U);
}

TEST_P(LruBatch, IsDrainedWhereverItIsAtTheNextActivation) {
  fault(3, 5);
  finish_activation();
  EXPECT_EQ(stats().pages_collapsed, 0U);
  bench->wait(config.kernel.khugepaged.scan_sleep + 1us);
  EXPECT_EQ(bench->kernel.reclaim().batches().pages(), 0U);
  while (!bench->kernel.khugepaged().asleep()) ASSERT_TRUE(bench->queue.run_one());
  EXPECT_EQ(stats().pages_collapsed, 1U);
}

INSTANTIATE_TEST_SUITE_P(Kernels, LruBatch, testing::Values("6.1", "6.12"));

// --- between the scan and the isolation ---

BenchConfig slow_allocation(const std::string& version) {
  BenchConfig config = config_of_flow(version);
  config.kernel.costs.collapse_alloc = 1ms;  // faults go on meanwhile
  return config;
}

class LruBatchIsolate : public CollapseFlow {
 protected:
  LruBatchIsolate() : CollapseFlow(slow_allocation(GetParam())) {}
  void collapse_while_faulting(std::uint64_t pages) {
    layout.pages(kBase, 100);
    start();
    run_to(scanned() + kTick);
    for (std::uint64_t i = 0; i < pages; ++i) bench.touch(task, at(200 + i), Access::write, 0);
    ASSERT_LT(bench.queue.now(), kTimeZero + allocated());
    present += std::int64_t(pages);
  }
  std::uint64_t full() { return bench.kernel.context().rules.lru_batch_pages; }
};

// The reference is looked at before the page is taken off its list: not DEL_PAGE_LRU.
TEST_P(LruBatchIsolate, FindsAReferenceTooManyOnAPageThatWaits) {
  collapse_while_faulting(full() - 1);
  EXPECT_EQ(finish(), ScanResult::PAGE_COUNT);
  EXPECT_EQ(bench.stats().khugepaged.cpu_rollback, cost().isolate_page * 100);
  EXPECT_TRUE(bench.memory.frame(mm().table().pte(at(200))->pfn()).in_batch);
  EXPECT_FALSE(bench.memory.frame(mm().table().pte(at(200))->pfn()).is(Frame::kLocked));
  bench.kernel.check();
}

TEST_P(LruBatchIsolate, TakesPagesThatReachedTheirList) {
  collapse_while_faulting(full());
  EXPECT_EQ(finish(), ScanResult::SUCCEED);
  EXPECT_EQ(done.at - kTimeZero, committed());
}

// __collapse_huge_page_swapin drains its own CPU's batch when it is done.
TEST_P(LruBatchIsolate, TakesPagesThatItReadInItself) {
  layout.pages(kBase, 500);
  layout.swapped_out(at(500), 3);
  start();
  EXPECT_EQ(finish(), ScanResult::SUCCEED);
}

INSTANTIATE_TEST_SUITE_P(Kernels, LruBatchIsolate, testing::Values("6.1", "6.12"));

}  // namespace
}  // namespace collapsar::test
