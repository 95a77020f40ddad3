// Huge pages that hold little but zeros, under memory pressure (khugepaged.md 7.4, "underused").
#include <gtest/gtest.h>

#include "models/kernel/split.h"
#include "tests/support/layout.h"
#include "tests/support/versions.h"

namespace collapsar::test {
namespace {

using Op = KernelBench::Op;

BenchConfig tolerant_config(const std::string& version) {
  BenchConfig config = config_for(version);
  config.kernel.khugepaged.max_ptes_none = 400;
  return config;
}

class Underused : public testing::TestWithParam<const char*> {
 protected:
  explicit Underused(BenchConfig config = tolerant_config(GetParam())) : b(config) { b.kernel.follow_contents(); }
  void TearDown() override { b.kernel.check(); }
  // A huge page by fault; the first `written` 4 KiB pages hold data.
  Pfn fault_huge(std::uint64_t written, VirtAddr base = kBase) {
    b.map(task, base, kHugeBytes);
    b.touch(task, base);
    EXPECT_TRUE(b.entry(task, base).huge());
    const Pfn head = b.entry(task, base).pfn();
    for (std::uint64_t i = 0; i < written; ++i) b.memory.frame(head + i).set(Frame::kData);
    return head;
  }
  bool is_huge() { return b.entry(task, kBase).huge(); }
  VmStat& vmstat() { return b.stats().vmstat; }

