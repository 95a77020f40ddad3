// KernelStats: what the kernel counts. Counters that Linux has keep Linux's names.
//
// Source:      khugepaged.md 8.3 (vmstat).
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

#include "models/kernel/scan_result.h"
#include "sim/core/stats.h"
#include "sim/core/units.h"

namespace collapsar {

struct FaultStats {
  std::uint64_t minor = 0, major = 0, huge = 0, cow = 0;
  Histogram stall_ns;
  template <class V>
  void describe(V& v) {
    v("minor", minor, "faults", "resolved without a device");
    v("major", major, "faults", "waited for the swap device or a file");
    v("huge", huge, "faults", "resolved with a 2 MiB page (also counted as minor)");
    v("cow", cow, "faults", "copied or took over a page on write (also counted as minor or major)");
    v("stall_ns", stall_ns, "ns", "from the exception to the return");
  }
};

struct VmStat {
  std::uint64_t pgfault = 0, pgmajfault = 0, pgfree = 0, pgalloc = 0, pswpin = 0, pswpout = 0, pgscan_kswapd = 0,
                pgscan_direct = 0, pgsteal_kswapd = 0, pgsteal_direct = 0, allocstall = 0, pgactivate = 0,
                pgdeactivate = 0, pglazyfree = 0, pglazyfreed = 0, thp_fault_alloc = 0, thp_fault_fallback = 0,
                thp_fault_fallback_charge = 0, thp_collapse_alloc = 0, thp_collapse_alloc_failed = 0,
                thp_split_page = 0, thp_split_page_failed = 0, thp_deferred_split_page = 0,
                thp_underused_split_page = 0, thp_split_pmd = 0, thp_scan_exceed_none_pte = 0,
                thp_scan_exceed_swap_pte = 0, thp_scan_exceed_share_pte = 0, thp_file_alloc = 0, thp_file_fallback = 0,
                thp_file_fallback_charge = 0, thp_file_mapped = 0, thp_zero_page_alloc = 0,
                thp_zero_page_alloc_failed = 0, thp_swpout = 0, thp_swpout_fallback = 0, compact_migrate_scanned = 0,
                compact_free_scanned = 0, compact_isolated = 0, compact_stall = 0, compact_fail = 0,
                compact_success = 0, compact_daemon_wake = 0, compact_daemon_migrate_scanned = 0,
                compact_daemon_free_scanned = 0, pgmigrate_success = 0, pgmigrate_fail = 0;
  template <class V>
  void describe(V& v) {
    v("pgfault", pgfault, "count", "page faults");
    v("pgmajfault", pgmajfault, "count", "major page faults");
    v("pgalloc", pgalloc, "pages", "allocated");
    v("pgfree", pgfree, "pages", "freed");
    v("pswpin", pswpin, "pages", "read from swap");
    v("pswpout", pswpout, "pages", "written to swap");
    v("pgscan_kswapd", pgscan_kswapd, "pages", "looked at by kswapd");
    v("pgscan_direct", pgscan_direct, "pages", "looked at by direct reclaim");
    v("pgsteal_kswapd", pgsteal_kswapd, "pages", "freed by kswapd");
    v("pgsteal_direct", pgsteal_direct, "pages", "freed by direct reclaim");
    v("allocstall", allocstall, "count", "allocations that had to reclaim");
    v("pgactivate", pgactivate, "pages", "moved to the active list");
    v("pgdeactivate", pgdeactivate, "pages", "moved to the inactive list");
    v("pglazyfree", pglazyfree, "pages", "given to MADV_FREE");
    v("pglazyfreed", pglazyfreed, "pages", "of MADV_FREE dropped");
    v("thp_fault_alloc", thp_fault_alloc, "count", "huge pages allocated by faults");
    v("thp_fault_fallback", thp_fault_fallback, "count", "faults that wanted a huge page and got small ones");
    v("thp_fault_fallback_charge", thp_fault_fallback_charge, "count", "of these, because of a memory cgroup");
    v("thp_collapse_alloc", thp_collapse_alloc, "count", "huge pages allocated for a collapse");
    v("thp_collapse_alloc_failed", thp_collapse_alloc_failed, "count", "huge pages a collapse could not get");
    v("thp_split_page", thp_split_page, "count", "huge pages split into 512");
    v("thp_split_page_failed", thp_split_page_failed, "count", "huge pages that could not be split");
    v("thp_deferred_split_page", thp_deferred_split_page, "count", "huge pages put on the deferred split list");
    v("thp_underused_split_page", thp_underused_split_page, "count",
      "huge pages split because too much of them held only zeros");
    v("thp_split_pmd", thp_split_pmd, "count", "huge PMDs split");
    v("thp_scan_exceed_none_pte", thp_scan_exceed_none_pte, "count", "ranges with more than max_ptes_none");
    v("thp_scan_exceed_swap_pte", thp_scan_exceed_swap_pte, "count", "ranges with more than max_ptes_swap");
    v("thp_scan_exceed_share_pte", thp_scan_exceed_share_pte, "count", "ranges with more than max_ptes_shared");
    v("thp_file_alloc", thp_file_alloc, "count", "huge pages of shared memory allocated by faults");
    v("thp_file_fallback", thp_file_fallback, "count",
      "faults on shared memory that wanted a huge page and got a small one");
    v("thp_file_fallback_charge", thp_file_fallback_charge, "count", "of these, because of a memory cgroup");
    v("thp_file_mapped", thp_file_mapped, "count", "huge pages of files and shared memory mapped by a PMD");
    v("thp_zero_page_alloc", thp_zero_page_alloc, "count", "huge zero page allocated");
    v("thp_zero_page_alloc_failed", thp_zero_page_alloc_failed, "count", "huge zero page not to be had");
    v("thp_swpout", thp_swpout, "count", "huge pages swapped out whole");
    v("thp_swpout_fallback", thp_swpout_fallback, "count", "huge pages split to be swapped out");
    v("compact_stall", compact_stall, "count", "direct compactions");
    v("compact_success", compact_success, "count", "of these, with a huge page in the end");
    v("compact_fail", compact_fail, "count", "of these, without");
    v("compact_migrate_scanned", compact_migrate_scanned, "frames", "looked at for pages to move");
    v("compact_free_scanned", compact_free_scanned, "frames", "looked at for places to move them to");
    v("compact_isolated", compact_isolated, "pages", "isolated for compaction, in use and free");
    v("compact_daemon_wake", compact_daemon_wake, "count", "times kcompactd was woken for an allocation");
    v("compact_daemon_migrate_scanned", compact_daemon_migrate_scanned, "frames",
      "of compact_migrate_scanned, by kcompactd");
    v("compact_daemon_free_scanned", compact_daemon_free_scanned, "frames", "of compact_free_scanned, by kcompactd");
    v("pgmigrate_success", pgmigrate_success, "pages", "moved to another frame");
    v("pgmigrate_fail", pgmigrate_fail, "pages", "that could not be moved");
  }
};

// CPU time of khugepaged by phase, and what it found.
struct KhugepagedStats {
  std::uint64_t pages_collapsed = 0, full_scans = 0, wakeups = 0, ptes_scanned = 0, ranges_scanned = 0, busy = 0;
  std::array<std::uint64_t, kScanResults> scan{};  // final result of every range scanned
  Duration cpu{}, cpu_scan{}, cpu_alloc{}, cpu_swapin{}, cpu_isolate{}, cpu_flush{}, cpu_copy{}, cpu_commit{},
      cpu_rollback{};
  template <class V>
  void describe(V& v) {
    v("pages_collapsed", pages_collapsed, "ranges",
      "collapsed by khugepaged (the kernel's name; it counts 2 MiB ranges)");
    v("full_scans", full_scans, "count", "passes over all processes");
    v("wakeups", wakeups, "count", "activations");
    v("ptes_scanned", ptes_scanned, "PTEs", "looked at");
    v("ranges_scanned", ranges_scanned, "ranges", "of 2 MiB scanned");
    v("busy", busy, "count", "processes passed over because mmap_lock was taken");
    for (std::size_t i = 0; i < kScanResults; ++i) v(kScanPaths[i], scan[i], "ranges", "with this final result");
    v("cpu_ns", cpu, "ns", "CPU time, all phases");
    v("cpu_ns.scan", cpu_scan, "ns", "looking for candidates");
    v("cpu_ns.alloc", cpu_alloc, "ns", "allocating huge pages");
    v("cpu_ns.swapin", cpu_swapin, "ns", "swapping pages in");
    v("cpu_ns.isolate", cpu_isolate, "ns", "isolating pages");
    v("cpu_ns.flush", cpu_flush, "ns", "clearing PMDs and flushing TLBs");
    v("cpu_ns.copy", cpu_copy, "ns", "copying, clearing and releasing pages");
    v("cpu_ns.commit", cpu_commit, "ns", "locks, revalidation and installing");
    v("cpu_ns.rollback", cpu_rollback, "ns", "putting a failed collapse back");
  }
  void add(Duration KhugepagedStats::*phase, Duration work) { this->*phase += work, cpu += work; }
  static constexpr std::string_view name_of_phase(Duration KhugepagedStats::*phase) {
    if (phase == &KhugepagedStats::cpu_scan) return "scan";
    if (phase == &KhugepagedStats::cpu_alloc) return "alloc";
    if (phase == &KhugepagedStats::cpu_swapin) return "swapin";
    if (phase == &KhugepagedStats::cpu_isolate) return "isolate";
    if (phase == &KhugepagedStats::cpu_flush) return "flush";
    if (phase == &KhugepagedStats::cpu_copy) return "copy";
    if (phase == &KhugepagedStats::cpu_commit) return "commit";
    return "rollback";
  }
  static const std::array<std::string, kScanResults> kScanPaths;  // "scan.SCAN_FAIL", ...
};
inline const std::array<std::string, kScanResults> KhugepagedStats::kScanPaths = [] {
  std::array<std::string, kScanResults> paths;
  for (std::size_t i = 0; i < kScanResults; ++i) paths[i] = "scan." + std::string(name_of(ScanResult(i)));
  return paths;
}();

struct StallStats {
  Histogram mmap_lock_ns, collapse_ns, compaction_ns;
  template <class V>
  void describe(V& v) {
    v("mmap_lock_ns", mmap_lock_ns, "ns", "waits for mmap_lock or a VMA lock, by anyone but daemons");
    v("collapse_ns", collapse_ns, "ns",
      "of these and of page-table-lock waits, those behind khugepaged or MADV_COLLAPSE");
    v("compaction_ns", compaction_ns, "ns",
      "page faults and MADV_COLLAPSE held up by compaction of their own (direct compaction)");
  }
};

struct CompactionStats {
  Duration cpu{}, kcompactd{};
  template <class V>
  void describe(V& v) {
    v("cpu_ns", cpu, "ns", "CPU time of compaction, kcompactd's and everyone else's");
    v("cpu_ns.kcompactd", kcompactd, "ns", "of this, kcompactd's");
  }
};

struct KernelStats {
  FaultStats faults;
  VmStat vmstat;
  KhugepagedStats khugepaged;
  StallStats stall;
  CompactionStats compaction;
  std::uint64_t shootdowns = 0, shootdown_ipis = 0;
  template <class V>
  void describe(V& v) {
    v.group("faults", faults);
    v.group("vmstat", vmstat);
    v.group("khugepaged", khugepaged);
    v.group("stall", stall);
    v.group("compaction", compaction);
  }
};

}  // namespace collapsar
