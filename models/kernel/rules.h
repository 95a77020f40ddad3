// Rules: what differs between kernel versions, as one table of named choices. Code asks for a rule, never for a version.
//
// Simplified:  what makes no difference here is no rule: 6.19 tests none and zero-page entries before non-present ones, but
//              no entry is both; 6.1 leaves a scan when the system freezes, and this one never does; no area is
//              VM_DROPPABLE; below 2 MiB no size of huge page is on (their default), so nothing collapses to one.
// Source:      khugepaged.md 1.2, 2, 3, 4, 5, 6, 7, 9; read from 6.1.119, 6.12.63, 6.18.2, 6.19.0 and 7.1.5.
#pragma once

#include <array>
#include <string>
#include <string_view>

#include "models/kernel/scan_result.h"

namespace collapsar {

struct Rules {
  // What "shared" is asked of: the 4 KiB page; the folio it belongs to, by an estimate; the folio, by who maps it.
  enum class Shared : std::uint8_t { page, folio_estimate, folio };
  // Progress of one 2 MiB range against pages_to_scan.
  enum class Progress : std::uint8_t { whole_range, ptes_looked_at };

  std::string_view version;
  // --- who is in the queue, who may have huge pages (1.2, 3) ---
  bool stack_growth_registers;         // expand_stack calls khugepaged_enter_vma
  bool madvise_registers_changed_vma;  // MADV_HUGEPAGE registers with the VMA after the change, if there is one
  bool sysfs_first;                    // VMA eligibility tests the sysfs mode first
  bool per_size_controls;              // hugepages-2048kB/enabled exists
  bool shmem_starts_daemon;            // khugepaged runs for shared memory alone
  bool skips_disabled_mm;              // a THP-disabled process is turned away as a whole (+1), not VMA by VMA
  bool disabled_mm_ends_its_turn;      // THP disabled in the middle of a visit: the cursor goes on to the next process
  bool disable_except_advised;         // prctl can leave VM_HUGEPAGE areas and MADV_COLLAPSE alone
  bool aligns_huge_mmaps;              // an anonymous mmap of a multiple of 2 MiB is placed 2 MiB aligned
  // --- the scan (2.5, 4) ---
  Progress progress;
  bool one_code_without_table;   // NO_PTE_TABLE in place of PMD_NULL and PMD_NONE
  bool migration_pmd_is_mapped;  // a PMD under migration gives PMD_MAPPED
  bool needs_writable_pte;       // a range without a writable PTE is refused (PAGE_RO)
  bool anon_check_early;         // PAGE_ANON is tested right after PAGE_NULL
  bool skips_lazyfree;           // khugepaged refuses clean MADV_FREE pages (PAGE_LAZYFREE)
  Shared shared;
  // --- the collapse (5) ---
  bool per_vma_locks;              // faults run under per-VMA locks; collapse write-locks its VMA
  bool copy_can_fail;              // all 512 pages are copied before any is released; poison rolls back (COPY_MC)
  bool table_sync_interrupts_all;  // after the flush every CPU is interrupted (tlb_remove_table_sync_one)
  bool flush_frees_tables;         // the flush is marked "page tables freed"
  // --- compaction ---
  bool batches_migration;  // a cluster of pages is unmapped, flushed once and then copied (else page by page)
  // --- LRU (mm/swap.c) ---
  std::uint32_t lru_batch_pages;  // new pages that a CPU gathers before they reach their list (PAGEVEC_SIZE)
  // --- MADV_COLLAPSE (6) ---
  bool none_pte_errno_is_busy;  // EXCEED_NONE_PTE gives EBUSY (else EINVAL)
  // --- huge pages otherwise (7) ---
  bool split_unmaps_pmd_by_pages;   // a folio split takes even a whole mapping away page by page: it counts as deferred
  bool split_maps_zero_pages;       // a folio split puts the zero page where a 4 KiB page of it holds only zeros
  bool zero_pages_stay_home;        // pages that hold only zeros are swapped out without a write
  bool smaps_shows_prot_none_huge;  // AnonHugePages of /proc/PID/smaps counts huge pages that nobody may access
  bool deferred_list_for_all;       // every new huge page goes on the deferred split list: it may prove underused
  bool huge_zero_write_allocates;   // a write to the huge zero page gets a huge page, where one can be had
  // --- shared memory and files (1.1, 5.9, 6) ---
  bool
      drains_lru_for_shmem_collapse;  // the LRU batch is drained after reading a page from swap, so that it can be isolated
  bool defers_busy_tables;            // emptying a table needs mmap_lock for write; what is busy waits in the slot
  bool file_holes_may_fill;           // holes stay open to faults while copying (PAGE_FILLED); userfaultfd refuses them
  bool file_thp_needs_exec;           // regular files: only executable mappings
  bool file_compound_refused;         // a smaller compound page in a file range is refused (PAGE_COMPOUND)
  bool huge_shmem_needs_aligned_vma;  // a fault takes a huge page only where its VMA could map it
  bool huge_file_map_asks_policy;     // a PMD maps a huge file page only if neither VMA nor process refuses huge pages
  bool retries_after_write_back;      // MADV_COLLAPSE waits for dirty pages to be written back, and tries again once
  // --- anonymous memory ---
  bool mmap_merges_up_first;        // a new mapping asks its upper neighbour first
  bool mprotect_upgrades_clean;     // mprotect makes exclusive pages writable at once even if clean, huge ones too
  bool mprotect_drops_account;      // VM_ACCOUNT goes when an untouched mapping is made read-only
  bool reuses_lone_subpage;         // a write takes over the last mapped 4 KiB of a huge page (else it is copied)
  bool populate_ends_at_hole;       // MADV_POPULATE_*: ENOMEM at once (else the rest of the range is done first)
  bool advice_keeps_whole_folios;   // MADV_FREE, COLD, PAGEOUT take a huge page mapped by PTEs whole, not split
  bool swaps_out_pte_mapped_whole;  // a huge page mapped by PTEs goes out whole unless partly unmapped
  bool batches_zaps;                // entries of one huge page are zapped together: no part of it is left in between
  bool uffd_protects_many_vmas;     // UFFDIO_WRITEPROTECT may span VMAs
  bool multi_gen_lru;  // CONFIG_LRU_GEN_ENABLED, as Debian builds it: what an access and an isolation do to a page
  bool mlocks_pte_mapped_whole;     // mlock locks a huge page mapped by PTEs if it covers it whole (else: never)
  bool swaps_out_huge_shmem_whole;  // a huge page of shared memory goes to swap unsplit, as one entry of its file
  bool swap_in_maps_writable;       // a page of one user only comes back writable, even for a read
  bool pageout_ages;                // MADV_PAGEOUT clears accessed bits first, also of what it then cannot send out

