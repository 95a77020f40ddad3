#include "models/mmu/assoc_cache.h"

#include <gtest/gtest.h>

#include <list>
#include <set>

namespace collapsar {
namespace {

AssocCache make(std::uint32_t sets, std::uint32_t ways, Replacement policy = Replacement::lru, std::uint64_t seed = 1) {
  return AssocCache(sets, ways, policy, Random(seed, "test"));
}

std::uint64_t next_use() {
  static std::uint64_t uses = 0;
  return ++uses;
}

// Looks `number` up; puts it in if it is not there. Returns whether it was.
bool use(AssocCache& cache, std::uint64_t number, std::uint32_t ways) {
  const std::uint32_t set = cache.set_of(number);
  AssocCache::Entry* const found = cache.find(set, number + 1);
  if (found) cache.touch(*found, next_use());
  else cache.insert(set, number + 1, 0, ways, next_use());
  return found != nullptr;
}

bool holds(AssocCache& cache, std::uint64_t number) { return cache.find(cache.set_of(number), number + 1) != nullptr; }

// Puts `number` in and tells where.
std::size_t place_of_new(AssocCache& cache, std::uint64_t number, std::uint32_t ways) {
  return std::size_t(cache.insert(0, number + 1, 0, ways, next_use()).entry - cache.entries().data());
}

TEST(AssocCache, AgreesWithAPlainLruListForAnyNumberOfSets) {
  for (const std::uint32_t sets : {1U, 2U, 3U, 12U, 16U, 37U, 128U}) {
    constexpr std::uint32_t kWays = 5;
    AssocCache cache = make(sets, kWays);
    std::vector<std::list<std::uint64_t>> plain(sets);
    Random random(sets, "numbers");
    for (int i = 0; i < 20'000; ++i) {
      const std::uint64_t number = random.below(std::uint64_t{sets} * 8) + (random.below(3) << 33);
      std::list<std::uint64_t>& set = plain[number % sets];
      const auto found = std::find(set.begin(), set.end(), number);
      ASSERT_EQ(use(cache, number, kWays), found != set.end()) << i;
      if (found != set.end()) set.erase(found);
      set.push_front(number);
      if (set.size() > kWays) set.pop_back();
    }
  }
}

TEST(AssocCache, FindsTheSetOfEveryPageNumberWithoutADivision) {
  Random random(1, "numbers");
  for (const std::uint32_t sets : {1U, 3U, 7U, 96U, 128U, 1000U, 65535U, 65536U}) {
    const AssocCache cache = make(sets, 1);
    for (int i = 0; i < 1000; ++i) {
      const std::uint64_t number = random.next() >> 16;
      ASSERT_EQ(cache.set_of(number), number % sets);
    }
  }
}

TEST(AssocCache, FindDoesNotChangeRecency) {
  AssocCache cache = make(1, 2);
  use(cache, 1, 2), use(cache, 2, 2);
  ASSERT_TRUE(holds(cache, 1));
  use(cache, 3, 2);
  EXPECT_FALSE(holds(cache, 1));
  EXPECT_TRUE(holds(cache, 2));
}

TEST(AssocCache, ConfinesAKeyToTheFirstWaysOfItsSet) {
  AssocCache cache = make(1, 4);
  for (std::uint64_t number = 0; number < 4; ++number) use(cache, number, 4);
  use(cache, 10, 2), use(cache, 11, 2), use(cache, 12, 2);  // in the places of 0 and 1 only
  EXPECT_TRUE(holds(cache, 2) && holds(cache, 3) && holds(cache, 11) && holds(cache, 12));
  EXPECT_FALSE(holds(cache, 0) || holds(cache, 1) || holds(cache, 10));
  use(cache, 13, 4);  // any way: the oldest of the whole set goes
  EXPECT_FALSE(holds(cache, 2));
}

TEST(AssocCache, FillsWaysThatWereErasedFirst) {
  for (const Replacement policy : {Replacement::lru, Replacement::plru, Replacement::random}) {
    AssocCache cache = make(1, 4, policy);
    for (std::uint64_t number = 0; number < 4; ++number) use(cache, number, 4);
    cache.erase(*cache.find(0, 3));
    use(cache, 9, 4);
    for (const std::uint64_t number : {0, 1, 3, 9}) EXPECT_TRUE(holds(cache, number));
    cache.clear();
    for (const std::uint64_t number : {0, 1, 3, 9}) EXPECT_FALSE(holds(cache, number));
  }
}

// Four ways, root A over B (ways 0 1) and C (ways 2 3); each use points its nodes away.
TEST(AssocCache, PlruFollowsTheTree) {
  AssocCache cache = make(1, 4, Replacement::plru);
  for (std::uint64_t number = 0; number < 4; ++number) use(cache, number, 4);  // now A and B point left, C left
  use(cache, 0, 4);                                                            // A right, B right
  use(cache, 10, 4);  // A right, C left: way 2 goes; then A left, C right
  EXPECT_FALSE(holds(cache, 2));
  use(cache, 11, 4);  // A left, B right: way 1 goes
  EXPECT_FALSE(holds(cache, 1));
  EXPECT_TRUE(holds(cache, 0) && holds(cache, 3) && holds(cache, 10) && holds(cache, 11));
}

TEST(AssocCache, PlruNeverEvictsTheLastUsedAndUsesAllWaysOfAnyNumber) {
  for (const std::uint32_t ways : {1U, 2U, 3U, 5U, 6U, 8U, 12U, 72U}) {
    AssocCache cache = make(1, ways, Replacement::plru);
    for (std::uint64_t number = 0; number < ways; ++number) use(cache, number, ways);
    std::set<std::size_t> victims;
    for (std::uint64_t number = 100; number < 100 + 4 * ways; ++number) {
      victims.insert(place_of_new(cache, number, ways));
      if (ways > 1 && number > 100) {
        EXPECT_TRUE(holds(cache, number - 1)) << ways;
      }
    }
    EXPECT_EQ(victims.size(), ways);
  }
}

TEST(AssocCache, RandomReplacementRepeatsWithItsSeedAndReachesEveryWay) {
  const auto victims = [](std::uint64_t seed) {
    AssocCache cache = make(2, 6, Replacement::random, seed);
    std::vector<std::size_t> places;
    for (std::uint64_t number = 0; number < 200; ++number) places.push_back(place_of_new(cache, number, 6));
    return places;
  };
  EXPECT_EQ(victims(1), victims(1));
  EXPECT_NE(victims(1), victims(2));
  const std::vector<std::size_t> places = victims(1);
  EXPECT_EQ(std::set<std::size_t>(places.begin() + 6, places.end()).size(), 6U);
}

}  // namespace
}  // namespace collapsar
