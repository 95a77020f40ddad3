// MemoryCalls: MADV_FREE, MADV_COLD, MADV_PAGEOUT, 2 MiB by 2 MiB as the kernel's page walk goes.
#include <algorithm>

#include "models/kernel/memory_calls.h"
#include "models/kernel/memory_calls_bits.h"

namespace collapsar {

namespace {

// Calls block(VirtRange) for each part of `range` that one page table serves.
template <class Block>
void for_each_block(VirtRange range, Block&& block) {
  for (VirtAddr at = range.start; at < range.end;) {
    const VirtRange part{at, std::min(range.end, huge_base(at) + kHugeBytes)};
    block(part);
    at = part.end;
  }
}

// Entries that may differ within one batch of a large page (folio_pte_batch); exclusivity belongs to the page.
constexpr std::uint64_t kBatchIgnores = Pte::kAccessed | Pte::kDirty | Pte::kWritable | Pte::kSoftExclusive;

}  // namespace

// How many entries from `at` map consecutive pages of one large page, in the same way.
std::uint64_t MemoryCalls::batch_length(AddressSpace& mm, VirtRange part) const {
  const Pte first = *mm.table().pte(part.start);
  const Pfn head = kernel_.memory.head_of(first.pfn());
  std::uint64_t length = 1;
  for (; length < part.pages(); ++length) {
    const Pte pte = *mm.table().pte(part.start + length * kPageBytes);
    if (!pte.present() || pte.zero_page() || kernel_.memory.head_of(pte.pfn()) != head) break;
    const Pte expected = Pte::make(first.pfn() + length, first.bits & ~Pte::kFrameMask);
    if ((pte.bits | kBatchIgnores) != (expected.bits | kBatchIgnores)) break;
  }
  return length;
}

// What a large page mapped by PTEs is to these calls. 6.1: split if this mapping is the only one of the 4 KiB page, else
// the table is done; MADV_FREE asks the first 4 KiB page for all (folio_estimated_sharers, in 6.1.y). 6.12: taken whole if
// all of it is mapped here, split if nobody shares it, else passed over.
MemoryCalls::LargePage MemoryCalls::deal_with_large(AddressSpace& mm, VirtRange part, bool is_free,
                                                    std::uint64_t& length, SyscallEffect& effect) {
  const Pfn pfn = mm.table().pte(part.start)->pfn(), head = kernel_.memory.head_of(pfn);
  if (!kernel_.rules.advice_keeps_whole_folios) {
    const bool split =
        kernel_.memory.total_mapcount(is_free ? head : pfn) == 1 && split_.split_folio(head, &effect.cost);
    return split ? LargePage::look_again : LargePage::end_table;
  }
  length = batch_length(mm, part);
  if (length == kHugePages) return LargePage::whole;
  if (rmap_.is_shared(pfn) || !split_.split_folio(head, &effect.cost)) return LargePage::pass_over;
  return LargePage::look_again;
}

// Calls small(VirtAddr, Pte&, std::uint64_t length) for each present page of one page table; a huge PMD has been dealt
// with before. `swapped` is called for swap entries.
template <class Present, class Swapped>
void MemoryCalls::advise_table(AddressSpace& mm, VirtRange part, bool is_free, SyscallEffect& effect, Present&& present,
                               Swapped&& swapped) {
  if (!mm.table().pmd_is_table(part.start)) return;
  for (VirtAddr at = part.start; at < part.end;) {
    Pte* pte = mm.table().pte(at);
    if (!pte) return;  // a huge page of a file was unmapped by its split
    std::uint64_t length = 1;
    if (pte->swap()) swapped(at, *pte);
    if (pte->none() || !pte->present() || pte->zero_page()) {
      at += kPageBytes;
      continue;
    }
    const Frame& folio = kernel_.memory.frame(kernel_.memory.head_of(pte->pfn()));
    LargePage large = LargePage::whole;
    if (folio.is(Frame::kHead)) large = deal_with_large(mm, {at, part.end}, is_free, length, effect);
    if (large == LargePage::end_table) return;
    if (large == LargePage::look_again) continue;
    if (large == LargePage::whole) present(at, *pte, length);
    at += length * kPageBytes;
  }
}

// The PMD of `part`, if it is huge. True: done with it.
template <class Whole>
bool MemoryCalls::advise_huge_pmd(AddressSpace& mm, VirtRange part, bool is_shared, SyscallEffect& effect,
                                  Whole&& whole) {
  Pte* pmd = mm.table().pmd(part.start);
  if (!pmd || !pmd->huge()) return false;
  const bool is_hugetlb = !pmd->zero_page() && kernel_.memory.frame(pmd->pfn()).used_as() == FrameUse::hugetlb;
  if (pmd->zero_page() || is_hugetlb || is_shared) return true;
  if (part.bytes() < kHugeBytes) return !split_.split_folio(pmd->pfn(), &effect.cost);
  whole(*pmd);
  return true;
}

// --- FREE ---

int MemoryCalls::free_lazily(AddressSpace& mm, const Vma&, VirtRange part, SyscallEffect& effect) {
  for_each_block(part, [&](VirtRange block) {
    const Pte* pmd = mm.table().pmd(block.start);
    const bool is_huge = pmd && pmd->huge() && !pmd->zero_page();
    const bool is_shared =
        is_huge && (kernel_.rules.shared != Rules::Shared::page ? rmap_.is_shared(pmd->pfn())
                                                                : rmap_.folio_mapcount(pmd->pfn()) != 1);
    const bool done = advise_huge_pmd(mm, block, is_shared, effect, [&](Pte& leaf) {
      Frame& head = kernel_.memory.frame(leaf.pfn());
      if (head.is(Frame::kLocked)) return;
      head.clear(Frame::kDirty);
      free_entries(mm, huge_base(block.start), leaf, 1, PageSize::k2M, effect);
    });
    if (done) return;
    advise_table(
        mm, block, /*is_free=*/true, effect,
        [&](VirtAddr va, Pte& pte, std::uint64_t length) { free_small(mm, va, pte, length, effect); },
        [&](VirtAddr va, Pte& pte) { rmap_.zap_pte(mm, va, pte); });
  });
  return 0;
}

// A page that has a copy elsewhere, or must be written, is let go only if nobody shares it.
void MemoryCalls::free_small(AddressSpace& mm, VirtAddr va, Pte& pte, std::uint64_t length, SyscallEffect& effect) {
  const Pfn head = kernel_.memory.head_of(pte.pfn());
  Frame& folio = kernel_.memory.frame(head);
  if (folio.used_as() != FrameUse::anon) return;
  if (folio.is(Frame::kSwapCache) || folio.is(Frame::kDirty)) {
    if (folio.is(Frame::kLocked) || rmap_.folio_mapcount(head) != length) return;
    if (folio.is(Frame::kSwapCache) && !swap_cache_.remove_if_unused(head)) return;
    folio.clear(Frame::kDirty);
  }
  free_entries(mm, va, pte, length, PageSize::k4K, effect);
}

// The entries become clean and old; the page may be dropped as long as it stays clean (folio_mark_lazyfree).
void MemoryCalls::free_entries(AddressSpace&, VirtAddr va, Pte& first, std::uint64_t length, PageSize size,
                               SyscallEffect& effect) {
  bool any = false;
  for (Pte* pte = &first; pte < &first + length; ++pte) {
    any |= pte->accessed() || pte->dirty();
    pte->clear(Pte::kAccessed | Pte::kDirty);
  }
  if (any) add_flush(effect, {va, va + length * page_bytes(size)}, size);
  const Pfn head = kernel_.memory.head_of(first.pfn());
  Frame& folio = kernel_.memory.frame(head);
  const bool is_listed = folio.is(Frame::kLru) && !folio.is(Frame::kUnevictable) && !folio.is(Frame::kSwapCache);
  if (folio.is(Frame::kLazyFree) || !is_listed) return;
  folio.clear(Frame::kReferenced);
  folio.set(Frame::kLazyFree);
  kernel_.stats.vmstat.pglazyfree += 1ULL << folio.order;
  reclaim_.deactivate(head);
}

// --- COLD, PAGEOUT ---

void MemoryCalls::let_go(const SyscallEffect& effect) {
  for (const Pfn head : effect.page_out) {
    --kernel_.memory.frame(head).pins;
    rmap_.free_if_unused(head);
  }
}

int MemoryCalls::make_cold(AddressSpace& mm, VirtRange part, bool page_out, SyscallEffect& effect) {
  for_each_block(part, [&](VirtRange block) {
    const Pte* pmd = mm.table().pmd(block.start);
    const bool is_shared = pmd && pmd->huge() && !pmd->zero_page() && rmap_.is_shared(pmd->pfn());
    const bool done = advise_huge_pmd(mm, block, is_shared, effect, [&](Pte& leaf) {
      make_page_cold(huge_base(block.start), leaf, 1, PageSize::k2M, page_out, effect);
    });
    if (done) return;
    advise_table(
        mm, block, /*is_free=*/false, effect,
        [&](VirtAddr va, Pte& pte, std::uint64_t length) {
          const Pfn head = kernel_.memory.head_of(pte.pfn());
          const bool is_own = rmap_.folio_mapcount(head) == length;  // others are not interfered with
          if (kernel_.memory.frame(head).is(Frame::kLru) && is_own)
            make_page_cold(va, pte, length, PageSize::k4K, page_out, effect);
        },
        [](VirtAddr, Pte&) {});
  });
  return 0;
}

void MemoryCalls::make_page_cold(VirtAddr va, Pte& first, std::uint64_t length, PageSize size, bool page_out,
                                 SyscallEffect& effect) {
  if (!page_out || kernel_.rules.pageout_ages) {
    bool any = false;
    for (Pte* pte = &first; pte < &first + length; ++pte) {
      any |= pte->accessed();
      pte->clear(Pte::kAccessed);
    }
    if (any) add_flush(effect, {va, va + length * page_bytes(size)}, size);
  }
  const Pfn head = kernel_.memory.head_of(first.pfn());
  Frame& folio = kernel_.memory.frame(head);
  folio.clear(Frame::kReferenced);
  if (folio.is(Frame::kUnevictable)) return;
  if (page_out) {
    ++folio.pins;
    effect.page_out.push_back(head);
  } else if (folio.is(Frame::kLru)) reclaim_.deactivate(head);
}

}  // namespace collapsar
