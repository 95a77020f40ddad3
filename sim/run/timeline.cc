#include "sim/run/timeline.h"

#include <array>

namespace collapsar {

namespace {

using P = TimePoint;
constexpr std::array kTimeColumns{
    TimeColumn{"time_ns", &P::time_ns},
    TimeColumn{"refs", &P::refs},
    TimeColumn{"instructions", &P::instructions},
    TimeColumn{"cycles", &P::cycles},
    TimeColumn{"mmu.l1i.misses", &P::l1i_misses},
    TimeColumn{"mmu.l1d.misses", &P::l1d_misses},
    TimeColumn{"mmu.l2.misses", &P::l2_misses},
    TimeColumn{"mmu.walks", &P::walks},
    TimeColumn{"mmu.walk_cycles", &P::walk_cycles},
    TimeColumn{"mmu.stall_cycles", &P::tlb_stall_cycles},
    TimeColumn{"faults.minor", &P::faults_minor},
    TimeColumn{"faults.major", &P::faults_major},
    TimeColumn{"faults.huge", &P::faults_huge},
    TimeColumn{"faults.cow", &P::faults_cow},
    TimeColumn{"memory.rss_bytes", &P::rss_bytes},
    TimeColumn{"memory.anon_huge_bytes", &P::anon_huge_bytes},
    TimeColumn{"memory.coverage", &P::anon_huge_bytes, &P::anon_bytes},
    TimeColumn{"memory.page_tables_bytes", &P::page_tables_bytes},
    TimeColumn{"memory.swapped_bytes", &P::swapped_bytes},
    TimeColumn{"memory.free_bytes", &P::free_bytes},
    TimeColumn{"memory.free_huge_bytes", &P::free_huge_bytes},
    TimeColumn{"khugepaged.wakeups", &P::wakeups},
    TimeColumn{"khugepaged.full_scans", &P::full_scans},
    TimeColumn{"khugepaged.ptes_scanned", &P::ptes_scanned},
    TimeColumn{"khugepaged.pages_collapsed", &P::pages_collapsed},
    TimeColumn{"khugepaged.cpu_ns", &P::khugepaged_cpu_ns},
    TimeColumn{"vmstat.thp_fault_alloc", &P::thp_fault_alloc},
    TimeColumn{"vmstat.thp_collapse_alloc", &P::thp_collapse_alloc},
    TimeColumn{"vmstat.thp_split_pmd", &P::thp_split_pmd},
    TimeColumn{"vmstat.thp_split_page", &P::thp_split_page},
    TimeColumn{"stall.mmap_lock_ns.count", &P::lock_stalls},
    TimeColumn{"stall.mmap_lock_ns.sum", &P::lock_stall_ns},
    TimeColumn{"stall.collapse_ns.count", &P::collapse_stalls},
    TimeColumn{"stall.collapse_ns.sum", &P::collapse_stall_ns},
    TimeColumn{"compaction.cpu_ns", &P::compaction_cpu_ns},
    TimeColumn{"shootdown.ipis", &P::shootdown_ipis},
    TimeColumn{"swap.reads", &P::swap_reads},
    TimeColumn{"swap.writes", &P::swap_writes},
    TimeColumn{"dram.reads", &P::dram_reads},
    TimeColumn{"dram.writes", &P::dram_writes},
};

}  // namespace

double TimeColumn::number(const TimePoint& point) const {
  if (!is_ratio()) return double(point.*value);
  return point.*divisor == 0 ? 0 : double(point.*value) / double(point.*divisor);
}

std::span<const TimeColumn> time_columns() { return kTimeColumns; }

}  // namespace collapsar
