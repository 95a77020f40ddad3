// ScanResult: what came of one scan or one collapse, with the kernel's names.
//
// Source:      khugepaged.md 4.4 (SCAN_* codes and the strings of the huge_memory tracepoints). rules.h says which exist in
//              which version, and with which number.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

namespace collapsar {

// The union over kernel versions, in the order in which every version numbers those it has.
enum class ScanResult : std::uint8_t {
  FAIL,
  SUCCEED,
  PMD_NULL,
  PMD_NONE,
  NO_PTE_TABLE,
  PMD_MAPPED,
  EXCEED_NONE_PTE,
  EXCEED_SWAP_PTE,
  EXCEED_SHARED_PTE,
  PTE_NON_PRESENT,
  PTE_UFFD_WP,
  PTE_MAPPED_HUGEPAGE,
  PAGE_RO,
  LACK_REFERENCED_PAGE,
  PAGE_NULL,
  SCAN_ABORT,
  PAGE_COUNT,
  PAGE_LRU,
  PAGE_LOCK,
  PAGE_ANON,
  PAGE_LAZYFREE,
  PAGE_COMPOUND,
  ANY_PROCESS,
  VMA_NULL,
  VMA_CHECK,
  ADDRESS_RANGE,
  DEL_PAGE_LRU,
  ALLOC_HUGE_PAGE_FAIL,
  CGROUP_CHARGE_FAIL,
  TRUNCATED,
  PAGE_HAS_PRIVATE,
  STORE_FAILED,
  COPY_MC,
  PAGE_FILLED,
  PAGE_DIRTY_OR_WRITEBACK
};
inline constexpr std::size_t kScanResults = std::size_t(ScanResult::PAGE_DIRTY_OR_WRITEBACK) + 1;

struct ScanResultNames {
  std::string_view code;   // in the source
  std::string_view trace;  // in the tracepoints
};
inline constexpr std::array<ScanResultNames, kScanResults> kScanResultNames{
    {{"SCAN_FAIL", "failed"},
     {"SCAN_SUCCEED", "succeeded"},
     {"SCAN_PMD_NULL", "pmd_null"},
     {"SCAN_PMD_NONE", "pmd_none"},
     {"SCAN_NO_PTE_TABLE", "no_pte_table"},
     {"SCAN_PMD_MAPPED", "page_pmd_mapped"},
     {"SCAN_EXCEED_NONE_PTE", "exceed_none_pte"},
     {"SCAN_EXCEED_SWAP_PTE", "exceed_swap_pte"},
     {"SCAN_EXCEED_SHARED_PTE", "exceed_shared_pte"},
     {"SCAN_PTE_NON_PRESENT", "pte_non_present"},
     {"SCAN_PTE_UFFD_WP", "pte_uffd_wp"},
     {"SCAN_PTE_MAPPED_HUGEPAGE", "pte_mapped_hugepage"},
     {"SCAN_PAGE_RO", "no_writable_page"},
     {"SCAN_LACK_REFERENCED_PAGE", "lack_referenced_page"},
     {"SCAN_PAGE_NULL", "page_null"},
     {"SCAN_SCAN_ABORT", "scan_aborted"},
     {"SCAN_PAGE_COUNT", "not_suitable_page_count"},
     {"SCAN_PAGE_LRU", "page_not_in_lru"},
     {"SCAN_PAGE_LOCK", "page_locked"},
     {"SCAN_PAGE_ANON", "page_not_anon"},
     {"SCAN_PAGE_LAZYFREE", "page_lazyfree"},
     {"SCAN_PAGE_COMPOUND", "page_compound"},
     {"SCAN_ANY_PROCESS", "no_process_for_page"},
     {"SCAN_VMA_NULL", "vma_null"},
     {"SCAN_VMA_CHECK", "vma_check_failed"},
     {"SCAN_ADDRESS_RANGE", "not_suitable_address_range"},
     {"SCAN_DEL_PAGE_LRU", "could_not_delete_page_from_lru"},
     {"SCAN_ALLOC_HUGE_PAGE_FAIL", "alloc_huge_page_failed"},
     {"SCAN_CGROUP_CHARGE_FAIL", "ccgroup_charge_failed"},
     {"SCAN_TRUNCATED", "truncated"},
     {"SCAN_PAGE_HAS_PRIVATE", "page_has_private"},
     {"SCAN_STORE_FAILED", "store_failed"},
     {"SCAN_COPY_MC", "copy_poisoned_page"},
     {"SCAN_PAGE_FILLED", "page_filled"},
     {"SCAN_PAGE_DIRTY_OR_WRITEBACK", "page_dirty_or_writeback"}}};

constexpr std::string_view name_of(ScanResult r) { return kScanResultNames[std::size_t(r)].code; }
constexpr std::string_view trace_name(ScanResult r) { return kScanResultNames[std::size_t(r)].trace; }

}  // namespace collapsar
