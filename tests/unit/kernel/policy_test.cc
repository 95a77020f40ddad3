// Which ranges khugepaged takes under policies other than Linux's.
#include <gmock/gmock.h>

#include "models/kernel/khugepaged.h"
#include "tests/support/layout.h"

namespace collapsar::test {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

constexpr std::uint64_t kRanges = 4;

struct MapWeights : RangeWeights {
  std::map<std::uint64_t, std::uint64_t> by_range;
  std::uint64_t weight(const AddressSpace&, VirtAddr base) const override {
    const auto found = by_range.find((base - kBase) / kHugeBytes);
    return found == by_range.end() ? 0 : found->second;
  }
};

class PolicyTest : public testing::Test {
 protected:
  // Four ranges from kBase on, and a budget of two an activation.
  void start(CollapsePolicy policy) {
    config.kernel.thp.enabled = ThpEnabled::always;
    config.kernel.khugepaged.policy = policy;
    config.kernel.khugepaged.pages_to_scan = 2 * kHugePages;
    bench = std::make_unique<KernelBench>(config);
    task = bench->process();
    Layout(*bench, task).vma(kBase, kRanges * kHugeBytes);
    bench->kernel.start();
  }
  VirtAddr range(std::uint64_t i) const { return kBase + i * kHugeBytes; }
  void fill(std::uint64_t i, std::uint64_t present, std::uint64_t accessed) {
    Layout layout(*bench, task);
    layout.pages(range(i), accessed, Layout::kWarm);
    layout.pages(range(i) + accessed * kPageBytes, present - accessed, Layout::kOld);
  }
  void wake_up() {
    KhugepagedStats& stats = bench->stats().khugepaged;
    const std::uint64_t before = stats.wakeups;
    while (stats.wakeups == before || !bench->kernel.khugepaged().asleep()) ASSERT_TRUE(bench->queue.run_one());
  }
  std::vector<std::uint64_t> huge() const {
    std::vector<std::uint64_t> found;
    for (std::uint64_t i = 0; i < kRanges; ++i)
      if (bench->mm(task).table().pmd_is_huge(range(i))) found.push_back(i);
    return found;
  }

  BenchConfig config;
  std::unique_ptr<KernelBench> bench;
  TaskId task = 0;
};

TEST_F(PolicyTest, LinuxTakesRangesInAddressOrder) {
  start(CollapsePolicy::as_linux);
  for (std::uint64_t i = 0; i < kRanges; ++i) fill(i, 100, 10);
  wake_up();
  EXPECT_THAT(huge(), ElementsAre(0, 1));
}

TEST_F(PolicyTest, UtilizationTakesWhatIsNineTenthsPresentAndNotOnePageLess) {
  start(CollapsePolicy::utilization);
  fill(0, 460, 460), fill(1, 461, 461), fill(2, 100, 100), fill(3, 512, 512);  // ceil(0.9 x 512) = 461
  wake_up();
  EXPECT_THAT(huge(), ElementsAre(1, 3));
  wake_up();
  EXPECT_THAT(huge(), ElementsAre(1, 3));
  EXPECT_EQ(bench->stats().khugepaged.ranges_scanned, 2U) << "what is not utilized costs nothing of the budget";
}

TEST_F(PolicyTest, UtilizationGoesOnBehindTheRangeTriedLast) {
  config.kernel.khugepaged.utilization = 0.1;
  start(CollapsePolicy::utilization);
  for (std::uint64_t i = 0; i < kRanges; ++i) fill(i, 100, i < 2 ? 0 : 1);  // the first two are refused: not referenced
  wake_up();
  EXPECT_THAT(huge(), IsEmpty());
  wake_up();
  EXPECT_THAT(huge(), ElementsAre(2, 3));
}

TEST_F(PolicyTest, CoverageTakesTheMostAccessedFirst) {
  start(CollapsePolicy::coverage);
  fill(0, 512, 10), fill(1, 200, 150), fill(2, 512, 0), fill(3, 512, 400);
  wake_up();
  EXPECT_THAT(huge(), ElementsAre(1, 3));
  EXPECT_FALSE(bench->entry(task, range(0)).accessed()) << "counted bits are cleared";
}

TEST_F(PolicyTest, CoverageRemembersAndForgetsByHalves) {
  config.kernel.khugepaged.scan_sleep = std::chrono::seconds(1);
  start(CollapsePolicy::coverage);
  fill(0, 512, 100), fill(1, 512, 300), fill(2, 512, 290), fill(3, 512, 0);
  wake_up();
  EXPECT_THAT(huge(), ElementsAre(1, 2));
  for (std::uint64_t page = 0; page < 60; ++page) bench->touch(task, range(3) + page * kPageBytes);
  bench->kernel.config().khugepaged.pages_to_scan = 1;
  wake_up();  // range 0: 100 / 2 / 2; range 3: 60 / 2
  EXPECT_THAT(huge(), ElementsAre(1, 2, 3));
}

TEST_F(PolicyTest, CountingAccessedBitsTakesTime) {
  start(CollapsePolicy::coverage);
  fill(0, 512, 0);
  wake_up();
  const Duration counting = bench->costs().scan_pte * std::int64_t(kHugePages);
  EXPECT_EQ(bench->stats().khugepaged.cpu_scan, counting) << "one range with a table, none accessed, so none taken up";
}

TEST_F(PolicyTest, TheOracleTakesWhatIsWorthMostAndNothingThatLinuxWouldRefuse) {
  MapWeights weights;
  weights.by_range = {{0, 5}, {1, 7}, {2, 9}, {3, 100}};
  config.kernel.khugepaged.max_ptes_none = 0;
  start(CollapsePolicy::oracle);
  bench->kernel.khugepaged().set_weights(&weights);
  fill(0, 512, 1), fill(1, 512, 1), fill(2, 512, 1), fill(3, 511, 511);
  wake_up();
  EXPECT_THAT(huge(), ElementsAre(1, 2));
  EXPECT_EQ(bench->stats().khugepaged.ranges_scanned, 2U);
}

TEST_F(PolicyTest, AnOracleThatKnowsNothingDoesNothing) {
  start(CollapsePolicy::oracle);
  fill(0, 512, 512);
  wake_up();
  EXPECT_THAT(huge(), IsEmpty());
}

TEST_F(PolicyTest, AProcessWhoseLockIsTakenIsPassedOver) {
  start(CollapsePolicy::utilization);
  fill(0, 512, 512);
  ASSERT_TRUE(bench->mm(task).mmap_lock().try_write(LockOwner::syscall));
  wake_up();
  EXPECT_THAT(huge(), IsEmpty());
  EXPECT_EQ(bench->stats().khugepaged.busy, 1U);
  bench->mm(task).mmap_lock().release_write();
  wake_up();
  EXPECT_THAT(huge(), ElementsAre(0));
}

}  // namespace
}  // namespace collapsar::test
