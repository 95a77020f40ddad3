#include "sim/core/random.h"

#include <gtest/gtest.h>

#include <array>

namespace collapsar {
namespace {

// From a reimplementation of the published algorithms in Python, whose big integers share nothing with this code.
TEST(Random, StreamsAreThePublishedOnes) {
  Random random(1, "dram");
  const std::array<std::uint64_t, 4> expected{0xaee5ebbfbdfe7f98ULL, 0x16bf22b64d1970a3ULL, 0x25dc57de89a9cbeaULL,
                                              0x8093354ff0ff56feULL};
  for (std::uint64_t value : expected) EXPECT_EQ(random.next(), value);
}

TEST(Random, TheSameNameAndSeedGiveTheSameStream) {
  Random a(7, "swap"), b(7, "swap");
  for (int i = 0; i < 100; ++i) EXPECT_EQ(a.next(), b.next());
}

TEST(Random, AnotherNameOrSeedGivesAnotherStream) {
  Random base(7, "swap"), other_name(7, "swab"), other_seed(8, "swap");
  int equal = 0;
  for (int i = 0; i < 1000; ++i) {
    const std::uint64_t value = base.next();
    equal += (value == other_name.next()) + (value == other_seed.next());
  }
  EXPECT_EQ(equal, 0);
}

TEST(Random, BelowIsEvenAndInRange) {
  Random random(1, "below");
  std::array<int, 6> count{};
  for (int i = 0; i < 60'000; ++i) ++count.at(random.below(6));
  for (int n : count) EXPECT_NEAR(n, 10'000, 400);  // four standard deviations
  EXPECT_EQ(random.below(1), 0U);
}

// 3/4 of 2^64: a plain remainder would give the lower third twice as often.
TEST(Random, BelowIsUnbiasedForLargeRanges) {
  Random random(1, "large");
  const std::uint64_t n = 3ULL << 62;
  int low = 0;
  for (int i = 0; i < 30'000; ++i) {
    const std::uint64_t value = random.below(n);
    ASSERT_LT(value, n);
    low += value < n / 3;
  }
  EXPECT_NEAR(low, 10'000, 330);
}

TEST(Random, UniformStaysBelowOne) {
  Random random(1, "uniform");
  double sum = 0;
  for (int i = 0; i < 100'000; ++i) {
    const double value = random.uniform();
    ASSERT_GE(value, 0);
    ASSERT_LT(value, 1);
    sum += value;
  }
  EXPECT_NEAR(sum / 100'000, 0.5, 0.005);
}

TEST(Random, ExponentialHasItsMeanAndItsTail) {
  Random random(1, "exponential");
  double sum = 0;
  int beyond_mean = 0;
  for (int i = 0; i < 100'000; ++i) {
    const double value = random.exponential(80);
    sum += value;
    beyond_mean += value > 80;
  }
  EXPECT_NEAR(sum / 100'000, 80, 1);
  EXPECT_NEAR(beyond_mean, 36'788, 600);  // exp(-1)
}

}  // namespace
}  // namespace collapsar
