// timeseries.csv and ranges.csv: RFC 4180, names as in result.json.
#include "sim/run/report.h"

namespace collapsar {

namespace {

std::string quoted(const std::string& text) {
  if (text.find_first_of(",\"\r\n") == std::string::npos) return text;
  std::string out = "\"";
  for (char c : text) out += c == '"' ? std::string("\"\"") : std::string(1, c);
  return out + '"';
}

// Which SCAN_* results were met by any range of any variant: one column each.
std::vector<std::size_t> results_met(const ExperimentResult& result) {
  std::array<bool, kScanResults> met{};
  for (const VariantResult& variant : result.variants)
    for (const RangeRow& row : variant.ranges)
      for (std::size_t i = 0; i < kScanResults; ++i) met[i] = met[i] || row.history.results[i] > 0;
  std::vector<std::size_t> results;
  for (std::size_t i = 0; i < kScanResults; ++i)
    if (met[i]) results.push_back(i);
  return results;
}

std::string at_last_scan(const RangeRecord& history) {
  if (history.times_scanned == 0) return ",,,,,,";
  return fmt::format("{},{},{},{},{},{},{}", name_of(history.last), rounded_ns(history.last_scan - kTimeZero),
                     history.last_present, history.last_none_or_zero, history.last_unmapped, history.last_shared,
                     history.last_referenced);
}

std::string how_huge(const RangeRecord& history) {
  const bool was_huge = history.huge_by != RangeRecord::By::nobody;
  return fmt::format("{},{},{},{},{},{}", history.is_huge ? 1 : 0, name_of(history.huge_by),
                     was_huge ? std::to_string(rounded_ns(history.became_huge - kTimeZero)) : "",
                     history.became_huge_times, history.split_times, rounded_ns(history.collapse_cost));
}

constexpr const char* kRangeColumns =
    "variant,process,mapping,base,times_scanned,last_result,last_scan_ns,last_present,last_none_or_zero,last_unmapped,"
    "last_shared,last_referenced,is_huge,huge_by,became_huge_ns,became_huge_times,split_times,collapse_cost_ns,mmu."
    "walks,"
    "mmu.walk_cycles,saved_walk_cycles";

// Walk cycles of the range in the baseline minus those here.
std::int64_t saved(const ExperimentResult& result, const RangeRow& row) {
  const RangeRow* base = find_range(result.base().ranges, row);
  return std::int64_t(base ? base->walk_cycles : 0) - std::int64_t(row.walk_cycles);
}

}  // namespace

std::string timeseries_csv(const ExperimentResult& result) {
  std::string out = "variant";
  for (const TimeColumn& column : time_columns()) out += fmt::format(",{}", column.name);
  out += "\n";
  for (const VariantResult& variant : result.variants)
    for (const TimePoint& point : variant.timeline) {
      out += quoted(variant.name);
      for (const TimeColumn& column : time_columns()) {
        if (column.is_ratio()) out += fmt::format(",{:.6f}", column.number(point));
        else out += fmt::format(",{}", column.count(point));
      }
      out += "\n";
    }
  return out;
}

std::string ranges_csv(const ExperimentResult& result) {
  const std::vector<std::size_t> results = results_met(result);
  std::string out = kRangeColumns;
  for (std::size_t i : results) out += fmt::format(",{}", name_of(ScanResult(i)));
  out += "\n";
  for (const VariantResult& variant : result.variants)
    for (const RangeRow& row : variant.ranges) {
      out += fmt::format("{},{},{},{},{},{},{},{},{},{}", quoted(variant.name), row.pid, quoted(row.mapping),
                         to_hex(row.base.value), row.history.times_scanned, at_last_scan(row.history),
                         how_huge(row.history), row.walks, row.walk_cycles, saved(result, row));
      for (std::size_t i : results) out += fmt::format(",{}", row.history.results[i]);
      out += "\n";
    }
  return out;
}

}  // namespace collapsar
