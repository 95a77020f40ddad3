#include "models/kernel/split.h"

#include "models/kernel/reclaim.h"

namespace collapsar {

Split::Split(KernelContext& kernel, Rmap& rmap, Reclaim& reclaim) : kernel_(kernel), rmap_(rmap), reclaim_(reclaim) {}

// --- the PMD ---

Duration Split::split_pmd(AddressSpace& mm, VirtAddr va, CpuId initiator) {
  if (!mm.table().pmd_is_huge(va)) return {};
  const VirtAddr base = huge_base(va);
  const Pte leaf = *mm.table().pmd(va);
  if (!leaf.zero_page() && kernel_.memory.frame(leaf.pfn()).used_as() == FrameUse::file)
    return drop_file_pmd(mm, base, initiator);
  if (!mm.table().split_pmd(base, kernel_.zero_page))
    throw SimulationError(
        fmt::format("out of simulated memory: no frame for the page table of the split 2 MiB range {} of process {} "
                    "({} of {} pages "
                    "free); a larger memory.size would help",
                    to_hex(base.value), mm.pid(), kernel_.memory.free_pages(), kernel_.memory.total_pages()));
  if (!leaf.zero_page()) rmap_.pmd_was_split(mm, base, leaf.pfn());
  if (const Vma* const vma = mm.find(base); !leaf.zero_page() && vma && vma->is(Vma::kLocked))
    kernel_.memory.frame(leaf.pfn()).clear(Frame::kUnevictable);  // munlock_vma_folio: a PMD mapping is gone
  return note_split(mm, base, initiator);
}

// A huge page of the page cache is only unmapped: faults map what is touched again.
Duration Split::drop_file_pmd(AddressSpace& mm, VirtAddr base, CpuId initiator) {
  rmap_.zap_huge(mm, base);
  return note_split(mm, base, initiator);
}

Duration Split::note_split(AddressSpace& mm, VirtAddr base, CpuId initiator) {
  ++kernel_.stats.vmstat.thp_split_pmd;
  kernel_.history->pmd_split(mm.asid(), base);
  const VirtRange range{base, base + kHugeBytes};
  const Duration flush = kernel_.shootdown.flush_duration(mm.asid(), range, PageSize::k2M, initiator);
  kernel_.shootdown.flush(mm.asid(), range, PageSize::k2M, initiator, false);
  return kernel_.config.costs.split_pmd + flush;
}

Duration Split::split_borders(AddressSpace& mm, VirtRange range, CpuId initiator) {
  Duration cost{};
  for (const VirtAddr border : {range.start, range.end})
    if (border != huge_base(border)) cost += split_pmd(mm, border, initiator);
  return cost;
}

// --- the page ---

bool Split::can_split(Pfn head) {
  const Frame& frame = kernel_.memory.frame(head);
  constexpr std::uint16_t kBusy = Frame::kLocked | Frame::kWriteback | Frame::kIsolated;
  if (frame.flags & kBusy) return false;
  for (std::uint64_t i = 0; i < kHugePages; ++i)
    if (kernel_.memory.frame(head + i).pins > 0) return false;
  return true;
}

bool Split::split_folio(Pfn head, Duration* cost) {
  Frame& frame = kernel_.memory.frame(head);
  SIM_ASSERT(frame.is(Frame::kHead), "frame {:#x} is no compound page", head.value);
  if (!can_split(head)) {
    ++kernel_.stats.vmstat.thp_split_page_failed;
    return false;
  }
  std::vector<std::pair<AddressSpace*, VirtAddr>> pmds;
  rmap_.for_each_mapping(head, [&](AddressSpace& mm, VirtAddr va, Pte&, PageSize size) {
    if (size == PageSize::k2M) pmds.emplace_back(&mm, va);
  });
  const bool had_ptes = rmap_.pte_mappings(head) > 0;
  Duration spent = kernel_.config.costs.split_folio;
  for (const auto& [mm, va] : pmds) spent += split_pmd(*mm, va, kNoCpu);
  if (frame.used_as() == FrameUse::file) spent += unmap_file_folio(head);
  const bool is_noticed = had_ptes || kernel_.rules.split_unmaps_pmd_by_pages;
  if (frame.used_as() == FrameUse::anon && is_noticed && is_unmapped_in_parts(head))
    defer(head);  // and off the list at once
  undefer(head);
  const bool was_active = frame.is(Frame::kActive), was_listed = frame.is(Frame::kLru);
  reclaim_.remove(head);
  kernel_.memory.split_compound(head);
  for (Pfn page = head; page < head + kHugePages; ++page) {
    if (was_listed) reclaim_.add(page, was_active);
    if (was_listed && !was_active) reclaim_.rotate(page);
    rmap_.free_if_unused(page);
  }
  if (frame.used_as() == FrameUse::file) drop_beyond_end(head);
  else if (kernel_.rules.split_maps_zero_pages && kernel_.follows_contents) map_zero_pages(head);
  lock_parts(head);
  ++kernel_.stats.vmstat.thp_split_page;
  if (cost) *cost += spent;
  return true;
}

// unmap_folio takes the entries back one by one: after the first the page is partly mapped.
bool Split::is_unmapped_in_parts(Pfn head) {
  std::uint64_t mapped = 0;
  for (Pfn page = head; page < head + kHugePages; ++page) mapped += kernel_.memory.frame(page).mapcount > 0;
  return mapped > (kernel_.rules.batches_zaps ? 1 : 0);
}

// try_to_map_unused_to_zeropage: where the former huge page held nothing, the zero page takes its place.
void Split::map_zero_pages(Pfn head) {
  for (Pfn page = head; page < head + kHugePages; ++page) {
    const Frame& frame = kernel_.memory.frame(page);
    if (frame.used_as() != FrameUse::anon || !kernel_.is_zero_filled(page)) continue;
    if (frame.is(Frame::kSwapCache) || frame.is(Frame::kUnevictable)) continue;
    std::vector<std::pair<AddressSpace*, VirtAddr>> places;
    rmap_.for_each_mapping(page, [&](AddressSpace& mm, VirtAddr va, Pte&, PageSize) { places.emplace_back(&mm, va); });
    for (const auto& [mm, va] : places) {
      const Vma* const vma = mm->find(va);
      if (vma->is(Vma::kLocked)) continue;
      Pte& entry = *mm->table().pte(va);
      const Pte old = entry;
      constexpr std::uint64_t kKept = Pte::kPresent | Pte::kProtNone | Pte::kNoExec;
      entry = Pte::make(kernel_.zero_page, (old.bits & kKept) | Pte::kUser | Pte::kAccessed | Pte::kSpecial);
      rmap_.drop_mapping(*mm, old);
    }
  }
}

// mlock_vma_folio: small pages that a locked VMA maps again are locked, though the huge page was not.
void Split::lock_parts(Pfn head) {
  for (Pfn page = head; page < head + kHugePages; ++page) {
    if (kernel_.memory.frame(page).used_as() != FrameUse::anon) continue;
    rmap_.for_each_mapping(page, [&](AddressSpace& mm, VirtAddr va, Pte&, PageSize) {
      if (mm.find(va)->is(Vma::kLocked)) kernel_.memory.frame(page).set(Frame::kUnevictable);
    });
  }
}

// Small pages of a file are not mapped again behind a split (remap_page): faults find them.
Duration Split::unmap_file_folio(Pfn head) {
  Duration flushes{};
  for (Pfn page = head; page < head + kHugePages; ++page)
    rmap_.unmap_file_page(page, [&](AddressSpace& mm, VirtRange range) {
      flushes += kernel_.shootdown.flush_duration(mm.asid(), range, PageSize::k4K, kNoCpu);
      kernel_.shootdown.flush(mm.asid(), range, PageSize::k4K, kNoCpu, false);
    });
  return flushes;
}

// What a huge page held beyond the end of the file goes.
void Split::drop_beyond_end(Pfn head) {
  PageCache& cache = *kernel_.page_cache;
  const std::uint64_t end = cache.pages_of_file(cache.file_of(kernel_.memory.frame(head)));
  for (Pfn page = head; page < head + kHugePages; ++page) {
    if (kernel_.memory.frame(page).index < end) continue;
    cache.remove(page);
    rmap_.free_if_unused(page);
  }
}

// --- deferred splits ---

void Split::defer(Pfn head) {
  Frame& frame = kernel_.memory.frame(head);
  const bool goes_to_swap = frame.is(Frame::kSwapCache);  // it is being unmapped as a whole
  if (kernel_.memory.pmd_mapcount(head) > 0 || goes_to_swap) return;
  if (frame.is(Frame::kPartiallyMapped) && at_.contains(head.value)) return;
  frame.set(Frame::kPartiallyMapped);
  if (!at_.contains(head.value)) append(head);
  ++kernel_.stats.vmstat.thp_deferred_split_page;
}

void Split::enlist(Pfn head) {
  if (!kernel_.rules.deferred_list_for_all || !kernel_.config.thp.shrink_underused) return;
  if (!at_.contains(head.value)) append(head);
}

void Split::append(Pfn head) {
  deferred_.emplace(arrivals_, head);
  at_[head.value] = arrivals_++;
}

void Split::undefer(Pfn head) {
  const auto it = at_.find(head.value);
  if (it == at_.end()) return;
  deferred_.erase(it->second);
  at_.erase(it);
}

std::uint64_t Split::shrink_deferred(std::uint64_t wanted, Duration* cost) {
  const RangeHistory::Because because(*kernel_.history, RangeRecord::Cause::reclaim);
  const std::uint64_t before = kernel_.memory.free_pages();
  const auto freed = [&] { return kernel_.memory.free_pages() - before; };
  for (std::uint64_t looks = deferred_.size(); looks > 0 && freed() < wanted; --looks) {
    const Pfn head = deferred_.begin()->second;
    undefer(head);
    const Frame& frame = kernel_.memory.frame(head);
    if (!frame.is(Frame::kHead)) continue;
    if (!frame.is(Frame::kPartiallyMapped)) split_if_underused(head, cost);
    else if (!split_folio(head, cost)) append(head);
  }
  return freed();
}

// What is used, or cannot be split, is not looked at again. After the split of a locked page its zeros could not be given
// up (try_to_map_unused_to_zeropage), so it is not even looked at.
bool Split::split_if_underused(Pfn head, Duration* cost) {
  if (kernel_.memory.frame(head).is(Frame::kUnevictable) || !is_underused(head, cost)) return false;
  if (!split_folio(head, cost)) return false;
  ++kernel_.stats.vmstat.thp_underused_split_page;
  return true;
}

// thp_underused(): until the answer is known. A page of zeros is read to its end, which takes as long as clearing one (a
// guess); what holds data shows it soon.
bool Split::is_underused(Pfn head, Duration* cost) const {
  const std::uint64_t limit = kernel_.config.khugepaged.max_ptes_none;
  if (limit == kHugePages - 1) return false;
  std::uint64_t zeros = 0, filled = 0;
  for (Pfn page = head; zeros <= limit && filled < kHugePages - limit; page += 1)
    ++(kernel_.is_zero_filled(page) ? zeros : filled);
  if (cost) *cost += kernel_.config.costs.clear_page * std::int64_t(zeros);
  return zeros > limit;
}

}  // namespace collapsar
