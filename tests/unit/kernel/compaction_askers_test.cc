#include "tests/unit/kernel/compaction_bench.h"

namespace collapsar::test {
namespace {

using namespace std::chrono_literals;
using Result = Compaction::Result;
using Priority = Compaction::Priority;

// --- who asks ---

// A fault on a madvised range with this `defrag`.
struct HugeFault {
  CompactionBench b;
  TaskId task = b.process();
  HugeFault(ThpDefrag defrag, bool madvised, const FragmentationConfig& pieces) : b(pieces, config_of(defrag)) {
    b.map(task, kHeap, kHugeBytes);
    if (madvised) b.call(KernelBench::advice(task, Advice::hugepage, kHeap, kHugeBytes));
    b.touch(task, kHeap);
  }
  static BenchConfig config_of(ThpDefrag defrag) {
    BenchConfig config = machine();
    config.kernel.thp.enabled = ThpEnabled::always;
    config.kernel.thp.defrag = defrag;
    return config;
  }
  bool is_huge() { return b.mm(task).huge_pages > 0; }
};

TEST(DirectCompaction, GetsAFaultItsHugePageWhereDefragAllows) {
  const FragmentationConfig pieces{.movable = 1.0, .fill = 0.25};
  for (const ThpDefrag defrag : {ThpDefrag::always, ThpDefrag::madvise, ThpDefrag::defer_madvise}) {
    HugeFault fault(defrag, /*madvised=*/true, pieces);
    EXPECT_TRUE(fault.is_huge());
    EXPECT_EQ(fault.b.vm().compact_stall, 1U);
    EXPECT_EQ(fault.b.vm().compact_success, 1U);
    EXPECT_EQ(fault.b.stats().stall.compaction_ns.count(), 1U);
    EXPECT_EQ(fault.b.stats().stall.compaction_ns.sum(), rounded_ns(fault.b.stats().compaction.cpu));
    EXPECT_TRUE(fault.b.cpus.sleeps.empty());  // it works; it does not sleep
  }
  HugeFault plain(ThpDefrag::madvise, /*madvised=*/false, pieces);
  EXPECT_FALSE(plain.is_huge());
  EXPECT_EQ(plain.b.vm().thp_fault_fallback, 1U);
  EXPECT_EQ(plain.b.vm().compact_stall, 0U);
}

TEST(DirectCompaction, TriesTwiceInAFaultAndTheSecondTimeHarder) {
  HugeFault fault(ThpDefrag::madvise, /*madvised=*/true, {.hybrid = 1.0, .fill = 0.5});
  EXPECT_FALSE(fault.is_huge());
  EXPECT_EQ(fault.b.vm().compact_stall, 2U);
  EXPECT_EQ(fault.b.vm().compact_fail, 2U);
  EXPECT_EQ(fault.b.vm().allocstall, 0U);  // there is memory enough: nothing is reclaimed
  EXPECT_EQ(fault.b.vm().thp_fault_fallback, 1U);
  EXPECT_EQ(fault.b.compact().result, Result::deferred);  // so the second was synchronous
}

TEST(DirectCompaction, StaysAsynchronousForWhoDidNotAskForHugePages) {
  HugeFault fault(ThpDefrag::always, /*madvised=*/false, {.hybrid = 1.0, .fill = 0.5});
  EXPECT_EQ(fault.b.vm().compact_stall, 2U);
  EXPECT_NE(fault.b.compact().result, Result::deferred);
}

TEST(DirectCompaction, MakesRoomForKhugepagedWithDefragOnly) {
  for (const bool defrag : {true, false}) {
    BenchConfig config = machine();
    config.kernel.thp.enabled = ThpEnabled::always;
    config.kernel.thp.at_fault = false;
    config.kernel.khugepaged.defrag = defrag;
    CompactionBench b({.movable = 1.0, .fill = 0.25}, config);
    const TaskId task = b.process();
    Layout layout(b, task);
    layout.vma(kHeap, kHugeBytes);
    layout.pages(kHeap, kHugePages);
    b.kernel.start();
    b.wait(15s);
    EXPECT_EQ(b.stats().khugepaged.pages_collapsed, defrag ? 1U : 0U);
    EXPECT_EQ(b.vm().thp_collapse_alloc_failed, defrag ? 0U : 1U);
    EXPECT_EQ(b.stats().khugepaged.cpu_alloc > b.costs().collapse_alloc, defrag);
    EXPECT_EQ(b.stats().stall.compaction_ns.count(), 0U);  // nobody waits for it
  }
}

// --- kcompactd ---

TEST(Kcompactd, WorksForAFaultThatDidNotWait) {
  HugeFault fault(ThpDefrag::defer, /*madvised=*/false, {.movable = 1.0, .fill = 0.25});
  EXPECT_FALSE(fault.is_huge());
  EXPECT_EQ(fault.b.vm().compact_daemon_wake, 1U);
  EXPECT_EQ(fault.b.vm().compact_stall, 0U);
  fault.b.wait(1s);
  EXPECT_GT(fault.b.huge_blocks(), 0U);
  EXPECT_GT(fault.b.vm().compact_daemon_migrate_scanned, 0U);
  EXPECT_EQ(fault.b.stats().compaction.kcompactd, fault.b.stats().compaction.cpu);
}

std::uint64_t percent_in_pieces(const PhysicalMemory& memory) {
  return (memory.free_pages() - memory.free_pages_in_blocks(kHugeOrder)) * 100 / memory.free_pages();
}

TEST(Kcompactd, KeepsMemoryTogetherUnasked) {
  for (const std::uint64_t proactiveness : {0, 20, 60}) {
    BenchConfig config = machine();
    config.kernel.compaction.proactiveness = proactiveness;
    CompactionBench b({.movable = 1.0, .fill = 0.25}, config);
    ASSERT_EQ(percent_in_pieces(b.memory), 100U);
    b.kernel.start();
    b.wait(499ms);
    EXPECT_EQ(percent_in_pieces(b.memory), 100U);
    b.wait(500ms);
    EXPECT_LE(percent_in_pieces(b.memory), 100 - proactiveness);
    EXPECT_EQ(percent_in_pieces(b.memory) == 100, proactiveness == 0);
  }
}

TEST(Kcompactd, LeavesHopelessMemoryAloneForHalfAMinute) {
  BenchConfig config = machine();
  config.kernel.compaction.proactiveness = 20;
  CompactionBench b({.hybrid = 1.0, .fill = 0.5}, config);
  b.kernel.start();
  b.wait(1s);
  const std::uint64_t looked_at = b.vm().compact_daemon_migrate_scanned;
  EXPECT_GT(looked_at, 0U);
  b.wait(31s);
  EXPECT_EQ(b.vm().compact_daemon_migrate_scanned, looked_at);
  b.wait(2s);
  EXPECT_GT(b.vm().compact_daemon_migrate_scanned, looked_at);
}

}  // namespace
}  // namespace collapsar::test
