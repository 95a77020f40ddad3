#include "models/kernel/split.h"

#include "tests/support/layout.h"

namespace collapsar::test {
namespace {

struct SplitBench : testing::Test {
  KernelBench b;
  TaskId task = b.process();
  Layout layout{b, task};
  Split& split = b.kernel.split();
  VmStat& vmstat = b.stats().vmstat;
};

TEST_F(SplitBench, PmdBecomes512EntriesOfTheSamePage) {
  layout.vma(kBase, 4 * kMiB);
  const Pfn head = layout.huge(kBase);
  b.shootdown.cost = std::chrono::nanoseconds(100);
  EXPECT_EQ(split.split_pmd(b.mm(task), kBase + 5 * kPageBytes, 0), b.costs().split_pmd + b.shootdown.cost);
  EXPECT_EQ(b.entry(task, kBase + 5 * kPageBytes).pfn(), head + 5);
  EXPECT_TRUE(b.entry(task, kBase).accessed() && b.entry(task, kBase).dirty() && b.entry(task, kBase).writable());
  EXPECT_EQ(b.mm(task).huge_pages, 0U);
  EXPECT_EQ(b.mm(task).anon_rss, kHugePages);
  EXPECT_EQ(vmstat.thp_split_pmd, 1U);
  ASSERT_EQ(b.shootdown.flushes.size(), 1U);
  EXPECT_EQ(b.shootdown.flushes[0].range, (VirtRange{kBase, kBase + kHugeBytes}));
  EXPECT_EQ(split.split_pmd(b.mm(task), kBase, 0), Duration::zero());  // nothing left to split
  b.kernel.check();
}

TEST_F(SplitBench, BordersSplitOnlyWhatTheyCut) {
  layout.vma(kBase, 8 * kMiB);
  for (std::uint64_t i = 0; i < 4; ++i) layout.huge(kBase + i * kHugeBytes);
  split.split_borders(b.mm(task), {kBase + kPageBytes, kBase + 3 * kHugeBytes}, 0);
  EXPECT_EQ(vmstat.thp_split_pmd, 1U);
  EXPECT_FALSE(b.entry(task, kBase).huge());
  EXPECT_TRUE(b.entry(task, kBase + 3 * kHugeBytes).huge());
}

TEST_F(SplitBench, FolioBecomes512Pages) {
  layout.vma(kBase, 2 * kMiB);
  const Pfn head = layout.huge(kBase);
  Duration cost{};
  EXPECT_TRUE(split.split_folio(head, &cost));
  EXPECT_EQ(cost, b.costs().split_folio + b.costs().split_pmd);
  EXPECT_FALSE(b.memory.frame(head).is(Frame::kHead));
  EXPECT_TRUE(b.memory.frame(head + 511).is(Frame::kLru));
  EXPECT_EQ(b.kernel.reclaim().lru_pages(), kHugePages);
  EXPECT_EQ(vmstat.thp_split_page, 1U);
  b.kernel.check();
}

TEST_F(SplitBench, PinnedOrLockedFolioStaysWhole) {
  layout.vma(kBase, 2 * kMiB);
  const Pfn head = layout.huge(kBase);
  ++b.memory.frame(head).pins;
  EXPECT_FALSE(split.split_folio(head, nullptr));
  --b.memory.frame(head).pins;
  b.memory.frame(head).set(Frame::kLocked);
  EXPECT_FALSE(split.split_folio(head, nullptr));
  b.memory.frame(head).clear(Frame::kLocked);
  EXPECT_EQ(vmstat.thp_split_page_failed, 2U);
  EXPECT_TRUE(b.entry(task, kBase).huge());
}

TEST_F(SplitBench, PartlyMappedPageIsFreedUnderPressure) {
  layout.vma(kBase, 2 * kMiB);
  layout.huge(kBase);
  const std::uint64_t free = b.memory.free_pages();
  b.call(KernelBench::advice(task, Advice::dontneed, kBase, 100 * kPageBytes));
  EXPECT_EQ(vmstat.thp_deferred_split_page, 1U);
  EXPECT_EQ(split.deferred(), 1U);
  EXPECT_EQ(b.memory.free_pages(), free);  // the huge page holds them
  EXPECT_EQ(split.shrink_deferred(1000), 100U);
  EXPECT_EQ(split.deferred(), 0U);
  EXPECT_EQ(b.mm(task).anon_rss, kHugePages - 100);
  b.kernel.check();
}

TEST_F(SplitBench, FreedPageLeavesTheDeferredList) {
  layout.vma(kBase, 2 * kMiB);
  layout.huge(kBase);
  b.call(KernelBench::advice(task, Advice::dontneed, kBase, kPageBytes));
  b.call(KernelBench::advice(task, Advice::dontneed, kBase, kHugeBytes));
  EXPECT_EQ(split.deferred(), 0U);
  EXPECT_EQ(b.mm(task).anon_rss, 0U);
  b.kernel.check();
}

}  // namespace
}  // namespace collapsar::test
