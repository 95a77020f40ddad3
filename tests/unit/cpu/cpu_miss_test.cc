// References that need a walk, a fault or two pages. Memory answers in kRead, there are no caches: a walk of a fresh
// region takes four reads, and the walk of a page beside one that has been walked takes one.
#include <gtest/gtest.h>

#include "tests/unit/cpu/one_thread.h"

namespace collapsar::test {
namespace {

constexpr Duration kRead = ns(100);
const Duration kL2 = MmuConfig{}.l2_latency * kCycle;

struct MissBench : CpuBench {
  explicit MissBench(const std::vector<Record>& records, const CpuBenchConfig& c = config_with(10))
      : CpuBench(c, trace_of(records)) {
    kernel.fault_cost = kFault;
    prepare();
  }
  static CpuBenchConfig config_with(std::uint32_t outstanding) {
    CpuBenchConfig config;
    config.cpu.outstanding = outstanding;
    config.mmu.walkers = 4;
    config.dram = ideal_dram(kRead);
    return config;
  }
  void map(std::uint64_t first, std::uint64_t count, std::uint64_t flags = PaperKernel::kReady) {
    kernel.map_range(kernel.process(1), page(first), count * kPageBytes, PageSize::k4K, flags);
  }
  Pte& entry(std::uint64_t number) { return *kernel.process(1).table->pte(page(number)); }
  const MmuStats& mmu() { return mmus[0]->stats(); }
  std::uint64_t refs() { return cpus[0]->stats().refs(); }
};

// --- walks ---

TEST(CpuMiss, AWalkStartsWhenTheL2MissIsKnown) {
  MissBench bench({load(page(0))});
  bench.map(0, 1);
  EXPECT_EQ(bench.run(), kCycle + kL2 + 4 * kRead);
  EXPECT_EQ(bench.mmu().walk_cycles, std::uint64_t(4 * kRead / kCycle));
  EXPECT_EQ(bench.mmu().stall_cycles, std::uint64_t((4 * kRead + kL2) / kCycle));
}

TEST(CpuMiss, AnL2HitAddsItsLatency) {
  CpuBenchConfig config = MissBench::config_with(1);
  config.mmu.l1d = {config.mmu.l1d[0]};
  config.mmu.l1d[0].sets = 1, config.mmu.l1d[0].ways[PageSize::k4K] = 1;
  MissBench bench({load(page(0)), load(page(1)), load(page(0))}, config);
  bench.map(0, 2);
  EXPECT_EQ(bench.run(), kCycle + (kL2 + 4 * kRead) + (kL2 + kRead) + kL2);
}

TEST(CpuMiss, WalksOfDifferentPagesOverlapUpToTheWalkers) {
  std::vector<Record> records;
  for (unsigned i = 0; i < 6; ++i) records.push_back(load(page(i * 512 * 512)));  // a PDPTE each: three reads
  CpuBenchConfig config = MissBench::config_with(10);
  config.mmu.walk_cache = {.pml5 = 0, .pml4 = 0, .pdpt = 0, .pd = 0};
  config.mmu.walkers = 2;
  PaperTrace trace;
  trace.process(1, kBase, 16 * kGiB), trace.run(1, 1, records);
  CpuBench bench(config, trace);
  bench.prepare();
  for (const Record& r : records) bench.kernel.map(bench.kernel.process(1), {r.va});
  EXPECT_EQ(bench.run(), (2 * kCycle + kL2) + 3 * 4 * kRead) << "in pairs; the last pair ends with the second walker";
  EXPECT_EQ(bench.mmus[0]->stats().walks, 6U);
}

TEST(CpuMiss, MissesOfOnePageShareAWalk) {
  MissBench bench({load(page(0)), load(page(0, 8)), store(page(0, 16))});
  bench.map(0, 1);
  EXPECT_EQ(bench.run(), kCycle + kL2 + 4 * kRead);
  EXPECT_EQ(bench.mmu().walks, 1U);
  EXPECT_EQ(bench.mmu().walks_merged, 2U);
  EXPECT_EQ(bench.mmu().l2.misses, 3U);
}

TEST(CpuMiss, AStoreToACleanPageWalksForTheDirtyBit) {
  MissBench bench({load(page(0)), store(page(0), 1000), store(page(0), 1000)});
  bench.map(0, 1, PaperKernel::kClean);
  EXPECT_EQ(bench.run(), 2001 * kCycle);
  EXPECT_EQ(bench.mmu().walks_repeated, 1U);
  EXPECT_EQ(bench.mmu().walks, 2U);
  EXPECT_TRUE(bench.entry(0).dirty());
}

TEST(CpuMiss, APerfectTlbNeverWalks) {
  CpuBenchConfig config = MissBench::config_with(10);
  config.mmu.ideal = true;
  std::vector<Record> records;
  for (unsigned i = 0; i < 300; ++i) records.push_back(i % 3 ? load(page(i)) : store(page(i / 2)));
  MissBench bench(records, config);
  bench.map(0, 299, PaperKernel::kClean);
  EXPECT_EQ(bench.run(), 300 * kCycle + kFault) << "page 299 faults";
  EXPECT_EQ(bench.mmu().walks, 0U);
  EXPECT_EQ(bench.mmu().l1d.hits, 300U);
  EXPECT_EQ(bench.mmu().l1d.misses, 0U);
  EXPECT_EQ(bench.kernel.faults.size(), 1U);
}

// --- references that cross pages ---

TEST(CpuMiss, AReferenceThatCrossesPagesLooksUpEachAndCountsOnce) {
  Record crossing = load(page(1) - 4);
  crossing.size = std::uint16_t(4 + kPageBytes + 1);  // pages 0, 1 and 2
  MissBench bench({crossing, crossing});
  bench.map(0, 3);
  bench.run();
  EXPECT_EQ(bench.refs(), 2U);
  EXPECT_EQ(bench.mmu().l1d.misses, 6U) << "the second reference starts beside the first";
  EXPECT_EQ(bench.mmu().walks, 3U);
  EXPECT_EQ(bench.mmu().walks_merged, 3U);
}

TEST(CpuMiss, BothPagesOfAReferenceMayFault) {
  Record crossing = store(page(1) - 4);
  MissBench bench({crossing, load(page(0))});
  bench.run();
  ASSERT_EQ(bench.kernel.faults.size(), 2U);
  EXPECT_EQ(bench.kernel.faults[0].va, page(1) - 4);
  EXPECT_EQ(bench.kernel.faults[1].va, page(1));
  EXPECT_EQ(bench.refs(), 2U);
  EXPECT_EQ(bench.mmu().l1d.misses, 2U);
  EXPECT_EQ(bench.mmu().l1d.hits, 1U);
}

// --- faults ---

TEST(CpuMiss, AFaultTakesAWalkTheKernelAndAWalkAgain) {
  MissBench bench({load(page(0))});
  EXPECT_EQ(bench.run(), (kCycle + kL2 + kRead) + kFault + 4 * kRead) << "the first walk ends at the empty root";
  EXPECT_EQ(bench.mmu().walks, 2U);
  EXPECT_EQ(bench.mmu().walks_repeated, 1U);
  EXPECT_EQ(bench.mmu().l1d.misses, 1U);
  EXPECT_EQ(bench.mmu().l1d.misses_by[0], 1U);
  EXPECT_EQ(bench.mmu().l2.misses, 1U);
}

TEST(CpuMiss, AFaultLetsOlderReferencesFinishAndYoungerOnesNotStart) {
  MissBench bench({load(page(0)), load(page(5)), load(page(1))});
  bench.map(0, 2);
  const Duration first_done = kCycle + kL2 + 4 * kRead;
  const Duration fault_starts = first_done + kL2 + kRead;  // walked alone, after all that is older
  At look(bench, fault_starts + kFault / 2, [&] { EXPECT_EQ(bench.refs(), 2U); });
  const Duration second_done = fault_starts + kFault + kRead;
  EXPECT_EQ(bench.run(), second_done + kL2 + kRead) << "the third starts where the fault returned";
  EXPECT_EQ(bench.kernel.faults.at(0).start, kTimeZero + fault_starts);
}

TEST(CpuMiss, AnAddressOutsideEveryMappingIsCountedAndSkipped) {
  const VirtAddr nowhere = kBase + 8 * kGiB;
  Record crossing = store(nowhere + kPageBytes - 2);
  MissBench bench({load(nowhere), crossing, load(page(0))});
  bench.map(0, 1);
  bench.run();
  EXPECT_EQ(bench.scheduler.stats().outside_vma, 2U) << "a reference counts once, though two pages of it fault";
  EXPECT_EQ(bench.kernel.faults.size(), 3U);
  EXPECT_EQ(bench.refs(), 3U);
  EXPECT_EQ(bench.mmu().walks, bench.mmu().l2.misses);
}

TEST(CpuMiss, AnAccessThatTheMappingForbidsIsCountedAndSkipped) {
  PaperTrace trace;
  trace.event(TraceEvent::Op::process);
  trace.map(1, kBase, kGiB).prot = 1;
  trace.run(1, 1, {load(page(0)), store(page(0)), load(page(0), 5000)});
  CpuBench bench(MissBench::config_with(10), trace);
  bench.prepare();
  bench.run();
  EXPECT_EQ(bench.scheduler.stats().protection, 1U);
  EXPECT_EQ(bench.scheduler.stats().outside_vma, 0U);
  EXPECT_EQ(bench.kernel.faults.size(), 2U);
  EXPECT_EQ(bench.mmus[0]->stats().l1d.hits, 2U) << "the store finds its entry, too";
}

TEST(CpuMiss, AWriteToAReadOnlyEntryFaultsOutOfTheTlb) {
  MissBench bench({load(page(0)), store(page(0), 1000)});
  bench.map(0, 1, Pte::kPresent | Pte::kUser);
  At copy_on_write(bench, ns(1500), [&] { bench.entry(0).set(Pte::kWritable); });
  EXPECT_EQ(bench.run(), 1001 * kCycle + kFault + kRead);
  EXPECT_EQ(bench.mmu().l1d.hits, 1U);
  EXPECT_EQ(bench.mmu().walks, 2U);
  EXPECT_EQ(bench.mmu().walks_repeated, 1U);
}

// The page table changes under a walk: what was mapped when the reference started is gone when its walk ends.
TEST(CpuMiss, ALateFaultWaitsForWhatHasStarted) {
  MissBench bench({load(page(0)), load(page(1)), load(page(2))});
  bench.map(0, 3);
  At unmap(bench, ns(50), [&] { bench.entry(0) = Pte{}; });
  const Duration first_walked = kCycle + kL2 + 4 * kRead, last_walked = first_walked + 2 * kCycle;
  bench.run();
  EXPECT_EQ(bench.kernel.faults.at(0).start, kTimeZero + last_walked);
  EXPECT_EQ(bench.ended_at, kTimeZero + last_walked + kFault + kRead);
  EXPECT_EQ(bench.mmu().l1d.misses, 3U);
  EXPECT_EQ(bench.mmu().walks, 4U);
  EXPECT_EQ(bench.mmu().walks_repeated, 1U);
}

TEST(CpuMiss, SeveralLateFaultsAreSettledInProgramOrder) {
  MissBench bench({load(page(3)), load(page(1)), load(page(2))});
  bench.map(0, 4);
  At unmap(bench, ns(50), [&] { bench.entry(1) = bench.entry(2) = bench.entry(3) = Pte{}; });
  bench.run();
  ASSERT_EQ(bench.kernel.faults.size(), 3U);
  EXPECT_EQ(bench.kernel.faults[0].va, page(3));
  EXPECT_EQ(bench.kernel.faults[1].va, page(1));
  EXPECT_EQ(bench.kernel.faults[2].va, page(2));
}

TEST(CpuMiss, AFaultOnAFreshPageMayComeAgain) {
  MissBench bench({load(page(0))});
  At take_away(bench, kCycle + kL2 + kRead + kFault + ns(1), [&] { bench.entry(0) = Pte{}; });
  bench.run();
  EXPECT_EQ(bench.kernel.faults.size(), 2U);
  EXPECT_EQ(bench.refs(), 1U);
  EXPECT_EQ(bench.mmu().walks + bench.mmu().walks_merged, bench.mmu().l2.misses + bench.mmu().walks_repeated);
}

}  // namespace
}  // namespace collapsar::test
