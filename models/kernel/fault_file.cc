// PTE level, files and shared memory: page cache hit, read of a file, a huge page of the cache mapped by a PMD.
#include <algorithm>
#include <utility>

#include "models/kernel/fault_context.h"
#include "models/kernel/file_thp.h"

namespace collapsar {

// do_fault(): a private write copies at once, everything else maps the page of the cache.
void PageFault::Context::file_missing() {
  const std::uint64_t index = vma->page_index(va);
  const PageCache::Entry cached = cache().find(vma->file, index);
  if (cached.page()) return map_cached(cached.pfn());
  if (std::exchange(may_look_around, false) && are_neighbours_cached()) {
    if (!ensure_pte_table()) return;
    map_around();
  }
  if (cached.swap()) return shmem_swapped(cached.slot());
  return is_shmem() ? shmem_missing(index) : file_read_begin(index);
}

void PageFault::Context::map_cached(Pfn cached) {
  const Pfn head = kernel.memory.head_of(cached);
  if (kernel.memory.frame(head).is(Frame::kLocked)) return wait_for_page(head);
  const bool is_private_write = is_write() && !vma->is(Vma::kShared);
  if (!is_private_write && may_map_huge_file(head))
    return pass<&Context::install_file_huge>(costs().fault_file, file_huge_ready_);
  if (!ensure_pte_table()) return;
  if (is_private_write) return copy_from(cached);
  pass<&Context::install_file>(costs().fault_file, file_ready_);
}

// --- a page of a file ---

// The page is in the cache, locked, while it is read; the fault begins again afterwards.
void PageFault::Context::file_read_begin(std::uint64_t index) {
  if (!take_page(FrameUse::file)) return;
  file_page = std::exchange(page, kNoPfn);
  cache().add(vma->file, index, file_page);
  add_to_lru(file_page);
  if (timeless) return file_missing();
  fault.locks_.try_lock(file_page);
  release_lock();
  sleep();
  kernel.queue.schedule_after(file_read_, costs().file_read);
}

void PageFault::Context::file_read_done() {
  fault.locks_.unlock(std::exchange(file_page, kNoPfn));
  waited = retried = true;
  retry_unlocked();
}

// --- a huge page ---

// do_set_pmd(): the PMD is none, the block fits; 6.12 asks whether huge pages are refused here.
bool PageFault::Context::may_map_huge_file(Pfn head) const {
  if (!kernel.memory.frame(head).is(Frame::kHead) || !may_map_huge_at(*vma, va)) return false;
  if (kernel.rules.huge_file_map_asks_policy && mm->refuses_thp(*vma, /*forced=*/false)) return false;
  const Pte* pmd = mm->table().pmd(va);
  return !pmd || pmd->none();
}

void PageFault::Context::install_file_huge() {
  const auto head = cache().find_huge_page(vma->file, vma->page_index(va));
  if (!head || kernel.memory.frame(*head).is(Frame::kLocked) || !may_map_huge_file(*head)) return lost_race();
  if (!mm->table().ensure_pmd_table(va)) return reclaim_memory(Reclaim::kSwapClusterMax);
  const bool may_write = vma->is(Vma::kShared) && vma->writable() && (is_write() || is_shmem());
  if (is_write()) kernel.memory.frame(*head).set(Frame::kDirty);
  const std::uint64_t flags = Pte::kHuge | bits_if(may_write, Pte::kWritable) | bits_if(is_write(), Pte::kDirty);
  fault.rmap_.map_file_huge(*mm, *vma, va, *head, small_pte(*head, flags));
  note_huge();
  resolved();
}

// --- a small page ---

// A shared page of a file is mapped read-only until it is written (page_mkwrite); shared memory has no such step.
void PageFault::Context::install_file() {
  if (!entry_is_free(file_ready_)) return;
  const auto cached = cache().find_page(vma->file, vma->page_index(va));
  if (!unchanged_entry() || !cached) return lost_race();
  const Pfn head = kernel.memory.head_of(*cached);
  if (kernel.memory.frame(head).is(Frame::kLocked)) return lost_race();
  const bool may_write = vma->is(Vma::kShared) && vma->writable() && (is_write() || is_shmem());
  if (is_write()) kernel.memory.frame(head).set(Frame::kDirty);
  const std::uint64_t flags = bits_if(may_write, Pte::kWritable) | bits_if(is_write(), Pte::kDirty);
  fault.rmap_.map_again(*mm, *vma, page_address(), *cached, small_pte(*cached, flags));
  if (may_look_around) map_around();
  resolved();
}

// What do_fault_around() looks at: 64 KiB around the page, within its VMA and its page table.
VirtRange PageFault::Context::neighbours() const {
  constexpr std::uint64_t kFaultAroundPages = 16;  // fault_around_bytes, mm/memory.c
  if (vma->is(Vma::kUffdWp)) return {va, va};
  const VirtAddr aligned = align_down(va, kFaultAroundPages * kPageBytes);
  const VirtAddr first = std::max(aligned, vma->range.start);
  return {first, std::min({first + kFaultAroundPages * kPageBytes, vma->range.end, huge_base(va) + kHugeBytes})};
}

bool PageFault::Context::are_neighbours_cached() const {
  const VirtRange range = neighbours();
  for (VirtAddr at = range.start; at < range.end; at += kPageBytes)
    if (cache().find_page(vma->file, vma->page_index(at))) return true;
  return false;
}

// A read maps its neighbours too, as far as they are cached, not locked, and have no entry yet.
void PageFault::Context::map_around() {
  const VirtRange range = neighbours();
  const bool may_write = vma->is(Vma::kShared) && vma->writable() && is_shmem();
  for (VirtAddr at = range.start; at < range.end; at += kPageBytes) {
    if (!mm->table().pte(at)->none()) continue;
    const auto cached = cache().find_page(vma->file, vma->page_index(at));
    if (!cached || kernel.memory.frame(kernel.memory.head_of(*cached)).is(Frame::kLocked)) continue;
    fault.rmap_.map_again(*mm, *vma, at, *cached, small_pte(*cached, bits_if(may_write, Pte::kWritable)));
  }
}

void PageFault::Context::make_shared_writable() {
  if (!entry_is_free(shared_write_ready_)) return;
  Pte* pte = unchanged_entry();
  if (!pte) return lost_race();
  pte->set(Pte::kWritable | Pte::kDirty | Pte::kAccessed);
  kernel.memory.frame(kernel.memory.head_of(pte->pfn())).set(Frame::kDirty);
  resolved();
}

}  // namespace collapsar
