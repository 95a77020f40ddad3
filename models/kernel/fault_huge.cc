// PMD level: huge pages at fault, the huge zero page, writes to shared huge pages; and hugetlb.
#include "models/kernel/fault_context.h"
#include "models/kernel/huge_zero_page.h"
#include "models/kernel/memcg.h"

namespace collapsar {

namespace {

// khugepaged.md 7.2: how hard a fault may try for a huge page.
enum class Effort : std::uint8_t { none, kswapd, reclaim };

Effort effort_of(ThpDefrag defrag, bool is_madvised) {
  switch (defrag) {
    case ThpDefrag::always: return Effort::reclaim;
    case ThpDefrag::defer: return Effort::kswapd;
    case ThpDefrag::defer_madvise: return is_madvised ? Effort::reclaim : Effort::kswapd;
    case ThpDefrag::madvise: return is_madvised ? Effort::reclaim : Effort::none;
    case ThpDefrag::never: return Effort::none;
  }
  return Effort::none;
}

std::uint64_t leaf_flags(const Vma& vma) {
  return Pte::kPresent | Pte::kUser | Pte::kAccessed | Pte::kHuge | bits_if(!vma.is(Vma::kExec), Pte::kNoExec);
}

}  // namespace

// --- nothing there yet: do_huge_pmd_anonymous_page() ---

bool PageFault::Context::wants_huge() const {
  return !no_huge && thp_vma_allowable(kernel, *mm, *vma, /*enforce_sysfs=*/true, /*in_fault=*/true) &&
         vma->holds_huge_block(va);
}

void PageFault::Context::huge_missing() {
  fault.rmap_.prepare_anon_vma(*mm, *vma);
  fault.khugepaged_.enter_vma(*mm, *vma);
  if (!kernel.config.thp.at_fault) {
    no_huge = true;
    return at_pte();
  }
  if (!is_write() && kernel.config.thp.use_zero_page) return huge_zero();
  over_huge_zero = false;
  huge_alloc();
}

// Everyone who wanted a huge page and gets small ones.
void PageFault::Context::fall_back() {
  ++kernel.stats.vmstat.thp_fault_fallback;
  no_huge = true;
  at_pmd();
}

void PageFault::Context::huge_zero() {
  if (kernel.huge_zero->get(*mm)) return pass<&Context::install_huge_zero>(costs().fault_zero_page, huge_zero_ready_);
  page = allocate(kHugeOrder, FrameUse::huge_zero_page);
  if (page == kNoPfn) {
    ++kernel.stats.vmstat.thp_zero_page_alloc_failed;
    return fall_back();
  }
  clear(page, kHugePages, huge_zero_cleared_, &Context::huge_zero_cleared);
}

// Two may have had the idea; the second gives its page back.
void PageFault::Context::huge_zero_cleared() {
  if (kernel.huge_zero->page() == kNoPfn) kernel.huge_zero->adopt(std::exchange(page, kNoPfn));
  else give_back(std::exchange(page, kNoPfn));
  kernel.huge_zero->get(*mm);
  pass<&Context::install_huge_zero>(costs().fault_zero_page, huge_zero_ready_);
}

void PageFault::Context::install_huge_zero() {
  if (!mm->table().ensure_pmd_table(va)) return reclaim_memory(Reclaim::kSwapClusterMax);
  if (!mm->table().pmd(va)->none()) return lost_race();
  mm->table().map_huge(huge_base(va), Pte::make(kernel.huge_zero->page(), leaf_flags(*vma) | Pte::kSpecial),
                       PageSize::k2M);
  resolved();
}

void PageFault::Context::huge_alloc() { get_huge_page(FrameUse::anon); }

// `page` for 2 MiB, as hard as khugepaged.md 7.2 tries; use_huge_page() goes on, now or later.
void PageFault::Context::get_huge_page(FrameUse use) {
  const bool is_madvised = vma->is(Vma::kHugePage);
  const Effort effort = effort_of(kernel.config.thp.defrag, is_madvised);
  const bool is_free = huge_search.take_free(use, effort == Effort::reclaim);
  if (!is_free && effort == Effort::kswapd && !timeless) {
    fault.reclaim_.wake_kswapd();
    fault.compaction_.wake_kcompactd();
  }
  if (is_free || effort != Effort::reclaim || timeless) return use_huge_page(huge_search.page(), use);
  huge_search.start({.done = &huge_found_,
                     .use = use,
                     .no_retry = !is_madvised,  // `always` outside madvised areas: __GFP_NORETRY
                     .cpu = request->cpu,
                     .sleeper = request->task});
}

void PageFault::Context::huge_found() { use_huge_page(huge_search.page(), huge_search.use()); }

void PageFault::Context::use_huge_page(Pfn found, FrameUse use) {
  page = found;
  over_charge = page != kNoPfn && !kernel.memcgs.try_charge(*mm, page, kHugePages);
  if (over_charge) give_back(std::exchange(page, kNoPfn));
  if (page == kNoPfn) return use == FrameUse::anon ? no_huge_anon() : no_huge_shmem();
  kernel.stats.vmstat.pgalloc += kHugePages;
  if (!timeless) fault.reclaim_.wake_kswapd_if_low();
  if (use == FrameUse::anon) return clear(page, kHugePages, huge_cleared_, &Context::huge_cleared);
  clear(page, kHugePages, huge_shmem_cleared_, &Context::huge_shmem_cleared);
}

void PageFault::Context::no_huge_anon() {
  kernel.stats.vmstat.thp_fault_fallback_charge += over_charge;
  fall_back();
}

void PageFault::Context::huge_cleared() {
  const VirtRange range{huge_base(va), huge_base(va) + kHugeBytes};
  const bool flushes = over_huge_zero && !timeless;
  const Duration flush =
      flushes ? kernel.shootdown.flush_duration(mm->asid(), range, PageSize::k2M, request->cpu) : Duration::zero();
  pass<&Context::install_huge>(costs().fault_huge + flush, huge_ready_);
}

void PageFault::Context::install_huge() {
  const Pte* pmd = mm->table().pmd(va);
  const bool is_as_seen = over_huge_zero ? pmd && pmd->huge() && pmd->zero_page() : !pmd || pmd->none();
  if (!is_as_seen) return lost_race();
  // The table above may be missing too: up to three frames. Without them the huge page itself is given up.
  if (kernel.memory.free_pages() <= kernel.memory.watermarks().min + kernel.page_table_levels) {
    give_back(std::exchange(page, kNoPfn));
    return fall_back();
  }
  if (over_huge_zero) clear_huge_zero();
  const Pte leaf = Pte::make(page, leaf_flags(*vma) | Pte::kDirty | bits_if(vma->writable(), Pte::kWritable));
  fault.rmap_.map_new_huge(*mm, *vma, va, page, leaf);
  fault.split_.enlist(page);
  add_to_lru(std::exchange(page, kNoPfn));
  ++kernel.stats.vmstat.thp_fault_alloc;
  note_huge();
  resolved();
}

void PageFault::Context::clear_huge_zero() {
  const VirtRange range{huge_base(va), huge_base(va) + kHugeBytes};
  fault.rmap_.zap_huge(*mm, range.start);
  kernel.shootdown.flush(mm->asid(), range, PageSize::k2M, timeless ? kNoCpu : request->cpu, /*tables_freed=*/false);
}

void PageFault::Context::note_huge() {
  got_huge = true;
  kernel.history->became_huge(mm->asid(), va, RangeRecord::By::fault);
}

// --- there, but not writable: do_huge_pmd_wp_page() ---

void PageFault::Context::at_huge_pmd() {
  const Pte leaf = *mm->table().pmd(va);
  if (!is_write() || leaf.writable()) return spurious();
  if ((leaf.bits & Pte::kUffdWp) && vma->is(Vma::kUffdWp)) nobody_answers();
  if (!leaf.zero_page() && kernel.memory.frame(leaf.pfn()).used_as() == FrameUse::file) return split_huge();
  if (leaf.zero_page()) return at_huge_zero();
  if (may_take_over_huge(leaf.pfn(), leaf))
    return pass<&Context::take_over_huge>(costs().fault_spurious, take_over_huge_ready_);
  split_huge();
}

// do_huge_zero_wp_pmd, where there is such: a huge page in its place. Else, or without one, 512 entries of the zero page.
void PageFault::Context::at_huge_zero() {
  if (kernel.rules.huge_zero_write_allocates && kernel.config.thp.at_fault && !no_huge) {
    over_huge_zero = true;
    return huge_alloc();
  }
  if (may_get_table()) return split_huge();
  reclaim_memory(Reclaim::kSwapClusterMax);
}

bool PageFault::Context::may_take_over_huge(Pfn head, Pte leaf) {
  PhysicalMemory& memory = kernel.memory;
  if (leaf.bits & Pte::kSoftExclusive) return true;
  const Frame& frame = memory.frame(head);
  if (fault.rmap_.folio_mapcount(head) != 1 || frame.pins > 0) return false;
  return !frame.is(Frame::kSwapCache) || fault.swap_cache_.remove_if_unused(head);
}

void PageFault::Context::take_over_huge() {
  Pte* pmd = mm->table().pmd(va);
  if (!pmd || !pmd->huge() || pmd->zero_page() || !may_take_over_huge(pmd->pfn(), *pmd)) return lost_race();
  pmd->set(Pte::kWritable | Pte::kDirty | Pte::kAccessed | Pte::kSoftExclusive);
  got_cow = true;
  resolved();
}

// Then the PTE level copies the one page, or replaces the zero page.
void PageFault::Context::split_huge() {
  const CpuId cpu = timeless ? kNoCpu : request->cpu;
  const RangeHistory::Because because(*kernel.history, RangeRecord::Cause::cow);
  pass<&Context::at_pmd>(fault.split_.split_pmd(*mm, va, cpu), pmd_split_);
}

// --- hugetlb ---

void PageFault::Context::hugetlb() {
  const PageTable::Leaf leaf = mm->table().lookup(va);
  if (leaf.entry && leaf.entry->huge()) {
    if (is_write()) leaf.entry->set(Pte::kWritable | Pte::kDirty);
    return spurious();
  }
  const unsigned order = vma->page == PageSize::k1G ? PhysicalMemory::kGiganticOrder : kHugeOrder;
  page = allocate(order, FrameUse::hugetlb);
  if (page == kNoPfn) {
    busy = false;
    fault.reclaim_.out_of_memory(mm->pid(), pages_4k(vma->page));
  }
  clear(page, pages_4k(vma->page), hugetlb_cleared_, &Context::hugetlb_cleared);
}

void PageFault::Context::hugetlb_cleared() { pass<&Context::install_hugetlb>(costs().fault_huge, hugetlb_ready_); }

void PageFault::Context::install_hugetlb() {
  PageTable& table = mm->table();
  const bool is_1g = vma->page == PageSize::k1G;
  if (!(is_1g ? table.ensure_pud_table(va) : table.ensure_pmd_table(va))) {
    give_back(std::exchange(page, kNoPfn));
    return reclaim_memory(Reclaim::kSwapClusterMax);
  }
  const Pte* entry = is_1g ? table.pud(va) : table.pmd(va);
  if (!entry->none()) return lost_race();
  const std::uint64_t flags = leaf_flags(*vma) | bits_if(vma->writable(), Pte::kWritable | Pte::kDirty);
  fault.rmap_.map_hugetlb(*mm, va, page, Pte::make(page, flags), vma->page);
  page = kNoPfn;
  resolved();
}

}  // namespace collapsar
