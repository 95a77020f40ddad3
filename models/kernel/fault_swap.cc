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
  Pfn reading = fault.start_swap_read(*mm, *vma, va, AllocLevel::low);
  if (reading == kNoPfn) reading = fault.start_swap_read(*mm, *vma, va, AllocLevel::min);
  if (reading == kNoPfn) return reclaim_memory(Reclaim::kSwapClusterMax);
  wait_for_read(reading);
}

void PageFault::Context::install_swapped() {
  if (!entry_is_free(swap_ready_)) return;
  const auto cached = fault.swap_cache_.find(seen.swap_slot());
  const bool is_ready = cached && !kernel.memory.frame(kernel.memory.head_of(*cached)).is(Frame::kLocked);
  if (!unchanged_entry() || !is_ready) return lost_race();
  const bool writable = fault.map_swapped(*mm, *vma, page_address(), *cached, is_write());
  if (is_write() && !writable) return at_pte();  // someone else has it too: copy
  resolved();
}

// The frame enters the inactive list at once, as a page read ahead may never be mapped.
Pfn PageFault::read_slot(SwapSlot slot, FrameUse use, AllocLevel level) {
  const auto pfn = kernel_.memory.allocate(0, MigrateType::movable, use, level);
  if (!pfn) return kNoPfn;
  ++kernel_.stats.vmstat.pgalloc;
  if (use == FrameUse::file) kernel_.memory.frame(*pfn).set(Frame::kSwapBacked);
  swap_cache_.start_read(slot, *pfn);
  reclaim_.add(*pfn, false);
  return *pfn;
}

Pfn PageFault::start_swap_read(AddressSpace& mm, const Vma& vma, VirtAddr va, AllocLevel level) {
  std::vector<SwapSlot> more;
  if (!kernel_.swap.is_synchronous()) more = swap_cache_.readahead(mm, vma, va);
  const Pfn pfn = read_slot(mm.table().pte(va)->swap_slot(), FrameUse::anon, level);
  if (pfn == kNoPfn) {
    reclaim_.wake_kswapd();
    return pfn;
  }
  for (const SwapSlot slot : more)
    if (!swap_cache_.find(slot) && read_slot(slot, FrameUse::anon, AllocLevel::low) == kNoPfn) break;
  reclaim_.wake_kswapd_if_low();
  return pfn;
}

// Writable at once only for a write by the sole user. The slot goes with its last swap entry (Rmap::drop_mapping).
bool PageFault::map_swapped(AddressSpace& mm, Vma& vma, VirtAddr va, Pfn pfn, bool is_write) {
  Pte& entry = *mm.table().pte(va);
  const Pte old = entry;
  const bool is_sole = kernel_.memory.total_mapcount(pfn) == 0 && kernel_.swap.users(old.swap_slot()) == 2;
  const bool writable = is_write && is_sole && vma.writable();
  const std::uint64_t flags = bits_if(writable, Pte::kWritable | Pte::kDirty) | bits_if(is_sole, Pte::kSoftExclusive) |
                              bits_if(!vma.is(Vma::kExec), Pte::kNoExec);
  if (writable) kernel_.memory.frame(kernel_.memory.head_of(pfn)).set(Frame::kDirty);
  rmap_.map_again(mm, vma, va, pfn, Pte::make(pfn, Pte::kPresent | Pte::kUser | Pte::kAccessed | flags));
  rmap_.drop_mapping(mm, old);
  return writable;
}

PageFault::SwapIn PageFault::swap_in(AddressSpace& mm, Vma& vma, VirtAddr va, Event& done) {
  const Pte* pte = mm.table().pte(va);
  if (!pte || !pte->swap()) return SwapIn::swapped_in;
  const VirtAddr page = align_down(va, kPageBytes);
  if (const auto cached = swap_cache_.find(pte->swap_slot())) {
    if (kernel_.memory.frame(kernel_.memory.head_of(*cached)).is(Frame::kLocked)) return SwapIn::retry;
    map_swapped(mm, vma, page, *cached, false);
    return SwapIn::swapped_in;
  }
  const Pfn reading = start_swap_read(mm, vma, va, AllocLevel::min);
  if (reading == kNoPfn) return SwapIn::failed;
  ++kernel_.stats.vmstat.pgmajfault;
  if (!kernel_.swap.is_synchronous()) return SwapIn::retry;
  locks_.wait(reading, done);
  return SwapIn::must_wait;
}

}  // namespace collapsar
