#include "models/mmu/walker.h"

#include <gtest/gtest.h>

#include <deque>

#include "sim/core/random.h"

namespace collapsar {
namespace {

constexpr Duration kMemory = std::chrono::nanoseconds(100);  // of memory
constexpr Duration kCycle = std::chrono::nanoseconds(1);
constexpr std::uint64_t kFlags = Pte::kPresent | Pte::kUser;

MmuConfig machine(std::uint32_t walkers, unsigned levels = 4) {
  MmuConfig config;
  config.walkers = walkers, config.levels = levels;
  return config;
}

struct Ask {
  explicit Ask(EventQueue& q) : queue(q) { request.done = &event_; }
  void answered() { at = queue.now(), ++answers; }
  Duration took() const { return at - kTimeZero; }
  EventQueue& queue;
  WalkRequest request;
  Time at = kNever;
  unsigned answers = 0;
  Event event_ = event<&Ask::answered>(this, "test.answered", Phase::completion);
};

struct WalkerBench : WalkObserver {
  explicit WalkerBench(MmuConfig c, bool with_caches = false, Duration read = kMemory)
      : config(std::move(c)),
        memory(MemoryConfig{Bytes{64 * kMiB}}),
        table(memory, config.levels),
        dram(queue, ideal(read)) {
    if (with_caches) caches.emplace(queue, dram, CachesConfig{}, 1, clock);
    walker.emplace(queue, config, 0, caches ? &*caches : nullptr, dram, clock);
    walker->set_observer(this);
  }
  ~WalkerBench() override { queue.clear(); }
  static DramConfig ideal(Duration read) {
    DramConfig config;
    config.ideal = read;
    return config;
  }
  void walk_done(Asid asid, VirtAddr va, std::int64_t subcycles) override {
    observed.push_back({asid, va, subcycles / Clock::kSubcycles});
  }
  Pte& map(VirtAddr va, std::uint64_t flags = kFlags) {
    EXPECT_TRUE(table.ensure_pte_table(va));
    return *table.pte(va) = Pte::make(Pfn{++frames}, flags), *table.pte(va);
  }
  void map_huge(VirtAddr va, PageSize size) {
    EXPECT_TRUE(size == PageSize::k2M ? table.ensure_pmd_table(va) : table.ensure_pud_table(va));
    table.map_huge(va, Pte::make(Pfn{512 * 512}, kFlags | Pte::kHuge), size);
  }
  Ask& submit(VirtAddr va, Access access = Access::read, bool repeated = false, Duration begins = {}) {
    Ask& ask = asks.emplace_back(queue);
    ask.request.begins = kTimeZero + begins;
    ask.request.va = va, ask.request.space = {&table, 1};
    ask.request.is_write = access == Access::write, ask.request.is_execute = access == Access::execute;
    ask.request.repeated = repeated;
    walker->submit(ask.request);
    return ask;
  }
  Ask& walk(VirtAddr va, Access access = Access::read) {
    Ask& ask = submit(va, access);
    queue.run();
    return ask;
  }
  const WalkerStats& stats() { return walker->stats(); }

