#include "models/cpu/miss_list.h"

#include <gtest/gtest.h>

#include <vector>

#include "sim/core/random.h"

namespace collapsar {
namespace {

struct NoSlot {};
using Misses = MissList<NoSlot>;

Misses::Miss miss_of(std::uint64_t instruction, std::int64_t done_at) {
  return {instruction, 0, done_at, nullptr, false, false};
}

std::vector<std::uint64_t> instructions_of(const Misses& misses) {
  std::vector<std::uint64_t> instructions;
  for (const Misses::Miss& miss : misses) instructions.push_back(miss.instruction);
  return instructions;
}

TEST(MissList, TakesOutWhatIsDoneAndKeepsTheOrderOfTheRest) {
  Misses misses(4);
  for (std::uint64_t i = 0; i < 4; ++i) misses.ends_at(misses.add(miss_of(i, Misses::kUnknown)), i % 2 ? 10 : 20);
  EXPECT_EQ(misses.first_done(), 10);
  std::vector<std::uint64_t> done;
  misses.take_done(10, [&](const Misses::Miss& miss) { done.push_back(miss.instruction); });
  EXPECT_EQ(done, (std::vector<std::uint64_t>{3, 1}));
  EXPECT_EQ(instructions_of(misses), (std::vector<std::uint64_t>{0, 2}));
  EXPECT_EQ(misses.first_done(), 20);
  misses.take_done(19, [](const Misses::Miss&) { FAIL(); });
  misses.take_done(20, [](const Misses::Miss&) {});
  EXPECT_TRUE(misses.empty());
  EXPECT_EQ(misses.first_done(), Misses::kUnknown);
}

TEST(MissList, AgreesWithAPlainListWhereverMissesLeave) {
  constexpr std::size_t kCapacity = 5;
  Misses misses(kCapacity);
  std::vector<Misses::Miss> plain;
  Random random(1, "misses");
  for (std::uint64_t i = 0; i < 20'000; ++i) {
    const bool is_full = plain.size() == kCapacity;
    if (!is_full && random.below(2)) {
      const auto done_at = std::int64_t(i + random.below(8));
      misses.ends_at(misses.add(miss_of(i, Misses::kUnknown)), done_at);
      plain.push_back(miss_of(i, done_at));
    } else if (!plain.empty() && random.below(4) == 0) {
      const std::size_t at = random.below(plain.size());
      misses.erase(misses.begin()[at]);
      plain.erase(plain.begin() + std::ptrdiff_t(at));
    } else {
      misses.take_done(std::int64_t(i), [](const Misses::Miss&) {});
      std::erase_if(plain, [&](const Misses::Miss& miss) { return miss.done_at <= std::int64_t(i); });
    }
    std::vector<std::uint64_t> expected;
    for (const Misses::Miss& miss : plain) expected.push_back(miss.instruction);
    ASSERT_EQ(instructions_of(misses), expected) << i;
  }
}

TEST(MissListDeathTest, HasRoomForNoMoreThanItWasMadeFor) {
  Misses misses(1);
  misses.add(miss_of(1, 5)),
      misses.add(miss_of(2, 5));  // there is twice the room, so that the oldest leave without a move
  EXPECT_DEATH(misses.add(miss_of(3, 5)), "2 misses, one more than there is room for");
}

}  // namespace
}  // namespace collapsar
