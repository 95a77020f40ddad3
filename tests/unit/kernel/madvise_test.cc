#include <gtest/gtest.h>

#include "models/kernel/syscalls.h"
#include "tests/support/syscalls_fixture.h"

namespace collapsar::test {
namespace {

using std::chrono::microseconds;
using Op = KernelBench::Op;

struct Madvise : SyscallsTest {};
struct MadviseHuge : SyscallsHuge {};
INSTANTIATE_TEST_SUITE_P(Versions, MadviseHuge, testing::Values("6.1", "6.12"));

// --- madvise ---

TEST_F(Madvise, DontNeedZapsUnderTheReadLock) {
  touched(10);
  EXPECT_EQ(bench.call(advice(Advice::dontneed, 10)), costs.syscall_entry + 10 * costs.zap_page);
  EXPECT_EQ(mm.anon_rss, 0U);
  EXPECT_NE(mm.find(kBase), nullptr);
}

TEST_P(MadviseHuge, DontNeedOfAWholeHugePageSplitsNothing) {
  bench.map(task, kBase, kHugeBytes);
  bench.touch(task, kBase);
  EXPECT_EQ(bench.call(advice(Advice::dontneed, kHugePages)), costs.syscall_entry + costs.zap_huge);
  EXPECT_EQ(bench.stats().vmstat.thp_split_pmd, 0U);
  EXPECT_EQ(mm.anon_rss, 0U);
}

TEST_P(MadviseHuge, DontNeedOfAPartSplitsThePmd) {
  bench.map(task, kBase, kHugeBytes);
  bench.touch(task, kBase);
  EXPECT_EQ(bench.call(advice(Advice::dontneed, 1)), costs.syscall_entry + costs.zap_page + costs.split_pmd);
  EXPECT_EQ(bench.stats().vmstat.thp_split_pmd, 1U);
  EXPECT_EQ(mm.anon_rss, kHugePages - 1);
}

TEST_F(Madvise, FreeMakesPagesCleanOldAndDroppable) {
  touched(3);
  EXPECT_EQ(bench.call(advice(Advice::free, 3)), costs.syscall_entry + 3 * costs.protect_pte);
  EXPECT_FALSE(entry(0).dirty() || entry(0).accessed());
  EXPECT_TRUE(frame(0).is(Frame::kLazyFree));
  EXPECT_EQ(bench.stats().vmstat.pglazyfree, 3U);
  EXPECT_EQ(mm.anon_rss, 3U);
  EXPECT_EQ(bench.shootdown.flushes.size(), 1U);
}

TEST_P(MadviseHuge, FreeOfAPartSplitsTheHugePageFirst) {
  bench.map(task, kBase, kHugeBytes);
  bench.touch(task, kBase);
  bench.call(advice(Advice::free, 5));
  EXPECT_EQ(bench.stats().vmstat.thp_split_page, 1U);
  EXPECT_EQ(bench.stats().vmstat.pglazyfree, 5U);
  EXPECT_FALSE(frame(5).is(Frame::kLazyFree));
}

TEST_P(MadviseHuge, FreeOfAWholeHugePageKeepsIt) {
  bench.map(task, kBase, kHugeBytes);
  bench.touch(task, kBase);
  bench.call(advice(Advice::free, kHugePages));
  EXPECT_EQ(mm.huge_pages, 1U);
  EXPECT_FALSE(entry(0).dirty() || entry(0).accessed());
  EXPECT_EQ(bench.stats().vmstat.pglazyfree, kHugePages);
}

TEST_F(Madvise, ColdMakesPagesOld) {
  touched(3);
  bench.call(advice(Advice::cold, 3));
  EXPECT_FALSE(entry(0).accessed());
  EXPECT_TRUE(entry(0).dirty());
}

TEST_F(Madvise, PageOutSwapsAndWillNeedReadsBack) {
  touched(8);
  bench.call(advice(Advice::pageout, 8));
  bench.wait(microseconds(100));
  EXPECT_EQ(mm.swap_entries, 8U);
  EXPECT_EQ(mm.anon_rss, 0U);
  bench.kernel.check();
  EXPECT_EQ(bench.call(advice(Advice::willneed, 8)), costs.syscall_entry + 8 * costs.fault_swap);
  bench.wait(microseconds(100));
  EXPECT_EQ(bench.kernel.swap_cache().pages(), 8U);
  EXPECT_EQ(mm.swap_entries, 8U);
  bench.kernel.check();
  bench.touch_all(task, {kBase, kBase + 8 * kPageBytes});
  EXPECT_EQ(mm.anon_rss, 8U);
  EXPECT_EQ(bench.kernel.swap_cache().pages(), 0U);
}

TEST_F(Madvise, SwapEntriesAreSharedByForkAndGoWithTheLast) {
  touched(4);
  bench.call(advice(Advice::pageout, 4));
  bench.wait(microseconds(100));
  const TaskId child = bench.fork(task, 2);
  EXPECT_EQ(bench.mm(child).swap_entries, 4U);
  bench.kernel.check();
  bench.call(request(Op::munmap, kBase, 4 * kPageBytes));
  EXPECT_EQ(bench.swap.free_slots(), bench.swap.slots() - 4);
  bench.call(KernelBench::request(Op::exit, child));
  EXPECT_EQ(bench.swap.free_slots(), bench.swap.slots());
}

TEST_F(Madvise, PopulateReadMapsTheZeroPage) {
  bench.map(task, kBase, 4 * kPageBytes);
  bench.call(advice(Advice::populate_read, 4));
  EXPECT_TRUE(entry(3).zero_page());
  bench.call(advice(Advice::populate_write, 4));
  EXPECT_EQ(mm.anon_rss, 4U);
}

TEST_F(Madvise, HugePageAdviceCutsTheVmaAndIsTakenBack) {
  touched(4);
  EXPECT_EQ(bench.call(advice(Advice::hugepage, 2)), costs.syscall_entry + costs.vma_change);
  EXPECT_TRUE(mm.find(kBase)->is(Vma::kHugePage));
  EXPECT_EQ(mm.vmas().size(), 2U);
  bench.call(advice(Advice::nohugepage, 4));
  EXPECT_EQ(mm.vmas().size(), 1U);
  EXPECT_TRUE(mm.find(kBase)->is(Vma::kNoHugePage) && !mm.find(kBase)->is(Vma::kHugePage));
}

// khugepaged.md 1.2, consequence (a).
TEST(SyscallsRegistration, HugePageAdviceRegistersOnlyWhatHasBeenTouched) {
  SyscallsBase s(ThpEnabled::madvise, "6.12");
  s.bench.map(s.task, kBase, 2 * kHugeBytes);
  s.bench.call(s.advice(Advice::hugepage, 2 * kHugePages));
  EXPECT_FALSE(s.mm.registered);
  s.bench.call(s.advice(Advice::nohugepage, 2 * kHugePages));
  s.bench.touch(s.task, kBase);
  EXPECT_FALSE(s.mm.registered);
  s.bench.call(s.advice(Advice::hugepage, 2 * kHugePages));
  EXPECT_TRUE(s.mm.registered);
}

TEST_F(Madvise, OtherAdviceIsAcceptedAndDoesNothing) {
  touched(2);
  EXPECT_EQ(bench.call(advice(Advice::sequential, 2)), costs.syscall_entry);
  EXPECT_EQ(mm.anon_rss, 2U);
}

// --- MADV_COLLAPSE ---

struct MadviseCollapseTest : SyscallsBase, testing::TestWithParam<const char*> {
  MadviseCollapseTest() : SyscallsBase(ThpEnabled::never, GetParam()) {}
  ~MadviseCollapseTest() override { bench.kernel.check(); }
  int collapse(std::uint64_t pages, VirtAddr from = kBase) {
    SyscallRequest r = advice(Advice::collapse, pages, from);
    bench.call(r);
    return r.error;
  }
};
INSTANTIATE_TEST_SUITE_P(Versions, MadviseCollapseTest, testing::Values("6.1", "6.12"));

TEST_P(MadviseCollapseTest, CollapsesEveryRange) {
  touched(2 * kHugePages);
  EXPECT_EQ(collapse(2 * kHugePages), 0);
  EXPECT_EQ(mm.huge_pages, 2U);
  EXPECT_EQ(mm.anon_rss, 2 * kHugePages);
  EXPECT_EQ(collapse(2 * kHugePages), 0);  // PMD_MAPPED counts as done
}

TEST_P(MadviseCollapseTest, AnUntouchedRangeEndsTheCall) {
  bench.map(task, kBase, 3 * kHugeBytes);
  bench.touch(task, kBase);
  bench.touch(task, kBase + 2 * kHugeBytes);
  EXPECT_EQ(collapse(3 * kHugePages), EINVAL);
  EXPECT_EQ(mm.huge_pages, 1U);
}

TEST_P(MadviseCollapseTest, ARangeWithoutAWritablePteIsPassedOver) {
  bench.map(task, kBase, 2 * kHugeBytes);
  bench.touch(task, kBase + kHugeBytes);
  bench.touch(task, kBase, Access::read);
  EXPECT_EQ(collapse(2 * kHugePages), EINVAL);
  EXPECT_EQ(mm.huge_pages, 1U);
}

TEST_P(MadviseCollapseTest, APinnedPageMeansTryAgain) {
  touched(kHugePages);
  ++frame(7).pins;
  EXPECT_EQ(collapse(kHugePages), EAGAIN);
  --frame(7).pins;
  EXPECT_EQ(collapse(kHugePages), 0);
}

TEST_P(MadviseCollapseTest, ARangeWithoutAWholeBlock) {
  touched(3 * kHugePages);
  EXPECT_EQ(collapse(5, kBase + kPageBytes), EINVAL);      // rounds to a negative count
  EXPECT_EQ(collapse(kHugePages, kBase + kPageBytes), 0);  // rounds to nothing
  EXPECT_EQ(mm.huge_pages, 0U);
}

TEST_P(MadviseCollapseTest, NoHugePageAndHoles) {
  touched(kHugePages);
  EXPECT_EQ(collapse(2 * kHugePages), ENOMEM);
  EXPECT_EQ(mm.huge_pages, 1U);
  bench.call(advice(Advice::nohugepage, kHugePages));
  EXPECT_EQ(collapse(kHugePages), EINVAL);
}

}  // namespace
}  // namespace collapsar::test
