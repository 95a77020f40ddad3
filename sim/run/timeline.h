// Timeline: what happened when, as a time series: one point per interval.
//
// Counters run from time 0 (the warm-up included); gauges are as of the moment. Columns carry the names of the result.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace collapsar {

struct TimePoint {
  std::uint64_t time_ns = 0, refs = 0, instructions = 0, cycles = 0;
  std::uint64_t l1i_misses = 0, l1d_misses = 0, l2_misses = 0, walks = 0, walk_cycles = 0, tlb_stall_cycles = 0;
  std::uint64_t faults_minor = 0, faults_major = 0, faults_huge = 0, faults_cow = 0;
  std::uint64_t rss_bytes = 0, anon_bytes = 0, anon_huge_bytes = 0, page_tables_bytes = 0, swapped_bytes = 0,
                free_bytes = 0, free_huge_bytes = 0;
  std::uint64_t wakeups = 0, full_scans = 0, ptes_scanned = 0, pages_collapsed = 0, khugepaged_cpu_ns = 0;
  std::uint64_t thp_fault_alloc = 0, thp_collapse_alloc = 0, thp_split_pmd = 0, thp_split_page = 0;
  std::uint64_t lock_stalls = 0, lock_stall_ns = 0, collapse_stalls = 0, collapse_stall_ns = 0, shootdown_ipis = 0,
                compaction_cpu_ns = 0;
  std::uint64_t swap_reads = 0, swap_writes = 0, dram_reads = 0, dram_writes = 0;
};

struct TimeColumn {
  const char* name;
  std::uint64_t TimePoint::*value;
  std::uint64_t TimePoint::*divisor = nullptr;  // the column is value / divisor, 0 where the divisor is 0
  bool is_ratio() const { return divisor != nullptr; }
  std::uint64_t count(const TimePoint& point) const { return point.*value; }
  double number(const TimePoint& point) const;
};

// In the order of timeseries.csv, after the variant's name.
std::span<const TimeColumn> time_columns();

// Points in order of time.
using Timeline = std::vector<TimePoint>;

}  // namespace collapsar
