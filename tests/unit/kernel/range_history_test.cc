#include "models/kernel/range_history.h"

#include "models/kernel/memory_calls.h"
#include "tests/support/kernel_bench.h"

namespace collapsar::test {
namespace {

using namespace std::chrono_literals;
using Op = SyscallRequest::Op;
using By = RangeRecord::By;
using Cause = RangeRecord::Cause;
using Stop = RangeRecord::Stop;

constexpr VirtAddr kOther = kBase + 64 * kMiB;

struct ToldRanges : RangeWatcher {
  void will_be_huge(Asid, VirtAddr base, By) override { told.push_back(fmt::format("huge {:x}", base.value)); }
  void will_be_small(Asid, VirtAddr base) override { told.push_back(fmt::format("small {:x}", base.value)); }
  void refused(Asid, VirtAddr base, ScanResult why) override {
    told.push_back(fmt::format("{} {:x}", name_of(why), base.value));
  }
  std::vector<std::string> told;
};

class RangeHistoryTest : public testing::Test {
 protected:
  RangeHistoryTest() {
    config.kernel.thp.enabled = ThpEnabled::always;
    config.memory = Bytes{128 * kMiB};
    bench = std::make_unique<KernelBench>(config);
    task = bench->process();
    bench->map(task, kBase, 2 * kHugeBytes);
    bench->touch(task, kBase);
  }
  // Whatever happened, the records and the page tables tell the same.
  ~RangeHistoryTest() override {
    for (const auto& mm : bench->kernel.processes().address_spaces()) {
      std::uint64_t huge = 0;
      for (const auto& [key, record] : bench->kernel.history().all()) huge += key.asid == mm->asid() && record.is_huge;
      EXPECT_EQ(huge, mm->huge_pages) << "process " << mm->pid();
    }
  }
  const RangeRecord& record(VirtAddr base = kBase) { return record_of(task, base); }
  const RangeRecord& record_of(TaskId of, VirtAddr base = kBase) {
    static const RangeRecord kNothing;
    const RangeRecord* found = bench->kernel.history().find(bench->mm(of).asid(), base);
    return found ? *found : kNothing;
  }
  void expect_stopped(Stop how, Cause why) {
    EXPECT_FALSE(record().is_huge);
    EXPECT_EQ(record().stopped, how);
    EXPECT_EQ(int(record().stopped_by), int(why));
  }

  BenchConfig config;
  std::unique_ptr<KernelBench> bench;
  TaskId task = 0;
};

TEST_F(RangeHistoryTest, RemembersWhoMadeItHuge) {
  EXPECT_TRUE(record().is_huge);
  EXPECT_EQ(record().huge_by, By::fault);
  EXPECT_EQ(record().times_by[std::size_t(By::fault)], 1U);
  EXPECT_EQ(record().times_collapsed(), 0U);
}

TEST_F(RangeHistoryTest, APartialUnmapSplits) {
  bench->call(KernelBench::request(Op::munmap, task, kBase, kMiB));
  expect_stopped(Stop::split, Cause::munmap);
  EXPECT_EQ(record().split_times, 1U);
}

TEST_F(RangeHistoryTest, AWholeUnmapDoesNot) {
  bench->call(KernelBench::request(Op::munmap, task, kBase, kHugeBytes));
  expect_stopped(Stop::unmapped, Cause::munmap);
  EXPECT_EQ(record().split_times, 0U);
}

TEST_F(RangeHistoryTest, ProtectionOfAPartSplits) {
  SyscallRequest protect = KernelBench::request(Op::mprotect, task, kBase, kMiB);
  protect.prot = 1;
  bench->call(protect);
  expect_stopped(Stop::split, Cause::mprotect);
}

TEST_F(RangeHistoryTest, AdviceIsNamed) {
  bench->call(KernelBench::advice(task, Advice::dontneed, kBase, kHugeBytes));
  expect_stopped(Stop::unmapped, Cause::madv_dontneed);
  bench->touch(task, kBase);
  EXPECT_EQ(record().became_huge_times, 2U);
  bench->call(KernelBench::advice(task, Advice::free, kBase, kMiB));
  expect_stopped(Stop::split, Cause::madv_free);
}

TEST_F(RangeHistoryTest, AHugePageThatMovesGoesWithItsRange) {
  SyscallRequest move = KernelBench::request(Op::mremap, task, kBase, kHugeBytes);
  move.new_address = kOther.value, move.new_length = kHugeBytes;
  bench->call(move);
  expect_stopped(Stop::moved, Cause::mremap);
  EXPECT_TRUE(record(kOther).is_huge);
  EXPECT_EQ(record(kOther).huge_by, By::mremap);
}

TEST_F(RangeHistoryTest, AChildInheritsAndAWriteSplits) {
  const TaskId child = bench->fork(task, 2);
  EXPECT_EQ(record_of(child).huge_by, By::fork);
  bench->touch(child, kBase);
  EXPECT_FALSE(record_of(child).is_huge);
  EXPECT_EQ(record_of(child).stopped_by, Cause::cow);
  EXPECT_TRUE(record().is_huge);
}

TEST_F(RangeHistoryTest, AnExitTakesItAway) {
  const Asid asid = bench->mm(task).asid();
  bench->call(KernelBench::request(Op::exit, task));
  const RangeRecord& last = *bench->kernel.history().find(asid, kBase);
  EXPECT_FALSE(last.is_huge);
  EXPECT_EQ(last.stopped_by, Cause::exit);
}

TEST_F(RangeHistoryTest, TellsItsWatcherBeforeEachChange) {
  ToldRanges watcher;
  bench->kernel.history().add_watcher(watcher);
  bench->touch(task, kBase + kHugeBytes);
  bench->call(KernelBench::request(Op::munmap, task, kBase + kHugeBytes, kMiB));
  EXPECT_EQ(watcher.told, (std::vector<std::string>{"huge 100200000", "small 100200000"}));
}

TEST_F(RangeHistoryTest, TellsItsWatchersOfARefusal) {
  EventQueue queue;
  RangeHistory history(queue);
  ToldRanges one, other;
  history.add_watcher(one), history.add_watcher(other);
  history.scanned({.asid = 7, .base = kBase, .result = ScanResult::EXCEED_NONE_PTE, .counts = {}});
  history.scanned(
      {.asid = 7, .base = kBase, .result = ScanResult::SUCCEED, .counts = {}, .collapsed = true, .maps_pmd = true});
  EXPECT_EQ(one.told, (std::vector<std::string>{"SCAN_EXCEED_NONE_PTE 100000000", "huge 100000000"}));
  EXPECT_EQ(other.told, one.told);
}

TEST_F(RangeHistoryTest, AddsUpTheTimeWhileHuge) {
  RangeHistory& history = bench->kernel.history();
  const Time start = record().became_huge;
  bench->wait(3s);
  EXPECT_EQ(history.huge_time(record()), bench->queue.now() - start);
  history.restart_huge_time();
  bench->wait(1s);
  EXPECT_EQ(history.huge_time(record()), 1s);
  bench->call(KernelBench::request(Op::munmap, task, kBase, kMiB));
  const Duration then = history.huge_time(record());
  EXPECT_GE(then, 1s);
  bench->wait(1s);
  EXPECT_EQ(history.huge_time(record()), then);
}

}  // namespace
}  // namespace collapsar::test
