#include "models/kernel/rmap.h"

#include <algorithm>

#include "models/kernel/memcg.h"
#include "models/kernel/range_history.h"
#include "models/kernel/reclaim.h"
#include "models/kernel/split.h"
#include "models/kernel/swap_cache.h"

namespace collapsar {

Rmap::Rmap(KernelContext& kernel, PageCache& page_cache)
    : kernel_(kernel), page_cache_(page_cache), anon_vmas_(1) {}  // number 0 means none

// --- anon_vma ---

namespace {

// anon_vma_compatible and reusable_anon_vma: neighbours that mprotect alone may have parted can share one, unless it came
// by a fork.
bool may_share_anon_vma(const Vma& low, const Vma& high, const Vma& of) {
  constexpr std::uint32_t kAccess = Vma::kRead | Vma::kWrite | Vma::kExec;
  return low.range.end == high.range.start && low.file == high.file && low.pgoff + low.range.pages() == high.pgoff &&
         (low.flags & ~kAccess) == (high.flags & ~kAccess) && of.own_anon_vma != 0 && !of.shares_anon_vmas;
}

}  // namespace

void Rmap::prepare_anon_vma(AddressSpace& mm, Vma& vma) {
  if (vma.own_anon_vma != 0) return;
  const Vma* neighbour = nullptr;
  const Vma* const next = mm.find(vma.range.end);
  const Vma* const before = vma.range.start.value == 0 ? nullptr : mm.find(vma.range.start - 1);
  if (next && may_share_anon_vma(vma, *next, *next)) neighbour = next;
  else if (before && may_share_anon_vma(*before, vma, *before)) neighbour = before;
  if (neighbour) {
    vma.anon_vma = neighbour->anon_vma;
    vma.own_anon_vma = neighbour->own_anon_vma;
    return;
  }
  vma.anon_vma = AnonVmaId(anon_vmas_.size());
  vma.own_anon_vma = ++last_own_anon_vma_;
  anon_vmas_.push_back({&mm});
}

// anon_vma_fork: each VMA of the child gets one of its own, below its parent's.
void Rmap::fork_anon_vmas(AddressSpace& parent, AddressSpace& child) {
  SIM_ASSERT(&parent != &child, "an address space is its own child");
  for (auto& [start, vma] : child.vmas()) {
    if (vma.own_anon_vma == 0) continue;
    auto& users = anon_vmas_[vma.anon_vma];
    if (users.empty() || users.back() != &child) users.push_back(&child);
    vma.own_anon_vma = ++last_own_anon_vma_;
    vma.shares_anon_vmas = true;
  }
}

void Rmap::forget(AddressSpace& mm) {
  for (auto& users : anon_vmas_) std::erase(users, &mm);
  page_cache_.forget(mm);
}

// --- mapping ---

void Rmap::set_anon(Pfn pfn, Vma& vma, VirtAddr va) {
  SIM_ASSERT(vma.anon_vma != 0, "an anonymous page is mapped at {:#x} before its VMA has an anon_vma", va.value);
  Frame& f = kernel_.memory.frame(pfn);
  f.mapping = vma.anon_vma;
  f.index = vma.page_index(va) & ((1ULL << 48) - 1);
  if (vma.is(Vma::kLocked)) f.set(Frame::kUnevictable);
}

// One more PTE maps the 4 KiB page.
void Rmap::count_mapping(AddressSpace& mm, Pfn pfn) {
  Frame& f = kernel_.memory.frame(pfn);
  ++f.mapcount;
  if (f.is(Frame::kHead) || f.is(Frame::kTail)) ++pte_mappings(kernel_.memory.head_of(pfn));
  if (f.used_as() == FrameUse::anon) mm.add_anon(1);
  else mm.add_file(1);
}

void Rmap::map_new_anon(AddressSpace& mm, Vma& vma, VirtAddr va, Pfn pfn, Pte pte) {
  set_anon(pfn, vma, va);
  pte.set(Pte::kSoftExclusive);
  *mm.table().pte(va) = pte;
  count_mapping(mm, pfn);
}

void Rmap::map_new_huge(AddressSpace& mm, Vma& vma, VirtAddr va, Pfn head, Pte leaf) {
  const VirtAddr base = huge_base(va);
  set_anon(head, vma, base);
  leaf.set(Pte::kSoftExclusive);
  const bool mapped = mm.table().map_huge_with_deposit(base, leaf);
  SIM_ASSERT(mapped, "no frame for the page table under the huge page at {:#x}", base.value);
  ++kernel_.memory.pmd_mapcount(head);
  ++mm.huge_pages;
  mm.add_anon(kHugePages);
}

void Rmap::map_again(AddressSpace& mm, Vma& vma, VirtAddr va, Pfn pfn, Pte pte) {
  Frame& f = kernel_.memory.frame(pfn);
  const bool is_anon = f.used_as() == FrameUse::anon;
  if (is_anon && kernel_.memory.frame(kernel_.memory.head_of(pfn)).mapping == 0) set_anon(pfn, vma, va);
  const bool is_small = !f.is(Frame::kHead) && !f.is(Frame::kTail);
  if (vma.is(Vma::kLocked) && is_small) f.set(Frame::kUnevictable);
  *mm.table().pte(va) = pte;
  count_mapping(mm, pfn);
}

void Rmap::map_file_huge(AddressSpace& mm, const Vma& vma, VirtAddr va, Pfn head, Pte leaf) {
  if (vma.is(Vma::kLocked)) kernel_.memory.frame(head).set(Frame::kUnevictable);
  mm.table().map_huge(huge_base(va), leaf, PageSize::k2M);
  ++kernel_.memory.pmd_mapcount(head);
  ++mm.file_huge_pages;
  mm.add_file(kHugePages);
  ++kernel_.stats.vmstat.thp_file_mapped;
}

void Rmap::map_hugetlb(AddressSpace& mm, VirtAddr va, Pfn head, Pte leaf, PageSize size) {
  mm.table().map_huge(align_down(va, page_bytes(size)), leaf, size);
  ++kernel_.memory.frame(head).mapcount;
  mm.hugetlb_rss += pages_4k(size);
}

void Rmap::commit_collapse(AddressSpace& mm, Vma& vma, VirtAddr base, Pfn head, Pte leaf, PageTable::Table* table) {
  set_anon(head, vma, base);
  leaf.set(Pte::kSoftExclusive);
  mm.table().commit_huge(base, leaf, table);
  ++kernel_.memory.pmd_mapcount(head);
  ++mm.huge_pages;
}

void Rmap::pmd_was_split(AddressSpace& mm, VirtAddr base, Pfn head) {
  SIM_ASSERT(kernel_.memory.pmd_mapcount(head) > 0, "the PMD at {:#x} was split but not counted", base.value);
  --kernel_.memory.pmd_mapcount(head);
  for (Pfn p = head; p < head + kHugePages; ++p) ++kernel_.memory.frame(p).mapcount;
  pte_mappings(head) += kHugePages;
  --mm.huge_pages;
}

// --- unmapping ---

void Rmap::zap_pte(AddressSpace& mm, VirtAddr, Pte& pte) { drop_mapping(mm, std::exchange(pte, {})); }

void Rmap::drop_mapping(AddressSpace& mm, Pte old) {
  if (old.swap()) return drop_swap_entry(mm, old.swap_slot());
  if (!old.present() || old.zero_page()) return;
  Frame& f = kernel_.memory.frame(old.pfn());
  SIM_ASSERT(f.mapcount > 0, "frame {:#x} is unmapped but not mapped", old.pfn().value);
  --f.mapcount;
  --(f.used_as() == FrameUse::anon ? mm.anon_rss : mm.file_rss);
  if (f.used_as() == FrameUse::file && old.dirty())
    kernel_.memory.frame(kernel_.memory.head_of(old.pfn())).set(Frame::kDirty);
  page_unmapped(old.pfn());
}

// After a PTE of the page is gone.
void Rmap::page_unmapped(Pfn pfn) {
  const Pfn head = kernel_.memory.head_of(pfn);
  const bool is_compound = kernel_.memory.frame(head).is(Frame::kHead);
  if (is_compound) --pte_mappings(head);
  const bool is_anon = kernel_.memory.frame(head).used_as() == FrameUse::anon;
  const bool is_left = is_mapped(head);
  if (is_compound && is_anon && kernel_.memory.total_mapcount(pfn) == 0) {
    if (head == run_.head) run_.lost_a_page = true;
    else if (is_left || !kernel_.rules.batches_zaps) split_->defer(head);
  }
  if (!is_left) free_if_unused(head);
}

void Rmap::drop_swap_entry(AddressSpace& mm, SwapSlot slot) {
  SIM_ASSERT(mm.swap_entries > 0, "process {} gives back a swap entry it did not count", mm.pid());
  --mm.swap_entries;
  release_slot(slot);
}

// A swap entry of a page table or of the page cache is gone.
void Rmap::release_slot(SwapSlot slot) {
  kernel_.swap.release(slot);
  if (kernel_.swap.users(slot) != 1) return;
  const auto cached = swap_cache_->find(slot);
  if (!cached) return;
  const Pfn head = kernel_.memory.head_of(*cached);
  if (is_mapped(head) && !swap_cache_->swap_is_full()) return;  // __try_to_reclaim_swap, TTRS_UNMAPPED | TTRS_FULL
  swap_cache_->remove_if_unused(head);
  free_if_unused(head);
}

void Rmap::zap_huge(AddressSpace& mm, VirtAddr base) {
  const PageTable::Leaf leaf = mm.table().lookup(base);
  SIM_ASSERT(leaf.entry && leaf.entry->huge(), "no huge page at {:#x}", base.value);
  const Pte old = *leaf.entry;
  if (!old.zero_page() && kernel_.memory.frame(old.pfn()).used_as() == FrameUse::hugetlb)
    return drop_hugetlb(mm, base, old, leaf.size);
  if (!old.zero_page() && kernel_.memory.frame(old.pfn()).used_as() == FrameUse::file)
    return zap_huge_file(mm, base, old);
  mm.table().unmap_huge(base);
  if (old.zero_page()) return;
  kernel_.history->stopped_huge(mm.asid(), base, RangeRecord::Stop::unmapped);
  const Pfn head = old.pfn();
  --kernel_.memory.pmd_mapcount(head);
  --mm.huge_pages;
  mm.anon_rss -= kHugePages;
  if (is_mapped(head)) defer_if_partly_mapped(head);
  else free_if_unused(head);
}

// The page stays in the page cache.
void Rmap::zap_huge_file(AddressSpace& mm, VirtAddr base, Pte leaf) {
  mm.table().unmap_huge(base);
  kernel_.history->stopped_huge(mm.asid(), base, RangeRecord::Stop::unmapped);
  Frame& f = kernel_.memory.frame(leaf.pfn());
  if (leaf.dirty()) f.set(Frame::kDirty);
  if (leaf.accessed()) f.set(Frame::kReferenced);
  --kernel_.memory.pmd_mapcount(leaf.pfn());
  --mm.file_huge_pages;
  mm.file_rss -= kHugePages;
}

void Rmap::drop_hugetlb(AddressSpace& mm, VirtAddr va, Pte leaf, PageSize size) {
  if (size == PageSize::k2M) mm.table().unmap_huge(va);
  else *mm.table().pud(va) = {};
  mm.hugetlb_rss -= pages_4k(size);
  Frame& f = kernel_.memory.frame(leaf.pfn());
  SIM_ASSERT(f.mapcount > 0, "hugetlb page {:#x} is unmapped but not mapped", leaf.pfn().value);
  if (--f.mapcount == 0) release_frame(leaf.pfn());
}

void Rmap::defer_if_partly_mapped(Pfn head) {
  for (Pfn p = head; p < head + kHugePages; ++p)
    if (kernel_.memory.total_mapcount(p) == 0) return split_->defer(head);
}

Rmap::Zapped Rmap::zap_range(AddressSpace& mm, VirtRange range) {
  Zapped zapped;
  mm.for_each(range, [&](Vma& vma) { zap_part(mm, vma.range.intersect(range), zapped); });
  return zapped;
}

// Within one VMA: no batch goes past its end.
void Rmap::zap_part(AddressSpace& mm, VirtRange range, Zapped& zapped) {
  std::vector<VirtAddr> huge;
  mm.table().visit(range, [&](VirtAddr va, Pte& pte, PageSize size) {
    if (size == PageSize::k4K) {
      ++zapped.pages;
      if (kernel_.rules.batches_zaps) continue_run(va, pte);
      return zap_pte(mm, va, pte);
    }
    SIM_ASSERT(range.start <= va && va + page_bytes(size) <= range.end,
               "the range {:#x}-{:#x} cuts the huge page at {:#x}", range.start.value, range.end.value, va.value);
    huge.push_back(va);
  });
  end_run();
  for (VirtAddr va : huge) zap_huge(mm, va);
  zapped.huge += huge.size();
}

// folio_pte_batch: entries of one table that map consecutive pages of one large page, in the same way, go together.
void Rmap::continue_run(VirtAddr va, Pte pte) {
  constexpr std::uint64_t kIgnored =
      Pte::kFrameMask | Pte::kAccessed | Pte::kDirty | Pte::kWritable | Pte::kSoftExclusive;
  const bool maps_page = pte.present() && !pte.zero_page();
  const Pfn head = maps_page ? kernel_.memory.head_of(pte.pfn()) : kNoPfn;
  const bool is_large = maps_page && kernel_.memory.frame(head).is(Frame::kHead);
  const bool goes_on = is_large && head == run_.head && pte.pfn() == run_.next && va != huge_base(va) &&
                       (pte.bits | kIgnored) == (run_.bits | kIgnored);
  if (!goes_on) end_run();
  if (is_large) run_ = {head, pte.pfn() + 1, pte.bits, run_.lost_a_page};
}

void Rmap::end_run() {
  const Run run = std::exchange(run_, {});
  if (run.head != kNoPfn && run.lost_a_page && is_mapped(run.head)) split_->defer(run.head);
}

// --- the end of a page ---

bool Rmap::is_mapped(Pfn head) {
  const Frame& f = kernel_.memory.frame(head);
  if (!f.is(Frame::kHead)) return f.mapcount > 0;
  return kernel_.memory.pmd_mapcount(head) > 0 || pte_mappings(head) > 0;
}

void Rmap::free_if_unused(Pfn pfn) {
  const Pfn head = kernel_.memory.head_of(pfn);
  constexpr std::uint16_t kHeld = Frame::kLocked | Frame::kIsolated | Frame::kWriteback;
  const Frame& f = kernel_.memory.frame(head);
  const bool is_ownerless = f.used_as() == FrameUse::anon || (f.used_as() == FrameUse::file && f.mapping == 0);
  if (!is_ownerless || f.extra_references() > 0 || (f.flags & kHeld) || is_mapped(head)) return;
  if (f.is(Frame::kSwapCache) && !swap_cache_->remove_if_unused(head)) return;
  release_frame(head);
}

void Rmap::release_frame(Pfn head) {
  if (head == run_.head) run_ = {};
  Frame& f = kernel_.memory.frame(head);
  const unsigned order = unsigned(f.order);
  if (f.is(Frame::kHead)) {
    if (f.used_as() == FrameUse::anon) split_->undefer(head);
    pte_mappings(head) = 0;
  }
  if (f.is(Frame::kLru)) reclaim_->remove(head);
  free_frames(kernel_, head, order);
}

}  // namespace collapsar
