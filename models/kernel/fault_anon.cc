// PTE level, anonymous memory: the zero page, a fresh page, copy-on-write.
#include "models/kernel/fault_context.h"

namespace collapsar {

// --- nothing there yet: do_anonymous_page() ---

void PageFault::Context::anon_missing() {
  if (!ensure_pte_table()) return;
  if (is_write()) return anon_new();
  pass<&Context::install_zero>(costs().fault_zero_page, zero_ready_);
}

void PageFault::Context::install_zero() {
  if (!entry_is_free(zero_ready_)) return;
  Pte* pte = unchanged_entry();
  if (!pte) return lost_race();
  *pte = small_pte(kernel.zero_page, Pte::kSpecial);
  resolved();
}

// Also in place of the zero page.
void PageFault::Context::anon_new() {
  fault.rmap_.prepare_anon_vma(*mm, *vma);
  if (take_page(FrameUse::anon)) clear(page, 1, anon_cleared_, &Context::anon_cleared);
}

void PageFault::Context::anon_cleared() {
  const Duration flush = seen.none() ? Duration{} : flush_cost();
  pass<&Context::install_anon>(costs().fault_anon + flush, anon_ready_);
}

void PageFault::Context::install_anon() {
  if (!entry_is_free(anon_ready_)) return;
  if (!unchanged_entry()) return lost_race();
  const Pte pte = small_pte(page, Pte::kWritable | Pte::kDirty);
  fault.rmap_.map_new_anon(*mm, *vma, page_address(), page, pte);
  add_to_lru(std::exchange(page, kNoPfn));
  if (!seen.none()) flush_page();
  resolved();
}

// --- there, but not writable: do_wp_page() ---

void PageFault::Context::write_protected() {
  if (seen.zero_page()) return anon_new();
  if (vma->is(Vma::kShared)) return pass<&Context::make_shared_writable>(costs().fault_file, shared_write_ready_);
  if (may_take_over(seen.pfn(), seen)) return pass<&Context::take_over>(costs().fault_spurious, take_over_ready_);
  copy_from(seen.pfn());
}

// wp_can_reuse_anon_folio(): nobody else can reach the page. A 4 KiB page of a huge one only if it is known exclusive.
// A reference that this CPU's batch holds is got rid of; one of another CPU's batch makes for a copy.
bool PageFault::Context::may_take_over(Pfn pfn, Pte pte) {
  const PhysicalMemory& memory = kernel.memory;
  const Frame& frame = memory.frame(pfn);
  if (frame.used_as() != FrameUse::anon || kernel.memory.total_mapcount(pfn) != 1) return false;
  if (pte.bits & Pte::kSoftExclusive) return true;
  const Pfn head = memory.head_of(pfn);
  const bool is_large = memory.frame(head).is(Frame::kHead);
  if (is_large && (!kernel.rules.reuses_lone_subpage || fault.rmap_.folio_mapcount(head) != 1)) return false;
  if (!frame.is(Frame::kLru)) drain_lru();
  if (memory.frame(head).extra_references() > 0) return false;
  if (is_large) return !memory.frame(head).is(Frame::kSwapCache);
  return !frame.is(Frame::kSwapCache) || fault.swap_cache_.remove_if_unused(pfn);
}

void PageFault::Context::take_over() {
  if (!entry_is_free(take_over_ready_)) return;
  Pte* pte = unchanged_entry();
  if (!pte || !may_take_over(pte->pfn(), *pte)) return lost_race();
  pte->set(Pte::kWritable | Pte::kDirty | Pte::kAccessed | Pte::kSoftExclusive);
  got_cow = true;
  resolved();
}

// wp_page_copy(), do_cow_fault(). The source is pinned: it may lose its other users meanwhile.
void PageFault::Context::copy_from(Pfn from) {
  fault.rmap_.prepare_anon_vma(*mm, *vma);
  if (!take_page(FrameUse::anon)) return;
  source = from;
  ++kernel.memory.frame(kernel.memory.head_of(source)).pins;
  if (timeless) return copied();
  copy.start({&source, 1}, page, costs().copy_page, copied_);
}

void PageFault::Context::copied() {
  if (kernel.memory.frame(source).is(Frame::kData)) kernel.memory.frame(page).set(Frame::kData);
  const Duration flush = seen.none() ? Duration{} : flush_cost();
  pass<&Context::install_copy>(costs().fault_cow + flush, copy_ready_);
}

void PageFault::Context::install_copy() {
  if (!entry_is_free(copy_ready_)) return;
  if (!unchanged_entry()) return lost_race();
  const Pte pte = small_pte(page, Pte::kWritable | Pte::kDirty);
  fault.rmap_.map_new_anon(*mm, *vma, page_address(), page, pte);
  add_to_lru(std::exchange(page, kNoPfn));
  fault.rmap_.drop_mapping(*mm, seen);
  drop_source();
  if (!seen.none()) flush_page();
  got_cow = true;
  resolved();
}

}  // namespace collapsar
