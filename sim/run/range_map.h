// RangeMap: the states of a variant's 2 MiB ranges over time as a grid, small enough to be drawn.
//
// Rows are ranges in order of process, address space and address; where there are more than kMostRows, a row stands for
// several neighbours. A cell is the state at the middle of its time; of a row of several, the one that most of them are in.
#pragma once

#include <string>
#include <vector>

#include "sim/run/ranges.h"

namespace collapsar {

class RangeMap {
 public:
  static constexpr std::size_t kMostRows = 240, kColumns = 240;

  // What a cell can be: nothing, small without a verdict, huge by somebody, small and refused. A plain number, 0 = nothing.
  using State = std::uint8_t;
  static constexpr State kNothing = 0, kSmall = 1, kFirstHuge = 2;
  static constexpr State kFirstRefused = kFirstHuge + RangeRecord::kBys;
  static constexpr std::size_t kStates = kFirstRefused + kScanResults;

  struct Row {
    const RangeRow* first = nullptr;
    std::size_t ranges = 0;
    std::vector<State> cells;
  };

  // `end`: the time of the right edge. Requires: `rows` outlives the map.
  RangeMap(const std::vector<RangeRow>& rows, Duration end);
  const std::vector<Row>& rows() const { return rows_; }
  // "collapsed by khugepaged", "SCAN_EXCEED_NONE_PTE"
  static std::string label_of(State state);
  static State state_of(const RangeChange& change);

 private:
  std::vector<Row> rows_;
};

}  // namespace collapsar