  MmuConfig config;
  Clock clock{Frequency{1e9}};
  EventQueue queue;
  PhysicalMemory memory;
  PageTable table;
  Dram dram;
  std::optional<CacheHierarchy> caches;
  std::optional<Walker> walker;
  std::deque<Ask> asks;
  std::uint64_t frames = 1000;
  struct Observed {
    Asid asid;
    VirtAddr va;
    std::int64_t cycles;
  };
  std::vector<Observed> observed;
};

constexpr VirtAddr kWalked{(3ULL << 39) + (5ULL << 30) + (7ULL << 21) + (9ULL << 12)};

TEST(Walker, ReadsOneEntryForEachLevel) {
  for (const unsigned levels : {4U, 5U}) {
    WalkerBench bench(machine(1, levels));
    bench.map(kWalked);
    const Ask& ask = bench.walk(kWalked + 123);
    EXPECT_EQ(ask.took(), levels * kMemory);
    EXPECT_FALSE(ask.request.fault);
    EXPECT_EQ(ask.request.entry.size, PageSize::k4K);
    EXPECT_EQ(ask.request.entry.leaf.pfn().value, bench.frames);
    EXPECT_EQ(bench.stats().walk_refs, levels);
    EXPECT_EQ(bench.stats().walk_subcycles, levels * (kMemory / kCycle) * Clock::kSubcycles);
    EXPECT_EQ(bench.observed.at(0).cycles, levels * (kMemory / kCycle));
  }
}

TEST(Walker, AWalkMayBeginLaterThanItIsAskedFor) {
  for (const bool with_caches : {false, true}) {
    WalkerBench bench(machine(1), with_caches), later(machine(1), with_caches);
    bench.map(kWalked), later.map(kWalked);
    const Duration at_once = bench.walk(kWalked).took();
    const Ask& ask = later.submit(kWalked, Access::read, false, 9 * kCycle);
    later.queue.run();
    EXPECT_EQ(ask.took(), 9 * kCycle + at_once) << with_caches;
    EXPECT_EQ(later.stats().walk_subcycles, bench.stats().walk_subcycles) << with_caches;
    EXPECT_EQ(later.stats().active_subcycles, bench.stats().active_subcycles) << with_caches;
  }
}

TEST(Walker, NobodyIsAnsweredBeforeHisWalkWouldBegin) {
  WalkerBench bench(machine(1));
  bench.map(kWalked);
  const Ask& first = bench.submit(kWalked);
  const Ask& joined = bench.submit(kWalked + 8, Access::read, false, 4 * kMemory + 5 * kCycle);
  bench.queue.run();
  EXPECT_EQ(bench.stats().walks_merged, 1U);
  EXPECT_EQ(first.took(), 4 * kMemory);
  EXPECT_EQ(joined.took(), 4 * kMemory + 5 * kCycle);
}

TEST(Walker, WhoWaitsForAWalkerBeginsWhenBothAreThere) {
  for (const Duration begins : {10 * kCycle, 4 * kMemory + 10 * kCycle}) {
    WalkerBench bench(machine(1));
    const VirtAddr other = kWalked + kGiB;  // of other tables but the root
    bench.map(kWalked), bench.map(other);
    bench.submit(kWalked);
    const Ask& second = bench.submit(other, Access::read, false, begins);
    bench.queue.run();
    const Duration reads = 3 * kMemory;  // the root's entry is in its paging-structure cache by then
    EXPECT_EQ(second.took(), std::max(begins, 4 * kMemory) + reads);
  }
}

TEST(Walker, AHugeLeafEndsTheWalkEarly) {
  for (const PageSize size : {PageSize::k2M, PageSize::k1G}) {
    WalkerBench bench(machine(1));
    bench.map_huge(kWalked, size);
    const Ask& ask = bench.walk(kWalked);
    EXPECT_EQ(ask.took(), (4 - unsigned(size)) * kMemory);
    EXPECT_EQ(ask.request.entry.size, size);
  }
}

TEST(Walker, BeginsBelowTheDeepestCachedEntry) {
  WalkerBench bench(machine(1));
  const std::array<VirtAddr, 4> neighbours{kWalked, kWalked + kPageBytes, kWalked + kHugeBytes, kWalked + kGiB};
  for (const VirtAddr va : neighbours) bench.map(va);
  std::uint64_t refs = 0;
  for (const auto& [va, reads] :
       {std::pair{neighbours[0], 4}, {neighbours[1], 1}, {neighbours[2], 2}, {neighbours[3], 3}}) {
    const Time start = bench.queue.now();
    EXPECT_EQ(bench.walk(va).at - start, reads * kMemory);
    EXPECT_EQ(bench.stats().walk_refs, refs += unsigned(reads));
  }
  EXPECT_EQ(bench.stats().cache_hits, (std::array<std::uint64_t, 6>{0, 0, 1, 1, 1, 0}));
}

TEST(Walker, PagingStructureCachesAreLruOfTheirSize) {
  MmuConfig config = machine(1);
  config.walk_cache = {.pml5 = 0, .pml4 = 0, .pdpt = 0, .pd = 2};
  WalkerBench bench(config);
  const auto reads = [&](unsigned region) {
    const VirtAddr va = kWalked + region * kHugeBytes;
    if (!bench.table.pte(va)) bench.map(va);
    const std::uint64_t before = bench.stats().walk_refs;
    bench.walk(va);
    return bench.stats().walk_refs - before;
  };
  EXPECT_EQ(reads(0), 4U);
  EXPECT_EQ(reads(1), 4U);
  EXPECT_EQ(reads(0), 1U);
  EXPECT_EQ(reads(2), 4U);  // in the place of 1
  EXPECT_EQ(reads(0), 1U);
  EXPECT_EQ(reads(1), 4U);
}

// A plain list for each level: what was walked through last stands first.
struct PlainWalkCaches {
  std::uint32_t sizes[6] = {};  // by level
  std::vector<std::uint64_t> lists[6];
  // Levels that a walk has to read, the leaf's at 1; what it reads above the leaf is known afterwards.
  unsigned walk(std::uint64_t va, unsigned levels) {
    unsigned reads = levels;
    for (unsigned level = 2; level <= levels; ++level) {
      const auto found = std::find(lists[level].begin(), lists[level].end(), number(va, level));
      if (found == lists[level].end()) continue;
      std::rotate(lists[level].begin(), found, found + 1);
      reads = level - 1;
      break;
    }
    for (unsigned level = 2; level <= reads; ++level) {
      if (sizes[level] == 0) continue;
      if (lists[level].size() == sizes[level]) lists[level].pop_back();
      lists[level].insert(lists[level].begin(), number(va, level));
    }
    return reads;
  }
  static std::uint64_t number(std::uint64_t va, unsigned level) { return va >> (12 + 9 * (level - 1)); }
};

TEST(Walker, ReferencesOfAWalkAreLevelsLessTheDepthThatIsCached) {
  for (const unsigned levels : {4U, 5U}) {
    MmuConfig config = machine(1, levels);
    config.walk_cache = {.pml5 = 1, .pml4 = 2, .pdpt = 3, .pd = 5};
    WalkerBench bench(config);
    PlainWalkCaches plain;
    plain.sizes[5] = 1, plain.sizes[4] = 2, plain.sizes[3] = 3, plain.sizes[2] = 5;
    Random random(levels, "walker_test");
    std::vector<VirtAddr> pages;
    for (unsigned i = 0; i < 24; ++i) {
      const std::uint64_t tables = random.below(2) << 39 | random.below(2) << 30 | random.below(4) << 21;
      pages.push_back({tables | random.below(512) << 12 | (levels == 5 ? random.below(2) << 48 : 0)});
      bench.map(pages.back());
    }
    for (unsigned i = 0; i < 500; ++i) {
      const VirtAddr va = pages[random.below(pages.size())];
      const std::uint64_t before = bench.stats().walk_refs;
      const Time start = bench.queue.now();
      const unsigned reads = plain.walk(va.value, levels);
      ASSERT_EQ(bench.walk(va).at - start, reads * kMemory) << "walk " << i;
      ASSERT_EQ(bench.stats().walk_refs - before, reads) << "walk " << i;
    }
  }
}

TEST(Walker, ReadsTakeAsLongAsTheLevelWhereTheirLineIs) {
  MmuConfig config = machine(1);
  config.walk_cache = {.pml5 = 0, .pml4 = 0, .pdpt = 0, .pd = 0};
  WalkerBench bench(config, true);
  const CachesConfig defaults;
  bench.map(kWalked), bench.map(kWalked + kPageBytes);
  const Duration miss = defaults.l3->latency * kCycle + kMemory;
  EXPECT_EQ(bench.walk(kWalked).took(), 4 * miss);
  Time start = bench.queue.now();
  EXPECT_EQ(bench.walk(kWalked + kPageBytes).at - start, 4 * defaults.l1d.latency * kCycle)
      << "its PTE shares the line";

  bench.config.walk_entry = WalkEntry::l2;
  start = bench.queue.now();
  EXPECT_EQ(bench.walk(kWalked).at - start, 4 * defaults.l2->latency * kCycle);
}

// Loads the line at `pa` through the caches, as a CPU does. Returns the level that had it.
std::uint32_t load_data(WalkerBench& bench, PhysAddr pa) {
  if (bench.caches->hit_l1d(0, pa, false)) return 1;
  const CacheHierarchy::Lookup found = bench.caches->access(0, pa, false, CacheEntry::l1d);
  if (found.level != CacheHierarchy::kMemory) return found.level;
  LineFetch fetch;
  Ask arrived(bench.queue);
  bench.caches->fetch(fetch, 0, pa, false, CacheEntry::l1d, arrived.event_);
  bench.queue.run();
  return CacheHierarchy::kMemory;
}

// Lines this far apart share a set in each of the three levels.
constexpr std::uint64_t kSameSets = 20'480 * 64;
constexpr std::uint64_t kMostWays = 16;

TEST(Walker, ItsLinesAndTheDataCompeteForTheCaches) {
  WalkerBench bench(machine(1), true);
  const VirtAddr va{0x7000'0000'0000};
  bench.map(va);
  bench.walk(va);
  const PhysAddr pte = bench.table.entry_address(bench.table.cursor_at(va, 2), va);
  const Duration hit = 4 * kCycle, miss = 68 * kCycle + kMemory;  // of L1D; through all levels to memory
  Time before = bench.queue.now();
  EXPECT_EQ(bench.walk(va).at - before, hit);
  EXPECT_EQ(load_data(bench, pte), 1U);  // the same line for both
  for (std::uint64_t i = 1; i <= kMostWays; ++i) load_data(bench, pte + i * kSameSets);
  before = bench.queue.now();
  EXPECT_EQ(bench.walk(va).at - before, miss) << "the data has pushed the entry out";

  const PhysAddr data = pte + kSameSets;
  load_data(bench, data);
  EXPECT_EQ(load_data(bench, data), 1U);
  std::uint64_t walks = 0;  // of pages whose entries lie in the sets of the data
  for (VirtAddr other{0x10'0000'0000}; walks < 2 * kMostWays; other += kHugeBytes) {
    bench.map(other);
    VirtAddr page = other;
    while (page.value < other.value + kHugeBytes &&
           bench.table.entry_address(bench.table.cursor_at(other, 2), page).value / 64 % 20'480 !=
               pte.value / 64 % 20'480)
      page += kPageBytes;
    if (page.value == other.value + kHugeBytes) continue;
    bench.map(page);
    bench.walk(page);
    ++walks;
  }
  EXPECT_EQ(load_data(bench, data), CacheHierarchy::kMemory) << "the entries have pushed the data out";
}

TEST(Walker, RequestsForOnePageMerge) {
  WalkerBench bench(machine(2));
  bench.map(kWalked), bench.map(kWalked + kPageBytes);
  const Ask &first = bench.submit(kWalked), &other = bench.submit(kWalked + kPageBytes);
  bench.queue.run_until(kTimeZero + kMemory);
  const Ask &late = bench.submit(kWalked + 8), &repeated = bench.submit(kWalked, Access::read, true);
  bench.queue.run();
  EXPECT_EQ(first.took(), 4 * kMemory);
  EXPECT_EQ(late.took(), 4 * kMemory);
  EXPECT_EQ(other.took(), 4 * kMemory);
  EXPECT_EQ(repeated.took(), 5 * kMemory) << "a repeated walk is one of its own; it waits, then reads the PTE";
  EXPECT_EQ(bench.stats().walks, 3U);
  EXPECT_EQ(bench.stats().walks_merged, 1U);
  EXPECT_EQ(bench.stats().walks_repeated, 1U);
}

TEST(Walker, EachOfTheMergedGetsItsOwnAnswer) {
  WalkerBench bench(machine(1));
  const Pte& entry = bench.map(kWalked, kFlags | Pte::kNoExec);
  const Ask &read = bench.submit(kWalked), &write = bench.submit(kWalked, Access::write),
            &execute = bench.submit(kWalked, Access::execute);
  bench.queue.run();
  EXPECT_FALSE(read.request.fault);
  EXPECT_TRUE(write.request.fault && execute.request.fault);
  EXPECT_TRUE(entry.accessed() && !entry.dirty());
  EXPECT_EQ(bench.stats().walks, 1U);
}

TEST(Walker, AWriteThatJoinsSetsTheDirtyBitForAll) {
  WalkerBench bench(machine(1));
  const Pte& entry = bench.map(kWalked, kFlags | Pte::kWritable);
  const Ask &read = bench.submit(kWalked), &write = bench.submit(kWalked, Access::write);
  bench.queue.run();
  EXPECT_TRUE(entry.dirty());
  EXPECT_TRUE(read.request.entry.leaf.dirty() && write.request.entry.leaf.dirty());
}

TEST(Walker, MoreWalksThanWalkersWaitInOrder) {
  WalkerBench bench(machine(2));
  std::vector<const Ask*> asks;
  for (unsigned i = 0; i < 6; ++i) {  // regions of their own: four reads each
    bench.map(kWalked + i * (1ULL << 39));
    asks.push_back(&bench.submit(kWalked + i * (1ULL << 39)));
  }
  bench.queue.run();
  for (unsigned i = 0; i < 6; ++i) EXPECT_EQ(asks[i]->took(), (i / 2 + 1) * 4 * kMemory) << i;
  EXPECT_EQ(bench.stats().active_subcycles, 12 * (kMemory / kCycle) * Clock::kSubcycles);
  EXPECT_EQ(bench.stats().walk_subcycles, 24 * (kMemory / kCycle) * Clock::kSubcycles);
}

TEST(Walker, RequestsMergeWhileTheyWaitAndFreeNoWalkerForNothing) {
  WalkerBench bench(machine(1));
  const VirtAddr far = kWalked + (1ULL << 39), farther = kWalked + (2ULL << 39);
  for (const VirtAddr va : {kWalked, far, farther}) bench.map(va);
  bench.submit(kWalked);
  const Ask &a = bench.submit(far), &b = bench.submit(far + 64), &c = bench.submit(farther);
  bench.queue.run();
  EXPECT_EQ(a.took(), 8 * kMemory);
  EXPECT_EQ(b.took(), 8 * kMemory);
  EXPECT_EQ(c.took(), 12 * kMemory);
  EXPECT_EQ(bench.stats().walks, 3U);
  EXPECT_EQ(bench.stats().walks_merged, 1U);
}

TEST(Walker, SetsAccessedAndDirtyBitsOnlyWhereTheAccessIsAllowed) {
  WalkerBench bench(machine(1));
  const Pte& entry = bench.map(kWalked);
  EXPECT_TRUE(bench.walk(kWalked, Access::write).request.fault);
  EXPECT_FALSE(entry.accessed() || entry.dirty());
  bench.walk(kWalked);
  EXPECT_TRUE(entry.accessed() && !entry.dirty());
  bench.map(kWalked, kFlags | Pte::kWritable);
  EXPECT_TRUE(bench.walk(kWalked, Access::write).request.entry.leaf.dirty());
  EXPECT_TRUE(entry.dirty());
}

TEST(Walker, FaultsAtTheFirstEntryThatIsNotPresent) {
  WalkerBench bench(machine(1));
  bench.map(kWalked);
  const auto refs = [&](VirtAddr va) {
    bench.walker->flush(1);
    const std::uint64_t before = bench.stats().walk_refs;
    EXPECT_TRUE(bench.walk(va).request.fault);
    return bench.stats().walk_refs - before;
  };
  EXPECT_EQ(refs(kWalked + kPageBytes), 4U);
  EXPECT_EQ(refs(kWalked + kHugeBytes), 3U);
  EXPECT_EQ(refs(kWalked + kGiB), 2U);
  EXPECT_EQ(refs(kWalked + (1ULL << 39)), 1U);
  *bench.table.pte(kWalked) = Pte::make_swap(5);
  EXPECT_EQ(refs(kWalked), 4U);
  *bench.table.pte(kWalked) = Pte::make(Pfn{7}, Pte::kProtNone);
  EXPECT_EQ(refs(kWalked), 4U);
}

TEST(Walker, TheEntryCountsAsItIsWhenTheReadCompletes) {
  WalkerBench bench(machine(1));
  Pte& entry = bench.map(kWalked);
  const Ask& ask = bench.submit(kWalked);
  bench.queue.run_until(kTimeZero + 4 * kMemory - kCycle);
  entry = Pte::make(Pfn{77}, kFlags);
  bench.queue.run();
  EXPECT_EQ(ask.request.entry.leaf.pfn().value, 77U);
}

TEST(Walker, AFlushMakesWalksStartAgainAtTheRoot) {
  WalkerBench bench(machine(2));
  bench.map(kWalked);
  bench.walk(kWalked);
  const Time start = bench.queue.now();
  const Ask& ask = bench.submit(kWalked);  // would need the PTE only
  bench.queue.run_until(start + kMemory / 2);
  bench.walker->flush(2);  // another address space
  bench.walker->flush(1);
  bench.queue.run();
  EXPECT_EQ(ask.at - start, kMemory + 4 * kMemory);
  EXPECT_EQ(bench.stats().restarts, 1U);
}

TEST(Walker, AFlushOfAnotherSpaceLeavesWalksAlone) {
  WalkerBench bench(machine(1));
  bench.map(kWalked);
  const Ask& ask = bench.submit(kWalked);
  bench.queue.run_until(kTimeZero + kMemory);
  bench.walker->flush(2);
  bench.queue.run();
  EXPECT_EQ(ask.took(), 4 * kMemory);
}

TEST(Walker, ATableThatGoesAwayInMidWalkMeansAFreshStart) {
  WalkerBench bench(machine(1));
  bench.map(kWalked);
  const Ask& ask = bench.submit(kWalked);
  bench.queue.run_until(kTimeZero + 3 * kMemory);  // the PTE is being read
  PageTable::Table* const table = bench.table.detach_pte_table(kWalked);
  bench.queue.run();
  EXPECT_TRUE(ask.request.fault);
  EXPECT_EQ(ask.took(), 4 * kMemory + kMemory) << "the PTE in vain, then the PMD entry, below the cached PDPTE";
  bench.table.attach_pte_table(kWalked, table);
}

}  // namespace
}  // namespace collapsar
