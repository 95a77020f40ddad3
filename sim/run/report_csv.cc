// timeseries.csv and ranges.csv: RFC 4180, names as in result.json. The columns of ranges.csv are documented in docs/ranges.md.
#include <utility>

#include "sim/run/range_saving.h"
#include "sim/run/report.h"
#include "sim/run/report_format.h"

namespace collapsar {

namespace {

std::string nanoseconds(Duration d) { return std::to_string(rounded_ns(d)); }
std::string nanoseconds(Time t) { return nanoseconds(t - kTimeZero); }

// One row of ranges.csv on its way.
struct RangeView {
  const VariantResult& variant;
  const RangeRow& row;
  std::int64_t saved_to_baseline;  // walk cycles of the range in the baseline minus those here
  std::optional<RangeSaving> saving;
  std::optional<BreakEvenTime> break_even;
  const RangeRecord& history() const { return row.history; }
  bool was_scanned() const { return row.history.last_by != RangeRecord::By::nobody; }
  bool was_looked_at() const { return row.history.last_looked_at > 0; }
  bool was_huge() const { return row.history.became_huge_times > 0; }
  bool has_stopped() const { return !row.history.is_huge && row.history.stopped != RangeRecord::Stop::never; }
};

// A field that is empty unless the range has one.
template <class T>
std::string if_there(bool is_there, const T& value) {
  return is_there ? fmt::format("{}", value) : "";
}

std::string times_by(const RangeView& v, RangeRecord::By by) {
  return std::to_string(v.history().times_by[std::size_t(by)]);
}

using By = RangeRecord::By;
using V = RangeView;
struct RangeColumn {
  const char* name;
  std::string (*text)(const RangeView&);
};

constexpr RangeColumn kWhich[] = {
    {"variant", [](const V& v) { return csv_field(v.variant.name); }},
    {"process", [](const V& v) { return std::to_string(v.row.pid); }},
    {"space", [](const V& v) { return std::to_string(v.row.space); }},
    {"mapping", [](const V& v) { return csv_field(v.row.mapping); }},
    {"base", [](const V& v) { return to_hex(v.row.base.value); }},
};

constexpr RangeColumn kScans[] = {
    {"times_scanned", [](const V& v) { return std::to_string(v.history().times_scanned); }},
    {"times_madvised", [](const V& v) { return std::to_string(v.history().times_madvised); }},
    {"scan_cost_ns", [](const V& v) { return nanoseconds(v.history().scan_cost); }},
    {"last_result", [](const V& v) { return if_there(v.was_scanned(), name_of(v.history().last)); }},
    {"last_by", [](const V& v) { return std::string(name_of(v.history().last_by)); }},
    {"last_attempted", [](const V& v) { return if_there(v.was_scanned(), int(v.history().last_attempted)); }},
    {"last_scan_ns", [](const V& v) { return if_there(v.was_scanned(), nanoseconds(v.history().last_scan)); }},
    {"last_look_result", [](const V& v) { return if_there(v.was_looked_at(), name_of(v.history().last_look_result)); }},
    {"last_look_ns", [](const V& v) { return if_there(v.was_looked_at(), nanoseconds(v.history().last_look)); }},
    {"last_looked_at", [](const V& v) { return if_there(v.was_looked_at(), v.history().last_looked_at); }},
    {"last_present", [](const V& v) { return if_there(v.was_looked_at(), v.history().last_present); }},
    {"last_none_or_zero", [](const V& v) { return if_there(v.was_looked_at(), v.history().last_none_or_zero); }},
    {"last_unmapped", [](const V& v) { return if_there(v.was_looked_at(), v.history().last_unmapped); }},
    {"last_shared", [](const V& v) { return if_there(v.was_looked_at(), v.history().last_shared); }},
    {"last_referenced", [](const V& v) { return if_there(v.was_looked_at(), v.history().last_referenced); }},
    {"last_writable", [](const V& v) { return if_there(v.was_looked_at(), int(v.history().last_writable)); }},
    {"obstacle", [](const V& v) { return std::string(name_of(v.row.outlook.obstacle)); }},
};

constexpr RangeColumn kHuge[] = {
    {"times_collapsed", [](const V& v) { return std::to_string(v.history().collapsed); }},
    {"times_madvise_collapsed", [](const V& v) { return std::to_string(v.history().madvise_collapsed); }},
    {"is_huge", [](const V& v) { return std::to_string(int(v.row.is_huge())); }},
    {"huge_by", [](const V& v) { return std::string(name_of(v.history().huge_by)); }},
    {"first_huge_ns", [](const V& v) { return if_there(v.was_huge(), nanoseconds(v.history().first_huge)); }},
    {"became_huge_ns", [](const V& v) { return if_there(v.was_huge(), nanoseconds(v.history().became_huge)); }},
    {"became_huge_times", [](const V& v) { return std::to_string(v.history().became_huge_times); }},
    {"by_fault", [](const V& v) { return times_by(v, By::fault); }},
    {"by_khugepaged", [](const V& v) { return times_by(v, By::khugepaged); }},
    {"by_madvise_collapse", [](const V& v) { return times_by(v, By::madvise_collapse); }},
    {"by_fork", [](const V& v) { return times_by(v, By::fork); }},
    {"by_mremap", [](const V& v) { return times_by(v, By::mremap); }},
    {"split_times", [](const V& v) { return std::to_string(v.history().split_times); }},
    {"stopped_huge_ns", [](const V& v) { return if_there(v.has_stopped(), nanoseconds(v.history().stopped_huge)); }},
    {"stopped", [](const V& v) { return if_there(v.has_stopped(), name_of(v.history().stopped)); }},
    {"stopped_by", [](const V& v) { return if_there(v.has_stopped(), name_of(v.history().stopped_by)); }},
    {"collapse_cost_ns", [](const V& v) { return nanoseconds(v.history().collapse_cost); }},
    {"stall_ns", [](const V& v) { return nanoseconds(v.history().stall); }},
};

constexpr RangeColumn kWalks[] = {
    {"mmu.walks", [](const V& v) { return std::to_string(v.row.walks); }},
    {"mmu.walk_cycles", [](const V& v) { return std::to_string(v.row.walk_cycles); }},
    {"walk_cycles_small", [](const V& v) { return std::to_string(v.row.walk_cycles_small()); }},
    {"walk_cycles_huge", [](const V& v) { return std::to_string(v.row.walk_cycles_huge); }},
    {"time_small_ns", [](const V& v) { return nanoseconds(v.row.small_time); }},
    {"time_huge_ns", [](const V& v) { return nanoseconds(v.row.huge_time); }},
    {"saved_walk_cycles", [](const V& v) { return std::to_string(v.saved_to_baseline); }},
    {"saving_basis", [](const V& v) { return v.saving ? std::string(name_of(v.saving->basis)) : ""; }},
    {"saved_since_huge", [](const V& v) { return v.saving ? fmt::format("{:.0f}", v.saving->saved) : ""; }},
    {"break_even", [](const V& v) { return v.break_even ? std::string(name_of(v.break_even->state)) : ""; }},
    {"break_even_ns",
     [](const V& v) {
       const bool has_time = v.break_even && v.break_even->state != BreakEven::never;
       return has_time ? nanoseconds(v.break_even->after) : "";
     }},
};

template <class F>
void for_each_column(F&& f) {
  for (const RangeColumn& column : kWhich) f(column);
  for (const RangeColumn& column : kScans) f(column);
  for (const RangeColumn& column : kHuge) f(column);
  for (const RangeColumn& column : kWalks) f(column);
}

RangeView view(const ExperimentResult& result, const VariantResult& variant, const RangeRow& row) {
  const RangeRow* base = find_range(result.base().ranges, row);
  const auto saving = best_saving(row, base, variant.name != result.baseline);
  const std::int64_t saved = std::int64_t(base ? base->walk_cycles : 0) - std::int64_t(row.walk_cycles);
  return {variant, row, saved, saving,
          saving ? break_even(row, *saving, variant.facts.frequency) : std::optional<BreakEvenTime>{}};
}

}  // namespace

std::string timeseries_csv(const ExperimentResult& result) {
  std::string out = "variant";
  for (const TimeColumn& column : time_columns()) out += fmt::format(",{}", column.name);
  out += "\n";
  for (const VariantResult& variant : result.variants)
    for (const TimePoint& point : variant.timeline) {
      out += csv_field(variant.name);
      for (const TimeColumn& column : time_columns()) {
        if (column.is_ratio()) out += fmt::format(",{:.6f}", column.number(point));
        else out += fmt::format(",{}", column.count(point));
      }
      out += "\n";
    }
  return out;
}

std::string ranges_csv(const ExperimentResult& result) {
  std::string out;
  for_each_column([&](const RangeColumn& column) { out += fmt::format("{}{}", out.empty() ? "" : ",", column.name); });
  for (std::size_t i = 0; i < kScanResults; ++i) out += fmt::format(",{}", name_of(ScanResult(i)));
  out += "\n";
  for (const VariantResult& variant : result.variants)
    for (const RangeRow& row : variant.ranges) {
      if (!row.happened) continue;
      const RangeView v = view(result, variant, row);
      const char* separator = "";
      for_each_column([&](const RangeColumn& column) {
        out += std::exchange(separator, ",");
        out += column.text(v);
      });
      for (std::uint32_t times : row.history.results) out += fmt::format(",{}", times);
      out += "\n";
    }
  return out;
}

}  // namespace collapsar
