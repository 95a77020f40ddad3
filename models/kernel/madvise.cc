// MemoryCalls: madvise. COLLAPSE is a machine of its own (madvise_collapse.h).
#include <algorithm>

#include "models/kernel/memory_calls.h"
#include "models/kernel/memory_calls_bits.h"

namespace collapsar {

void MemoryCalls::madvise(SyscallRequest& request, AddressSpace& mm, SyscallEffect& effect) {
  const VirtRange range = pages_of(request.address, request.length);
  switch (Advice(request.advice)) {
    case Advice::hugepage:
    case Advice::nohugepage: return advise_huge(request, mm, effect);
    case Advice::dontneed: return dont_need(request, mm, effect);
    case Advice::free: return free_lazily(mm, range, effect);
    case Advice::cold: return make_cold(mm, range, false, effect);
    case Advice::pageout: return make_cold(mm, range, true, effect);
    case Advice::populate_read: effect.populate.push_back({range, Access::read}); return;
    case Advice::populate_write: effect.populate.push_back({range, Access::write}); return;
    case Advice::willneed: return will_need(mm, range);
    case Advice::normal:
    case Advice::random:
    case Advice::sequential:
    case Advice::remove:
    case Advice::dontfork:
    case Advice::dofork:
    case Advice::mergeable:
    case Advice::unmergeable:
    case Advice::dontdump:
    case Advice::dodump:
    case Advice::wipeonfork:
    case Advice::keeponfork:
    case Advice::collapse: return;
  }
}

// hugepage_madvise: registration is tried with the new flags on the VMA as it still is.
void MemoryCalls::advise_huge(const SyscallRequest& request, AddressSpace& mm, SyscallEffect& effect) {
  const bool wanted = Advice(request.advice) == Advice::hugepage;
  const std::uint32_t set = wanted ? Vma::kHugePage : Vma::kNoHugePage,
                      clear = wanted ? Vma::kNoHugePage : Vma::kHugePage;
  const VirtRange range = pages_of(request.address, request.length);
  mm.for_each(range, [&](Vma& vma) {
    Vma probe = vma;
    probe.flags = (vma.flags & ~clear) | set;
    if (wanted) khugepaged_.enter_vma(mm, probe);
  });
  change_flags(mm, range, set, clear, request.cpu, effect);
}

// --- DONTNEED ---

void MemoryCalls::dont_need(SyscallRequest& request, AddressSpace& mm, SyscallEffect& effect) {
  const VirtRange range = pages_of(request.address, request.length);
  std::vector<VirtRange> parts;
  mm.for_each(range, [&](Vma& vma) {
    if (vma.is(Vma::kLocked)) request.error = EINVAL;
    else parts.push_back(vma.range.intersect(range));
  });
  for (const VirtRange part : parts) {
    effect.cost += split_.split_borders(mm, part, request.cpu);
    const Rmap::Zapped zapped = rmap_.zap_range(mm, part);
    if (zapped.pages + zapped.huge > 0) add_flush(effect, part, zapped.pages == 0 ? PageSize::k2M : PageSize::k4K);
  }
}

// --- FREE, COLD, PAGEOUT ---

// Mapped by one entry in all, PMD or PTE.
bool MemoryCalls::is_mapped_once(Pfn pfn) {
  const Pfn head = kernel_.memory.head_of(pfn);
  if (!kernel_.memory.frame(head).is(Frame::kHead)) return kernel_.memory.frame(pfn).mapcount == 1;
  return kernel_.memory.total_mapcount(pfn) == 1;
}

// Large pages that the range cuts, or that are mapped by PTEs already, are split if only this process maps them; what
// cannot be split is left alone.
void MemoryCalls::split_what_is_cut(AddressSpace& mm, VirtRange range, SyscallEffect& effect) {
  std::vector<Pfn> heads;
  mm.table().visit(range, [&](VirtAddr va, Pte& pte, PageSize size) {
    if (!pte.present() || pte.zero_page() || size == PageSize::k1G) return;
    const Pfn head = kernel_.memory.head_of(pte.pfn());
    const bool is_cut = size == PageSize::k4K || va < range.start || va + kHugeBytes > range.end;
    const Frame& f = kernel_.memory.frame(head);
    const bool is_thp = f.used_as() != FrameUse::hugetlb && f.is(Frame::kHead);
    if (is_thp && is_cut && is_mapped_once(pte.pfn()) && !std::ranges::count(heads, head)) heads.push_back(head);
  });
  for (Pfn head : heads) split_.split_folio(head, &effect.cost);
}

void MemoryCalls::free_lazily(AddressSpace& mm, VirtRange range, SyscallEffect& effect) {
  split_what_is_cut(mm, range, effect);
  mm.for_each(range, [&](Vma& vma) {
    if (!vma.is_anonymous()) return;
    const VirtRange part = vma.range.intersect(range);
    mm.table().visit(part, [&](VirtAddr va, Pte& pte, PageSize size) {
      const bool is_whole = part.start <= va && va + page_bytes(size) <= part.end;
      if (is_whole && !pte.zero_page()) free_entry_lazily(mm, va, pte, effect);
    });
  });
}

// madvise_free_pte_range, madvise_free_huge_pmd: the entry becomes clean and old; the page may be dropped as long as it
// stays clean.
void MemoryCalls::free_entry_lazily(AddressSpace& mm, VirtAddr va, Pte& pte, SyscallEffect& effect) {
  if (pte.swap()) return rmap_.zap_pte(mm, va, pte);
  const Pfn pfn = pte.pfn();
  Frame& f = kernel_.memory.frame(pfn);
  if (f.is(Frame::kTail) || f.is(Frame::kLocked) || !is_mapped_once(pfn) || f.used_as() != FrameUse::anon) return;
  if (!pte.huge() && f.is(Frame::kHead)) return;
  if (f.is(Frame::kSwapCache) && !swap_cache_.remove_if_unused(pfn)) return;
  if (pte.accessed() || pte.dirty())
    add_flush(effect, {va, va + (pte.huge() ? kHugeBytes : kPageBytes)}, pte.huge() ? PageSize::k2M : PageSize::k4K);
  pte.clear(Pte::kAccessed | Pte::kDirty);
  f.clear(Frame::kDirty);
  f.clear(Frame::kReferenced);
  if (!f.is(Frame::kLazyFree) && f.is(Frame::kLru) && !f.is(Frame::kUnevictable)) {
    f.set(Frame::kLazyFree);
    kernel_.stats.vmstat.pglazyfree += 1ULL << f.order;
    reclaim_.deactivate(pfn);
  }
}

// madvise_cold_or_pageout_pte_range: pages that others map too are left alone.
void MemoryCalls::make_cold(AddressSpace& mm, VirtRange range, bool page_out, SyscallEffect& effect) {
  split_what_is_cut(mm, range, effect);
  mm.table().visit(range, [&](VirtAddr va, Pte& pte, PageSize size) {
    const bool is_whole = range.start <= va && va + page_bytes(size) <= range.end;
    if (!pte.present() || pte.zero_page() || !is_whole) return;
    const Pfn pfn = pte.pfn();
    Frame& f = kernel_.memory.frame(pfn);
    const bool is_part = f.is(Frame::kTail) || (f.is(Frame::kHead) && !pte.huge());
    if (f.used_as() == FrameUse::hugetlb || is_part || f.is(Frame::kUnevictable) || !is_mapped_once(pfn)) return;
    if (pte.accessed()) add_flush(effect, {va, va + page_bytes(size)}, size);
    pte.clear(Pte::kAccessed);
    f.clear(Frame::kReferenced);
    if (page_out) effect.page_out.push_back(pfn);
    else if (f.is(Frame::kLru)) reclaim_.deactivate(pfn);
  });
}

// --- WILLNEED ---

// swapin_walk_pmd_entry, force_shm_swapin_readahead: reads are started, nobody waits for them.
void MemoryCalls::will_need(AddressSpace& mm, VirtRange range) {
  mm.for_each(range, [&](Vma& vma) {
    if (PageCache::is_shmem(vma.file)) will_need_shmem(vma, vma.range.intersect(range));
  });
  mm.table().visit(range, [&](VirtAddr, Pte& pte, PageSize) {
    if (!pte.swap() || swap_cache_.find(pte.swap_slot())) return;
    const auto frame = kernel_.memory.allocate(0, MigrateType::movable, FrameUse::anon);
    if (!frame) return;
    ++kernel_.stats.vmstat.pgalloc;
    swap_cache_.start_read(pte.swap_slot(), *frame);
    reclaim_.add(*frame, false);
  });
  reclaim_.wake_kswapd_if_low();
}

void MemoryCalls::will_need_shmem(const Vma& vma, VirtRange range) {
  for (VirtAddr va = range.start; va < range.end; va += kPageBytes) {
    const PageCache::Entry entry = kernel_.page_cache->find(vma.file, vma.page_index(va));
    if (!entry.swap() || swap_cache_.find(entry.slot())) continue;
    const auto frame = kernel_.memory.allocate(0, MigrateType::movable, FrameUse::file);
    if (!frame) return;
    ++kernel_.stats.vmstat.pgalloc;
    kernel_.memory.frame(*frame).set(Frame::kSwapBacked);
    swap_cache_.start_read(entry.slot(), *frame);
    reclaim_.add(*frame, false);
  }
}

}  // namespace collapsar
