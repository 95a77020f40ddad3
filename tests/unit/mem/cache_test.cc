#include "models/mem/cache.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <deque>
#include <list>

#include "sim/core/random.h"

namespace collapsar {
namespace {

constexpr std::uint64_t kLine = 64;
constexpr double kHertz = 2e9;  // a cycle is 500 ps
constexpr Duration kCycle{500};

// Two lines in each of four L1D sets, small L2 and L3, ideal memory.
CachesConfig small() {
  CachesConfig config;
  config.l1d = {Bytes{8 * kLine}, 2, 4, false, false, CacheReplacement::lru};
  config.l2 = CacheLevelConfig{Bytes{32 * kLine}, 4, 14, false, false, CacheReplacement::lru};
  config.l3 = CacheLevelConfig{Bytes{96 * kLine}, 8, 50, true, false, CacheReplacement::lru};
  return config;
}

struct CacheBench {
  explicit CacheBench(const CachesConfig& config, std::uint32_t cpus = 1)
      : dram(queue, ideal()), caches(queue, dram, config, cpus, Clock(Frequency{kHertz})) {}
  static DramConfig ideal() {
    DramConfig config;
    config.ideal = std::chrono::nanoseconds(60);
    return config;
  }
  struct Miss {
    explicit Miss(CacheBench& owner) : bench(owner) {}
    void answered() { finished = bench.queue.now(); }
    CacheBench& bench;
    LineFetch fetch;
    Time finished = kNever;
    Event done = event<&Miss::answered>(this, "test.answered", Phase::cpu);
  };
  Miss& fetch(std::uint64_t line, bool write = false, std::uint32_t cpu = 0, CacheEntry entry = CacheEntry::l1d) {
    Miss& miss = misses.emplace_back(*this);
    caches.fetch(miss.fetch, cpu, {line * kLine}, write, entry, miss.done);
    return miss;
  }
  CacheHierarchy::Lookup access(std::uint64_t line, bool write = false, std::uint32_t cpu = 0,
                                CacheEntry entry = CacheEntry::l1d) {
    return caches.access(cpu, {line * kLine}, write, entry);
  }
  // Brings a line in from wherever it is; returns the level that had it.
  std::uint32_t load(std::uint64_t line, bool write = false, std::uint32_t cpu = 0) {
    if (caches.hit_l1d(cpu, {line * kLine}, write)) return 1;
    const CacheHierarchy::Lookup lookup = access(line, write, cpu);
    if (lookup.level == CacheHierarchy::kMemory) {
      fetch(line, write, cpu);
      queue.run();
    }
    return lookup.level;
  }

