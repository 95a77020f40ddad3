#include "models/kernel/file_writeback.h"

namespace collapsar {

struct FileWriteback::Batch {
  explicit Batch(FileWriteback& of) : owner(of) {}
  void done() { owner.done(*this); }
  FileWriteback& owner;
  std::vector<Pfn> pages;
  Event done_ = event<&Batch::done>(this, "file_writeback.done", Phase::completion);
};

FileWriteback::FileWriteback(KernelContext& kernel, Rmap& rmap) : kernel_(kernel), rmap_(rmap) {}
FileWriteback::~FileWriteback() = default;

FileWriteback::Batch& FileWriteback::idle_batch() {
  for (auto& batch : batches_)
    if (batch->pages.empty()) return *batch;
  return *batches_.emplace_back(std::make_unique<Batch>(*this));
}

void FileWriteback::start(FileId file) {
  Batch& batch = idle_batch();
  for (const Pfn pfn : kernel_.page_cache->pages(file))
    if (!kernel_.memory.frame(pfn).is(Frame::kWriteback) && clean(pfn)) batch.pages.push_back(pfn);
  submit(batch);
}

void FileWriteback::submit(Batch& batch) {
  const auto pages = std::int64_t(batch.pages.size());
  if (pages > 0) kernel_.queue.schedule_after(batch.done_, kernel_.config.costs.file_write * pages);
}

void FileWriteback::write_and_wait(FileId file, std::uint64_t first, Event& done) {
  Batch& batch = idle_batch();
  for (std::uint64_t index = first; index < first + kHugePages; ++index) {
    const auto pfn = kernel_.page_cache->find_page(file, index);
    if (!pfn || kernel_.memory.frame(*pfn).is(Frame::kTail)) continue;
    if (!kernel_.memory.frame(*pfn).is(Frame::kWriteback) && clean(*pfn)) batch.pages.push_back(*pfn);
  }
  submit(batch);
  const Waiter waiter{file, first, &done};
  if (is_written(waiter)) return kernel_.queue.schedule(done, kernel_.queue.now());
  waiters_.push_back(waiter);
}

bool FileWriteback::is_written(const Waiter& waiter) const {
  for (std::uint64_t index = waiter.first; index < waiter.first + kHugePages; ++index) {
    const auto pfn = kernel_.page_cache->find_page(waiter.file, index);
    if (pfn && kernel_.memory.frame(*pfn).is(Frame::kWriteback)) return false;
  }
  return true;
}

// clear_page_dirty_for_io(): the next write to it faults.
bool FileWriteback::clean(Pfn pfn) {
  Frame& frame = kernel_.memory.frame(pfn);
  bool dirty = frame.is(Frame::kDirty);
  rmap_.for_each_mapping(pfn, [&](AddressSpace& mm, VirtAddr va, Pte& entry, PageSize size) {
    dirty |= entry.dirty();
    entry.clear(Pte::kDirty | Pte::kWritable);
    kernel_.shootdown.flush(mm.asid(), {va, va + page_bytes(size)}, size, kNoCpu, /*tables_freed=*/false);
  });
  frame.clear(Frame::kDirty);
  if (dirty) frame.set(Frame::kWriteback);
  return dirty;
}

void FileWriteback::done(Batch& batch) {
  for (const Pfn pfn : std::exchange(batch.pages, {})) {
    kernel_.memory.frame(pfn).clear(Frame::kWriteback);
    rmap_.free_if_unused(pfn);
  }
  std::erase_if(waiters_, [&](const Waiter& waiter) {
    const bool written = is_written(waiter);
    if (written) kernel_.queue.schedule(*waiter.done, kernel_.queue.now());
    return written;
  });
}

}  // namespace collapsar
