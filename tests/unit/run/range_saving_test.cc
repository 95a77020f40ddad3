#include "sim/run/range_saving.h"

#include <gtest/gtest.h>

namespace collapsar {
namespace {

using namespace std::chrono_literals;

constexpr Frequency kClock{1e9};  // a cycle is 1 ns

// 1000 walk cycles per second for 10 s, then huge for 20 s at 100 per second; the collapse took 45 us.
RangeRow collapsed() {
  RangeRow row;
  row.walk_cycles = 12'000, row.walk_cycles_huge = 2'000;
  row.small_time = 10s, row.huge_time = 20s;
  row.history.became_huge_times = 1;
  row.history.collapsed = 1;
  row.history.collapse_cost = 9us;
  return row;
}

TEST(RangeSaving, IsTheRateBeforeTimesTheTimeSinceLessWhatWasWalked) {
  const auto saving = saving_by_rate_before(collapsed());
  ASSERT_TRUE(saving);
  EXPECT_DOUBLE_EQ(saving->saved, 1'000.0 * 20 - 2'000);
  EXPECT_DOUBLE_EQ(saving->per_second, 900);
}

TEST(RangeSaving, IsNotGuessedFromTooLittle) {
  RangeRow row = collapsed();
  row.small_time = 2s;  // a tenth of 20 s: just enough
  EXPECT_TRUE(saving_by_rate_before(row));
  row.small_time -= Duration(1);
  EXPECT_FALSE(saving_by_rate_before(row));
  row.small_time = 0s;
  EXPECT_FALSE(saving_by_rate_before(row));
}

TEST(RangeSaving, AFaultHasNoRateBefore) {
  RangeRow row = collapsed();
  row.history.collapsed = 0;
  EXPECT_FALSE(saving_by_rate_before(row));
}

TEST(RangeSaving, TheBaselineIsBetterWhereItNeverWasHuge) {
  RangeRow base;
  base.walk_cycles = 30'000;
  EXPECT_DOUBLE_EQ(best_saving(collapsed(), &base, true)->saved, 18'000);
  EXPECT_EQ(best_saving(collapsed(), &base, true)->basis, RangeSaving::Basis::baseline);
  EXPECT_EQ(best_saving(collapsed(), &base, false)->basis, RangeSaving::Basis::rate_before);
  base.history.became_huge_times = 1;
  EXPECT_FALSE(saving_to_baseline(collapsed(), &base));
  EXPECT_EQ(best_saving(collapsed(), &base, true)->basis, RangeSaving::Basis::rate_before);
}

TEST(RangeSaving, BreakEvenIsTheCostOverTheRate) {
  RangeRow row = collapsed();
  const auto saving = *saving_by_rate_before(row);
  EXPECT_EQ(break_even(row, saving, kClock)->after, 10s);  // 9,000 cycles at 900 per second
  EXPECT_EQ(break_even(row, saving, kClock)->state, BreakEven::reached);
  row.history.stall = 9us;
  EXPECT_EQ(break_even(row, saving, kClock)->state, BreakEven::reached);  // 20 s, exactly the time since
  row.history.stall = 10us;
  EXPECT_EQ(break_even(row, saving, kClock)->state, BreakEven::not_yet);
}

TEST(RangeSaving, WithoutASavingThereIsNoBreakEven) {
  RangeRow row = collapsed();
  row.walk_cycles_huge = row.walk_cycles = 50'000;
  EXPECT_EQ(break_even(row, *saving_by_rate_before(row), kClock)->state, BreakEven::never);
  row.history.collapsed = 0;
  EXPECT_FALSE(break_even(row, {}, kClock));  // nobody collapsed it: no cost to win back
}

}  // namespace
}  // namespace collapsar