  // Whether this version has the result at all.
  constexpr bool has(ScanResult result) const;
};

// In order of release. Each begins as the one before it.
inline constexpr std::array<Rules, 5> kRules = [] {
  Rules v6_1{};
  v6_1.version = "6.1";
  v6_1.stack_growth_registers = true;
  v6_1.progress = Rules::Progress::whole_range;
  v6_1.needs_writable_pte = true;
  v6_1.shared = Rules::Shared::page;
  v6_1.split_unmaps_pmd_by_pages = true;
  v6_1.lru_batch_pages = 15;
  v6_1.defers_busy_tables = true;
  v6_1.file_thp_needs_exec = true;
  v6_1.file_compound_refused = true;
  v6_1.mmap_merges_up_first = true;
  v6_1.reuses_lone_subpage = true;
  v6_1.pageout_ages = true;

  Rules v6_12 = v6_1;
  v6_12.version = "6.12";
  v6_12.stack_growth_registers = false;
  v6_12.split_unmaps_pmd_by_pages = false;
  v6_12.split_maps_zero_pages = true;
  v6_12.smaps_shows_prot_none_huge = true;
  v6_12.zero_pages_stay_home = true;
  v6_12.madvise_registers_changed_vma = true;  // seen on 6.12.117 of Debian
  v6_12.sysfs_first = true;
  v6_12.per_size_controls = true;
  v6_12.skips_disabled_mm = true;
  v6_12.aligns_huge_mmaps = true;
  v6_12.anon_check_early = true;
  v6_12.shared = Rules::Shared::folio_estimate;
  v6_12.per_vma_locks = true;
  v6_12.copy_can_fail = true;
  v6_12.flush_frees_tables = true;
  v6_12.lru_batch_pages = 31;      // since 6.10
  v6_12.batches_migration = true;  // since 6.3
  v6_12.none_pte_errno_is_busy = true;
  v6_12.deferred_list_for_all = true;
  v6_12.drains_lru_for_shmem_collapse = true;
  v6_12.defers_busy_tables = false;
  v6_12.file_holes_may_fill = true;
  v6_12.file_thp_needs_exec = false;
  v6_12.file_compound_refused = false;
  v6_12.huge_shmem_needs_aligned_vma = true;
  v6_12.huge_file_map_asks_policy = true;
  v6_12.mmap_merges_up_first = false;
  v6_12.mprotect_upgrades_clean = true;
  v6_12.mprotect_drops_account = true;
  v6_12.reuses_lone_subpage = false;
  v6_12.populate_ends_at_hole = true;
  v6_12.advice_keeps_whole_folios = true;
  v6_12.swaps_out_pte_mapped_whole = true;
  v6_12.batches_zaps = true;
  v6_12.uffd_protects_many_vmas = true;
  v6_12.multi_gen_lru = true;
  v6_12.mlocks_pte_mapped_whole = true;
  v6_12.swaps_out_huge_shmem_whole = true;  // seen on 6.12.117 of Debian
  v6_12.swap_in_maps_writable = true;       // seen on 6.12.117 of Debian
  v6_12.pageout_ages = false;

  Rules v6_18 = v6_12;
  v6_18.version = "6.18";
  v6_18.shmem_starts_daemon = true;
  v6_18.disable_except_advised = true;
  v6_18.migration_pmd_is_mapped = true;
  v6_18.needs_writable_pte = false;
  v6_18.shared = Rules::Shared::folio;
  v6_18.table_sync_interrupts_all = true;
  v6_18.huge_zero_write_allocates = true;

  Rules v6_19 = v6_18;
  v6_19.version = "6.19";
  v6_19.one_code_without_table = true;

  Rules v7_1 = v6_19;
  v7_1.version = "7.1";
  v7_1.disabled_mm_ends_its_turn = true;
  v7_1.progress = Rules::Progress::ptes_looked_at;
  v7_1.skips_lazyfree = true;
  v7_1.retries_after_write_back = true;

  return std::array<Rules, 5>{v6_1, v6_12, v6_18, v6_19, v7_1};
}();

// nullptr: unknown version.
constexpr const Rules* find_rules(std::string_view version) {
  for (const Rules& r : kRules)
    if (r.version == version) return &r;
  return nullptr;
}

// "6.1, 6.12, ...": for messages.
inline std::string known_versions() {
  std::string list;
  for (const Rules& r : kRules) list += (list.empty() ? "" : ", ") + std::string(r.version);
  return list;
}

constexpr bool Rules::has(ScanResult result) const {
  using enum ScanResult;
  switch (result) {
    case PMD_NULL:
    case PMD_NONE: return !one_code_without_table;
    case NO_PTE_TABLE: return one_code_without_table;
    case PAGE_RO: return needs_writable_pte;
    case PAGE_LAZYFREE: return skips_lazyfree;
    case COPY_MC: return copy_can_fail;
    case PAGE_FILLED: return file_holes_may_fill;
    case PAGE_DIRTY_OR_WRITEBACK: return retries_after_write_back;
    case FAIL:
    case SUCCEED:
    case PMD_MAPPED:
    case EXCEED_NONE_PTE:
    case EXCEED_SWAP_PTE:
    case EXCEED_SHARED_PTE:
    case PTE_NON_PRESENT:
    case PTE_UFFD_WP:
    case PTE_MAPPED_HUGEPAGE:
    case LACK_REFERENCED_PAGE:
    case PAGE_NULL:
    case SCAN_ABORT:
    case PAGE_COUNT:
    case PAGE_LRU:
    case PAGE_LOCK:
    case PAGE_ANON:
    case PAGE_COMPOUND:
    case ANY_PROCESS:
    case VMA_NULL:
    case VMA_CHECK:
    case ADDRESS_RANGE:
    case DEL_PAGE_LRU:
    case ALLOC_HUGE_PAGE_FAIL:
    case CGROUP_CHARGE_FAIL:
    case TRUNCATED:
    case PAGE_HAS_PRIVATE:
    case STORE_FAILED: return true;
  }
  return false;
}

// The number in the tracepoints: versions number what they have, in order.  -1: not a result of this version.
constexpr int trace_code(ScanResult result, const Rules& rules) {
  if (!rules.has(result)) return -1;
  int code = 0;
  for (std::size_t i = 0; i < std::size_t(result); ++i) code += rules.has(ScanResult(i));
  return code;
}

}  // namespace collapsar
