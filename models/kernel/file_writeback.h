// FileWriteback: writes the dirty pages of a file to its device when a collapse meets one (filemap_flush).
//
// Models:      every dirty page of the file is made clean, write-protected where it is mapped, and under write-back
//              until the device is done.
// Simplified:  one write at a time per call, without a queue.
// Time:        costs.file_write per page.
// Source:      khugepaged.md 5.9, collapse step 2.
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

 private:
  struct Batch;
  bool clean(Pfn pfn);  // true: it was dirty
  void done(Batch& batch);

  KernelContext& kernel_;
  Rmap& rmap_;
  std::vector<std::unique_ptr<Batch>> batches_;
};

}  // namespace collapsar
