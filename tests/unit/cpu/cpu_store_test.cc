// Stores that miss wait in the store buffer while the program goes on. One small cache level; memory answers in kMemory.
#include <gtest/gtest.h>

#include "tests/unit/cpu/one_thread.h"

namespace collapsar::test {
namespace {

CpuBenchConfig with(std::uint32_t outstanding, std::uint32_t store_buffer, std::uint32_t window = 1000) {
  CpuBenchConfig config;
  config.mmu.ideal = true;
  config.caches = CachesConfig{};
  config.caches->l2.reset(), config.caches->l3.reset();
  config.cpu.outstanding = outstanding, config.cpu.store_buffer = store_buffer, config.cpu.window = window;
  config.dram = ideal_dram(kMemory);
  return config;
}

struct StoreBench : CpuBench {
  StoreBench(const CpuBenchConfig& c, const std::vector<Record>& records) : CpuBench(c, trace_of(records)) {
    prepare();
    kernel.map_range(kernel.process(1), kBase, 64 * kPageBytes);
  }
  std::uint64_t refs() { return cpus[0]->stats().refs(); }
};

// A line that is there, then a store that misses, then 50 hits: far more than the window lets pass a load. Of these
// kWindow - 1 pass; the next starts where the miss ends.
constexpr std::uint32_t kWindow = 10;
std::vector<Record> hits_behind(const Record& miss) {
  std::vector<Record> records{load(line(9)), miss};
  records.insert(records.end(), 50, load(line(9)));
  return records;
}

TEST(CpuStore, NothingWaitsForAStoreThatMisses) {
  StoreBench bench(with(10, 56, kWindow), hits_behind(store(line(0), 500)));
  const Duration starts = 501 * kCycle, hits_end = starts + 50 * kCycle;
  At before(bench, hits_end - kTick, [&] { EXPECT_EQ(bench.refs(), 51U); });
  At after(bench, hits_end + kTick, [&] { EXPECT_EQ(bench.refs(), 52U); });
  EXPECT_EQ(bench.run(), starts + kMiss) << "a thread ends when its last store is done";
}

TEST(CpuStore, WithoutABufferStoresWaitAsLoadsDo) {
  const Duration starts = 501 * kCycle;
  const Duration end = starts + kMiss + (50 - kWindow) * kCycle;
  EXPECT_EQ(StoreBench(with(10, 56, kWindow), hits_behind(load(line(0), 500))).run(), end);
  EXPECT_EQ(StoreBench(with(10, 0, kWindow), hits_behind(store(line(0), 500))).run(), end);
}

TEST(CpuStore, ALoadThatStoresWaitsForItsData) {
  Record modify = load(line(0), 500);
  modify.kind = RefKind::modify;
  EXPECT_EQ(StoreBench(with(10, 56, kWindow), hits_behind(modify)).run(),
            501 * kCycle + kMiss + (50 - kWindow) * kCycle);
}

TEST(CpuStore, AFullBufferHoldsTheNextStoreUntilTheOldestIsDone) {
  const std::vector<Record> three{store(line(0)), store(line(1)), store(line(2))};
  EXPECT_EQ(StoreBench(with(10, 3), three).run(), 3 * kCycle + kMiss);
  std::vector<Record> four = three;
  four.push_back(store(line(3)));
  StoreBench bench(with(10, 3), four);
  const Duration first_done = kCycle + kMiss;
  At before(bench, first_done - kTick, [&] {
    EXPECT_EQ(bench.refs(), 4U) << "it has started, and waits";
    EXPECT_EQ(bench.dram.stats().submitted, 3U);
  });
  At after(bench, first_done + kTick, [&] { EXPECT_EQ(bench.dram.stats().submitted, 4U); });
  EXPECT_EQ(bench.run(), first_done + kMiss);
}

TEST(CpuStore, AStoreThatHitsPassesAFullBuffer) {
  StoreBench bench(with(10, 1), {load(line(9)), store(line(0), 500), store(line(9)), store(line(9))});
  const Duration hits_end = 503 * kCycle;
  At after(bench, hits_end + kTick, [&] { EXPECT_EQ(bench.refs(), 4U); });
  EXPECT_EQ(bench.run(), 501 * kCycle + kMiss);
}

TEST(CpuStore, StoresHaveAsManyFillBuffersAsMayBeOutstanding) {
  const std::vector<Record> records{store(line(0)), store(line(1)), store(line(2)), store(line(3))};
  StoreBench bench(with(2, 10), records);
  At all_started(bench, 4 * kCycle + kTick, [&] { EXPECT_EQ(bench.refs(), 4U); });
  // The third fetches when the first has its line, the fourth when the second has, a cycle later.
  EXPECT_EQ(bench.run(), (2 * kCycle + kMiss) + kMiss);
  EXPECT_EQ(bench.dram.stats().reads, 4U);
}

TEST(CpuStore, StoresToOneLineTakeOneFillBuffer) {
  const std::vector<Record> records{store(line(0)), store(line(0) + 8), store(line(0) + 16), store(line(1)),
                                    store(line(2))};
  StoreBench bench(with(2, 10), records);
  EXPECT_EQ(bench.run(), (kCycle + kMiss) + kMiss) << "only the last has to wait for one";
  EXPECT_EQ(bench.dram.stats().reads, 3U);
}

TEST(CpuStore, QueuedStoresToOneLineGoTogether) {
  const std::vector<Record> records{store(line(0)), store(line(1)), store(line(2)), store(line(2) + 8), store(line(3))};
  StoreBench bench(with(2, 10), records);
  EXPECT_EQ(bench.run(), (2 * kCycle + kMiss) + kMiss) << "line 3 takes the second fill buffer that comes free";
  EXPECT_EQ(bench.dram.stats().reads, 4U);
}

TEST(CpuStore, LoadsHaveMissesOfTheirOwn) {
  const std::vector<Record> records{store(line(0)), store(line(1)), store(line(2)), load(line(3)), load(line(4))};
  EXPECT_EQ(StoreBench(with(2, 10), records).run(), kCycle + 2 * kMiss) << "the third store's line";
}

TEST(CpuStore, WithOneOutstandingMissStoresWaitForEachOther) {
  const std::vector<Record> records{store(line(0)), store(line(1)), store(line(2))};
  EXPECT_EQ(StoreBench(with(1, 56), records).run(), kCycle + 3 * kMiss);
}

TEST(CpuStore, AFaultWaitsForTheStoresBeforeIt) {
  StoreBench bench(with(10, 56), {store(line(0)), load(kBase + 100 * kPageBytes)});
  bench.kernel.fault_cost = ns(1000);
  bench.run();
  ASSERT_EQ(bench.kernel.faults.size(), 1U);
  EXPECT_EQ(bench.kernel.faults[0].start, kTimeZero + kCycle + kMiss);
}

// A store is not out of the window before its address is known: page 1 is in the TLB, the walk for the store's page takes
// the PMD entry's line out of the cache and the PTE's from memory.
TEST(CpuStore, AStoreStaysInTheWindowUntilItIsTranslated) {
  CpuBenchConfig config = with(10, 56, kWindow);
  config.mmu = MmuConfig{};
  std::vector<Record> records{load(page(1)), store(page(512), 2000)};
  records.insert(records.end(), 50, load(page(1)));
  StoreBench bench(config, records);
  bench.kernel.map(bench.kernel.process(1), page(512));
  const Duration starts = 2001 * kCycle;
  const Duration walked = starts + config.mmu.l2_latency * kCycle + kL1 + kMiss;
  const Duration hits_end = walked + (50 - kWindow) * kCycle;
  At before(bench, walked - kTick, [&] { EXPECT_EQ(bench.refs(), 2U + kWindow - 1); });
  At before_end(bench, hits_end - kTick, [&] { EXPECT_EQ(bench.refs(), 51U); });
  At after(bench, hits_end + kTick, [&] { EXPECT_EQ(bench.refs(), 52U); });
  EXPECT_EQ(bench.run(), walked + kMiss);
  EXPECT_GT(walked + kMiss, hits_end);
}

}  // namespace
}  // namespace collapsar::test
