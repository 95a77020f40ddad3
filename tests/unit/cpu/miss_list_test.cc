#include "models/cpu/miss_list.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <limits>
#include <vector>

#include "sim/core/random.h"

namespace collapsar {
namespace {

struct TestSlot {};
using Misses = MissList<TestSlot>;
using Miss = Misses::Miss;
using Ends = KnownEnds<Miss>;

Miss miss_of(std::uint64_t instruction, std::int64_t done_at) {
  return {instruction, 0, done_at, nullptr, false, false};
}

std::vector<std::uint64_t> instructions_of(const Misses& misses) {
  std::vector<std::uint64_t> instructions;
  for (const Miss& miss : misses) instructions.push_back(miss.instruction);
  return instructions;
}

TEST(MissList, KeepsTheOrderOfTheRest) {
  Misses misses(4);
  std::vector<Miss*> places;
  for (std::uint64_t i = 0; i < 4; ++i) places.push_back(&misses.add(miss_of(i, kUnknownEnd)));
  misses.erase(*places[1]), misses.erase(*places[3]);
  EXPECT_EQ(instructions_of(misses), (std::vector<std::uint64_t>{0, 2}));
  misses.add(miss_of(4, kUnknownEnd));
  EXPECT_EQ(instructions_of(misses), (std::vector<std::uint64_t>{0, 2, 4}));
}

TEST(MissList, StandsInForNone) {
  Misses misses(1);
  Miss& miss = misses.add({1, 0, kUnknownEnd, nullptr, true, false, true});
  EXPECT_TRUE(misses.front().is_fetch && misses.back().is_walking);
  misses.erase(miss);
  for (const Miss* none : {&misses.front(), &misses.back()}) {
    EXPECT_FALSE(none->is_fetch || none->is_walking);
    EXPECT_GT(none->instruction, std::uint64_t{std::numeric_limits<std::int64_t>::max()});
  }
}

TEST(KnownEnds, ComeSoonestFirst) {
  Misses misses(4);
  Ends ends(4);
  EXPECT_EQ(ends.first(), kUnknownEnd);
  for (std::uint64_t i = 0; i < 4; ++i) ends.add(misses.add(miss_of(i, i % 2 ? 10 : 20)));
  EXPECT_EQ(ends.first(), 10);
  std::vector<std::uint64_t> done;
  const auto note = [&](const Miss& miss) { done.push_back(miss.instruction); };
  ends.take_done(19, note);
  EXPECT_EQ(done, (std::vector<std::uint64_t>{1, 3}));
  EXPECT_EQ(ends.first(), 20);
  ends.take_done(20, note);
  EXPECT_EQ(done, (std::vector<std::uint64_t>{1, 3, 0, 2}));
  EXPECT_EQ(ends.first(), kUnknownEnd);
}

TEST(MissList, AgreesWithAPlainListWhereverMissesLeave) {
  constexpr std::size_t kCapacity = 5;
  Misses misses(kCapacity);
  Ends ends(kCapacity);
  struct Plain {
    Miss* miss;
    std::uint64_t instruction;
    std::int64_t done_at;
  };
  std::vector<Plain> plain;
  Random random(1, "misses");
  for (std::uint64_t i = 0; i < 20'000; ++i) {
    const auto done_at = std::int64_t(i + random.below(8));
    const auto under_way =
        std::find_if(plain.begin(), plain.end(), [](const Plain& miss) { return miss.done_at == kUnknownEnd; });
    if (plain.size() < kCapacity && random.below(2)) {
      const bool is_known = random.below(2);
      plain.push_back({&misses.add(miss_of(i, is_known ? done_at : kUnknownEnd)), i, is_known ? done_at : kUnknownEnd});
      if (is_known) ends.add(*plain.back().miss);
    } else if (under_way != plain.end() && random.below(2)) {
      misses.erase(*under_way->miss);
      plain.erase(under_way);
    } else if (under_way != plain.end()) {
      under_way->miss->done_at = under_way->done_at = done_at;
      ends.add(*under_way->miss);
    } else {
      ends.take_done(std::int64_t(i), [&](Miss& miss) { misses.erase(miss); });
      std::erase_if(plain, [&](const Plain& miss) { return miss.done_at <= std::int64_t(i); });
    }
    std::vector<std::uint64_t> expected;
    std::int64_t first_done = kUnknownEnd;
    for (const Plain& miss : plain)
      expected.push_back(miss.instruction), first_done = std::min(first_done, miss.done_at);
    ASSERT_EQ(instructions_of(misses), expected) << i;
    ASSERT_EQ(misses.size(), expected.size()) << i;
    ASSERT_EQ(ends.first(), first_done) << i;
    if (plain.empty()) continue;
    ASSERT_EQ(misses.front().instruction, expected.front()) << i;
    ASSERT_EQ(misses.back().instruction, expected.back()) << i;
  }
}

TEST(MissListDeathTest, HasRoomForNoMoreThanItWasMadeFor) {
  Misses misses(1);
  misses.add(miss_of(1, kUnknownEnd));
  EXPECT_DEATH(misses.add(miss_of(2, kUnknownEnd)), "2 misses, one more than there is room for");
}

TEST(KnownEndsDeathTest, HaveRoomForNoMoreThanTheyWereMadeFor) {
  Misses misses(1);
  Ends ends(1);
  Miss& miss = misses.add(miss_of(1, 5));
  EXPECT_DEATH(
      {
        for (int i = 0; i < 100; ++i) ends.add(miss);
      },
      "known ends, one more than there is room for");
}

}  // namespace
}  // namespace collapsar
