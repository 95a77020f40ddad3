#include "sim/run/range_saving.h"

namespace collapsar {
namespace {

double seconds(Duration d) { return std::chrono::duration<double>(d).count(); }

// Beyond this, a break-even is never: far longer than any run, and near the end of what Duration holds.
constexpr double kForever = 1e6;  // seconds

}  // namespace

std::optional<RangeSaving> saving_to_baseline(const RangeRow& row, const RangeRow* base) {
  const bool was_huge_there = base && base->history.became_huge_times > 0;
  if (was_huge_there || row.huge_time <= Duration::zero()) return std::nullopt;
  const double saved = double(base ? base->walk_cycles : 0) - double(row.walk_cycles);
  return RangeSaving{RangeSaving::Basis::baseline, saved, saved / seconds(row.huge_time)};
}

std::optional<RangeSaving> saving_by_rate_before(const RangeRow& row) {
  const bool tells_enough = row.small_time > Duration::zero() && row.small_time >= row.huge_time / kLongestReach;
  if (row.history.times_collapsed() == 0 || row.huge_time <= Duration::zero() || !tells_enough) return std::nullopt;
  const double before = double(row.walk_cycles_small()) / seconds(row.small_time);
  const double since = double(row.walk_cycles_huge) / seconds(row.huge_time);
  return RangeSaving{RangeSaving::Basis::rate_before, (before - since) * seconds(row.huge_time), before - since};
}

std::optional<RangeSaving> best_saving(const RangeRow& row, const RangeRow* base, bool base_is_other) {
  if (base_is_other)
    if (const auto saving = saving_to_baseline(row, base)) return saving;
  return saving_by_rate_before(row);
}

double collapse_cycles(const RangeRow& row, Frequency frequency) {
  return seconds(row.history.collapse_cost + row.history.stall) * frequency.hertz;
}

std::optional<BreakEvenTime> break_even(const RangeRow& row, const RangeSaving& saving, Frequency frequency) {
  if (row.history.times_collapsed() == 0) return std::nullopt;
  if (saving.per_second <= 0) return BreakEvenTime{BreakEven::never, {}};
  const double after = collapse_cycles(row, frequency) / saving.per_second;
  if (after > kForever) return BreakEvenTime{BreakEven::never, {}};
  const auto time = std::chrono::duration_cast<Duration>(std::chrono::duration<double>(after));
  return BreakEvenTime{time <= row.huge_time ? BreakEven::reached : BreakEven::not_yet, time};
}

std::string_view name_of(RangeSaving::Basis basis) {
  switch (basis) {
    case RangeSaving::Basis::baseline: return "baseline";
    case RangeSaving::Basis::rate_before: return "rate_before";
  }
  return "";
}

std::string_view name_of(BreakEven state) {
  switch (state) {
    case BreakEven::reached: return "reached";
    case BreakEven::not_yet: return "not_yet";
    case BreakEven::never: return "never";
  }
  return "";
}

}  // namespace collapsar
