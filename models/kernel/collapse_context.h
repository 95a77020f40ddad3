// Collapse::Context: one scan and, if it succeeds, one collapse: its state, and its steps in the order they run.
//
// A step begins in `begin_x`, which lets its cost pass, and ends in `x_done`, which changes the world and begins the
// next. A wait (for a lock, a device) has one function, for the moment it is over. Included by collapse*.cc only.
#pragma once

#include "models/kernel/collapse.h"
#include "models/kernel/huge_alloc.h"

namespace collapsar {

struct Collapse::Context {
  Context(Collapse& owner, std::size_t number_of_context)
      : collapse(owner),
        kernel(owner.kernel_),
        number(std::uint32_t(number_of_context)),
        huge_search(owner.kernel_, owner.reclaim_, owner.compaction_),
        bulk(owner.kernel_.queue, owner.kernel_.dram) {}
  Context(const Context&) = delete;
  Context& operator=(const Context&) = delete;

  bool busy() const { return request != nullptr; }
  void start(Request& asked);

  // --- the scan; mmap_lock held for read, and the PTE table while its entries are looked at ---
  void begin_scan();
  void scan_done();
  void finish_without_table();
  // --- 1: allocate; no lock ---
  void begin_alloc();
  void alloc_done();
  void search_done();
  void use_new_page();
  void give_up_alloc();
  // --- 2: mmap_lock for read, revalidate ---
  void lock_for_read();
  void begin_revalidate();
  void revalidate_done();
  // --- 3: swap in, entry by entry ---
  void begin_swap_in();
  void swap_in_done();
  void all_swapped_in();
  void give_up_swap_in(ScanResult why);
  // --- 4, 5: mmap_lock for write, VMA lock, revalidate again ---
  void lock_for_write();
  void begin_recheck();
  void recheck_done();
  void vma_drained();
  // --- 6, 7: the PMD goes, TLBs are flushed ---
  void begin_flush();
  void flush_done();
  // --- 8: isolate ---
  void begin_isolate();
  void isolate_done();
  ScanResult isolate_all(ScanCounts& counts);
  ScanResult isolate_page(Pte pte, ScanCounts& counts);
  ScanResult take_folio(Pfn folio, Pfn page);
  bool is_isolated(Pfn folio) const;
  // --- 10, collapse_copy.cc: copy, slice by slice; release the old pages with each slice, or after all ---
  void begin_copy();
  void copy_next_slice();
  std::uint32_t slice_length(std::uint32_t first) const;
  Duration slice_cost(std::uint32_t first, std::uint32_t end) const;
  void slice_part_done();
  bool is_poisoned(std::uint32_t entry) const;
  bool is_part_of_folio(Pfn page) const;
  void copy_contents();
  void release_small_pages();
  void replace(Pte old);
  void copy_done();
  void release_done();
  // --- 11, 12: install, unlock ---
  void begin_commit();
  void commit_done();
  Pte huge_leaf() const;
  // --- after a failed isolation or copy ---
  void begin_rollback();
  void rollback_done();

  // --- helpers ---
  AddressSpace& mm() const { return *request->mm; }
  VirtRange range() const { return {request->base, request->base + kHugeBytes}; }
  bool by_khugepaged() const { return request->owner == LockOwner::khugepaged; }
  std::array<Pte, kHugePages>& ptes() const { return PageTable::entries(table); }
  std::uint32_t pages_in(std::uint32_t first, std::uint32_t end) const;
  std::uint32_t present_pages() const;  // PTEs of the detached table that map a page of their own
  // `step`: its name where it is drawn; that of the phase if none is given.
  void spend(Duration work, Duration KhugepagedStats::*phase, Event& end, std::string_view step = {});
  void account(Duration work, Duration KhugepagedStats::*phase, std::string_view step = {});  // without its time
  TimedRwLock::Waiter& wait_for(Event& granted);
  ScanResult revalidate();
  void put_back(Pfn folio);
  void put_back();  // isolated pages: to where they came from, or, if nobody maps them any more, away
  void drop_lock();
  void fail(ScanResult why);
  void give_back_new_page();
  void finish(ScanResult result);
  void end_spans(std::string_view result);
  KernelObserver::PmdScan as_scan() const;
  void record(ScanResult result) const;

