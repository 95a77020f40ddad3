// FileCollapse::Context: one scan of a file range and, if it succeeds, one collapse: its state, and its steps in the
// order they run, as collapse_context.h has them. Included by file_collapse*.cc only.
//
// Invariants:
//  1. `head` is locked from its allocation to the end.
//  2. `taken` are locked, isolated and unmapped; they stay in the page cache until the commit.
//  3. 6.1: indices without a page show `head` (PageCache::reserve) once they have been passed; `holes` lists them.
#pragma once

#include "models/kernel/file_collapse.h"
#include "models/kernel/flush_list.h"
#include "models/kernel/huge_alloc.h"
#include "models/kernel/huge_copy.h"

namespace collapsar {

struct FileCollapse::Context {
  Context(FileCollapse& owner, std::size_t number_of_context)
      : collapse(owner),
        kernel(owner.kernel_),
        number(std::uint32_t(number_of_context)),
        cache(*owner.kernel_.page_cache),
        huge_search(owner.kernel_, owner.reclaim_, owner.compaction_),
        copy(owner.kernel_) {}
  Context(const Context&) = delete;
  Context& operator=(const Context&) = delete;

  bool busy() const { return request != nullptr; }
  void start(Request& asked);

  // --- the scan ---
  void scan_done();
  // --- allocate ---
  void alloc_done();
  void search_done();
  void use_new_page();
  void give_up_alloc();
  // --- page by page: read in, lock, isolate, unmap ---
  void gather();
  void gathered();
  bool must_read(PageCache::Entry entry) const;
  ScanResult pass_index(std::uint64_t index);
  ScanResult pass_hole(std::uint64_t index);
  ScanResult take(std::uint64_t index, Pfn pfn);
  ScanResult take_locked(Pfn pfn);
  void read_in();
  void swapped_in();
  void read_file();
  void file_was_read();
  // --- flush, copy ---
  void begin_flush();
  void flush_done();
  void begin_copy();
  void copy_done();
  ScanResult look_at_holes() const;
  // --- replace, empty the page tables ---
  void begin_commit();
  void commit_done();
  void release_old(const std::vector<Pfn>& old);
  // --- back ---
  void begin_rollback(ScanResult why);
  void rollback_done();

  AddressSpace& mm() const { return *request->mm; }
  bool by_khugepaged() const { return request->owner == LockOwner::khugepaged; }
  bool is_shmem() const { return PageCache::is_shmem(request->file); }
  FileTables::Asker asker() const { return {request->mm, request->base, by_khugepaged(), request->cpu}; }
  void spend(Duration work, Duration KhugepagedStats::*phase, Event& end);
  void account(Duration work, Duration KhugepagedStats::*phase);  // without its time
  void finish(ScanResult result);
  void end_spans(std::string_view result);
  void record() const;
  void report() const;

  FileCollapse& collapse;
  KernelContext& kernel;
  const std::uint32_t number;  // of the context
  PageCache& cache;
  Request* request = nullptr;
  StepSpans steps;
  Pfn head = kNoPfn;             // the new huge page
  std::uint64_t next_index = 0;  // offset in the block
  std::vector<Pfn> taken;
  std::vector<std::uint64_t> holes;
  std::vector<Pfn> reading;  // pages of a file, locked until they are read
  std::array<Pfn, kHugePages> sources{};
  FlushList flushes;
  ScanResult why_rollback = ScanResult::FAIL;
  Duration cost{};
  HugeAlloc huge_search;
  HugeCopy copy;

  Event scan_ = event<&Context::scan_done>(this, "file_collapse.scan", Phase::kernel);
  Event alloc_ = event<&Context::alloc_done>(this, "file_collapse.alloc", Phase::kernel);
  Event search_ = event<&Context::search_done>(this, "file_collapse.search", Phase::kernel);
  Event gather_ = event<&Context::gathered>(this, "file_collapse.gather", Phase::kernel);
  Event swap_in_ = event<&Context::swapped_in>(this, "file_collapse.swap_in", Phase::kernel);
  Event read_ = event<&Context::file_was_read>(this, "file_collapse.read", Phase::kernel);
  Event flush_ = event<&Context::flush_done>(this, "file_collapse.flush", Phase::kernel);
  Event copy_ = event<&Context::copy_done>(this, "file_collapse.copy", Phase::kernel);
  Event commit_ = event<&Context::commit_done>(this, "file_collapse.commit", Phase::kernel);
  Event rollback_ = event<&Context::rollback_done>(this, "file_collapse.rollback", Phase::kernel);
};

}  // namespace collapsar
