// Ranges over time: what is noted, and what the map of the address space shows of it.
#include "sim/run/range_map.h"

#include <gtest/gtest.h>

namespace collapsar {
namespace {

using State = RangeChange::State;
using By = RangeRecord::By;

constexpr VirtAddr kBase{0x7f0000200000};
constexpr Time at(std::int64_t s) { return kTimeZero + std::chrono::seconds(s); }

TEST(RangeChronicle, NotesChangesAndWhoMadeThem) {
  EventQueue queue;
  RangeChronicle chronicle(queue);
  chronicle.refused(1, kBase, ScanResult::EXCEED_NONE_PTE);
  queue.run_until(at(1));
  chronicle.refused(1, kBase, ScanResult::EXCEED_NONE_PTE);
  queue.run_until(at(2));
  chronicle.will_be_huge(1, kBase, By::khugepaged);
  chronicle.refused(1, kBase, ScanResult::PMD_MAPPED);  // huge stays huge
  queue.run_until(at(3));
  chronicle.will_be_small(1, kBase);
  const std::vector<RangeChange> changes = chronicle.of(1, kBase);
  ASSERT_EQ(changes.size(), 3U);
  EXPECT_EQ(changes[0].when, kTimeZero);
  EXPECT_EQ(changes[0].refusal, ScanResult::EXCEED_NONE_PTE);
  EXPECT_EQ(changes[1].when, at(2));
  EXPECT_EQ(changes[1].by, By::khugepaged);
  EXPECT_EQ(changes[2].state, State::small);
  EXPECT_TRUE(chronicle.of(2, kBase).empty());
}

TEST(RangeChronicle, IsBoundedAndKeepsTheLastState) {
  EventQueue queue;
  RangeChronicle chronicle(queue);
  for (int i = 0; i < 200; ++i) {
    chronicle.will_be_huge(1, kBase, By::fault);
    chronicle.will_be_small(1, kBase);
  }
  const std::vector<RangeChange> changes = chronicle.of(1, kBase);
  EXPECT_EQ(changes.size(), RangeChronicle::kMostChanges);
  EXPECT_EQ(changes.back().state, State::small);
}

RangeRow row(std::uint64_t number) {
  RangeRow r;
  r.pid = 1, r.base = kBase + number * kHugeBytes;
  r.first_walk = at(0);
  return r;
}

TEST(RangeMap, ShowsEachStateFromItsMomentOn) {
  std::vector<RangeRow> rows{row(0)};
  rows[0].first_walk = at(60);
  rows[0].changes = {{.when = at(120), .state = State::refused, .refusal = ScanResult::PAGE_RO},
                     {.when = at(180), .state = State::huge, .by = By::khugepaged}};
  rows[0].ended = at(216);
  const RangeMap map(rows, std::chrono::seconds(240));  // a column is a second
  ASSERT_EQ(map.rows().size(), 1U);
  const std::vector<RangeMap::State>& cells = map.rows()[0].cells;
  ASSERT_EQ(cells.size(), RangeMap::kColumns);
  const auto refused = RangeMap::State(RangeMap::kFirstRefused + std::size_t(ScanResult::PAGE_RO));
  const auto huge = RangeMap::State(RangeMap::kFirstHuge + std::size_t(By::khugepaged));
  for (const auto& [column, state] : {std::pair{59, RangeMap::kNothing},
                                      {60, RangeMap::kSmall},
                                      {119, RangeMap::kSmall},
                                      {120, refused},
                                      {179, refused},
                                      {180, huge},
                                      {215, huge},
                                      {216, RangeMap::kNothing}})
    EXPECT_EQ(cells[std::size_t(column)], state) << column;
  EXPECT_EQ(RangeMap::label_of(refused), "refused: SCAN_PAGE_RO");
  EXPECT_EQ(RangeMap::label_of(huge), "collapsed by khugepaged");
}

TEST(RangeMap, ARowOfManyShowsWhatMostAreIn) {
  std::vector<RangeRow> rows;
  for (std::uint64_t i = 0; i < 3 * RangeMap::kMostRows; ++i) {
    rows.push_back(row(i));
    if (i % 3 > 0) rows.back().changes = {{.when = at(1), .state = State::huge, .by = By::fault}};
  }
  const RangeMap map(rows, std::chrono::seconds(4));
  ASSERT_EQ(map.rows().size(), RangeMap::kMostRows);
  EXPECT_EQ(map.rows()[0].ranges, 3U);
  EXPECT_EQ(map.rows()[0].cells.front(), RangeMap::kSmall);
  EXPECT_EQ(map.rows()[0].cells.back(), RangeMap::kFirstHuge + std::size_t(By::fault));
}

TEST(RangeMap, RangesWhereNothingHappenedHaveNoRow) {
  std::vector<RangeRow> rows{row(0), row(1)};
  rows[0].first_walk.reset();
  rows[1].happened = false;
  EXPECT_TRUE(RangeMap(rows, std::chrono::seconds(4)).rows().empty());
}

}  // namespace
}  // namespace collapsar
