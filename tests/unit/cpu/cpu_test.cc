#include "models/cpu/cpu.h"

#include <gtest/gtest.h>

#include "tests/unit/cpu/one_thread.h"

namespace collapsar::test {
namespace {

// A perfect TLB and no caches: every reference hits.
CpuBenchConfig perfect() {
  CpuBenchConfig config;
  config.mmu.ideal = true;
  return config;
}

// A perfect TLB, one small cache level: a line that is not there takes latency + memory.
CpuBenchConfig misses(std::uint32_t outstanding) {
  CpuBenchConfig config = perfect();
  config.caches = CachesConfig{};
  config.caches->l2.reset(), config.caches->l3.reset();
  config.cpu.outstanding = outstanding;
  config.cpu.window = 1'000'000;
  config.dram = ideal_dram(kMemory);
  return config;
}

// One thread of one process with mapped memory runs these records.
struct OneThread : CpuBench {
  OneThread(const CpuBenchConfig& c, const std::vector<Record>& records) : CpuBench(c, trace_of(records)) {
    prepare();
    kernel.map_range(kernel.process(1), kBase, 64 * kPageBytes);
  }
  std::uint64_t cycles() { return std::uint64_t(cpus[0]->stats().busy_subcycles / Clock::kSubcycles); }
};

std::vector<Record> repeat(std::size_t count, const Record& r) { return std::vector<Record>(count, r); }
std::vector<Record> lines(std::size_t count, std::uint8_t flags = 0) {
  std::vector<Record> records;
  for (std::size_t i = 0; i < count; ++i) records.push_back(load(line(i))), records.back().flags = flags;
  return records;
}

// --- hits ---

TEST(Cpu, HitsTakeCyclesPerInstruction) {
  for (const double cpi : {0.0, 0.25, 0.5, 1.0, 2.0}) {
    CpuBenchConfig config = perfect();
    config.cpu.cycles_per_instruction = cpi;
    OneThread bench(config, repeat(1000, load(kBase, 4)));
    EXPECT_EQ(bench.run(), Duration(std::int64_t(4000 * cpi * double(kCycle.count()))));
    EXPECT_EQ(bench.cycles(), std::uint64_t(4000 * cpi));
    EXPECT_EQ(bench.cpus[0]->stats().instructions, 4000U);
  }
}

TEST(Cpu, CountsReferencesByKind) {
  std::vector<Record> records;
  for (unsigned kind = 0; kind < 6; ++kind)
    for (unsigned i = 0; i <= kind; ++i) records.push_back({page(i).value, 1, 8, RefKind(kind), 0});
  OneThread bench(perfect(), records);
  bench.run();
  for (unsigned kind = 0; kind < 6; ++kind) EXPECT_EQ(bench.cpus[0]->stats().refs_by[kind], kind + 1);
  EXPECT_EQ(bench.mmus[0]->stats().l1i.hits, 1U);
  EXPECT_EQ(bench.mmus[0]->stats().l1d.hits, 20U);
}

TEST(Cpu, LosesTheTimeThatOthersTake) {
  OneThread bench(perfect(), repeat(100, load(kBase)));
  At interrupt(bench, ns(10), [&] { bench.cpus[0]->take_time(ns(30)), bench.cpus[0]->take_time(ns(20)); });
  EXPECT_EQ(bench.run(), 100 * kCycle + ns(50));
  EXPECT_EQ(bench.cycles(), 150U) << "the thread was on the CPU all the time";
}

TEST(Cpu, LosesNoMoreThanThatInTheMiddleOfManyInstructions) {
  std::vector<Record> records = repeat(2, load(kBase));
  records[1].instructions = 1000;
  OneThread bench(perfect(), records);
  At interrupt(bench, ns(600), [&] { bench.cpus[0]->take_time(ns(50)); });
  EXPECT_EQ(bench.run(), 1001 * kCycle + ns(50));
}

// --- overlap ---

TEST(Cpu, IndependentMissesOverlap) {
  OneThread bench(misses(10), lines(10));
  EXPECT_EQ(bench.run(), 10 * kCycle + kMiss);
}

TEST(Cpu, NoMoreMissesOverlapThanAreOutstanding) {
  OneThread bench(misses(4), lines(5));
  EXPECT_EQ(bench.run(), (1 * kCycle + kMiss) + kMiss) << "the fifth starts when the first is done";
  OneThread six(misses(4), lines(6));
  EXPECT_EQ(six.run(), (2 * kCycle + kMiss) + kMiss) << "the sixth when the second is";
}

TEST(Cpu, WithOneOutstandingNothingOverlaps) {
  OneThread bench(misses(1), lines(7));
  EXPECT_EQ(bench.run(), kCycle + 7 * kMiss);
  std::vector<Record> records{load(line(0)), load(line(1)), load(line(0)), load(line(0))};
  OneThread hits_too(misses(1), records);
  EXPECT_EQ(hits_too.run(), kCycle + 2 * kMiss + kCycle) << "not even hits pass; the first stands where the miss ends";
}

TEST(Cpu, HitsPassMissesThoughAllSlotsAreBusy) {
  std::vector<Record> records{load(line(9)), load(line(0), 300), load(line(1))};
  for (unsigned i = 0; i < 50; ++i) records.push_back(load(line(9)));
  OneThread bench(misses(2), records);
  const Duration second_starts = 302 * kCycle, hits_end = second_starts + 50 * kCycle;
  At look(bench, hits_end + ns(1), [&] { EXPECT_EQ(bench.cpus[0]->stats().refs(), records.size()); });
  EXPECT_EQ(bench.run(), second_starts + kMiss);
}

TEST(Cpu, TheWindowLetsExactlySoManyInstructionsPass) {
  constexpr std::uint32_t kWindow = 40;
  CpuBenchConfig config = misses(10);
  config.cpu.window = kWindow;
  OneThread last_inside(config, {load(line(0)), load(line(1), kWindow - 1)});
  EXPECT_EQ(last_inside.run(), kWindow * kCycle + kMiss);
  OneThread first_outside(config, {load(line(0)), load(line(1), kWindow)});
  EXPECT_EQ(first_outside.run(), kCycle + kMiss + kMiss);
}

TEST(Cpu, TheOldestMissHoldsTheWindow) {
  constexpr std::uint32_t kWindow = 40;
  CpuBenchConfig config = misses(10);
  config.cpu.window = kWindow;
  OneThread bench(config, {load(line(0)), load(line(1), 20), load(line(2), 30), load(line(3), 1)});
  // 0 starts at 1, 1 at 21, 2 waits for 0 (51 >= 1 + 40), 3 follows at once.
  EXPECT_EQ(bench.run(), kCycle + kMiss + kCycle + kMiss);
}

TEST(Cpu, NothingPassesAFetchThatMisses) {
  CpuBenchConfig config = misses(10);
  config.caches->l1i = config.caches->l1d;
  OneThread bench(config, {fetch(line(0)), load(line(1)), load(line(2))});
  EXPECT_EQ(bench.run(), kCycle + kMiss + kCycle + kMiss);
}

// --- dependence ---

TEST(Cpu, AChaseTakesTheSumOfItsMisses) {
  OneThread bench(misses(10), lines(8, Record::kDependsOnLoad));
  EXPECT_EQ(bench.run(), kCycle + 8 * kMiss);
}

TEST(Cpu, AChaseThroughTheFirstLevelTakesItsLatency) {
  std::vector<Record> records{load(line(0))};
  for (unsigned i = 0; i < 10; ++i) records.push_back(after_load(load(line(0))));
  OneThread bench(misses(10), records);
  EXPECT_EQ(bench.run(), kCycle + kMiss + 9 * kL1);
}

TEST(Cpu, DependenceIsOnTheLastLoadOnly) {
  OneThread bench(misses(10), {load(line(0)), store(line(1)), after_load(load(line(2))), load(line(3))});
  EXPECT_EQ(bench.run(), (kCycle + kMiss) + kCycle + kMiss);
  OneThread other(misses(10), {load(line(0)), load(line(1)), after_load(store(line(2)))});
  EXPECT_EQ(other.run(), 2 * kCycle + 2 * kMiss);
}

TEST(Cpu, ADependentOfALoadThatCrossesPagesWaitsForBothParts) {
  Record crossing = load(page(1) - 4);
  OneThread bench(misses(10), {load(page(1)), crossing, after_load(load(line(3)))});
  // The second part joins the fetch of the first load and is there before the first part.
  EXPECT_EQ(bench.run(), 2 * kCycle + 2 * kMiss);
}

TEST(Cpu, TheConfigMayOverruleTheTracesMarks) {
  CpuBenchConfig none = misses(10);
  none.cpu.dependence = Dependence::none;
  EXPECT_EQ(OneThread(none, lines(8, Record::kDependsOnLoad)).run(), 8 * kCycle + kMiss);
  CpuBenchConfig all = misses(10);
  all.cpu.dependence = Dependence::all;
  EXPECT_EQ(OneThread(all, lines(8)).run(), kCycle + 8 * kMiss);
}

// --- pace ---

TEST(Cpu, FixedPaceSetsTheTimeBetweenReferences) {
  CpuBenchConfig config = perfect();
  config.time.pace = Pace::fixed, config.time.fixed = ns(10);
  OneThread bench(config, repeat(50, load(kBase)));
  EXPECT_EQ(bench.run(), 49 * ns(10));
  EXPECT_EQ(bench.cycles(), 50U) << "idle time is in time, not in cycles";
  config.time.scale = 3;
  EXPECT_EQ(OneThread(config, repeat(50, load(kBase))).run(), 49 * ns(30));
}

TEST(Cpu, ACpuThatIsLateDoesNotWait) {
  CpuBenchConfig config = perfect();
  config.time.pace = Pace::fixed, config.time.fixed = ns(1);
  OneThread bench(config, repeat(50, load(kBase, 3)));
  EXPECT_EQ(bench.run(), 50 * 3 * kCycle);
}

TEST(Cpu, StampsAreInterpolatedByRecordAndScaled) {
  for (const double scale : {1.0, 4.0}) {
    CpuBenchConfig config = perfect();
    config.time.pace = Pace::timestamps, config.time.scale = scale;
    PaperTrace trace = trace_of(repeat(10, load(kBase)));
    auto& run = std::get<TraceRun>(trace.items().back());
    run.begin_ns = 100, run.end_ns = 200;
    CpuBench bench(config, trace);
    bench.prepare();
    bench.kernel.map(bench.kernel.process(1), kBase);
    EXPECT_EQ(bench.run(), ns(190) * std::int64_t(scale));
  }
}

TEST(Cpu, AMissUnderWayIsNoIdleTime) {
  CpuBenchConfig config = misses(10);
  config.time.pace = Pace::fixed, config.time.fixed = ns(1000);
  OneThread bench(config, lines(3));
  EXPECT_EQ(bench.run(), 2 * ns(1000) + kMiss);
  EXPECT_EQ(bench.cycles(), std::uint64_t((kCycle + 3 * kMiss) / kCycle)) << "the gaps pass while a miss is under way";
}

TEST(Cpu, ScaleAddsIdleTimeAndLeavesCyclesAlone) {
  CpuBenchConfig config = perfect();
  config.time.scale = 1000;
  OneThread bench(config, repeat(5000, load(kBase, 7)));
  EXPECT_EQ(bench.run(), 5000 * 7 * kCycle * 1000);
  EXPECT_EQ(bench.cycles(), 5000U * 7);
}

TEST(Cpu, ScaleLetsMissesOverlapAsTheyDoWithoutIt) {
  std::vector<Record> records;
  for (unsigned i = 0; i < 20'000; ++i) records.push_back(load(line(i * 7919 % 4096), 2));
  CpuBenchConfig config = misses(10);
  OneThread plain(config, records);
  plain.run();
  config.time.scale = 500;
  OneThread scaled(config, records);
  EXPECT_GT(scaled.run(), 20'000 * 2 * kCycle * 499);
  EXPECT_NEAR(double(scaled.cycles()), double(plain.cycles()), 0.02 * double(plain.cycles()));
}

}  // namespace
}  // namespace collapsar::test
