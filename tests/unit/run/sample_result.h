// Results made by hand, for tests of reports.
#pragma once

#include "sim/run/report.h"

namespace collapsar {

inline void add_stat(StatTable& table, const char* path, std::uint64_t n, StatKind kind = StatKind::counter) {
  table.add({path, kind, "", "", n, 1, nullptr});
}

inline VariantResult variant(const std::string& name, std::uint64_t walks, std::uint64_t huge_pages) {
  VariantResult v;
  v.name = name;
  add_stat(v.stats, "refs", 1'000'000);
  add_stat(v.stats, "mmu.l1d.misses", 2 * walks), add_stat(v.stats, "mmu.l2.misses", walks),
      add_stat(v.stats, "mmu.walks", walks);
  add_stat(v.stats, "mmu.walk_cycles", 30 * walks), add_stat(v.stats, "cycles", 5'000'000);
  add_stat(v.stats, "time_ns", 12'000'000'000'000, StatKind::time);
  v.stats.add({"memory.coverage", StatKind::gauge_ratio, "", "", huge_pages, 64, nullptr});
  add_stat(v.stats, "memory.rss_bytes", 128 * kMiB, StatKind::gauge);
  add_stat(v.stats, "vmas.1.heap.mmu.walk_cycles", 30 * walks);
  Histogram stalls;
  if (huge_pages) stalls.add(std::uint64_t{400'000});
  v.stats.add({"stall.collapse_ns", StatKind::histogram, "", "", 0, 1, std::make_shared<const Histogram>(stalls)});
  v.honest_time.simulated = std::chrono::seconds(12);
  v.honest_time.scale = 100;
  TimePoint point;
  point.time_ns = 100, point.refs = 5, point.anon_bytes = 8 * kMiB, point.anon_huge_bytes = 2 * kMiB;
  v.timeline = {TimePoint{}, point};
  RangeRow range;
  range.pid = 1, range.base = {0x7f0000200000}, range.process = "app", range.mapping = "a,b";
  range.walks = walks, range.walk_cycles = 30 * walks;
  v.ranges = {range};
  return v;
}

inline ExperimentResult two_variants() {
  ExperimentResult result;
  result.name = "pair";
  result.config = parse_yaml("seed: 1\nmemory: {size: 16GiB}\nmmu.asids: true\ntime.scale: 1.5\nname: \"7\"\n", "t");
  result.trace.name = "app.ctr", result.trace.references = 1'000'000, result.trace.hash = "abc";
  result.trace.notes = {"VMAs inferred from what is touched"};
  result.baseline = "never";
  result.variants = {variant("never", 10'000, 0), variant("khugepaged", 4'000, 32)};
  VariantResult& khugepaged = result.variants[1];
  khugepaged.honest_time.wakeups = 2, khugepaged.honest_time.ranges_per_wakeup = 8;
  khugepaged.honest_time.candidates = 64, khugepaged.honest_time.collapsible_at_most = 16;
  khugepaged.honest_time.collapsed = 16;
  RangeRecord& history = khugepaged.ranges[0].history;
  history.times_scanned = 2, history.last = ScanResult::SUCCEED,
  history.last_scan = kTimeZero + std::chrono::seconds(10);
  history.results[std::size_t(ScanResult::LACK_REFERENCED_PAGE)] = 1;
  history.results[std::size_t(ScanResult::SUCCEED)] = 1;
  history.last_by = RangeRecord::By::khugepaged, history.last_attempted = history.last_writable = true;
  history.last_look_result = ScanResult::SUCCEED, history.last_look = history.last_scan;
  history.last_looked_at = 512, history.last_present = 500, history.last_none_or_zero = 12;
  history.last_referenced = 40, history.scan_cost = std::chrono::microseconds(112);
  history.is_huge = true, history.huge_by = RangeRecord::By::khugepaged, history.became_huge_times = 1;
  history.times_by[std::size_t(RangeRecord::By::khugepaged)] = history.collapsed = 1;
  history.first_huge = history.became_huge = kTimeZero + std::chrono::milliseconds(10'001);
  history.collapse_cost = std::chrono::microseconds(438), history.stall = std::chrono::microseconds(62);
  RangeRow& row = khugepaged.ranges[0];
  row.small_time = std::chrono::seconds(10), row.huge_time = std::chrono::seconds(2), row.walk_cycles_huge = 2'000;
  khugepaged.facts.frequency = Frequency{1e9}, khugepaged.facts.scale = 100;
  result.variants[0].ranges[0].outlook.obstacle = Obstacle::thp_off;
  return result;
}

}  // namespace collapsar
