// Khugepaged: the daemon that walks processes, VMAs and PMDs, and has ranges collapsed.
//
// Models:      khugepaged_scan {mm_head, mm_slot, address}, mm_slots_hash, registration, the main loop with its budget
//              and sleeps, the process scan, the VMA scan; each step an event with its cost. With another policy than
//              Linux's (khugepaged_policy.cc): the same thread, budget, sleeps, locks and collapse, but the ranges come
//              from a RangeRanking, and the cursor rests.
// Simplified:  no freezer; no NUMA; other policies than Linux's pass over files and shared memory.
// Time:        costs.scan_mm per process taken up, scan_vma per VMA skipped, scan_pte per PTE looked at; scan_sleep and
//              alloc_sleep; on its own CPU or taking one of the trace's.
// Owns:        the mm slots and the cursor.
// Source:      khugepaged.md 1, 2, 3, 5.9.
//
// Invariants:
//  1. Every registered mm has exactly one slot, in the list and in the hash; the cursor's slot, if any, is in the list.
//  2. A slot goes only when its mm has exited.
//  3. mmap_lock of the cursor's mm is held for read from mm_taken_up() to leave_mm(), or to where a collapse begins.
#pragma once

#include <tsl/robin_map.h>

#include <list>

#include "models/kernel/collapse.h"
#include "models/kernel/file_collapse.h"
#include "models/kernel/khugepaged_entry.h"
#include "models/kernel/process.h"
#include "models/kernel/range_ranking.h"

namespace collapsar {

class Khugepaged : public KhugepagedEntry {
 public:
  Khugepaged(KernelContext& kernel, Collapse& collapse, FileCollapse& file_collapse, LruBatches& lru_batches);
  ~Khugepaged() override;
  // The thread runs while THP is on: call at the start, and after each change of `enabled` (start_stop_khugepaged).
  void start_or_stop();
  // A write to scan_sleep_millisecs or alloc_sleep_millisecs: ends the sleep between scans and that after a failed
  // allocation.
  void sleep_knob_written();

  void enter_vma(AddressSpace& mm, const Vma& vma) override;
  void fork(AddressSpace& parent, AddressSpace& child) override;
  bool add_pte_mapped(AddressSpace& mm, VirtAddr base) override;
  void exit(AddressSpace& mm) override;

  static constexpr std::size_t kMostPteMapped = 8;  // MAX_PTE_MAPPED_THP
  struct MmSlot {
    AddressSpace* mm;
    std::vector<VirtAddr> pte_mapped_thp{};  // 6.1: page tables to be emptied at the next visit
  };
  // {mm_head, mm_slot, address}
  struct Scan {
    std::list<MmSlot> mm_head;
    MmSlot* mm_slot = nullptr;
    VirtAddr address{};
  };
  const Scan& khugepaged_scan() const { return scan_; }
  // What ranges are worth, for policy oracle. nullptr: nothing is known.
  void set_weights(const RangeWeights* weights) { ranking_.set_weights(weights); }
  // What one activation can collapse at most: a collapse uses 512 of the budget and 1 for taking the process up again.
  std::uint64_t ranges_per_wakeup() const;
  enum class State : std::uint8_t { stopped, no_work, scan_sleep, scanning, alloc_sleep };
  State state() const { return state_; }
  void cut_spans();  // what is under way is drawn up to now
  // Between activations, or without work: nothing happens before its sleep ends or somebody wakes it.
  bool asleep() const {
    return state_ != State::scanning && state_ != State::alloc_sleep && !(wake_.pending() && wakes_now_);
  }

