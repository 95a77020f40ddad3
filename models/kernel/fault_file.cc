// PTE level, files and shared memory: page cache hit, read, first page of shared memory.
#include "models/kernel/fault_context.h"

namespace collapsar {

// do_fault(): a private write copies at once, everything else maps the page of the cache.
void PageFault::Context::file_missing() {
  if (!ensure_pte_table()) return;
  const std::uint64_t index = vma->page_index(va);
  const auto cached = fault.rmap_.find_file_page(vma->file, index);
  if (!cached) return is_shmem() ? shmem_missing() : file_read_begin(index);
  if (kernel.memory.frame(*cached).is(Frame::kLocked)) return wait_for_page(*cached);
  if (is_write() && !vma->is(Vma::kShared)) return copy_from(*cached);
  pass<&Context::install_file>(costs().fault_file, file_ready_);
}

// The page is in the cache, locked, while it is read; the fault begins again afterwards.
void PageFault::Context::file_read_begin(std::uint64_t index) {
  if (!take_page(FrameUse::file)) return;
  file_page = std::exchange(page, kNoPfn);
  fault.rmap_.add_file_page(vma->file, index, file_page);
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

void PageFault::Context::shmem_missing() {
  if (take_page(FrameUse::file)) clear(page, 1, shmem_cleared_, &Context::shmem_cleared);
}

// Its only copy is in memory: it is dirty from the start.
void PageFault::Context::shmem_cleared() {
  const std::uint64_t index = vma->page_index(va);
  if (fault.rmap_.find_file_page(vma->file, index)) return lost_race();
  kernel.memory.frame(page).set(Frame::kDirty);
  fault.rmap_.add_file_page(vma->file, index, std::exchange(page, kNoPfn));
  file_missing();
}

// A shared page of a file is mapped read-only until it is written (page_mkwrite); shared memory has no such step.
void PageFault::Context::install_file() {
  if (!entry_is_free(file_ready_)) return;
  const auto cached = fault.rmap_.find_file_page(vma->file, vma->page_index(va));
  if (!unchanged_entry() || !cached || kernel.memory.frame(*cached).is(Frame::kLocked)) return lost_race();
  const bool may_write = vma->is(Vma::kShared) && vma->writable() && (is_write() || is_shmem());
  if (is_write()) kernel.memory.frame(*cached).set(Frame::kDirty);
  const std::uint64_t flags = bits_if(may_write, Pte::kWritable) | bits_if(is_write(), Pte::kDirty);
  fault.rmap_.map_again(*mm, *vma, page_address(), *cached, small_pte(*cached, flags));
  resolved();
}

void PageFault::Context::make_shared_writable() {
  if (!entry_is_free(shared_write_ready_)) return;
  Pte* pte = unchanged_entry();
  if (!pte) return lost_race();
  pte->set(Pte::kWritable | Pte::kDirty | Pte::kAccessed);
  kernel.memory.frame(pte->pfn()).set(Frame::kDirty);
  resolved();
}

}  // namespace collapsar
