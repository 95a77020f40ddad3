// Rules: what differs between kernel versions, as one table of named choices. Code asks for a rule, never for a version.
//
// Simplified:  rollback_after_copy and deferred_list_on_collapse are recorded here and not acted on: copies never fail, and
//              without the underused shrinker nothing reads that list.
// Source:      khugepaged.md 4.1, 4.2, 4.4, 6, 9; read from 6.1.119 and 6.12.63.
#pragma once

#include <array>
#include <string>
#include <string_view>

namespace collapsar {

struct Rules {
  std::string_view version;
  bool needs_writable_pte;         // a range without a writable PTE is refused (PAGE_RO)
  bool shared_per_folio;           // "shared" is judged for the whole folio, not for the 4 KiB page
  bool anon_check_early;           // PAGE_ANON is tested right after PAGE_NULL
  bool per_vma_locks;              // faults run under per-VMA locks; collapse write-locks its VMA
  bool rollback_after_copy;        // the copy may fail (COPY_MC) and is a step of its own before the pages are released
  bool skips_disabled_mm;          // a THP-disabled process is turned away as a whole (+1), not VMA by VMA
  bool sysfs_first;                // VMA eligibility tests the sysfs mode first
  bool deferred_list_on_collapse;  // every new huge page goes on the deferred-split list
  bool stack_growth_registers;     // expand_stack calls khugepaged_enter_vma
  bool none_pte_errno_is_busy;     // MADV_COLLAPSE: EXCEED_NONE_PTE gives EBUSY (else EINVAL)
  bool aligns_huge_mmaps;          // an anonymous mmap of a multiple of 2 MiB is placed 2 MiB aligned
  bool
      drains_lru_for_file_collapse;  // collapse of a file drains the LRU batches after reading a page, so that it finds the page on its list
  bool
      defers_busy_tables;  // page tables of a collapsed file range need the mmap_lock of their process, for write; what cannot be had waits, at most 8, in its slot
  bool
      counts_mapped_huge_file;  // khugepaged empties the page table of a range whose page is huge already at once, and counts it as collapsed each time
  bool
      file_holes_may_fill;  // holes of a file range stay open to faults while it is copied (PAGE_FILLED), and a userfaultfd that waits for them refuses
  bool file_thp_needs_exec;           // regular files: only executable mappings
  bool file_compound_refused;         // a smaller compound page in a file range is refused (PAGE_COMPOUND)
  bool huge_shmem_needs_aligned_vma;  // a fault on shared memory takes a huge page only where its VMA could map it
  bool
      huge_file_map_asks_policy;  // a huge page of a file is mapped by a PMD only if neither VMA nor process refuses huge pages
};

inline constexpr std::array<Rules, 2> kRules{{
    {.version = "6.1",
     .needs_writable_pte = true,
     .shared_per_folio = false,
     .anon_check_early = false,
     .per_vma_locks = false,
     .rollback_after_copy = false,
     .skips_disabled_mm = false,
     .sysfs_first = false,
     .deferred_list_on_collapse = false,
     .stack_growth_registers = true,
     .none_pte_errno_is_busy = false,
     .aligns_huge_mmaps = false,
     .drains_lru_for_file_collapse = false,
     .defers_busy_tables = true,
     .counts_mapped_huge_file = false,
     .file_holes_may_fill = false,
     .file_thp_needs_exec = true,
     .file_compound_refused = true,
     .huge_shmem_needs_aligned_vma = false,
     .huge_file_map_asks_policy = false},
    {.version = "6.12",
     .needs_writable_pte = true,
     .shared_per_folio = true,
     .anon_check_early = true,
     .per_vma_locks = true,
     .rollback_after_copy = true,
     .skips_disabled_mm = true,
     .sysfs_first = true,
     .deferred_list_on_collapse = true,
     .stack_growth_registers = false,
     .none_pte_errno_is_busy = true,
     .aligns_huge_mmaps = true,
     .drains_lru_for_file_collapse = true,
     .defers_busy_tables = false,
     .counts_mapped_huge_file = true,
     .file_holes_may_fill = true,
     .file_thp_needs_exec = false,
     .file_compound_refused = false,
     .huge_shmem_needs_aligned_vma = true,
     .huge_file_map_asks_policy = true},
}};

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

}  // namespace collapsar
