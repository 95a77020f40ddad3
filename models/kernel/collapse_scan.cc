// The verdict on one range: 512 PTEs against the checks of khugepaged.md 4.2, in the kernel's order.
#include "models/kernel/collapse.h"
#include "models/kernel/pmd_state.h"

namespace collapsar {
namespace {

// With swapped-out entries in the range, so many pages must be referenced (khugepaged.md 4.3).
constexpr std::uint32_t kReferencedWithSwap = kHugePages / 2;

// Entries between a fetch and its use: enough to cover a miss in the host's memory.
constexpr std::size_t kFetchAhead = 16;

// A small anonymous page that passes every check there is: the common case, told from its Frame alone.
bool is_plain(const Frame& page) {
  constexpr std::uint16_t kMatter = Frame::kHead | Frame::kTail | Frame::kLru | Frame::kLocked | Frame::kLazyFree;
  return (page.flags & kMatter) == Frame::kLru && page.mapcount <= 1 && page.pins == 0 &&
         page.used_as() == FrameUse::anon;
}

// vm_normal_page: neither zero page nor anything the kernel does not manage as a page of a program.
bool is_normal_page(const Frame& page) {
  const FrameUse use = page.used_as();
  return use == FrameUse::anon || use == FrameUse::file;
}

}  // namespace

ScanResult Collapse::verdict(AddressSpace& mm, VirtAddr base, LockOwner owner, ScanCounts& counts) const {
  counts = {};
  const ScanResult pmd = state_of_pmd(mm, base);
  if (pmd != ScanResult::SUCCEED) return pmd;
  return scan_ptes(mm.table().pte_table(base), limits_of(owner, mm, base), counts);
}

Collapse::Limits Collapse::limits_of(LockOwner owner, AddressSpace& mm, VirtAddr base) const {
  const Vma* const vma = mm.find(base);
  const bool is_armed = vma && (vma->flags & Vma::kUffd);
  if (owner != LockOwner::khugepaged) return {.none = is_armed ? 0 : std::uint32_t(kHugePages)};
  const KhugepagedConfig& knobs = kernel_.config.khugepaged;
  return {.none = is_armed ? 0 : std::uint32_t(knobs.max_ptes_none),
          .swap = std::uint32_t(knobs.max_ptes_swap),
          .shared = std::uint32_t(knobs.max_ptes_shared),
          .young_test = true};
}

ScanResult Collapse::scan_ptes(const std::array<Pte, kHugePages>& ptes, const Limits& limits,
                               ScanCounts& counts) const {
  ScanCounts seen;  // a copy that the compiler can keep in registers
  const ScanResult result = look_at_ptes(ptes, limits, seen);
  counts = seen;
  if (result != ScanResult::SUCCEED) return result;
  if (kernel_.rules.needs_writable_pte && !seen.writable) return ScanResult::PAGE_RO;
  const std::uint32_t wanted = seen.unmapped > 0 ? kReferencedWithSwap : 1;
  if (limits.young_test && seen.referenced < wanted) return ScanResult::LACK_REFERENCED_PAGE;
  return ScanResult::SUCCEED;
}

// The daemon's hottest loop. The frames are fetched ahead: in memory that has been in use for long each is a cache miss.
inline ScanResult Collapse::look_at_ptes(const std::array<Pte, kHugePages>& ptes, const Limits& limits,
                                         ScanCounts& counts) const {
  for (std::size_t i = 0; i < kHugePages; ++i) {
    if (const Pte ahead = ptes[(i + kFetchAhead) % kHugePages]; ahead.present())
      __builtin_prefetch(&kernel_.memory.frame(ahead.pfn()));
    const Pte pte = ptes[i];
    ++counts.looked_at;
    if (pte.none() || pte.zero_page()) {
      if (++counts.none_or_zero > limits.none) return ScanResult::EXCEED_NONE_PTE;
    } else if (!pte.present()) {
      if (++counts.unmapped > limits.swap) return ScanResult::EXCEED_SWAP_PTE;
      if (pte.bits & Pte::kUffdWp) return ScanResult::PTE_UFFD_WP;
    } else if (pte.bits & Pte::kUffdWp) {
      return ScanResult::PTE_UFFD_WP;
    } else if (const Frame& page = kernel_.memory.frame(pte.pfn()); is_plain(page)) {
      counts.writable |= pte.writable();
      counts.referenced += limits.young_test && (pte.accessed() || page.is(Frame::kReferenced));
    } else if (const ScanResult result = scan_page(pte, limits, counts); result != ScanResult::SUCCEED) {
      return result;
    }
  }
  return ScanResult::SUCCEED;
}

// Rows 4 to 14 of the table.
ScanResult Collapse::scan_page(Pte pte, const Limits& limits, ScanCounts& counts) const {
  const Pfn pfn = pte.pfn();
  const Frame& page = kernel_.memory.frame(pfn);
  counts.writable |= pte.writable();
  if (!is_normal_page(page)) return ScanResult::PAGE_NULL;
  const bool is_anon = page.used_as() == FrameUse::anon;
  const Frame& folio = kernel_.memory.frame(kernel_.memory.head_of(pfn));
  if (is_lazyfree(folio, pte, limits)) return ScanResult::PAGE_LAZYFREE;
  if (kernel_.rules.anon_check_early && !is_anon) return ScanResult::PAGE_ANON;
  if (rmap_.is_shared(pfn) && ++counts.shared > limits.shared) return ScanResult::EXCEED_SHARED_PTE;
  if (!folio.is(Frame::kLru)) return ScanResult::PAGE_LRU;
  if (folio.is(Frame::kLocked)) return ScanResult::PAGE_LOCK;
  if (!is_anon) return ScanResult::PAGE_ANON;
  if (rmap_.has_extra_references(pfn)) return ScanResult::PAGE_COUNT;
  if (limits.young_test && (pte.accessed() || folio.is(Frame::kReferenced))) ++counts.referenced;
  return ScanResult::SUCCEED;
}

void Collapse::count_exceeded(ScanResult result) const {
  VmStat& vmstat = kernel_.stats.vmstat;
  if (result == ScanResult::EXCEED_NONE_PTE) ++vmstat.thp_scan_exceed_none_pte;
  if (result == ScanResult::EXCEED_SWAP_PTE) ++vmstat.thp_scan_exceed_swap_pte;
  if (result == ScanResult::EXCEED_SHARED_PTE) ++vmstat.thp_scan_exceed_share_pte;
}

std::uint64_t Collapse::candidates(AddressSpace& mm) const {
  std::uint64_t found = 0;
  for (const auto& [start, vma] : mm.vmas()) {
    if (!thp_vma_allowable(kernel_, mm, vma, /*enforce_sysfs=*/true, /*in_fault=*/false)) continue;
    const VirtAddr end = align_down(vma.range.end, kHugeBytes);
    for (VirtAddr base = align_up(vma.range.start, kHugeBytes); base < end; base += kHugeBytes)
      found += mm.table().pmd_is_table(base);
  }
  return found;
}

}  // namespace collapsar