  Collapse& collapse;
  KernelContext& kernel;
  const std::uint32_t number;  // of the context
  Request* request = nullptr;
  StepSpans steps;
  enum class Held : std::uint8_t { none, read, write } held = Held::none;  // mmap_lock, once the collapse is attempted
  Limits limits;
  Pfn head = kNoPfn;                             // the new huge page
  Vma* vma = nullptr;                            // valid while mmap_lock is held
  const PageTable::Table* seen_table = nullptr;  // what the PMD pointed to at the first revalidation
  PageTable::Table* table = nullptr;             // detached
  std::vector<Pfn> isolated;                     // folios, each once
  std::uint32_t next_entry = 0;                  // of the swap-in or the copy
  std::uint32_t slice_first = 0, slice_parts_left = 0;
  ScanResult why_rollback = ScanResult::FAIL;
  Duration cost{};       // CPU time of the scan, then of the collapse, so far
  Duration scan_cost{};  // once the collapse is attempted
  Duration stall{};      // of others, behind locks held here
  // Adds the waits that end when a lock is let go of in its scope: they are counted at that moment.
  struct StallMeter {
    explicit StallMeter(Context& owner) : context(owner), before(counted()) {}
    ~StallMeter() { context.stall += std::chrono::nanoseconds(counted() - before); }
    std::uint64_t counted() const { return context.kernel.stats.stall.collapse_ns.sum(); }
    Context& context;
    std::uint64_t before;
  };
  TimedRwLock::Waiter waiter;
  HugeAlloc huge_search;
  BulkCopy bulk;
  std::vector<Pfn> slice_sources;  // for `bulk`: of the entries of the slice; kNoPfn: cleared

  Event pte_table_free_ = event<&Context::begin_scan>(this, "collapse.pte_table_free", Phase::kernel);
  Event scan_ = event<&Context::scan_done>(this, "collapse.scan", Phase::kernel);
  Event alloc_ = event<&Context::alloc_done>(this, "collapse.alloc", Phase::kernel);
  Event search_ = event<&Context::search_done>(this, "collapse.search", Phase::kernel);
  Event read_lock_ = event<&Context::begin_revalidate>(this, "collapse.read_lock", Phase::kernel);
  Event revalidate_ = event<&Context::revalidate_done>(this, "collapse.revalidate", Phase::kernel);
  Event swap_in_ = event<&Context::swap_in_done>(this, "collapse.swap_in", Phase::kernel);
  Event device_ = event<&Context::swap_in_done>(this, "collapse.swapped_in", Phase::kernel);
  Event write_lock_ = event<&Context::begin_recheck>(this, "collapse.write_lock", Phase::kernel);
  Event recheck_ = event<&Context::recheck_done>(this, "collapse.recheck", Phase::kernel);
  Event vma_drained_ = event<&Context::vma_drained>(this, "collapse.vma_drained", Phase::kernel);
  Event flush_ = event<&Context::flush_done>(this, "collapse.flush", Phase::kernel);
  Event synced_ = event<&Context::begin_isolate>(this, "collapse.synced", Phase::kernel);
  Event isolate_ = event<&Context::isolate_done>(this, "collapse.isolate", Phase::kernel);
  Event slice_cpu_ = event<&Context::slice_part_done>(this, "collapse.copy", Phase::kernel);
  Event slice_dram_ = event<&Context::slice_part_done>(this, "collapse.copy_dram", Phase::kernel);
  Event release_ = event<&Context::release_done>(this, "collapse.release", Phase::kernel);
  Event commit_ = event<&Context::commit_done>(this, "collapse.commit", Phase::kernel);
  Event rollback_ = event<&Context::rollback_done>(this, "collapse.rollback", Phase::kernel);
};

}  // namespace collapsar
