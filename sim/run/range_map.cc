#include "sim/run/range_map.h"

#include <algorithm>
#include <array>

namespace collapsar {

namespace {

using By = RangeRecord::By;

// The states of one range, asked for in order of time.
class StateWalk {
 public:
  explicit StateWalk(const RangeRow& row) : row_(row), begin_(kNever) {
    if (row.first_walk) begin_ = *row.first_walk;
    if (!row.changes.empty()) begin_ = std::min(begin_, row.changes.front().when);
  }
  RangeMap::State at(Time t) {
    while (next_ < row_.changes.size() && row_.changes[next_].when <= t)
      state_ = RangeMap::state_of(row_.changes[next_++]);
    const bool is_there = t >= begin_ && !(row_.ended && t >= *row_.ended);
    return is_there ? state_ : RangeMap::kNothing;
  }

 private:
  const RangeRow& row_;
  Time begin_;
  std::size_t next_ = 0;
  RangeMap::State state_ = RangeMap::kSmall;
};

// The most frequent state of the walks; the first of several.
RangeMap::State most_frequent(std::vector<StateWalk>& walks, Time t) {
  std::array<std::size_t, RangeMap::kStates> counts{};
  for (StateWalk& walk : walks) ++counts[walk.at(t)];
  return RangeMap::State(std::max_element(counts.begin(), counts.end()) - counts.begin());
}

}  // namespace

RangeMap::RangeMap(const std::vector<RangeRow>& rows, Duration end) {
  std::vector<const RangeRow*> shown;
  for (const RangeRow& row : rows)
    if (row.happened && (row.first_walk || !row.changes.empty())) shown.push_back(&row);
  const std::size_t together = std::max<std::size_t>(1, (shown.size() + kMostRows - 1) / kMostRows);
  for (std::size_t i = 0; i < shown.size(); i += together) {
    Row row{shown[i], std::min(together, shown.size() - i), {}};
    std::vector<StateWalk> walks;
    for (std::size_t j = 0; j < row.ranges; ++j) walks.emplace_back(*shown[i + j]);
    for (std::size_t c = 0; c < kColumns; ++c)
      row.cells.push_back(most_frequent(walks, kTimeZero + end / std::int64_t(2 * kColumns) * std::int64_t(2 * c + 1)));
    rows_.push_back(std::move(row));
  }
}

RangeMap::State RangeMap::state_of(const RangeChange& change) {
  switch (change.state) {
    case RangeChange::State::small: return kSmall;
    case RangeChange::State::refused: return State(kFirstRefused + std::size_t(change.refusal));
    case RangeChange::State::huge: return State(kFirstHuge + std::size_t(change.by));
  }
  return kNothing;
}

std::string RangeMap::label_of(State state) {
  if (state == kNothing) return "not used";
  if (state == kSmall) return "small, no verdict";
  if (state >= kFirstRefused) return "refused: " + std::string(collapsar::name_of(ScanResult(state - kFirstRefused)));
  switch (By(state - kFirstHuge)) {
    case By::nobody: return "huge";
    case By::fault: return "huge by a page fault";
    case By::khugepaged: return "collapsed by khugepaged";
    case By::madvise_collapse: return "collapsed by MADV_COLLAPSE";
    case By::fork: return "huge, inherited by fork";
    case By::mremap: return "huge, moved by mremap";
  }
  return "";
}

}  // namespace collapsar
