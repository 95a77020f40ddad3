// MadviseCollapse: one MADV_COLLAPSE call: 2 MiB by 2 MiB, VMA by VMA.
//
// Models:      the loop of madvise_collapse(): which results go on, which end the call, and the errno.
// Time:        waits for mmap_lock; Collapse lets its own pass.
// Source:      khugepaged.md 6.
#pragma once

#include "models/kernel/collapse.h"
#include "models/kernel/file_collapse.h"

namespace collapsar {

class MadviseCollapse {
 public:
  MadviseCollapse(KernelContext& kernel, Collapse& collapse, FileCollapse& file_collapse, LruBatches& lru_batches);
  // Collapses what it can of `range`; schedules `done` at the end. Requires: the last call is done.
  void start(AddressSpace& mm, TaskId task, CpuId cpu, VirtRange range, Event& done);
  int error() const { return error_; }  // of the last call: 0 or an errno

 private:
  enum class Held : std::uint8_t { none, read, write };  // how mmap_lock is held
  void take_lock(void (MadviseCollapse::*next)(), Held how = Held::read);
  void locked();
  void begin_vma();
  void end_vma();
  void next_range();
  void revalidate();
  void scan();
  void scanned();
  void scan_file(const Vma& vma);
  void file_scanned();
  void wait_for_write_back();
  void written_back();
  void map_file();
  void file_mapped();
  void settle(ScanResult result);
  void finish();
  ScanResult revalidation() const;
  void release_lock();
  void fail(ScanResult result);
  int error_of(ScanResult result) const;

  KernelContext& kernel_;
  Collapse& collapse_;
  FileCollapse& file_collapse_;
  LruBatches& lru_batches_;
  Event locked_ = event<&MadviseCollapse::locked>(this, "madvise_collapse.locked", Phase::kernel);
  Event scanned_ = event<&MadviseCollapse::scanned>(this, "madvise_collapse.scanned", Phase::kernel);
  Event file_scanned_ = event<&MadviseCollapse::file_scanned>(this, "madvise_collapse.file", Phase::kernel);
  Event written_ = event<&MadviseCollapse::written_back>(this, "madvise_collapse.written", Phase::kernel);
  Event file_mapped_ = event<&MadviseCollapse::file_mapped>(this, "madvise_collapse.file_mapped", Phase::kernel);
  TimedRwLock::Waiter waiter_;
  Collapse::Request request_;
  FileCollapse::Request file_request_;
  AddressSpace* mm_ = nullptr;
  TaskId task_ = 0;
  VirtRange range_{};                     // still to do
  VirtAddr vma_end_{};                    // where the present VMA ends, as it was taken up
  VirtAddr address_{}, first_{}, end_{};  // 2 MiB ranges of the present VMA
  std::uint64_t huge_ = 0;                // of these, done
  ScanResult last_failure_ = ScanResult::FAIL;
  Held held_ = Held::none, wanted_ = Held::read;
  bool slept_ = false;
  bool has_written_back_ = false;  // for the present 2 MiB
  void (MadviseCollapse::*after_lock_)() = nullptr;
  int error_ = 0;
  Event* done_ = nullptr;
};

}  // namespace collapsar
