// The verdict on one range of a file: 512 entries of the page cache against the checks of khugepaged.md 5.9.
#include "models/kernel/file_collapse.h"

namespace collapsar {

ScanResult FileCollapse::verdict(Request& request) const {
  const KhugepagedConfig& knobs = kernel_.config.khugepaged;
  request.present = request.swap = request.looked_at = 0;
  for (std::uint64_t i = 0; i < kHugePages; ++i) {
    const PageCache::Entry entry = kernel_.page_cache->find(request.file, request.first + i);
    if (entry.none()) continue;
    ++request.looked_at;
    if (entry.swap()) {
      const std::uint64_t pages = kernel_.page_cache->pages_of_swap_entry(request.file, request.first + i);
      request.swap += std::uint32_t(pages);
      if (request.swap > knobs.max_ptes_swap && is_limited(request)) return ScanResult::EXCEED_SWAP_PTE;
      i += pages - 1;
      continue;
    }
    const ScanResult page = look_at_page(request.file, request.first, entry.pfn());
    if (page != ScanResult::SUCCEED) return page;
    ++request.present;
  }
  if (is_limited(request) && request.present < kHugePages - knobs.max_ptes_none) return ScanResult::EXCEED_NONE_PTE;
  return ScanResult::SUCCEED;
}

ScanResult FileCollapse::look_at_page(FileId file, std::uint64_t first, Pfn pfn) const {
  const Pfn head = kernel_.memory.head_of(pfn);
  const Frame& frame = kernel_.memory.frame(head);
  if (frame.is(Frame::kHead)) {
    if (kernel_.page_cache->find_huge_page(file, first) == head) return ScanResult::PTE_MAPPED_HUGEPAGE;
    if (kernel_.rules.file_compound_refused) return ScanResult::PAGE_COMPOUND;
  }
  if (!frame.is(Frame::kLru)) return ScanResult::PAGE_LRU;
  if (rmap_.has_extra_references(pfn)) return ScanResult::PAGE_COUNT;
  return ScanResult::SUCCEED;
}

void FileCollapse::count_exceeded(ScanResult result) const {
  VmStat& vmstat = kernel_.stats.vmstat;
  if (result == ScanResult::EXCEED_NONE_PTE) ++vmstat.thp_scan_exceed_none_pte;
  if (result == ScanResult::EXCEED_SWAP_PTE) ++vmstat.thp_scan_exceed_swap_pte;
}

}  // namespace collapsar
