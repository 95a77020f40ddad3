// KernelConfig: the kernel's knobs, named as sysfs names them.
//
// Source:      khugepaged.md 8.2 (files, defaults, ranges).
#pragma once

#include <array>
#include <string>

#include "models/kernel/costs.h"
#include "models/mmu/kernel_port.h"
#include "sim/core/config.h"

namespace collapsar {

enum class ThpEnabled : std::uint8_t { always, madvise, never };
template <>
struct EnumNames<ThpEnabled> {
  static constexpr std::array<std::pair<std::string_view, ThpEnabled>, 3> names{
      {{"always", ThpEnabled::always}, {"madvise", ThpEnabled::madvise}, {"never", ThpEnabled::never}}};
};
// hugepages-2048kB/enabled: `inherit` follows `enabled`.
enum class SizeEnabled : std::uint8_t { inherit, always, madvise, never };
template <>
struct EnumNames<SizeEnabled> {
  static constexpr std::array<std::pair<std::string_view, SizeEnabled>, 4> names{{{"inherit", SizeEnabled::inherit},
                                                                                  {"always", SizeEnabled::always},
                                                                                  {"madvise", SizeEnabled::madvise},
                                                                                  {"never", SizeEnabled::never}}};
};
enum class ThpDefrag : std::uint8_t { always, defer, defer_madvise, madvise, never };
template <>
struct EnumNames<ThpDefrag> {
  static constexpr std::array<std::pair<std::string_view, ThpDefrag>, 5> names{
      {{"always", ThpDefrag::always},
       {"defer", ThpDefrag::defer},
       {"defer+madvise", ThpDefrag::defer_madvise},
       {"madvise", ThpDefrag::madvise},
       {"never", ThpDefrag::never}}};
};

// For shared anonymous memory. deny and force are for testing: nothing is huge, everything is.
enum class ShmemEnabled : std::uint8_t { always, within_size, advise, never, deny, force };
template <>
struct EnumNames<ShmemEnabled> {
  static constexpr std::array<std::pair<std::string_view, ShmemEnabled>, 6> names{
      {{"always", ShmemEnabled::always},
       {"within_size", ShmemEnabled::within_size},
       {"advise", ShmemEnabled::advise},
       {"never", ShmemEnabled::never},
       {"deny", ShmemEnabled::deny},
       {"force", ShmemEnabled::force}}};
};

struct SizeConfig {
  SizeEnabled enabled = SizeEnabled::inherit;
  template <class V>
  void describe(V& v) {
    v("enabled", enabled, "for anonymous memory: inherit | always | madvise | never");
  }
};

struct ThpConfig {
  ThpEnabled enabled = ThpEnabled::madvise;  // build option of most distributions; Debian builds `always`
  SizeConfig pmd_size;
  ThpDefrag defrag = ThpDefrag::madvise;
  ShmemEnabled shmem_enabled = ShmemEnabled::never;
  bool use_zero_page = true;
  bool shrink_underused = true;
  bool at_fault = true;  // ours: false = the fault path registers with khugepaged but maps 4 KiB
  template <class V>
  void describe(V& v) {
    v("enabled", enabled, "always | madvise | never");
    v("hugepages-2048kB", pmd_size, "the control of this size, from 6.12 on");
    v("defrag", defrag, "always | defer | defer+madvise | madvise | never");
    v("shmem_enabled", shmem_enabled, "for shared memory: always | within_size | advise | never | deny | force");
    v("use_zero_page", use_zero_page, "read faults may map the huge zero page");
    v("shrink_underused", shrink_underused,
      "memory pressure splits huge pages with more zero-filled 4 KiB pages than khugepaged.max_ptes_none, from 6.12 "
      "on");
    v("at_fault", at_fault, "false: faults map 4 KiB only, so that khugepaged's work stands alone (not a Linux knob)");
  }
};

// `dedicated` (a CPU outside the traced ones) or the number of a traced CPU.
struct DaemonCpu {
  CpuId cpu = kNoCpu;
  bool operator==(const DaemonCpu&) const = default;
};
template <>
struct ScalarText<DaemonCpu> {
  static constexpr std::string_view expected = "dedicated, or the number of a CPU";
  static DaemonCpu parse(std::string_view text) {
    return text == "dedicated" ? DaemonCpu{} : DaemonCpu{CpuId(parse_count(text))};
  }
  static std::string print(const DaemonCpu& d) { return d.cpu == kNoCpu ? "dedicated" : std::to_string(d.cpu); }
};

// Which range khugepaged takes next (khugepaged.h, range_ranking.h). Only the first is a kernel that exists.
enum class CollapsePolicy : std::uint8_t { as_linux, utilization, coverage, oracle };
template <>
struct EnumNames<CollapsePolicy> {
  static constexpr std::array<std::pair<std::string_view, CollapsePolicy>, 4> names{
      {{"linux", CollapsePolicy::as_linux},
       {"utilization", CollapsePolicy::utilization},
       {"coverage", CollapsePolicy::coverage},
       {"oracle", CollapsePolicy::oracle}}};
};

struct KhugepagedConfig {
  std::uint64_t pages_to_scan = 8 * kHugePages;     // 4096
  Duration scan_sleep = std::chrono::seconds(10);   // scan_sleep_millisecs
  Duration alloc_sleep = std::chrono::seconds(60);  // alloc_sleep_millisecs
  std::uint64_t max_ptes_none = kHugePages - 1;     // 511
  std::uint64_t max_ptes_swap = kHugePages / 8;     // 64
  std::uint64_t max_ptes_shared = kHugePages / 2;   // 256
  bool defrag = true;
  DaemonCpu cpu;
  CollapsePolicy policy = CollapsePolicy::as_linux;
  double utilization = 0.9;  // Ingens' default (Kwon et al., OSDI 2016, section 4)
  template <class V>
  void describe(V& v) {
    v("pages_to_scan", pages_to_scan,
      "base pages looked at per wake-up; more finds faster, and costs CPU and lock time");
    v("scan_sleep", scan_sleep, "pause between wake-ups");
    v("alloc_sleep", alloc_sleep, "pause after a failed huge-page allocation");
    v("max_ptes_none", max_ptes_none, "empty or zero-page PTEs a range may have and still be collapsed, 0..511");
    v("max_ptes_swap", max_ptes_swap, "swapped-out PTEs a range may have, 0..511");
    v("max_ptes_shared", max_ptes_shared, "PTEs of pages shared with another process a range may have, 0..511");
    v("defrag", defrag, "khugepaged may reclaim and compact to get its huge page");
    v("cpu", cpu, "dedicated, or the number of a traced CPU that khugepaged takes its time from");
    v("policy", policy,
      "linux | utilization (as Ingens: ranges with enough present pages) | coverage (as HawkEye: most accessed first) "
      "| oracle (most page-walk cycles first, counted in a run before); not a Linux knob");
    v("utilization", utilization, "policy utilization: share of a range's pages that must be present, above 0 to 1");
  }
  void validate() const {
    if (pages_to_scan == 0) throw std::invalid_argument("pages_to_scan: 0; the kernel refuses it: at least 1");
    if (!(utilization > 0 && utilization <= 1))
      throw std::invalid_argument(fmt::format("utilization: {}; a share above 0, at most 1", utilization));
    auto at_most = [](const char* key, std::uint64_t n) {
      if (n >= kHugePages) throw std::invalid_argument(fmt::format("{}: {}; the kernel takes 0..511", key, n));
    };
    at_most("max_ptes_none", max_ptes_none), at_most("max_ptes_swap", max_ptes_swap),
        at_most("max_ptes_shared", max_ptes_shared);
  }
};

// As /proc/sys/vm: compaction_proactiveness, extfrag_threshold, compact_unevictable_allowed; defaults as there.
struct CompactionConfig {
  bool enabled = true;  // CONFIG_COMPACTION
  std::uint64_t proactiveness = 20;
  std::uint64_t extfrag_threshold = 500;
  bool unevictable_allowed = true;
  template <class V>
  void describe(V& v) {
    v("enabled", enabled, "false: a kernel without compaction");
    v("proactiveness", proactiveness,
      "0..100: kcompactd keeps the share of free memory that is in pieces below about 110 minus this, in percent; 0: "
      "not "
      "unasked");
    v("extfrag_threshold", extfrag_threshold,
      "0..1000: up to this fragmentation index a failed allocation is blamed on lack of memory, and nothing is "
      "compacted");
    v("unevictable_allowed", unevictable_allowed, "locked memory may be moved");
  }
  void validate() const {
    if (proactiveness > 100)
      throw std::invalid_argument(fmt::format("proactiveness: {}; the kernel takes 0..100", proactiveness));
    if (extfrag_threshold > 1000)
      throw std::invalid_argument(fmt::format("extfrag_threshold: {}; the kernel takes 0..1000", extfrag_threshold));
  }
};

struct KernelConfig {
  std::string version = "6.12";
  ThpConfig thp;
  KhugepagedConfig khugepaged;
  CompactionConfig compaction;
  KernelCosts costs;
  template <class V>
  void describe(V& v) {
    v("version", version, "which kernel's rules are followed: 6.1 | 6.12 | 6.18 | 6.19 | 7.1");
    v("thp", thp, "transparent huge pages, as /sys/kernel/mm/transparent_hugepage");
    v("khugepaged", khugepaged, "as /sys/kernel/mm/transparent_hugepage/khugepaged");
    v("compaction", compaction, "moving pages together to get free blocks of 2 MiB, as /proc/sys/vm");
    v("costs", costs, "time of each kernel step");
  }
  // What `enabled` comes to for anonymous huge pages.
  ThpEnabled anon_enabled() const;
  void validate() const;  // version known, and its controls (rules.h)
};

}  // namespace collapsar
