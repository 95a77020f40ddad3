// What a report draws over simulated time: curves from the points of a time series.
#pragma once

#include <optional>
#include <span>

#include "sim/run/timeline.h"

namespace collapsar {

// At most about `most` points: every so many-th, and the last. Differences of counters stay exact.
Timeline thinned(const Timeline& timeline, std::size_t most);
inline constexpr std::size_t kMostPlotPoints = 1000;  // more than a screen has columns for one plot

struct Curve {
  const char* key;
  const char* title;
  const char* unit;  // "" for none
  const char* help;
  // What happened from `before` to `now`, or how it is now. Nothing where there is no answer (no reference, no time).
  std::optional<double> (*value)(const TimePoint& before, const TimePoint& now);
};
// In the order of the report.
std::span<const Curve> curves();

std::optional<double> misses_per_thousand(const TimePoint& before, const TimePoint& now);
std::optional<double> coverage_percent(const TimePoint& before, const TimePoint& now);

}  // namespace collapsar
