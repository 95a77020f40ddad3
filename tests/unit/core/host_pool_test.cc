#include "sim/core/host_pool.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <vector>

namespace collapsar {
namespace {

struct Thing {
  std::array<std::uint64_t, 100> values{};
};

TEST(HostPool, GivesRoomsThatDoNotOverlapAndAreFresh) {
  HostPool<Thing> pool;
  std::vector<Thing*> things;
  for (std::uint64_t i = 0; i < 10'000; ++i) {  // several huge pages of the host
    things.push_back(pool.make());
    ASSERT_EQ(things.back()->values, Thing{}.values) << i;
    things.back()->values.fill(i);
  }
  for (std::uint64_t i = 0; i < things.size(); ++i) {
    ASSERT_EQ(things[i]->values.front(), i);
    ASSERT_EQ(things[i]->values.back(), i);
  }
  std::sort(things.begin(), things.end());
  for (std::size_t i = 1; i < things.size(); ++i) ASSERT_GE(things[i], things[i - 1] + 1);
}

TEST(HostPool, UsesARoomAgainAndCleansIt) {
  HostPool<Thing> pool;
  Thing* const first = pool.make();
  first->values.fill(7);
  Thing* const second = pool.make();
  pool.destroy(first);
  Thing* const third = pool.make();
  EXPECT_EQ(third, first);
  EXPECT_EQ(third->values, Thing{}.values);
  EXPECT_NE(pool.make(), second);
}

}  // namespace
}  // namespace collapsar
