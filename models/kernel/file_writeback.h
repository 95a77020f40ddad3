// FileWriteback: writes the dirty pages of a file to its device when a collapse meets one (filemap_flush), or when
// MADV_COLLAPSE asks to wait for it (filemap_write_and_wait_range).
//
// Models:      every dirty page of the file is made clean, write-protected where it is mapped, and under write-back
//              until the device is done.
// Simplified:  one write at a time per call, without a queue.
// Time:        costs.file_write per page.
// Source:      khugepaged.md 5.9, collapse step 2; 6.
#pragma once

#include <memory>
#include <vector>

#include "models/kernel/rmap.h"

namespace collapsar {

class FileWriteback {
 public:
  FileWriteback(KernelContext& kernel, Rmap& rmap);
  ~FileWriteback();
  void start(FileId file);  // returns at once
  // Writes what is dirty in the 2 MiB from page `first` on; `done` comes when nothing there is under write-back any more.
  void write_and_wait(FileId file, std::uint64_t first, Event& done);

 private:
  struct Batch;
  struct Waiter {
    FileId file;
    std::uint64_t first;
    Event* done;
  };
  Batch& idle_batch();
  void submit(Batch& batch);
  bool clean(Pfn pfn);  // true: it was dirty
  bool is_written(const Waiter& waiter) const;
  void done(Batch& batch);

  KernelContext& kernel_;
  Rmap& rmap_;
  std::vector<std::unique_ptr<Batch>> batches_;
  std::vector<Waiter> waiters_;
};

}  // namespace collapsar
