#include "models/kernel/huge_zero_page.h"

#include <gtest/gtest.h>

#include "tests/support/kernel_bench.h"
#include "tests/support/versions.h"

namespace collapsar::test {
namespace {

using Op = KernelBench::Op;

class HugeZero : public testing::TestWithParam<const char*> {
 protected:
  void TearDown() override { b.kernel.check(); }
  TaskId reader(std::uint32_t pid) {
    const TaskId task = b.process(pid);
    b.map(task, kBase, kHugeBytes);
    b.touch(task, kBase, Access::read);
    EXPECT_TRUE(b.entry(task, kBase).huge() && b.entry(task, kBase).zero_page());
    return task;
  }
  void exit(TaskId task) { b.call(KernelBench::request(Op::exit, task)); }
  // Direct reclaim for a huge page. Returns the frames that came free.
  std::uint64_t press() {
    const std::uint64_t free = b.memory.free_pages();
    Signal done(b.queue);
    Reclaim::DirectReclaim request{.done = &done.event, .pages_wanted = kHugePages};
    b.kernel.reclaim().direct_reclaim(request);
    b.run_until(done);
    return b.memory.free_pages() - free;
  }
  bool exists() { return b.kernel.huge_zero().page() != kNoPfn; }
  std::uint64_t made() { return b.stats().vmstat.thp_zero_page_alloc; }

  KernelBench b{config_for(GetParam())};
};

TEST_P(HugeZero, IsMadeOnceForAll) {
  EXPECT_FALSE(exists());
  const TaskId first = reader(1), second = reader(2);
  EXPECT_EQ(made(), 1U);
  EXPECT_EQ(b.entry(first, kBase).pfn(), b.entry(second, kBase).pfn());
}

TEST_P(HugeZero, StaysWithoutUsersUntilMemoryIsShort) {
  exit(reader(1));
  EXPECT_TRUE(exists());
  EXPECT_EQ(press(), kHugePages);
  EXPECT_FALSE(exists());
  EXPECT_EQ(press(), 0U);
}

TEST_P(HugeZero, IsMadeAnewAfterwards) {
  exit(reader(1));
  press();
  const TaskId again = reader(2);
  EXPECT_EQ(made(), 2U);
  EXPECT_EQ(press(), 0U);
  EXPECT_TRUE(b.entry(again, kBase).zero_page());
}

TEST_P(HugeZero, IsHeldByAProcessThatNoLongerMapsIt) {
  const TaskId task = reader(1);
  b.call(KernelBench::request(Op::munmap, task, kBase, kHugeBytes));
  EXPECT_EQ(press(), 0U);
  exit(task);
  EXPECT_EQ(press(), kHugePages);
}

TEST_P(HugeZero, IsHeldOnceHoweverOftenItIsMapped) {
  const TaskId task = reader(1);
  b.map(task, kBase + 4 * kHugeBytes, kHugeBytes);
  b.touch(task, kBase + 4 * kHugeBytes, Access::read);
  exit(task);
  EXPECT_EQ(press(), kHugePages);
}

TEST_P(HugeZero, IsHeldByAChild) {
  const TaskId parent = reader(1), child = b.fork(parent, 2);
  exit(parent);
  EXPECT_EQ(press(), 0U);
  EXPECT_TRUE(b.entry(child, kBase).zero_page());
  exit(child);
  EXPECT_EQ(press(), kHugePages);
}

TEST_P(HugeZero, IsLetGoOfByExec) {
  const TaskId task = reader(1);
  b.call(KernelBench::request(Op::exec, task));
  EXPECT_EQ(press(), kHugePages);
}

// A shrinker is asked for few objects only when looking at pages has brought nothing for long.
TEST_P(HugeZero, StaysWhilePagesComeFreeOtherwise) {
  exit(reader(1));
  const TaskId task = b.process(2);
  b.map(task, kBase + kGiB, 4 * kMiB);
  b.call(KernelBench::advice(task, Advice::nohugepage, kBase + kGiB, 4 * kMiB));
  b.touch_all(task, {kBase + kGiB, kBase + kGiB + 4 * kMiB});
  b.call(KernelBench::advice(task, Advice::cold, kBase + kGiB, 4 * kMiB));
  EXPECT_GT(press(), 0U);
  b.wait(std::chrono::milliseconds(1));  // until the rest is written
  EXPECT_TRUE(exists());
}

INSTANTIATE_TEST_SUITE_P(Kernels, HugeZero, testing::Values("6.1", "6.12"));

}  // namespace
}  // namespace collapsar::test
