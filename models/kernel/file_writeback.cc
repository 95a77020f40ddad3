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

void FileWriteback::start(FileId file) {
  Batch* batch = nullptr;
  for (auto& b : batches_)
    if (b->pages.empty()) batch = b.get();
  if (!batch) batch = batches_.emplace_back(std::make_unique<Batch>(*this)).get();
  for (const Pfn pfn : kernel_.page_cache->pages(file))
    if (!kernel_.memory.frame(pfn).is(Frame::kWriteback) && clean(pfn)) batch->pages.push_back(pfn);
  const auto pages = std::int64_t(batch->pages.size());
  if (pages > 0) kernel_.queue.schedule_after(batch->done_, kernel_.config.costs.file_write * pages);
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
}

}  // namespace collapsar
