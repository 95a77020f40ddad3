// pmd_state: what stands in a PMD, as find_pmd_or_thp_or_none() tells it.
//
// Source:      khugepaged.md 4.1.
#pragma once

#include "models/kernel/kernel_stats.h"
#include "models/mem/page_table.h"

namespace collapsar {

// SUCCEED: the PMD points to a PTE table.
inline ScanResult pmd_state(const PageTable& table, VirtAddr base) {
  const Pte* pmd = table.pmd(base);
  if (!pmd) return ScanResult::PMD_NULL;
  if (pmd->none()) return ScanResult::PMD_NONE;
  if (pmd->huge()) return ScanResult::PMD_MAPPED;
  return ScanResult::SUCCEED;
}

}  // namespace collapsar
