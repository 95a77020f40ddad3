// Writes to sysfs while the kernel runs: what is refused, and whom a write wakes, starts or stops.
#include "models/kernel/sysfs.h"

#include <cerrno>

#include "tests/support/syscalls_fixture.h"

namespace collapsar::test {
namespace {

struct SysfsTest : testing::Test {
  SysfsTest() : bench(config_for("6.12")) {}
  int write(const char* file, const char* value) { return write_sysfs(bench.kernel, file, value); }
  KernelBench bench;
  Khugepaged& daemon = bench.kernel.khugepaged();
};

TEST_F(SysfsTest, RefusesWhatTheKernelRefuses) {
  EXPECT_EQ(write("khugepaged/max_ptes_none", "512"), EINVAL);
  EXPECT_EQ(write("khugepaged/max_ptes_swap", "-1"), EINVAL);
  EXPECT_EQ(write("khugepaged/max_ptes_shared", "many"), EINVAL);
  EXPECT_EQ(write("khugepaged/pages_to_scan", "0"), EINVAL);
  EXPECT_EQ(write("khugepaged/defrag", "2"), EINVAL);
  EXPECT_EQ(write("enabled", "sometimes"), EINVAL);
  EXPECT_EQ(write("khugepaged/full_scans", "1"), EACCES);
  EXPECT_EQ(write("khugepaged/no_such_file", "1"), ENOENT);
  EXPECT_EQ(bench.kernel.config().khugepaged.max_ptes_none, 511U) << "a refused value changes nothing";
  EXPECT_EQ(bench.kernel.config().khugepaged.pages_to_scan, 4096U);
}

TEST_F(SysfsTest, StoresWhatItAccepts) {
  EXPECT_EQ(write("khugepaged/max_ptes_none", "17"), 0);
  EXPECT_EQ(write("khugepaged/pages_to_scan", "100"), 0);
  EXPECT_EQ(write("defrag", "defer+madvise"), 0);
  EXPECT_EQ(write("use_zero_page", "0"), 0);
  EXPECT_EQ(bench.kernel.config().khugepaged.max_ptes_none, 17U);
  EXPECT_EQ(bench.kernel.config().khugepaged.pages_to_scan, 100U);
  EXPECT_EQ(bench.kernel.config().thp.defrag, ThpDefrag::defer_madvise);
  EXPECT_FALSE(bench.kernel.config().thp.use_zero_page);
}

TEST_F(SysfsTest, HasTheKnobOfUnderusedPagesFrom6_12On) {
  EXPECT_EQ(write("shrink_underused", "0"), 0);
  EXPECT_FALSE(bench.kernel.config().thp.shrink_underused);
  KernelBench old(config_for("6.1"));
  EXPECT_EQ(write_sysfs(old.kernel, "shrink_underused", "0"), ENOENT);
}

TEST_F(SysfsTest, ASleepKnobEndsTheSleepBetweenScans) {
  const TaskId task = bench.process();
  bench.map(task, kBase, kHugeBytes);
  bench.kernel.start();
  bench.touch(task, kBase);  // a huge page: the process is queued, the daemon wakes
  bench.wait(std::chrono::seconds(1));
  EXPECT_EQ(bench.stats().khugepaged.wakeups, 1U);
  ASSERT_EQ(daemon.state(), Khugepaged::State::scan_sleep);
  write("khugepaged/pages_to_scan", "512");
  bench.wait(std::chrono::seconds(1));
  EXPECT_EQ(bench.stats().khugepaged.wakeups, 1U) << "other knobs do not wake it";
  write("khugepaged/scan_sleep_millisecs", "5000");
  EXPECT_FALSE(daemon.asleep());
  bench.wait(std::chrono::seconds(1));
  EXPECT_EQ(bench.stats().khugepaged.wakeups, 2U);
}

TEST_F(SysfsTest, NeverStopsTheThreadAndAlwaysStartsItAnew) {
  const TaskId task = bench.process();
  bench.map(task, kBase, kHugeBytes);
  bench.kernel.start();
  bench.touch(task, kBase);
  bench.wait(std::chrono::seconds(1));
  write("enabled", "never");
  EXPECT_EQ(daemon.state(), Khugepaged::State::stopped);
  EXPECT_EQ(daemon.khugepaged_scan().mm_head.size(), 1U) << "processes stay queued";
  bench.wait(std::chrono::seconds(100));
  EXPECT_EQ(bench.stats().khugepaged.wakeups, 1U);
  write("enabled", "madvise");
  bench.wait(std::chrono::seconds(1));
  EXPECT_EQ(bench.stats().khugepaged.wakeups, 2U);
}

}  // namespace
}  // namespace collapsar::test
