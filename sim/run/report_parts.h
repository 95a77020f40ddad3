// What several shapes of a report are made of: the rows of the comparison, notes, the story of a range.
#pragma once

#include <algorithm>
#include <string>
#include <vector>

#include "sim/run/experiment.h"
#include "sim/run/report_format.h"

namespace collapsar {

struct ComparisonRow {
  std::string section, label;
  NumberFormat format = NumberFormat::count;
  std::vector<double> values;  // by variant
  bool is_zero() const {
    return std::all_of(values.begin(), values.end(), [](double v) { return v == 0; });
  }
};
std::vector<ComparisonRow> comparison_rows(const ExperimentResult& result);

// "12 s simulated, time.scale 100; 2 wake-ups of up to 8 ranges, ..."
std::string honest_time_of(const HonestTime& honest);
// Of the trace, and of what was left out or skipped.
std::vector<std::string> report_notes(const ExperimentResult& result);
// Departures from a real machine that any variant touched, each once.
std::vector<std::string> simplified_points(const ExperimentResult& result);
// Why the range is huge or not.
std::vector<std::string> why_sentences(const ExperimentResult& result, const VariantResult& variant,
                                       const RangeRow& row);

}  // namespace collapsar
