// Rmap: the questions, fork's copy, and unmapping pages of files.
#include <algorithm>

#include "models/kernel/huge_zero_page.h"
#include "models/kernel/range_history.h"
#include "models/kernel/reclaim.h"
#include "models/kernel/rmap.h"

namespace collapsar {

// --- questions ---

bool Rmap::is_shared(Pfn pfn) {
  PhysicalMemory& memory = kernel_.memory;
  const Pfn head = memory.head_of(pfn);
  if (!memory.frame(head).is(Frame::kHead)) return memory.total_mapcount(pfn) > 1;
  switch (kernel_.rules.shared) {
    case Rules::Shared::page: return memory.total_mapcount(pfn) > 1;
    case Rules::Shared::folio_estimate: return seems_shared(head);
    case Rules::Shared::folio: return is_mapped_by_several(head);
  }
  return false;
}

// folio_likely_mapped_shared: mapped once is not shared; mapped as a whole besides another mapping, or more often than
// it has pages, is; between these the first 4 KiB page decides.
bool Rmap::seems_shared(Pfn head) {
  const std::uint32_t whole = kernel_.memory.pmd_mapcount(head);
  const std::uint32_t mappings = whole + pte_mappings(head);
  if (mappings <= 1) return false;
  return whole > 0 || mappings > kHugePages || kernel_.memory.frame(head).mapcount > 1;
}

// folio_maybe_mapped_shared: by a second address space.
bool Rmap::is_mapped_by_several(Pfn head) {
  const Frame& frame = kernel_.memory.frame(head);
  if (frame.mapping == 0 || users_of(frame).size() < 2) return false;
  const AddressSpace* first = nullptr;
  for (Pfn page = head; page < head + kHugePages; ++page)
    for (const Place& place : places(page)) {
      if (first && place.mm != first) return true;
      first = place.mm;
    }
  return false;
}

std::uint64_t Rmap::folio_mapcount(Pfn head) {
  const Frame& f = kernel_.memory.frame(head);
  return f.is(Frame::kHead) ? kernel_.memory.pmd_mapcount(head) + pte_mappings(head) : f.mapcount;
}

bool Rmap::has_extra_references(Pfn pfn) {
  const PhysicalMemory& memory = kernel_.memory;
  return memory.frame(pfn).pins > 0 || memory.frame(memory.head_of(pfn)).extra_references() > 0;
}

const std::vector<AddressSpace*>& Rmap::users_of(const Frame& f) const {
  return f.used_as() == FrameUse::anon ? anon_vmas_[f.mapping] : page_cache_.users_of(page_cache_.file_of(f));
}

void Rmap::for_each_mapping(Pfn pfn, const std::function<void(AddressSpace&, VirtAddr, Pte&, PageSize)>& f) {
  for (const Place& p : places(pfn)) f(*p.mm, p.va, *p.entry, p.size);
}

// Most pages are still where their VMA was first put: those are found at once. Only if map counts say that others are
// missing, all VMAs are searched.
std::vector<Rmap::Place> Rmap::places(Pfn pfn) {
  PhysicalMemory& memory = kernel_.memory;
  const Pfn head = memory.head_of(pfn);
  const Frame& first = memory.frame(head);
  const std::uint64_t index = first.index + (first.is(Frame::kHead) ? pfn - head : 0);
  const std::uint32_t expected = memory.total_mapcount(pfn);
  std::vector<Place> found;
  if (expected == 0 || first.mapping == 0) return found;
  const bool is_file = first.used_as() != FrameUse::anon;
  for (AddressSpace* mm : users_of(first)) {
    const Vma* vma = is_file ? nullptr : mm->find({index << kPageShift});
    if (vma && vma->anon_vma == first.mapping && vma->page_index({index << kPageShift}) == index)
      add_place(*mm, {index << kPageShift}, pfn, found);
  }
  if (found.size() == expected) return found;
  found.clear();
  for (AddressSpace* mm : users_of(first)) places_in(*mm, pfn, index, first, found);
  return found;
}

void Rmap::places_in(AddressSpace& mm, Pfn pfn, std::uint64_t index, const Frame& first, std::vector<Place>& out) {
  const bool is_file = first.used_as() != FrameUse::anon;
  for (auto& [start, vma] : mm.vmas()) {
    const bool is_it = is_file ? vma.file == page_cache_.file_of(first) : vma.anon_vma == first.mapping;
    if (!is_it || index < vma.pgoff || index >= vma.pgoff + vma.range.pages()) continue;
    add_place(mm, vma.range.start + ((index - vma.pgoff) << kPageShift), pfn, out);
  }
}

void Rmap::add_place(AddressSpace& mm, VirtAddr va, Pfn pfn, std::vector<Place>& out) {
  const PageTable::Leaf leaf = mm.table().lookup(va);
  if (!leaf.entry || !leaf.entry->present() || leaf.entry->zero_page()) return;
  const Pfn head = kernel_.memory.head_of(pfn);
  if (leaf.size == PageSize::k2M && leaf.entry->pfn() == head)
    out.push_back({&mm, huge_base(va), leaf.entry, leaf.size});
  if (leaf.size == PageSize::k4K && leaf.entry->pfn() == pfn) out.push_back({&mm, va, leaf.entry, leaf.size});
}

// --- fork ---

namespace {

// What child and parent keep of an entry that both may write only after copying.
Pte write_protected(Pte pte) {
  pte.clear(Pte::kWritable | Pte::kSoftExclusive);
  return pte;
}

// A child's entry: not accessed yet, and watched by no userfaultfd.
Pte old(Pte pte) {
  pte.clear(Pte::kAccessed | Pte::kUffdWp);
  return pte;
}

}  // namespace

// vma_needs_copy: what a later fault finds again (files, shmem) is not copied. Private hugetlb pages are Simplified:
// the child faults in its own.
bool Rmap::copy_range(AddressSpace& parent, AddressSpace& child, Vma& vma, std::uint64_t* ptes_copied) {
  if (vma.anon_vma == 0 || vma.is(Vma::kHugetlb)) return true;
  bool enough = true;
  for (VirtAddr base = huge_base(vma.range.start); base < vma.range.end && enough; base += kHugeBytes) {
    if (parent.table().pmd_is_table(base)) enough = child.table().ensure_pte_table(base);  // though it be empty
    else if (parent.table().pmd(base)) enough = child.table().ensure_pmd_table(base);
  }
  parent.table().visit(vma.range, [&](VirtAddr va, Pte& pte, PageSize size) {
    if (!enough) return;
    enough = size == PageSize::k4K ? copy_pte(parent, child, vma, va, pte) : copy_huge(child, va, pte, size);
    *ptes_copied += enough;
  });
  return enough;
}

bool Rmap::copy_pte(AddressSpace&, AddressSpace& child, Vma& vma, VirtAddr va, Pte& pte) {
  if (!child.table().ensure_pte_table(va)) return false;
  Pte& copy = *child.table().pte(va);
  if (pte.swap()) {
    pte.clear(Pte::kSoftExclusive);
    kernel_.swap.duplicate(pte.swap_slot());
    ++child.swap_entries;
    copy = pte;
    copy.clear(Pte::kUffdWp);
  } else if (pte.zero_page()) {
    copy = old(pte);
  } else {
    if (!vma.is(Vma::kShared)) pte = write_protected(pte);
    Vma unlocked = vma;  // VM_LOCKED is not inherited
    unlocked.flags &= ~std::uint32_t(Vma::kLocked);
    map_again(child, unlocked, va, pte.pfn(), old(pte));
  }
  return true;
}

bool Rmap::copy_huge(AddressSpace& child, VirtAddr va, Pte& leaf, PageSize size) {
  SIM_ASSERT(size == PageSize::k2M, "fork meets a page of {} bytes at {:#x}", page_bytes(size), va.value);
  if (leaf.zero_page()) {
    if (!child.table().ensure_pmd_table(va)) return false;
    child.table().map_huge(va, old(leaf), size);
    kernel_.huge_zero->get(child);
    return true;
  }
  if (kernel_.memory.frame(leaf.pfn()).used_as() == FrameUse::file) return true;  // the child's fault maps it again
  const Pte shared = write_protected(leaf);
  if (!child.table().map_huge_with_deposit(va, old(shared))) return false;
  leaf = shared;
  ++kernel_.memory.pmd_mapcount(leaf.pfn());
  ++child.huge_pages;
  child.add_anon(kHugePages);
  kernel_.history->became_huge(child.asid(), va, RangeRecord::By::fork);
  return true;
}

// --- pages of files ---

void Rmap::unmap_file_page(Pfn pfn, const std::function<void(AddressSpace&, VirtRange)>& f) {
  const Pfn head = kernel_.memory.head_of(pfn);
  for (const Place& p : places(pfn)) {
    const VirtRange range{p.va, p.va + page_bytes(p.size)};
    if (p.size == PageSize::k2M) {
      zap_huge(*p.mm, p.va);
    } else {
      if (p.entry->dirty()) kernel_.memory.frame(head).set(Frame::kDirty);
      zap_pte(*p.mm, p.va, *p.entry);
    }
    f(*p.mm, range);
  }
}

void Rmap::drop_shmem_file(FileId file) {
  if (!PageCache::is_shmem(file) || page_cache_.is_in_use(file)) return;
  for (const Pfn pfn : page_cache_.pages(file)) {
    page_cache_.remove(pfn);
    free_if_unused(pfn);
  }
  for (const SwapSlot slot : page_cache_.take_swap_entries(file)) release_slot(slot);
}

}  // namespace collapsar
