// One page on its way out: may it go, where is it mapped, what becomes of its contents.
#include "models/kernel/reclaim_worker.h"
#include "models/kernel/split.h"

namespace collapsar {

// All entries that map the page, or any page of it. False: not all can be seen or touched now, because khugepaged has
// the table in hand.
bool Reclaim::collect(Pfn pfn, std::vector<MappedAt>& mappings) {
  mappings.clear();
  PhysicalMemory& memory = kernel_.memory;
  std::uint64_t expected = 0;
  bool locked = false;
  for (std::uint64_t i = 0; i < lru_.pages_of(pfn); ++i) {
    const std::uint32_t ptes = memory.frame(pfn + i).mapcount;
    if (i > 0 && ptes == 0) continue;
    expected += ptes + (i == 0 && memory.frame(pfn).is(Frame::kHead) ? memory.pmd_mapcount(pfn) : 0);
    rmap_.for_each_mapping(pfn + i, [&](AddressSpace& mm, VirtAddr va, Pte& entry, PageSize size) {
      if (i > 0 && size != PageSize::k4K) return;
      locked |= mm.pte_table_locked(va);
      mappings.push_back({&mm, va, &entry, size, pfn + i});
    });
  }
  return !locked && mappings.size() == expected;
}

Reclaim::Verdict Reclaim::evict(Pfn pfn, Batch& batch, bool ignore_references) {
  Frame& frame = kernel_.memory.frame(pfn);
  constexpr std::uint16_t kStays = Frame::kLocked | Frame::kWriteback;
  if (frame.flags & kStays || (frame.pins > 0 && frame.used_as() == FrameUse::file)) return Verdict::keep;
  if (frame.is(Frame::kUnevictable)) return Verdict::activate;
  std::vector<MappedAt> mappings;
  if (!collect(pfn, mappings)) return Verdict::keep;
  if (!ignore_references) {
    const Verdict verdict = check_references(pfn, mappings);
    if (verdict != Verdict::gone) return verdict;
  }
  if (Lru::is_file(frame)) return drop_file(pfn, mappings, batch);
  if (frame.used_as() == FrameUse::file) return swap_out_shmem(pfn, mappings, batch);
  if (frame.is(Frame::kLazyFree)) return drop_lazyfree(pfn, mappings, batch);
  return swap_out(pfn, mappings, batch);
}

// mm/vmscan.c folio_check_references(); `gone` means: it may go. Accessed bits are cleared, without a flush.
Reclaim::Verdict Reclaim::check_references(Pfn pfn, std::vector<MappedAt>& mappings) {
  Frame& frame = kernel_.memory.frame(pfn);
  std::uint64_t young = 0;
  for (MappedAt& at : mappings) {
    young += at.entry->accessed();
    at.entry->clear(Pte::kAccessed);
  }
  const bool was_referenced = frame.is(Frame::kReferenced);
  frame.clear(Frame::kReferenced);
  if (young == 0) return Verdict::gone;
  frame.set(Frame::kReferenced);
  return was_referenced || young > 1 ? Verdict::activate : Verdict::keep;
}

// The entry becomes `replacement`; a dirty entry makes the page dirty. The flush follows with the batch.
void Reclaim::unmap(const MappedAt& at, Pte replacement, Batch& batch) {
  const Pte old = *at.entry;
  if (old.dirty()) kernel_.memory.frame(kernel_.memory.head_of(at.pfn)).set(Frame::kDirty);
  *at.entry = replacement;
  rmap_.drop_mapping(*at.mm, old);
  batch.flushes.note(at.mm->asid(), {at.va, at.va + kPageBytes});
}

void Reclaim::flush(Batch& batch) {
  batch.extra += batch.flushes.duration(kernel_, batch.cpu);
  batch.flushes.flush(kernel_, batch.cpu);
}

// A huge PMD goes as it is.
void Reclaim::unmap_huge(const MappedAt& at, Batch& batch) {
  rmap_.zap_huge(*at.mm, at.va);
  batch.flushes.note(at.mm->asid(), {at.va, at.va + kHugeBytes});
}

void Reclaim::unmap_file(Pfn head, Batch& batch) {
  const std::uint64_t pages = lru_.pages_of(head);
  for (Pfn page = head; page < head + pages; ++page)
    rmap_.unmap_file_page(page, [&](AddressSpace& mm, VirtRange range) { batch.flushes.note(mm.asid(), range); });
}

Reclaim::Verdict Reclaim::drop_file(Pfn pfn, std::vector<MappedAt>& mappings, Batch& batch) {
  Frame& frame = kernel_.memory.frame(pfn);
  for (const MappedAt& at : mappings)
    if (at.entry->dirty()) frame.set(Frame::kDirty);
  if (frame.is(Frame::kDirty)) return Verdict::activate;
  const std::uint64_t pages = lru_.pages_of(pfn);
  unmap_file(pfn, batch);
  kernel_.page_cache->remove(pfn);
  batch.freed += pages;
  rmap_.free_if_unused(pfn);
  return Verdict::gone;
}

// A page given to MADV_FREE goes without a copy, unless it was written since.
Reclaim::Verdict Reclaim::drop_lazyfree(Pfn pfn, std::vector<MappedAt>& mappings, Batch& batch) {
  Frame& frame = kernel_.memory.frame(pfn);
  bool dirty = frame.is(Frame::kDirty);
  for (const MappedAt& at : mappings) dirty |= at.entry->dirty();
  if (dirty || frame.pins > 0) {
    frame.clear(Frame::kLazyFree);
    return Verdict::activate;
  }
  if (frame.is(Frame::kHead)) {
    split_pmds(pfn, mappings, batch);
    if (!collect(pfn, mappings)) return Verdict::keep;
  }
  const std::uint64_t pages = lru_.pages_of(pfn);
  ++frame.pins;  // keeps the frame until the last mapping is gone
  for (const MappedAt& at : mappings) {
    if (at.size == PageSize::k4K) unmap(at, {}, batch);
    else unmap_huge(at, batch);
  }
  --frame.pins;
  if (frame.is(Frame::kSwapCache)) swap_cache_.remove(pfn);
  kernel_.stats.vmstat.pglazyfreed += pages;
  batch.freed += pages;
  rmap_.free_if_unused(pfn);
  return Verdict::gone;
}

// shrink_folio_list() for an anonymous page: a slot, swap entries in place of its mappings, a write unless the slot
// holds these contents already.
Reclaim::Verdict Reclaim::swap_out(Pfn pfn, std::vector<MappedAt>& mappings, Batch& batch) {
  Frame& frame = kernel_.memory.frame(pfn);
  if (frame.is(Frame::kHead) && rmap_.has_extra_references(pfn)) return Verdict::activate;  // can_split_folio
  if (!frame.is(Frame::kSwapCache) && !give_slot(pfn, batch)) return Verdict::activate;
  if (!frame.is(Frame::kSwapCache))
    return Verdict::gone;  // it was split: its parts are on the list, or free if nobody mapped them
  if (frame.is(Frame::kHead)) {
    split_pmds(pfn, mappings, batch);
    if (!collect(pfn, mappings)) return Verdict::keep;
  }
  for (const MappedAt& at : mappings) {
    const auto slot = SwapSlot(kernel_.memory.swap_slot(pfn) + (at.pfn - pfn));
    kernel_.swap.duplicate(slot);
    ++at.mm->swap_entries;
    unmap(at, Pte::make_swap(slot, at.entry->bits & (Pte::kSoftExclusive | Pte::kUffdWp)), batch);
  }
  if (frame.pins > 0) return Verdict::keep;  // unmapped, but neither written nor freed (is_page_cache_freeable)
  batch.extra += kernel_.config.costs.swap_out_page;
  if (frame.is(Frame::kDirty) && !swap_cache_.is_last_user(pfn)) {
    lru_.move_to_head(pfn, false);  // it stays on the list while it is written
    start_write(pfn, batch.worker);
    return Verdict::gone;
  }
  batch.freed += lru_.pages_of(pfn);
  swap_cache_.remove(pfn);
  rmap_.free_if_unused(pfn);
  return Verdict::gone;
}

// shrink_folio_list() and shmem_writepage() for a page of shared memory: its entries become none, its place in the file
// keeps the slot. One that only the swap cache holds was read ahead and not wanted. A huge page goes whole, or is split
// and its parts go one by one: always (rules), beyond the end of its file, or without 512 slots in a row.
Reclaim::Verdict Reclaim::swap_out_shmem(Pfn pfn, std::vector<MappedAt>& mappings, Batch& batch) {
  Frame& frame = kernel_.memory.frame(pfn);
  const std::uint64_t pages = lru_.pages_of(pfn);
  if (pages > 1 && !kernel_.rules.swaps_out_huge_shmem_whole) return swap_out_parts(pfn, batch);
  if (frame.mapping == 0) {
    swap_cache_.remove(pfn);
    ++batch.freed;
    rmap_.free_if_unused(pfn);
    return Verdict::gone;
  }
  if (pages > 1) split_pmds(pfn, mappings, batch);
  unmap_file(pfn, batch);
  if (!frame.is(Frame::kDirty)) {  // only ever read: zeros, which a fault makes again
    kernel_.page_cache->remove(pfn);
    batch.freed += pages;
    rmap_.free_if_unused(pfn);
    return Verdict::gone;
  }
  const auto slot = shmem_slot(pfn);
  if (!slot) return pages > 1 ? swap_out_parts(pfn, batch) : Verdict::activate;
  swap_cache_.add(*slot, pfn);
  kernel_.page_cache->swap_out(pfn, *slot);
  batch.extra += kernel_.config.costs.swap_out_page;
  lru_.move_to_head(pfn, false);  // it stays on the list while it is written
  start_write(pfn, batch.worker);
  return Verdict::gone;
}

std::optional<SwapSlot> Reclaim::shmem_slot(Pfn pfn) {
  const Frame& frame = kernel_.memory.frame(pfn);
  if (!frame.is(Frame::kHead)) return kernel_.swap.allocate();
  const FileId file = kernel_.page_cache->file_of(frame);
  if (frame.index + kHugePages > kernel_.page_cache->pages_of_file(file)) return std::nullopt;
  return kernel_.swap.allocate_huge();
}

Reclaim::Verdict Reclaim::swap_out_parts(Pfn head, Batch& batch) {
  if (kernel_.swap.free_slots() == 0 || !split_instead(head, batch)) return Verdict::activate;
  for (Pfn page = head; page < head + kHugePages; ++page)
    if (kernel_.memory.frame(page).is(Frame::kLru)) settle(page, evict(page, batch, /*ignore_references=*/true));
  return Verdict::gone;
}

// add_to_swap(). False: no room. A huge page that cannot go out whole is split; then it has no slot yet.
bool Reclaim::give_slot(Pfn pfn, Batch& batch) {
  Frame& frame = kernel_.memory.frame(pfn);
  if (!frame.is(Frame::kHead)) {
    const auto slot = kernel_.swap.allocate();
    if (!slot) return false;
    swap_cache_.add(*slot, pfn);
    frame.set(Frame::kDirty);
    return true;
  }
  if (kernel_.swap.free_slots() == 0) return false;
  const bool is_partial = kernel_.rules.swaps_out_pte_mapped_whole ? frame.is(Frame::kPartiallyMapped)
                                                                   : kernel_.memory.pmd_mapcount(pfn) == 0;
  if (is_partial) return split_instead(pfn, batch);
  const auto slot = kernel_.swap.allocate_huge();
  if (!slot) {
    ++kernel_.stats.vmstat.thp_swpout_fallback;
    return split_instead(pfn, batch);
  }
  swap_cache_.add(*slot, pfn);
  frame.set(Frame::kDirty);
  return true;
}

bool Reclaim::split_instead(Pfn pfn, Batch& batch) {
  const RangeHistory::Because because(*kernel_.history, RangeRecord::Cause::reclaim);
  Duration cost{};
  const bool split = split_ && split_->split_folio(pfn, &cost);
  batch.extra += cost;
  return split;
}

void Reclaim::split_pmds(Pfn pfn, std::vector<MappedAt>& mappings, Batch& batch) {
  const RangeHistory::Because because(*kernel_.history, RangeRecord::Cause::reclaim);
  for (const MappedAt& at : mappings)
    if (at.size == PageSize::k2M) batch.extra += split_->split_pmd(*at.mm, at.va, batch.cpu);
  SIM_ASSERT(kernel_.memory.pmd_mapcount(pfn) == 0, "compound page {:#x} still has a PMD", pfn.value);
}

}  // namespace collapsar