 private:
  // khugepaged_do_scan and khugepaged_wait_work
  void wake_now();
  void wake();
  void stop();
  void scan_next_mm();
  void mm_left();
  void sleep_for_alloc();
  void alloc_slept();
  void wait_for_work();
  // khugepaged_scan_mm_slot: one visit to one process
  void take_up_mm();
  void mm_taken_up();
  void walk_vmas();
  void vmas_skipped();
  void lock_mm();
  void scan_range();
  void range_done();
  void count_range(ScanResult result, std::uint64_t looked_at);
  // khugepaged_file.cc: ranges of files and shared memory, and their page tables
  void empty_deferred_tables();
  void deferred_tables_emptied();
  void scan_file_range(const Vma& vma);
  void file_scanned();
  void file_locked();
  void file_table_emptied();
  void file_range_done(ScanResult result, bool counts_as_collapsed);
  FileTables::Asker asker(VirtAddr base) const;
  // khugepaged_policy.cc: ranges in the order of another policy
  void scan_by_policy();
  void ranked_taken_up();
  void scan_ranked(const RankedRange& range);
  void ranked_done();
  void scan_and_collapse(AddressSpace& mm, VirtAddr base, Event& done);  // anonymous; the answer is in request_
  void note_range();
  std::uint64_t progress_of_range() const;
  enum class Walk : std::uint8_t { at_range, at_end, broken_off };  // at_end: the kernel's vma == NULL
  Walk find_next_range(std::uint64_t& skipped);
  void leave_mm(Walk how);
  void advance_cursor();
  bool must_leave(const AddressSpace& mm) const;

  void enter(AddressSpace& mm);
  void remove_slot(AddressSpace& mm);
  bool thp_on() const { return hugepage_pmd_enabled(kernel_.config, kernel_.rules); }
  const KhugepagedConfig& knobs() const { return kernel_.config.khugepaged; }
  KhugepagedStats& stats() const { return kernel_.stats.khugepaged; }
  void spend(Duration work, Event& end);
  // khugepaged_spans.cc
  void draw(std::string_view name, Time begin, Time end, SpanNote first, SpanNote second = {}) const;
  void draw_visit() const;
  void draw_activation() const;

  KernelContext& kernel_;
  Collapse& collapse_;
  FileCollapse& file_collapse_;
  LruBatches& lru_batches_;
  Scan scan_;
  tsl::robin_map<Asid, std::list<MmSlot>::iterator> mm_slots_hash_;

  State state_ = State::stopped;
  bool wakes_now_ = false;                   // wake_ stands for this moment, not for the end of a sleep
  std::uint64_t budget_ = 0, progress_ = 0;  // pages_to_scan, read once per activation; how much of it is used
  unsigned pass_through_head_ = 0;
  bool alloc_slept_ = false;  // in this activation
  Time woke_at_{}, took_up_at_{}, alloc_sleep_from_{};
  ScanResult last_result_ = ScanResult::FAIL;
  Walk walk_ = Walk::at_end;  // what follows the VMAs that are being skipped
  VirtAddr vma_end_{};        // of the aligned part of the VMA under the cursor
  VirtAddr next_vma_{};       // the walk goes on with the VMA that ends above
  bool holds_mmap_lock_ = false;
  Collapse::Request request_;
  FileCollapse::Request file_request_;
  RangeRanking ranking_;
  std::vector<RankedRange> ranked_;  // best last; what is left of this activation's
  bool is_ranked_ = false;           // in this activation
  TimedRwLock::Waiter file_waiter_;

  Event wake_ = event<&Khugepaged::wake>(this, "khugepaged.wake", Phase::kernel);
  Event alloc_slept_event_ = event<&Khugepaged::alloc_slept>(this, "khugepaged.alloc_slept", Phase::kernel);
  Event mm_taken_up_ = event<&Khugepaged::mm_taken_up>(this, "khugepaged.mm", Phase::kernel);
  Event vmas_skipped_ = event<&Khugepaged::vmas_skipped>(this, "khugepaged.vmas", Phase::kernel);
  Event deferred_ = event<&Khugepaged::deferred_tables_emptied>(this, "khugepaged.deferred_tables", Phase::kernel);
  Event file_scanned_ = event<&Khugepaged::file_scanned>(this, "khugepaged.file", Phase::kernel);
  Event file_locked_ = event<&Khugepaged::file_locked>(this, "khugepaged.file_locked", Phase::kernel);
  Event file_table_ = event<&Khugepaged::file_table_emptied>(this, "khugepaged.file_table", Phase::kernel);
  Event ranked_event_ = event<&Khugepaged::scan_by_policy>(this, "khugepaged.ranked", Phase::kernel);
  Event ranked_taken_up_ = event<&Khugepaged::ranked_taken_up>(this, "khugepaged.ranked_mm", Phase::kernel);
  Event ranked_done_ = event<&Khugepaged::ranked_done>(this, "khugepaged.ranked_range", Phase::kernel);
  Event range_done_ = event<&Khugepaged::range_done>(this, "khugepaged.range", Phase::kernel);
};

}  // namespace collapsar
