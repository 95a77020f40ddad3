#include "models/mmu/shootdown.h"

#include <gtest/gtest.h>

namespace collapsar {
namespace {

constexpr Duration ns(std::int64_t n) { return std::chrono::nanoseconds(n); }
constexpr ShootdownCosts kCosts{
    .flush_page = ns(100), .flush_full = ns(900), .ipi_first = ns(1500), .ipi_more = ns(200), .ipi_receive = ns(700)};

struct FakeCpu : InterruptSink {
  bool runs(Asid asid) const override { return asid == running; }
  void take_time(Duration time) override { lost += time; }
  Asid running = 0;
  Duration lost{};
};

struct ShootdownBench {
  ShootdownBench()
      : memory(MemoryConfig{Bytes{16 * kMiB}}), table(memory, 4), dram(queue, DramConfig{}), shootdown(kCosts) {
    for (CpuId id = 0; id < 3; ++id) {
      mmus.push_back(std::make_unique<Mmu>(queue, config, id, nullptr, dram, Clock(Frequency{1e9}), 1));
      cpus.push_back(std::make_unique<FakeCpu>());
      shootdown.add_cpu(*mmus[id], *cpus[id]);
    }
  }
  VirtRange pages(std::uint64_t count) { return {{0}, {count * kPageBytes}}; }

