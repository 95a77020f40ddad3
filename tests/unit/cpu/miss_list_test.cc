#include "models/cpu/miss_list.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <utility>
#include <vector>

#include "sim/core/random.h"

namespace collapsar {
namespace {

struct TestSlot;
using Misses = MissList<TestSlot>;
struct TestSlot {
  Misses::Miss* miss = nullptr;
};

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
  EXPECT_EQ(done, (std::vector<std::uint64_t>{1, 3}));
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
  std::array<TestSlot, kCapacity> slots;
  Random random(1, "misses");
  for (std::uint64_t i = 0; i < 20'000; ++i) {
    const bool is_full = plain.size() == kCapacity;
    TestSlot& slot = slots[random.below(kCapacity)];
    const auto done_at = std::int64_t(i + random.below(8));
    const auto with_slot =
        std::find_if(plain.begin(), plain.end(), [&](const Misses::Miss& miss) { return miss.slot == &slot; });
    if (!is_full && random.below(2)) {
      Misses::Miss& miss = misses.add(miss_of(i, Misses::kUnknown));
      plain.push_back(miss_of(i, Misses::kUnknown));
      if (!slot.miss) miss.slot = plain.back().slot = &slot, slot.miss = &miss;
      else misses.ends_at(miss, plain.back().done_at = done_at);
    } else if (with_slot != plain.end() && random.below(2)) {
      misses.erase(*std::exchange(slot.miss, nullptr));
      plain.erase(with_slot);
    } else if (with_slot != plain.end()) {
      slot.miss->slot = with_slot->slot = nullptr;
      misses.ends_at(*std::exchange(slot.miss, nullptr), with_slot->done_at = done_at);
    } else {
      misses.take_done(std::int64_t(i), [](const Misses::Miss&) {});
      std::erase_if(plain, [&](const Misses::Miss& miss) { return miss.done_at <= std::int64_t(i); });
    }
    std::vector<std::uint64_t> expected;
    std::int64_t first_done = Misses::kUnknown;
    for (const Misses::Miss& miss : plain)
      expected.push_back(miss.instruction), first_done = std::min(first_done, miss.done_at);
    ASSERT_EQ(instructions_of(misses), expected) << i;
    ASSERT_EQ(misses.first_done(), first_done) << i;
    if (plain.empty()) continue;
    ASSERT_EQ(misses.front().instruction, expected.front()) << i;
    ASSERT_EQ(misses.back().instruction, expected.back()) << i;
  }
}

TEST(MissListDeathTest, HasRoomForNoMoreThanItWasMadeFor) {
  Misses misses(1);
  misses.add(miss_of(1, Misses::kUnknown));
  EXPECT_DEATH(misses.add(miss_of(2, Misses::kUnknown)), "2 misses, one more than there is room for");
}

}  // namespace
}  // namespace collapsar
