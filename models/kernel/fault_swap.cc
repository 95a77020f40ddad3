// PTE level, swap entries: do_swap_page(), for faults and for collapse.
#include "models/kernel/fault_context.h"

namespace collapsar {

void PageFault::Context::swap_fault() {
  const auto cached = fault.swap_cache_.find(seen.swap_slot());
  if (cached && !kernel.memory.frame(kernel.memory.head_of(*cached)).is(Frame::kLocked))
    return pass<&Context::install_swapped>(costs().fault_swap, swap_ready_);
  if (cached) return wait_for_page(*cached);
  SIM_ASSERT(!timeless, "the page at {:#x} is swapped out before time 0", va.value);
  fault.rmap_.prepare_anon_vma(*mm, *vma);
  Pfn reading = fault.start_swap_read(*mm, *vma, va, AllocLevel::low, request->cpu);
  if (reading == kNoPfn) reading = fault.start_swap_read(*mm, *vma, va, AllocLevel::min, request->cpu);
  if (reading == kNoPfn) return reclaim_memory(Reclaim::kSwapClusterMax);
  wait_for_read(reading);
}

void PageFault::Context::install_swapped() {
  if (!entry_is_free(swap_ready_)) return;
  const auto cached = fault.swap_cache_.find(seen.swap_slot());
  const bool is_ready = cached && !kernel.memory.frame(kernel.memory.head_of(*cached)).is(Frame::kLocked);
  if (!unchanged_entry() || !is_ready) return lost_race();
  if (is_write() && drains_before_write(*cached)) drain_lru();
  const bool writable = fault.map_swapped(*mm, *vma, page_address(), *cached, is_write());
  if (is_write() && !writable) return at_pte();  // someone else has it too: copy
  resolved();
}

// So that the reference of this CPU's batch does not hide that the page has one user. A page read past the cache has.
bool PageFault::Context::drains_before_write(Pfn cached) const {
  const Frame& frame = kernel.memory.frame(kernel.memory.head_of(cached));
  return !frame.is(Frame::kLru) && !fault.swap_cache_.is_past_cache(seen.swap_slot());
}

// The frame is known to the LRU at once, as a page read ahead may never be mapped.
Pfn PageFault::read_slot(SwapSlot slot, FrameUse use, AllocLevel level, CpuId cpu) {
  const auto pfn = kernel_.memory.allocate(0, MigrateType::movable, use, level);
  if (!pfn) return kNoPfn;
  ++kernel_.stats.vmstat.pgalloc;
  if (use == FrameUse::file) kernel_.memory.frame(*pfn).set(Frame::kSwapBacked);
  swap_cache_.start_read(slot, *pfn);
  reclaim_.add_new(*pfn, cpu);
  return *pfn;
}

Pfn PageFault::start_swap_read(AddressSpace& mm, const Vma& vma, VirtAddr va, AllocLevel level, CpuId cpu) {
  std::vector<SwapSlot> more;
  const bool reads_ahead = !kernel_.swap.is_synchronous() && kernel_.swap.readahead_pages() > 1;
  if (reads_ahead) more = swap_cache_.readahead(mm, vma, va);
  const SwapSlot slot_of_va = mm.table().pte(va)->swap_slot();
  const bool past_cache = kernel_.swap.is_synchronous() && kernel_.swap.users(slot_of_va) == 1;
  const Pfn pfn = read_slot(slot_of_va, FrameUse::anon, level, cpu);
  if (pfn == kNoPfn) {
    reclaim_.wake_kswapd();
    return pfn;
  }
  if (past_cache) swap_cache_.read_past_cache(slot_of_va);
  for (const SwapSlot slot : more)
    if (!swap_cache_.find(slot) && read_slot(slot, FrameUse::anon, AllocLevel::low, cpu) == kNoPfn) break;
  if (reads_ahead) reclaim_.batches().drain(cpu);
  reclaim_.wake_kswapd_if_low();
  return pfn;
}

// What the entry was worth is known before the page may leave the swap cache: it does so at once if it was read past it,
// for a write by its only user, for locked memory, and when swap space is short.
bool PageFault::leaves_swap_cache(const Vma& vma, Pfn head, bool is_write) {
  const Frame& frame = kernel_.memory.frame(head);
  if (vma.is(Vma::kLocked) || frame.is(Frame::kUnevictable) || swap_cache_.swap_is_full()) return true;
  return is_write && rmap_.folio_mapcount(head) == 0 && frame.extra_references() == 0;
}

// Writable at once only for the sole user, and before 6.12 only for its write.
bool PageFault::map_swapped(AddressSpace& mm, Vma& vma, VirtAddr va, Pfn pfn, bool is_write) {
  const Pte old = *mm.table().pte(va);
  const Pfn head = kernel_.memory.head_of(pfn);
  Frame& frame = kernel_.memory.frame(head);
  bool is_sole = swap_cache_.take_past_cache(old.swap_slot()) || (old.bits & Pte::kSoftExclusive);
  --mm.swap_entries;
  kernel_.swap.release(old.swap_slot());
  if (frame.is(Frame::kSwapCache) && leaves_swap_cache(vma, head, is_write)) swap_cache_.remove_if_unused(head);
  is_sole |= !frame.is(Frame::kSwapCache) && rmap_.folio_mapcount(head) == 0 && frame.extra_references() == 0;
  const bool is_protected = old.bits & Pte::kUffdWp;
  const bool takes_write = is_write && is_sole;
  const bool writable = is_sole && (is_write || kernel_.rules.swap_in_maps_writable) && vma.writable() && !is_protected;
  const std::uint64_t flags = bits_if(takes_write, Pte::kDirty) | bits_if(writable, Pte::kWritable) |
                              bits_if(is_sole, Pte::kSoftExclusive) | bits_if(is_protected, Pte::kUffdWp) |
                              bits_if(!vma.is(Vma::kExec), Pte::kNoExec);
  rmap_.map_again(mm, vma, va, pfn, Pte::make(pfn, Pte::kPresent | Pte::kUser | Pte::kAccessed | flags));
  return writable;
}

PageFault::SwapIn PageFault::swap_in(AddressSpace& mm, Vma& vma, VirtAddr va, CpuId cpu, Event& done) {
  const Pte* pte = mm.table().pte(va);
  if (!pte || !pte->swap()) return SwapIn::swapped_in;
  const VirtAddr page = align_down(va, kPageBytes);
  if (const auto cached = swap_cache_.find(pte->swap_slot())) {
    if (kernel_.memory.frame(kernel_.memory.head_of(*cached)).is(Frame::kLocked)) return SwapIn::retry;
    map_swapped(mm, vma, page, *cached, false);
    return SwapIn::swapped_in;
  }
  const Pfn reading = start_swap_read(mm, vma, va, AllocLevel::min, cpu);
  if (reading == kNoPfn) return SwapIn::failed;
  ++kernel_.stats.vmstat.pgmajfault;
  if (!kernel_.swap.is_synchronous()) return SwapIn::retry;
  locks_.wait(reading, done);
  return SwapIn::must_wait;
}

}  // namespace collapsar