  MmuConfig config;
  EventQueue queue;
  PhysicalMemory memory;
  PageTable table;
  Dram dram;
  Shootdown shootdown;
  std::vector<std::unique_ptr<Mmu>> mmus;
  std::vector<std::unique_ptr<FakeCpu>> cpus;
};

TEST(Shootdown, TakesTimeByPagesUpToTheCeiling) {
  ShootdownBench bench;
  const auto cost = [&](std::uint64_t pages) {
    return bench.shootdown.flush_duration(5, bench.pages(pages), PageSize::k4K, 0);
  };
  EXPECT_EQ(cost(1), kCosts.flush_page);
  EXPECT_EQ(cost(33), 33 * kCosts.flush_page);
  EXPECT_EQ(cost(34), kCosts.flush_full);
  EXPECT_EQ(bench.shootdown.flush_duration(5, {{0}, {kHugeBytes}}, PageSize::k2M, 0), kCosts.flush_page);
}

TEST(Shootdown, InterruptsTheOtherCpusThatRunTheSpace) {
  ShootdownBench bench;
  bench.cpus[0]->running = bench.cpus[1]->running = bench.cpus[2]->running = 5;
  EXPECT_EQ(bench.shootdown.flush_duration(5, bench.pages(1), PageSize::k4K, 0),
            kCosts.flush_page + kCosts.ipi_first + kCosts.ipi_more);
  EXPECT_EQ(bench.shootdown.flush_duration(5, bench.pages(1), PageSize::k4K, kNoCpu),
            kCosts.flush_page + kCosts.ipi_first + 2 * kCosts.ipi_more);
  bench.cpus[2]->running = 6;
  EXPECT_EQ(bench.shootdown.flush_duration(5, bench.pages(1), PageSize::k4K, 0), kCosts.flush_page + kCosts.ipi_first);

  bench.shootdown.flush(5, bench.pages(1), PageSize::k4K, 0, false);
  EXPECT_EQ(bench.cpus[0]->lost, ns(0));
  EXPECT_EQ(bench.cpus[1]->lost, kCosts.ipi_receive);
  EXPECT_EQ(bench.cpus[2]->lost, ns(0));
  EXPECT_EQ(bench.shootdown.stats().shootdowns, 1U);
  EXPECT_EQ(bench.shootdown.stats().ipis, 1U);
  bench.shootdown.flush(7, bench.pages(1), PageSize::k4K, 0, false);
  EXPECT_EQ(bench.shootdown.stats().shootdowns, 1U) << "nobody to interrupt";
}

TEST(Shootdown, EveryCpuFlushesWhetherItRunsTheSpaceOrNot) {
  ShootdownBench bench;
  bench.shootdown.flush(5, bench.pages(2), PageSize::k4K, 0, false);
  bench.shootdown.flush(5, bench.pages(100), PageSize::k4K, 0, false);
  bench.shootdown.forget(5);
  for (const auto& mmu : bench.mmus) EXPECT_EQ(mmu->stats().flushes, 3U);
}

TEST(Shootdown, InterruptsEveryoneElseForAKernelWideFlush) {
  ShootdownBench bench;
  bench.cpus[1]->running = 5;  // whatever the others run
  EXPECT_EQ(bench.shootdown.interrupt_all(0), kCosts.ipi_first + kCosts.ipi_more);
  EXPECT_EQ(bench.shootdown.interrupt_all(kNoCpu), kCosts.ipi_first + 2 * kCosts.ipi_more);
  EXPECT_EQ(bench.cpus[0]->lost, kCosts.ipi_receive);
  for (const CpuId receiver : {1, 2}) EXPECT_EQ(bench.cpus[receiver]->lost, 2 * kCosts.ipi_receive);
  EXPECT_EQ(bench.shootdown.stats().ipis, 5U);
}

// Page 0 and page 40 of spaces 5 and 6 in the TLBs of CPU 2, at both levels.
struct FilledBench : ShootdownBench {
  FilledBench() {
    EXPECT_TRUE(table.ensure_pte_table({0}));
    for (const std::uint64_t page : {0, 40}) {
      *table.pte({page * kPageBytes}) = Pte::make(Pfn{page}, Pte::kPresent);
      for (const Asid asid : {Asid{5}, Asid{6}}) {
        WalkRequest walked;
        walked.va = {page * kPageBytes}, walked.space = {&table, asid};
        walked.entry = {*table.pte({page * kPageBytes}), PageSize::k4K};
        mmus[2]->fill(walked, false, true);
      }
    }
  }
  bool holds(Asid asid, std::uint64_t page) {
    mmus[2]->set_space({&table, asid});
    PhysAddr pa;
    return mmus[2]->lookup_l1({page * kPageBytes}, false, false, pa) == L1Result::hit;
  }
};

TEST(Shootdown, UpToTheCeilingTheRangeGoesAndAboveItTheWholeSpace) {
  FilledBench range;
  range.shootdown.flush(5, range.pages(33), PageSize::k4K, 0, false);
  EXPECT_FALSE(range.holds(5, 0));
  EXPECT_TRUE(range.holds(5, 40));
  EXPECT_EQ(range.mmus[2]->stats().flushed_pages, 2U) << "page 0, in both levels";
  FilledBench full;
  full.shootdown.flush(5, full.pages(34), PageSize::k4K, 0, false);
  EXPECT_FALSE(full.holds(5, 0));
  EXPECT_FALSE(full.holds(5, 40)) << "outside of the range";
  EXPECT_TRUE(full.holds(6, 0)) << "another space";
  EXPECT_TRUE(full.holds(6, 40));
}

TEST(Shootdown, TheCeilingCountsPagesOfTheSizeThatIsFlushed) {
  FilledBench bench;
  bench.shootdown.flush(5, {{64 * kHugeBytes}, {97 * kHugeBytes}}, PageSize::k2M, 0, false);
  EXPECT_TRUE(bench.holds(5, 40)) << "33 huge pages go one by one";
  bench.shootdown.flush(5, {{64 * kHugeBytes}, {98 * kHugeBytes}}, PageSize::k2M, 0, false);
  EXPECT_FALSE(bench.holds(5, 40));
}

// A translation of page 0 and one of page 9 in the TLBs of CPU 1.
struct CheckedBench : ShootdownBench {
  CheckedBench() {
    shootdown.set_check(true);
    shootdown.add_space({&table, 5});
    EXPECT_TRUE(table.ensure_pte_table({0}));
    for (const std::uint64_t page : {0, 9}) {
      entry(page) = Pte::make(Pfn{page}, Pte::kPresent);
      WalkRequest walked;
      walked.va = {page * kPageBytes}, walked.space = {&table, 5}, walked.entry = {entry(page), PageSize::k4K};
      mmus[1]->fill(walked, false, true);
    }
  }
  Pte& entry(std::uint64_t page) { return *table.pte({page * kPageBytes}); }
};

TEST(ShootdownDeathTest, TheCheckLooksAtEveryEntryOfTheSpaceWhenTheTickEnds) {
  CheckedBench bench;
  bench.entry(9) = Pte{};
  bench.shootdown.flush(5, bench.pages(1), PageSize::k4K, 0, false);
  EXPECT_DEATH(bench.queue.run(), "TLB holds 0x9000 of space 5");
  bench.shootdown.flush(5, {{9 * kPageBytes}, {10 * kPageBytes}}, PageSize::k4K, 0, false);
  bench.queue.run();
}

TEST(Shootdown, TheCheckLeavesOutWhatIsStillToBeFlushed) {
  CheckedBench bench;
  const VirtRange later{{9 * kPageBytes}, {10 * kPageBytes}};
  bench.shootdown.flush_duration(5, later, PageSize::k4K, 0);
  bench.entry(9) = Pte{};
  bench.shootdown.flush(5, bench.pages(1), PageSize::k4K, 0, false);
  bench.queue.run();
  bench.shootdown.flush(5, later, PageSize::k4K, 0, false);
  bench.queue.run();
  EXPECT_EQ(bench.mmus[1]->stats().flushed_pages, 4U);
}

}  // namespace
}  // namespace collapsar
