#include "models/mmu/mmu.h"

#include <gtest/gtest.h>

namespace collapsar {
namespace {

constexpr VirtAddr kPage{1ULL << 32};
constexpr std::uint64_t kClean = Pte::kPresent | Pte::kUser | Pte::kWritable;
constexpr Duration kRead = std::chrono::nanoseconds(100);

// What a CPU would do with one reference, one at a time.
struct MmuBench {
  explicit MmuBench(MmuConfig c = {})
      : config(std::move(c)),
        memory(MemoryConfig{Bytes{64 * kMiB}}),
        table(memory, config.levels),
        dram(queue, ideal()),
        mmu(queue, config, 0, nullptr, dram, clock, 1) {
    mmu.set_space({&table, 1});
  }
  ~MmuBench() { queue.clear(); }
  static DramConfig ideal() {
    DramConfig config;
    config.ideal = kRead;
    return config;
  }
  void map(VirtAddr va, PageSize size = PageSize::k4K, std::uint64_t flags = kClean) {
    if (size == PageSize::k4K) {
      EXPECT_TRUE(table.ensure_pte_table(va));
      *table.pte(va) = Pte::make(Pfn{va.value >> kPageShift}, flags);
    } else {
      EXPECT_TRUE(size == PageSize::k2M ? table.ensure_pmd_table(va) : table.ensure_pud_table(va));
      table.map_huge(va, Pte::make(Pfn{va.value >> kPageShift}, flags | Pte::kHuge), size);
    }
  }
  void walk(VirtAddr va, bool is_fetch, bool is_write, bool was_miss) {
    request = {};
    request.va = va, request.space = mmu.space();
    request.is_write = is_write, request.is_execute = is_fetch, request.repeated = !was_miss;
    request.done = &done;
    mmu.walk(request);
    queue.run();
    EXPECT_FALSE(request.fault);
    mmu.fill(request, is_fetch, was_miss);
  }
  // Says where the translation was found: 1, 2, or 3 for a walk.
  unsigned refer(VirtAddr va, bool is_fetch = false, bool is_write = false) {
    PhysAddr pa;
    TlbEntry entry;
    switch (mmu.lookup_l1(va, is_fetch, is_write, pa)) {
      case L1Result::hit: EXPECT_EQ(pa.value, va.value); return 1;
      case L1Result::needs_dirty: walk(va, is_fetch, is_write, false); return 1;
      case L1Result::not_allowed: ADD_FAILURE() << "not allowed"; return 0;
      case L1Result::miss: break;
    }
    const bool hits_l2 = mmu.lookup_l2(va, is_fetch, is_write, entry);
    if (!hits_l2 || (is_write && !entry.leaf.dirty())) walk(va, is_fetch, is_write, !hits_l2);
    return hits_l2 ? 2 : 3;
  }
  const MmuStats& stats() { return mmu.stats(); }