  EventQueue queue;
  Dram dram;
  CacheHierarchy caches;
  std::deque<Miss> misses;
};

// Sets in order of use, the last first.
void compare_with_plain_lists(std::uint64_t sets, std::uint32_t ways) {
  CacheArray array(sets, ways, CacheReplacement::lru);
  std::vector<std::list<std::pair<std::uint64_t, bool>>> plain(sets);
  Random random(sets, "test");
  for (int i = 0; i < 20'000; ++i) {
    const std::uint64_t line = (random.below(4) << 28) + random.below(sets * ways);
    const bool write = random.below(4) == 0;
    auto& set = plain[line % sets];
    const auto found = std::find_if(set.begin(), set.end(), [&](const auto& entry) { return entry.first == line; });
    if (const std::uint64_t what = random.below(16); what == 0) {
      const auto expected = found == set.end() ? CacheArray::Removed::absent
                            : found->second    ? CacheArray::Removed::dirty
                                               : CacheArray::Removed::clean;
      ASSERT_EQ(array.remove(line), expected);
      if (found != set.end()) set.erase(found);
      continue;
    } else if (what == 1) {
      ASSERT_EQ(array.mark_dirty(line), found != set.end());
      if (found != set.end()) found->second = true;
      continue;
    }
    ASSERT_EQ(array.touch(line, write), found != set.end());
    if (found != set.end()) {
      found->second |= write;
      set.splice(set.begin(), set, found);
      continue;
    }
    const CacheArray::Victim victim = array.insert(line, write);
    set.emplace_front(line, write);
    ASSERT_EQ(victim.line, set.size() > ways ? set.back().first : CacheArray::kNoLine);
    ASSERT_EQ(victim.dirty, set.size() > ways && set.back().second);
    if (set.size() > ways) set.pop_back();
  }
}

TEST(CacheArray, AgreesWithAPlainLruListForAnyNumberOfSets) {
  for (const std::uint64_t sets : {1U, 4U, 5U, 12U, 37U}) compare_with_plain_lists(sets, 6);
}

TEST(CacheArray, AgreesWithAPlainLruListForAnyNumberOfWays) {
  for (const std::uint32_t ways : {1U, 2U, 8U, 11U, 12U, 13U, 16U, 17U, 32U, 33U, 64U})
    compare_with_plain_lists(3, ways);
}

TEST(CacheArray, FindsTheSetOfLargeAddressesWithoutADivision) {
  for (const std::uint64_t sets : {3U, 20'480U, 1'048'575U}) {
    CacheArray array(sets, 1, CacheReplacement::lru);
    const std::uint64_t end =
        std::min(0xFFFFFFFFULL << (std::bit_width(sets) - 1), 1ULL << 44);  // of the lines it takes
    const std::uint64_t high = (end / sets - 1) * sets;
    array.insert(high - 1, false);  // the last set
    EXPECT_EQ(array.insert(high, false).line, CacheArray::kNoLine);
    EXPECT_EQ(array.insert(0, false).line, high);
    EXPECT_EQ(array.insert(sets - 1, false).line, high - 1);
  }
}

TEST(CacheArray, TreePlruEvictsFromTheHalfNotUsedLast) {
  CacheArray array(1, 4, CacheReplacement::plru);
  for (std::uint64_t line = 0; line < 4; ++line) EXPECT_EQ(array.insert(line, false).line, CacheArray::kNoLine);
  EXPECT_TRUE(array.touch(0, false));  // so the older half is ways 2, 3, and of these 3 came last
  EXPECT_EQ(array.insert(4, false).line, 2U);
  EXPECT_EQ(array.insert(5, false).line, 1U);
}

TEST(CacheArray, RemoveMakesRoom) {
  for (const CacheReplacement replacement : {CacheReplacement::lru, CacheReplacement::plru}) {
    CacheArray array(1, 2, replacement);
    array.insert(1, true);
    array.insert(2, false);
    EXPECT_EQ(array.remove(3), CacheArray::Removed::absent);
    EXPECT_EQ(array.remove(1), CacheArray::Removed::dirty);
    EXPECT_EQ(array.remove(1), CacheArray::Removed::absent);
    EXPECT_EQ(array.insert(3, false).line, CacheArray::kNoLine);
    EXPECT_EQ(array.remove(2), CacheArray::Removed::clean);
  }
}

TEST(CacheHierarchy, TellsWhereALineIsAndWhatItTakes) {
  const CachesConfig config = small();
  CacheBench bench(config);
  EXPECT_FALSE(bench.caches.hit_l1d(0, {0}, false));
  const auto miss = bench.access(0);
  EXPECT_EQ(miss.level, CacheHierarchy::kMemory);
  EXPECT_EQ(miss.latency, config.l3->latency);
  bench.fetch(0);
  bench.queue.run();
  EXPECT_TRUE(bench.caches.hit_l1d(0, {63}, false));
  EXPECT_EQ(bench.caches.l1d_latency(), config.l1d.latency);
  bench.load(4), bench.load(8);  // the same L1D set: 0 goes to L2 only
  const auto l2 = bench.access(0);
  EXPECT_EQ(l2.level, 2U);
  EXPECT_EQ(l2.latency, config.l2->latency);
  EXPECT_TRUE(bench.caches.hit_l1d(0, {0}, false));  // and is back
  EXPECT_EQ(bench.caches.stats(1).hits, 2U);
  EXPECT_EQ(bench.caches.stats(1).misses, 4U);
  EXPECT_EQ(bench.caches.stats(2).hits, 1U);
  EXPECT_EQ(bench.caches.stats(2).misses, 3U);
  EXPECT_EQ(bench.caches.stats(3).misses, 3U);
}

TEST(CacheHierarchy, AnL3HitFillsTheLevelsAbove) {
  CacheBench bench(small());
  for (std::uint64_t i = 0; i < 5; ++i) bench.load(i * 8);  // set 0 of L2 has 4 ways; L3 holds them all
  EXPECT_EQ(bench.load(0), 3U);
  EXPECT_EQ(bench.load(0), 1U);
  EXPECT_EQ(bench.access(0, false, 0, CacheEntry::l2).level, 2U);
}

TEST(CacheHierarchy, AMissTakesTheLastLatencyPlusMemory) {
  const CachesConfig config = small();
  CacheBench bench(config);
  CacheBench::Miss& miss = bench.fetch(0);
  const Time end = Time(config.l3->latency * kCycle + bench.dram.unloaded_read());
  bench.queue.run_until(end - Duration(1));
  EXPECT_EQ(miss.finished, kNever);
  EXPECT_TRUE(miss.fetch.busy());
  EXPECT_FALSE(bench.caches.hit_l1d(0, {0}, false));
  bench.queue.run_until(end);
  EXPECT_EQ(miss.finished, end);
  EXPECT_FALSE(miss.fetch.busy());
  EXPECT_TRUE(bench.caches.hit_l1d(0, {0}, false));
}

TEST(CacheHierarchy, MissesOfOneLineShareOneReadOfMemory) {
  const CachesConfig config = small();
  CacheBench bench(config, 2);
  CacheBench::Miss& first = bench.fetch(7);
  const Time end = Time(config.l3->latency * kCycle + bench.dram.unloaded_read());
  bench.queue.run_until(end - Duration(1));
  CacheBench::Miss& joined = bench.fetch(7, true);
  CacheBench::Miss& elsewhere = bench.fetch(7, false, 1);
  bench.queue.run();
  EXPECT_EQ(first.finished, end);
  EXPECT_EQ(joined.finished, end);
  EXPECT_EQ(elsewhere.finished, end - Duration(1) + config.l3->latency * kCycle);  // it still had to reach the L3
  EXPECT_EQ(bench.dram.stats().reads, 1U);
  EXPECT_EQ(bench.caches.stats(3).merged, 2U);
  EXPECT_TRUE(bench.caches.hit_l1d(1, {7 * kLine}, false));
  bench.fetch(7);
  bench.queue.run();
  EXPECT_EQ(bench.dram.stats().reads, 2U);  // no longer in flight
}

TEST(CacheHierarchy, CpusWithoutASharedLevelReadForThemselves) {
  CachesConfig config = small();
  config.l3->shared = false;
  CacheBench bench(config, 2);
  bench.fetch(7), bench.fetch(7, false, 1);
  bench.queue.run();
  EXPECT_EQ(bench.dram.stats().reads, 2U);
  EXPECT_EQ(bench.caches.stats(3).merged, 0U);
}

TEST(CacheHierarchy, PrivateLevelsAreEachCpusOwnAndASharedL3IsNot) {
  CacheBench bench(small(), 2);
  bench.load(0, false, 0);
  EXPECT_EQ(bench.load(0, false, 1), 3U);
  EXPECT_EQ(bench.load(0, false, 1), 1U);
}

TEST(CacheHierarchy, DirtyVictimsGoDownLevelByLevelCleanOnesVanish) {
  CachesConfig config = small();
  config.l3.reset();
  config.l2 = CacheLevelConfig{Bytes{4 * kLine}, 4, 14, false, false, CacheReplacement::lru};  // one set
  CacheBench bench(config);
  bench.load(0, true);
  bench.load(4), bench.load(8);  // 0 leaves the L1D, dirty; 4 will leave clean
  EXPECT_EQ(bench.caches.stats(1).writebacks, 1U);
  bench.load(12);
  EXPECT_EQ(bench.caches.stats(1).writebacks, 1U);
  EXPECT_EQ(bench.dram.stats().writes, 0U);
  bench.load(16);  // a fifth line: the L2 lets 0 go
  EXPECT_EQ(bench.caches.stats(2).writebacks, 1U);
  EXPECT_EQ(bench.dram.stats().writes, 1U);
}

TEST(CacheHierarchy, AnInclusiveL3TakesItsVictimOutAboveAndKeepsTheNewerData) {
  CachesConfig config = small();
  config.l3 = CacheLevelConfig{Bytes{2 * kLine}, 2, 50, true, true, CacheReplacement::lru};  // one set of two lines
  CacheBench bench(config, 2);
  bench.load(0, true, 0);
  bench.load(1, false, 1);
  bench.load(2, false, 1);  // 0 leaves the L3, and so CPU 0's L1D, where its data was newest
  EXPECT_FALSE(bench.caches.hit_l1d(0, {0}, false));
  EXPECT_EQ(bench.caches.stats(3).writebacks, 1U);
  EXPECT_EQ(bench.dram.stats().writes, 1U);
  EXPECT_EQ(bench.load(0), CacheHierarchy::kMemory);

  config.l3->inclusive = false;
  CacheBench other(config, 2);
  other.load(0, true, 0);
  other.load(1, false, 1), other.load(2, false, 1);
  EXPECT_TRUE(other.caches.hit_l1d(0, {0}, false));
}

TEST(CacheHierarchy, WalkerReadsMayEnterAtL2AndLeaveTheL1Alone) {
  CacheBench bench(small());
  EXPECT_EQ(bench.access(0, false, 0, CacheEntry::l2).level, CacheHierarchy::kMemory);
  bench.fetch(0, false, 0, CacheEntry::l2);
  bench.queue.run();
  EXPECT_FALSE(bench.caches.hit_l1d(0, {0}, false));
  EXPECT_EQ(bench.access(0, false, 0, CacheEntry::l2).level, 2U);
  EXPECT_EQ(bench.caches.stats(1).misses, 0U);
}

TEST(CacheHierarchy, FetchesUseTheL1iWhereThereIsOne) {
  CachesConfig config = small();
  config.l1i = config.l1d;
  CacheBench bench(config);
  EXPECT_TRUE(bench.caches.has_level(0));
  bench.access(0, false, 0, CacheEntry::l1i);
  bench.fetch(0, false, 0, CacheEntry::l1i);
  bench.queue.run();
  const auto hit = bench.access(0, false, 0, CacheEntry::l1i);
  EXPECT_EQ(hit.level, 1U);
  EXPECT_EQ(hit.latency, config.l1i->latency);
  EXPECT_EQ(bench.caches.stats(0).hits, 1U);
  EXPECT_FALSE(bench.caches.hit_l1d(0, {0}, false));
}

TEST(CachesConfig, RefusesImpossibleGeometry) {
  const auto refuses = [](auto change) {
    CachesConfig config;
    change(config);
    try {
      config.validate();
    } catch (const std::invalid_argument&) {
      return true;
    }
    return false;
  };
  EXPECT_FALSE(refuses([](CachesConfig&) {}));  // 13.75 MiB in 11 ways: 20,480 sets
  EXPECT_TRUE(refuses([](CachesConfig& c) { c.line = 128; }));
  EXPECT_TRUE(refuses([](CachesConfig& c) { c.l1d.ways = 7; }));
  EXPECT_TRUE(refuses([](CachesConfig& c) { c.l1d.ways = 0; }));
  EXPECT_TRUE(refuses([](CachesConfig& c) { c.l1d.size = Bytes{0}; }));
  EXPECT_TRUE(refuses([](CachesConfig& c) { c.l3->replacement = CacheReplacement::plru; }));
  EXPECT_TRUE(refuses([](CachesConfig& c) { c.l2->shared = true; }));
}

}  // namespace
}  // namespace collapsar