  KernelBench b;
  TaskId task = b.process();
  Split& split = b.kernel.split();
};

TEST_P(Underused, HugePagesOfFaultsAreListed) {
  fault_huge(512);
  EXPECT_EQ(split.deferred(), 1U);
  EXPECT_EQ(vmstat().thp_deferred_split_page, 0U) << "counts partly mapped ones";
  b.call(KernelBench::request(Op::munmap, task, kBase, kHugeBytes));
  EXPECT_EQ(split.deferred(), 0U);
}

TEST_P(Underused, HugePagesOfCollapsesAreListed) {
  Layout layout(b, task);
  layout.vma(kBase, kHugeBytes);
  layout.pages(kBase, 200);
  b.call(KernelBench::advice(task, Advice::collapse, kBase, kHugeBytes));
  ASSERT_TRUE(is_huge());
  EXPECT_EQ(split.deferred(), 1U);
}

TEST_P(Underused, OnesWithMoreZerosThanTheLimitAreSplit) {
  const Pfn head = fault_huge(111);  // 401 zeros
  Duration cost{};
  EXPECT_EQ(split.shrink_deferred(1000, &cost), 401U);
  EXPECT_EQ(vmstat().thp_underused_split_page, 1U);
  EXPECT_EQ(vmstat().thp_split_page, 1U);
  EXPECT_EQ(cost, b.costs().clear_page * 401 + b.costs().split_folio + b.costs().split_pmd);
  EXPECT_EQ(b.entry(task, kBase + 110 * kPageBytes).pfn(), head + 110);
  EXPECT_TRUE(b.entry(task, kBase + 111 * kPageBytes).zero_page());
  EXPECT_TRUE(b.entry(task, kBase + 511 * kPageBytes).zero_page());
  EXPECT_EQ(b.mm(task).anon_rss, 111U);
  EXPECT_EQ(split.deferred(), 0U);
}

TEST_P(Underused, OnesAtTheLimitStayAndAreForgotten) {
  fault_huge(112);  // 400 zeros
  EXPECT_EQ(split.shrink_deferred(1000), 0U);
  EXPECT_TRUE(is_huge());
  EXPECT_EQ(split.deferred(), 0U);
  EXPECT_EQ(vmstat().thp_underused_split_page, 0U);
}

// The zeros may stand anywhere; the count stops as soon as the answer is known.
TEST_P(Underused, TheCountEndsWhenTheAnswerIsKnown) {
  const Pfn head = fault_huge(0);
  for (std::uint64_t i = 100; i < 212; ++i) b.memory.frame(head + i).set(Frame::kData);
  Duration cost{};
  EXPECT_EQ(split.shrink_deferred(1000, &cost), 0U);
  EXPECT_EQ(cost, b.costs().clear_page * 100) << "112 of 512 filled: it cannot come to 401 zeros any more";
}

TEST_P(Underused, LockedOnesAreNotLookedAt) {
  fault_huge(1);
  b.call(KernelBench::request(Op::mlock, task, kBase, kHugeBytes));
  Duration cost{};
  EXPECT_EQ(split.shrink_deferred(1000, &cost), 0U);
  EXPECT_EQ(cost, Duration::zero());
  EXPECT_TRUE(is_huge());
  EXPECT_EQ(split.deferred(), 0U);
}

TEST_P(Underused, OnesThatCannotBeSplitAreForgotten) {
  const Pfn head = fault_huge(1);
  ++b.memory.frame(head).pins;
  EXPECT_EQ(split.shrink_deferred(1000), 0U);
  EXPECT_EQ(vmstat().thp_split_page_failed, 1U);
  EXPECT_EQ(split.deferred(), 0U);
  --b.memory.frame(head).pins;
}

// A partly mapped one is split whatever it holds, keeps its place, and stays on the list until that succeeds.
TEST_P(Underused, PartlyMappedOnesGoFirstComeFirstServed) {
  const Pfn head = fault_huge(512);
  b.call(KernelBench::advice(task, Advice::dontneed, kBase, 10 * kPageBytes));
  EXPECT_EQ(split.deferred(), 1U);
  EXPECT_EQ(vmstat().thp_deferred_split_page, 1U);
  ++b.memory.frame(head).pins;
  EXPECT_EQ(split.shrink_deferred(1000), 0U);
  EXPECT_EQ(split.deferred(), 1U);
  --b.memory.frame(head).pins;
  EXPECT_EQ(split.shrink_deferred(1000), 10U);
  EXPECT_EQ(vmstat().thp_underused_split_page, 0U);
}

TEST_P(Underused, MemoryPressureSplitsThem) {
  fault_huge(10);
  Signal done(b.queue);
  Reclaim::DirectReclaim request{.done = &done.event, .pages_wanted = 1};
  b.kernel.reclaim().direct_reclaim(request);
  b.run_until(done);
  EXPECT_TRUE(request.made_progress);
  EXPECT_EQ(vmstat().thp_underused_split_page, 1U);
}

INSTANTIATE_TEST_SUITE_P(Kernels, Underused, testing::Values("6.12", "6.18", "7.1"));

class UnderusedOff : public Underused {
 protected:
  explicit UnderusedOff(BenchConfig config = tolerant_config(GetParam())) : Underused(config) {}
};

TEST_P(UnderusedOff, WithoutTheKnobNothingIsListed) {
  b.kernel.config().thp.shrink_underused = false;
  fault_huge(1);
  EXPECT_EQ(split.deferred(), 0U);
}

// max_ptes_none 511: off.
TEST_P(UnderusedOff, WithTheHighestLimitNothingIsLookedAt) {
  b.kernel.config().khugepaged.max_ptes_none = 511;
  fault_huge(0);
  Duration cost{};
  EXPECT_EQ(split.shrink_deferred(1000, &cost), 0U);
  EXPECT_EQ(cost, Duration::zero());
  EXPECT_TRUE(is_huge());
  EXPECT_EQ(split.deferred(), 0U);
}

INSTANTIATE_TEST_SUITE_P(Kernels, UnderusedOff, testing::Values("6.12"));

class UnderusedBefore : public Underused {};

TEST_P(UnderusedBefore, NothingIsListed) {
  fault_huge(1);
  EXPECT_EQ(split.deferred(), 0U);
}

INSTANTIATE_TEST_SUITE_P(Kernels, UnderusedBefore, testing::Values("6.1"));

}  // namespace
}  // namespace collapsar::test
