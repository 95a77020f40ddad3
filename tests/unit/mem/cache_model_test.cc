// The caches against a plain model of the same rules, on random loads and stores: the same hits in every level, the same
// lines written back, and in the end no store lost.
#include <gtest/gtest.h>

#include <array>
#include <deque>
#include <list>
#include <set>

#include "models/mem/cache.h"
#include "sim/core/random.h"

namespace collapsar {
namespace {

constexpr std::uint64_t kLineBytes = 64;

// One level: a list of (line, dirty) for each set, the most recent first.
struct PlainLevel {
  PlainLevel(const CacheLevelConfig& c)
      : ways(c.ways), is_inclusive(c.inclusive), sets(c.size.value / (kLineBytes * c.ways)) {}
  using Set = std::list<std::pair<std::uint64_t, bool>>;
  Set& set_of(std::uint64_t line) { return sets[line % sets.size()]; }
  Set::iterator find(std::uint64_t line) {
    Set& set = set_of(line);
    return std::find_if(set.begin(), set.end(), [&](auto& entry) { return entry.first == line; });
  }
  bool has(std::uint64_t line) { return find(line) != set_of(line).end(); }
  bool touch(std::uint64_t line, bool write) {
    Set& set = set_of(line);
    const auto at = find(line);
    if (at == set.end()) return false;
    at->second |= write;
    set.splice(set.begin(), set, at);
    return true;
  }
  std::uint32_t ways;
  bool is_inclusive;
  std::vector<Set> sets;
  std::uint64_t hits = 0, writebacks = 0;
};

// A private L1D and L2 and an L3, in front of memory.
class PlainCaches {
 public:
  explicit PlainCaches(const CachesConfig& c) : levels{PlainLevel(c.l1d), PlainLevel(*c.l2), PlainLevel(*c.l3)} {}
  void access(std::uint64_t line, bool write) {
    std::size_t found = 0;
    while (found < levels.size() && !levels[found].touch(line, write && found == 0)) ++found;
    if (found < levels.size()) ++levels[found].hits;
    for (std::size_t i = found; i-- > 0;) put(i, line, write && i == 0);
  }
  std::array<PlainLevel, 3> levels;
  std::uint64_t written = 0;  // lines, to memory

 private:
  void put(std::size_t level, std::uint64_t line, bool dirty) {
    PlainLevel& here = levels[level];
    auto& set = here.set_of(line);
    set.emplace_front(line, dirty);
    if (set.size() <= here.ways) return;
    auto [victim, is_dirty] = set.back();
    set.pop_back();
    if (here.is_inclusive)
      for (std::size_t above = level; above-- > 0;)
        if (const auto at = levels[above].find(victim); at != levels[above].set_of(victim).end()) {
          is_dirty |= at->second;
          levels[above].set_of(victim).erase(at);
        }
    if (!is_dirty) return;
    ++here.writebacks;
    if (level + 1 == levels.size()) ++written;
    else if (const auto at = levels[level + 1].find(victim); at != levels[level + 1].set_of(victim).end())
      at->second = true;
    else put(level + 1, victim, true);
  }
};

struct Shape {
  const char* name;
  bool is_l2_inclusive, is_l3_inclusive;
};
class CacheModel : public ::testing::TestWithParam<Shape> {
 protected:
  static CachesConfig config() {
    CachesConfig c;
    c.l1d = {Bytes{8 * kLineBytes}, 2, 4, false, false, CacheReplacement::lru};
    c.l2 = CacheLevelConfig{Bytes{24 * kLineBytes}, 3, 14, false, GetParam().is_l2_inclusive, CacheReplacement::lru};
    c.l3 = CacheLevelConfig{Bytes{60 * kLineBytes}, 5, 50, true, GetParam().is_l3_inclusive, CacheReplacement::lru};
    return c;
  }
};

// The caches under test, one access after the other.
class CacheModelBench {
 public:
  explicit CacheModelBench(const CachesConfig& config)
      : dram(queue, ideal()), caches(queue, dram, config, 1, Clock(Frequency{2e9})) {}
  void access(std::uint64_t line, bool write) {
    const PhysAddr address{line * kLineBytes};
    if (caches.hit_l1d(0, address, write)) return;
    if (caches.access(0, address, write, CacheEntry::l1d).level != CacheHierarchy::kMemory) return;
    caches.fetch(fetch, 0, address, write, CacheEntry::l1d, done);
    queue.run();
  }

 private:
  static DramConfig ideal() {
    DramConfig config;
    config.ideal = std::chrono::nanoseconds(60);
    return config;
  }
  void arrived() {}
  EventQueue queue;

 public:
  Dram dram;
  CacheHierarchy caches;

 private:
  LineFetch fetch;
  Event done = event<&CacheModelBench::arrived>(this, "test.arrived", Phase::cpu);
};

TEST_P(CacheModel, AgreesWithAPlainOneAndKeepsInclusion) {
  CacheModelBench bench(config());
  PlainCaches plain(config());
  Random random(1, "cache_model_test");
  for (int i = 0; i < 50'000; ++i) {
    const std::uint64_t line = random.below(4) == 0 ? random.below(400) : random.below(40);
    const bool write = random.below(3) == 0;
    bench.access(line, write);
    plain.access(line, write);
    for (std::uint32_t level = 0; level < 3; ++level) {
      ASSERT_EQ(bench.caches.stats(level + 1).hits, plain.levels[level].hits)
          << "level " << level + 1 << ", access " << i;
      ASSERT_EQ(bench.caches.stats(level + 1).writebacks, plain.levels[level].writebacks) << level + 1 << ", " << i;
      for (std::uint32_t above = 0; plain.levels[level].is_inclusive && above < level; ++above)
        for (const auto& set : plain.levels[above].sets)
          for (const auto& entry : set) ASSERT_TRUE(plain.levels[level].has(entry.first));
    }
    ASSERT_EQ(bench.dram.stats().writes, plain.written);
  }
}

TEST_P(CacheModel, WritesEveryStoredLineToMemoryInTheEnd) {
  CacheModelBench bench(config());
  constexpr std::uint64_t kStored = 30;
  for (std::uint64_t line = 0; line < kStored; ++line) bench.access(line, true);
  for (std::uint64_t line = 1000; line < 1400; ++line) bench.access(line, false);
  EXPECT_EQ(bench.dram.stats().writes, kStored);
}

INSTANTIATE_TEST_SUITE_P(Shapes, CacheModel,
                         ::testing::Values(Shape{"plain", false, false}, Shape{"l3_inclusive", false, true},
                                           Shape{"both_inclusive", true, true}),
                         [](const auto& param) { return std::string(param.param.name); });

}  // namespace
}  // namespace collapsar
