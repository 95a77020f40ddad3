// PTE level, shared memory that is not in the page cache: a fresh page, small or huge, or one from swap.
#include "models/kernel/fault_context.h"
#include "models/kernel/file_thp.h"

namespace collapsar {

// shmem_get_folio(): a huge page by policy, else a small one.
void PageFault::Context::shmem_missing(std::uint64_t index) {
  if (wants_huge_shmem(index)) return get_huge_page(FrameUse::file);
  if (take_page(FrameUse::file)) clear(page, 1, shmem_cleared_, &Context::shmem_cleared);
}

bool PageFault::Context::wants_huge_shmem(std::uint64_t index) const {
  if (no_huge || !kernel.config.thp.at_fault) return false;
  if (!shmem_allows_huge(kernel, *mm, *vma, index, /*force=*/false)) return false;
  if (kernel.rules.huge_shmem_needs_aligned_vma && !may_map_huge_at(*vma, va)) return false;
  return cache().is_block_empty(vma->file, index, /*swap_counts=*/true);
}

void PageFault::Context::no_huge_shmem() {
  ++kernel.stats.vmstat.thp_file_fallback;
  kernel.stats.vmstat.thp_file_fallback_charge += over_charge;
  no_huge = true;
  file_missing();
}

// Of a huge page the only copy is in memory: it is dirty from the start.
void PageFault::Context::huge_shmem_cleared() {
  const std::uint64_t index = vma->page_index(va);
  if (!cache().is_block_empty(vma->file, index, /*swap_counts=*/true)) return lost_race();
  const Pfn head = std::exchange(page, kNoPfn);
  kernel.memory.frame(head).set(Frame::kDirty);
  cache().add(vma->file, index / kHugePages * kHugePages, head);
  add_to_lru(head);
  ++kernel.stats.vmstat.thp_file_alloc;
  file_missing();
}

void PageFault::Context::shmem_cleared() {
  const std::uint64_t index = vma->page_index(va);
  if (!cache().find(vma->file, index).none()) return lost_race();
  const Pfn pfn = std::exchange(page, kNoPfn);
  cache().add(vma->file, index, pfn);
  add_to_lru(pfn);
  file_missing();
}

// --- swapped out: shmem_swapin_folio() ---

void PageFault::Context::shmem_swapped(SwapSlot slot) {
  const auto cached = fault.swap_cache_.find(slot);
  if (cached && kernel.memory.frame(kernel.memory.head_of(*cached)).is(Frame::kLocked))
    return wait_for_page(kernel.memory.head_of(*cached));
  if (cached) return pass<&Context::shmem_swapped_in>(costs().fault_swap, shmem_swap_ready_);
  SIM_ASSERT(!timeless, "the shared page at {:#x} is swapped out before time 0", va.value);
  Pfn reading = fault.read_slot(slot, FrameUse::file, AllocLevel::low, request->cpu);
  if (reading == kNoPfn) reading = fault.read_slot(slot, FrameUse::file, AllocLevel::min, request->cpu);
  fault.reclaim_.wake_kswapd_if_low();
  if (reading == kNoPfn) return reclaim_memory(Reclaim::kSwapClusterMax);
  wait_for_read(reading);
}

void PageFault::Context::shmem_swapped_in() {
  const std::uint64_t index = vma->page_index(va);
  if (!fault.take_shmem_from_swap(vma->file, index)) return lost_race();
  file_missing();
}

bool PageFault::take_shmem_from_swap(FileId file, std::uint64_t index) {
  const PageCache::Entry entry = kernel_.page_cache->find(file, index);
  const auto cached = entry.swap() ? swap_cache_.find(entry.slot()) : std::nullopt;
  if (!cached || kernel_.memory.frame(kernel_.memory.head_of(*cached)).is(Frame::kLocked)) return false;
  const Pfn head = kernel_.memory.head_of(*cached);
  kernel_.page_cache->add_swapped_in(file, index - (*cached - head), head);
  kernel_.memory.frame(head).set(Frame::kDirty);
  swap_cache_.remove_if_unused(head);
  return true;
}

PageFault::SwapIn PageFault::swap_in_shmem(FileId file, std::uint64_t index, CpuId cpu, Event& done) {
  const PageCache::Entry entry = kernel_.page_cache->find(file, index);
  if (!entry.swap() || take_shmem_from_swap(file, index)) return SwapIn::swapped_in;
  auto reading = swap_cache_.find(entry.slot());
  if (!reading) {
    const Pfn pfn = read_slot(entry.slot(), FrameUse::file, AllocLevel::min, cpu);
    if (pfn == kNoPfn) return SwapIn::failed;
    reading = pfn;
    ++kernel_.stats.vmstat.pgmajfault;
  }
  locks_.wait(*reading, done);
  return SwapIn::must_wait;
}

}  // namespace collapsar
