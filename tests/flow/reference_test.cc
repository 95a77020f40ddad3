// One reference from the trace to its data, step by step, on a machine with TLBs, walk caches, caches and memory: not
// one tick earlier, exactly then.
#include <gtest/gtest.h>

#include "tests/support/cpu_bench.h"

namespace collapsar::test {
namespace {

constexpr Duration kCycle = CpuBench::kCycle;

struct Flow : CpuBench {
  explicit Flow(const std::vector<Record>& records, bool one_event_per_step = false)
      : CpuBench(machine(one_event_per_step), trace_of(records)) {
    kernel.fault_cost = std::chrono::nanoseconds(700);
    prepare();
  }
  static CpuBenchConfig machine(bool one_event_per_step) {
    CpuBenchConfig config;
    config.caches = CachesConfig{};
    config.one_event_per_step = one_event_per_step;
    return config;
  }
  static PaperTrace trace_of(const std::vector<Record>& records) {
    PaperTrace t;
    t.process(1);
    t.run(1, 1, records);
    return t;
  }
  void map(std::uint64_t number, std::uint64_t flags = PaperKernel::kReady) {
    kernel.map(kernel.process(1), page(number), PageSize::k4K, flags);
  }
  // Runs to one tick before `moment`, says whether `count` has its old value; then to `moment`: whether it has the new
  // one.
  template <class Count>
  void expect_step_at(Duration moment, Count count, std::uint64_t before, std::uint64_t after, const char* what) {
    queue.run_until(kTimeZero + moment - kTick);
    EXPECT_EQ(count(), before) << what << ", one tick before";
    queue.run_until(kTimeZero + moment);
    EXPECT_EQ(count(), after) << what;
  }

  // What the steps take.
  Duration l1_hit = config.caches->l1d.latency * kCycle;
  Duration l2_hit = config.caches->l2->latency * kCycle;
  Duration l2_tlb = config.mmu.l2_latency * kCycle;
  Duration memory_read = config.caches->l3->latency * kCycle + *config.dram.ideal;

  std::uint64_t started() { return cpus[0]->stats().refs(); }
  const MmuStats& mmu() { return mmus[0]->stats(); }
};

class ReferenceFlow : public ::testing::TestWithParam<bool> {};
INSTANTIATE_TEST_SUITE_P(BothEventModes, ReferenceFlow, ::testing::Bool());

TEST_P(ReferenceFlow, TlbMissWalkOfFourLevelsAndData) {
  Flow flow({load(page(0), 20)}, GetParam());
  flow.map(0);
  Duration at = 20 * kCycle;
  flow.expect_step_at(
      at, [&] { return flow.started(); }, 0, 1, "the reference starts");
  EXPECT_EQ(flow.mmu().l1d.misses, 1U);
  EXPECT_EQ(flow.mmu().l2.misses, 1U);
  EXPECT_EQ(flow.mmu().walks, 1U) << "a walker is taken, and begins behind the second-level TLB";
  EXPECT_EQ(flow.mmu().walk_refs, 1U);
  at += flow.l2_tlb;
  for (unsigned level = 4; level > 1; --level) {
    at += flow.memory_read;
    flow.expect_step_at(
        at, [&] { return flow.mmu().walk_refs; }, 5 - level, 6 - level, "the next level is read");
  }
  at += flow.memory_read;
  flow.expect_step_at(
      at, [&] { return flow.caches->stats(1).misses; }, 4, 5, "the data is looked for");
  EXPECT_EQ(flow.mmu().walk_cycles, std::uint64_t(4 * flow.memory_read / kCycle));
  at += flow.memory_read;
  flow.expect_step_at(
      at, [&] { return std::uint64_t{flow.scheduler.finished()}; }, 0, 1, "done");
  EXPECT_EQ(flow.dram.stats().reads, 5U);
}

TEST_P(ReferenceFlow, ASecondPageNearbyFindsItsPteInTheCache) {
  Flow flow({load(page(0)), load(page(1), 10'000)}, GetParam());
  flow.map(0), flow.map(1);
  const Duration start = 10'001 * kCycle, walked = start + flow.l2_tlb + flow.l1_hit;
  flow.expect_step_at(
      start, [&] { return flow.mmu().l2.misses; }, 1, 2, "the reference starts");
  EXPECT_EQ(flow.mmu().walk_refs, 5U) << "one read: the PDE is cached";
  flow.expect_step_at(
      walked, [&] { return flow.dram.stats().submitted; }, 5, 6, "the PTE was in L1D, the data is not");
  EXPECT_EQ(flow.mmu().cache_hits[2], 1U);
  EXPECT_EQ(flow.run(), walked + flow.memory_read);
}

TEST_P(ReferenceFlow, AFaultGoesToTheKernelAndBack) {
  Flow flow({store(page(0), 20)}, GetParam());
  Duration at = 20 * kCycle + flow.l2_tlb + flow.memory_read;  // the root has no entry
  flow.expect_step_at(
      at, [&] { return flow.kernel.faults.size(); }, 0, 1, "the kernel is asked");
  EXPECT_EQ(flow.kernel.faults[0].access, Access::write);
  at += flow.kernel.fault_cost;
  flow.expect_step_at(
      at, [&] { return flow.mmu().walks; }, 1, 2, "the walk is done again");
  EXPECT_EQ(flow.mmu().walks_repeated, 1U);
  at += flow.l1_hit + 3 * flow.memory_read;  // the root's line is in L1D now
  flow.expect_step_at(
      at, [&] { return flow.caches->stats(1).misses; }, 4, 5, "the data is looked for");
  EXPECT_TRUE(flow.kernel.process(1).table->pte(page(0))->dirty());
  EXPECT_EQ(flow.run(), at + flow.memory_read);
  EXPECT_EQ(flow.mmu().l1d.misses, 1U) << "counted once, though retried";
  EXPECT_EQ(flow.mmu().l1d.hits, 0U);
}

TEST_P(ReferenceFlow, AnL1HitTakesNoTimeOfItsOwn) {
  Flow flow({load(page(0)), load(page(0), 10'000), load(page(0))}, GetParam());
  flow.map(0);
  flow.expect_step_at(
      10'001 * kCycle, [&] { return flow.mmu().l1d.hits; }, 0, 1, "a hit");
  EXPECT_EQ(flow.run(), 10'002 * kCycle);
  EXPECT_EQ(flow.caches->stats(1).hits, 2U);
}

TEST_P(ReferenceFlow, ADirtyWalkComesBeforeTheStoresData) {
  Flow flow({load(page(0)), store(page(0, 256), 10'000)}, GetParam());
  flow.map(0, PaperKernel::kClean);
  const Duration start = 10'001 * kCycle;
  flow.expect_step_at(
      start, [&] { return flow.mmu().walks_repeated; }, 0, 1, "walks at once: the entry was there");
  flow.expect_step_at(
      start + flow.l1_hit, [&] { return flow.caches->stats(1).misses; }, 5, 6, "then the data");
  EXPECT_EQ(flow.run(), start + flow.l1_hit + flow.memory_read);
}

}  // namespace
}  // namespace collapsar::test