  MmuConfig config;
  Clock clock{Frequency{1e9}};
  EventQueue queue;
  PhysicalMemory memory;
  PageTable table;
  Dram dram;
  Mmu mmu;
  WalkRequest request;
  Event done = event<&MmuBench::answered>(this, "test.done", Phase::cpu);
  void answered() {}
};

TEST(Mmu, AWalkFillsBothLevelsAndAnL2HitFillsL1) {
  MmuBench bench;
  const std::uint32_t sets = bench.config.l1d[0].sets, ways = bench.config.l1d[0].ways_for(PageSize::k4K);
  for (std::uint32_t i = 0; i <= ways; ++i) bench.map(kPage + i * sets * kPageBytes);
  EXPECT_EQ(bench.refer(kPage), 3U);
  EXPECT_EQ(bench.refer(kPage), 1U);
  for (std::uint32_t i = 1; i <= ways; ++i) bench.refer(kPage + i * sets * kPageBytes);  // kPage leaves L1
  EXPECT_EQ(bench.refer(kPage), 2U);
  EXPECT_EQ(bench.refer(kPage), 1U);
}

TEST(Mmu, CountsHitsAndMissesByPageSize) {
  MmuBench bench;
  const std::array<VirtAddr, 3> pages{kPage, VirtAddr{1ULL << 33}, VirtAddr{1ULL << 34}};
  for (unsigned size = 0; size < kPageSizes; ++size) {
    bench.map(pages[size], PageSize(size));
    for (unsigned i = 0; i <= size; ++i) bench.refer(pages[size] + i * 64);
  }
  for (unsigned size = 0; size < kPageSizes; ++size) {
    EXPECT_EQ(bench.stats().l1d.misses_by[size], 1U);
    EXPECT_EQ(bench.stats().l2.misses_by[size], 1U);
    EXPECT_EQ(bench.stats().l1d.hits_by[size], size);
    EXPECT_EQ(bench.stats().l2.hits_by[size], 0U);
  }
  EXPECT_EQ(bench.stats().l1d.hits, 3U);
  EXPECT_EQ(bench.stats().l1d.misses, 3U);
  EXPECT_EQ(bench.stats().walks, 3U);
}

TEST(Mmu, FetchesHaveTheirOwnL1AndShareTheL2) {
  MmuBench bench;
  bench.map(kPage);
  EXPECT_EQ(bench.refer(kPage), 3U);
  EXPECT_EQ(bench.refer(kPage, true), 2U);
  EXPECT_EQ(bench.refer(kPage, true), 1U);
  EXPECT_EQ(bench.stats().l1i.misses, 1U);
  EXPECT_EQ(bench.stats().l2.hits, 1U);
}

TEST(Mmu, ASplitL2KeepsTheSidesApart) {
  MmuConfig config;
  config.l2i = config.l2d = config.l2;
  MmuBench bench(config);
  bench.map(kPage);
  EXPECT_EQ(bench.refer(kPage), 3U);
  EXPECT_EQ(bench.refer(kPage, true), 3U);
  EXPECT_EQ(bench.stats().l2d.misses, 1U);
  EXPECT_EQ(bench.stats().l2i.misses, 1U);
  EXPECT_EQ(bench.stats().l2.misses, 0U);
}

TEST(Mmu, AWriteToACleanEntryWalksOnceMore) {
  MmuBench bench;
  bench.map(kPage);
  bench.refer(kPage);
  EXPECT_FALSE(bench.table.pte(kPage)->dirty());
  EXPECT_EQ(bench.refer(kPage, false, true), 1U);
  EXPECT_TRUE(bench.table.pte(kPage)->dirty());
  EXPECT_EQ(bench.refer(kPage, false, true), 1U);
  EXPECT_EQ(bench.stats().walks, 2U);
  EXPECT_EQ(bench.stats().walks_repeated, 1U);
  EXPECT_EQ(bench.stats().walks + bench.stats().walks_merged, bench.stats().l2.misses + bench.stats().walks_repeated);
}

TEST(Mmu, TheDirtyBitReachesTheL2Entry) {
  MmuBench bench;
  const std::uint32_t sets = bench.config.l1d[0].sets;
  for (std::uint32_t i = 0; i < 6; ++i) bench.map(kPage + i * sets * kPageBytes);
  bench.refer(kPage), bench.refer(kPage, false, true);
  for (std::uint32_t i = 1; i < 6; ++i) bench.refer(kPage + i * sets * kPageBytes);
  const std::uint64_t walks = bench.stats().walks;
  EXPECT_EQ(bench.refer(kPage, false, true), 2U);
  EXPECT_EQ(bench.stats().walks, walks);
}

TEST(Mmu, KeepsOrFlushesOnASwitchAsTheMachineHasAsids) {
  for (const bool asids : {true, false}) {
    MmuConfig config;
    config.asids = asids;
    MmuBench bench(config);
    bench.map(kPage);
    bench.refer(kPage);
    bench.mmu.set_space({&bench.table, 1});
    EXPECT_EQ(bench.refer(kPage), 1U) << "the same space: nothing to flush";
    PageTable other(bench.memory, 4);
    bench.mmu.set_space({&other, 2});
    bench.mmu.set_space({&bench.table, 1});
    EXPECT_EQ(bench.refer(kPage), asids ? 1U : 3U);
  }
}

TEST(Mmu, AFlushDropsEntriesOfAllLevelsAndPagingStructures) {
  MmuBench bench;
  bench.map(kPage), bench.map(kPage + kPageBytes);
  bench.refer(kPage), bench.refer(kPage + kPageBytes), bench.refer(kPage, true);
  const std::uint64_t refs = bench.stats().walk_refs;
  bench.mmu.flush_range(1, {kPage, kPage + kPageBytes});
  EXPECT_EQ(bench.stats().flushed_pages, 3U);
  EXPECT_EQ(bench.refer(kPage + kPageBytes), 1U);
  EXPECT_EQ(bench.refer(kPage), 3U);
  EXPECT_EQ(bench.stats().walk_refs, refs + 4);
  bench.mmu.flush_asid(1);
  EXPECT_EQ(bench.refer(kPage + kPageBytes), 3U);
  EXPECT_EQ(bench.stats().flushes, 2U);
}

TEST(Mmu, KnowsWhatWouldFault) {
  MmuBench bench;
  bench.map(kPage, PageSize::k4K, Pte::kPresent | Pte::kNoExec);
  EXPECT_FALSE(bench.mmu.would_fault(kPage, false, false));
  EXPECT_TRUE(bench.mmu.would_fault(kPage, false, true));
  EXPECT_TRUE(bench.mmu.would_fault(kPage, true, false));
  EXPECT_TRUE(bench.mmu.would_fault(kPage + kPageBytes, false, false));
  EXPECT_TRUE(bench.mmu.would_fault(kPage + kGiB, false, false));
}

TEST(MmuDeathTest, TheCheckFindsEntriesThatDisagreeWithThePageTable) {
  MmuBench bench;
  bench.map(kPage);
  bench.refer(kPage);
  const auto all = [](VirtRange) { return true; };
  bench.mmu.check_against(1, bench.table, all);
  *bench.table.pte(kPage) = Pte::make(Pfn{1}, kClean);
  EXPECT_DEATH(bench.mmu.check_against(1, bench.table, all), "TLB maps 0x100000000 of space 1 to frame 0x100000");
  *bench.table.pte(kPage) = Pte{};
  EXPECT_DEATH(bench.mmu.check_against(1, bench.table, all), "which the page table does not map");
  *bench.table.pte(kPage) = Pte::make(Pfn{kPage.value >> kPageShift}, Pte::kPresent);
  EXPECT_DEATH(bench.mmu.check_against(1, bench.table, all), "be written, the page table does not");
  bench.mmu.check_against(1, bench.table, [](VirtRange) { return false; });
}

}  // namespace
}  // namespace collapsar
