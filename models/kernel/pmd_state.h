// pmd_state: what stands in a PMD, as find_pmd_or_thp_or_none() tells it.
//
// Source:      khugepaged.md 4.1.
#pragma once

#include "models/kernel/rules.h"
#include "models/mem/page_table.h"

namespace collapsar {

// SUCCEED: the PMD points to a PTE table.  An entry that is not present names a huge page under migration.
inline ScanResult pmd_state(const PageTable& table, VirtAddr base, const Rules& rules) {
  const Pte* pmd = table.pmd(base);
  const ScanResult unusable = rules.one_code_without_table ? ScanResult::NO_PTE_TABLE : ScanResult::PMD_NULL;
  if (!pmd) return unusable;
  if (pmd->none()) return rules.one_code_without_table ? ScanResult::NO_PTE_TABLE : ScanResult::PMD_NONE;
  if (!pmd->present()) return rules.migration_pmd_is_mapped ? ScanResult::PMD_MAPPED : unusable;
  if (pmd->huge()) return ScanResult::PMD_MAPPED;
  return ScanResult::SUCCEED;
}

}  // namespace collapsar
