// RangeHistory: what happened to each 2 MiB range, for "why is this not huge?".
//
// Models:      scans and their results; when, by whom and at what cost a range became huge; when and why it stopped.
//              Huge means: a PMD maps a 2 MiB page (not the huge zero page, not hugetlb).
// Time:        none of its own; notes the moment it is told.
// Owns:        one entry per range that was ever scanned, huge or split. Ordered by (asid, base) for reports.
//
// Invariants:
//  1. is_huge of a record agrees with the PMD, whenever no collapse is under way.
//  2. times_scanned is the sum of results; both count khugepaged's scans only (khugepaged.ranges_scanned, .scan.*).
#pragma once

#include <array>
#include <map>
#include <vector>

#include "models/kernel/observer.h"

namespace collapsar {

struct RangeRecord {
  enum class By : std::uint8_t { nobody, fault, khugepaged, madvise_collapse, fork, mremap };
  static constexpr std::size_t kBys = std::size_t(By::mremap) + 1;
  // split: the PMD became 512 PTEs of the same pages. unmapped: the huge page went whole. moved: by mremap, whole.
  enum class Stop : std::uint8_t { never, split, unmapped, moved };
  // On whose behalf.
  enum class Cause : std::uint8_t {
    other,
    cow,
    reclaim,
    mmap,
    munmap,
    mremap,
    brk,
    mprotect,
    mlock,
    munlock,
    madv_hugepage,
    madv_nohugepage,
    madv_dontneed,
    madv_free,
    madv_cold,
    madv_pageout,
    exec,
    exit
  };

  // --- scans ---
  std::uint32_t times_scanned = 0, times_madvised = 0;  // by khugepaged, by MADV_COLLAPSE
  std::array<std::uint32_t, kScanResults> results{};
  ScanResult last = ScanResult::FAIL;
  By last_by = By::nobody;
  bool last_attempted = false;  // the scan had succeeded: `last` is the result of the collapse that followed
  Time last_scan{};
  // The last scan that came as far as the PTEs, and what it counted.
  ScanResult last_look_result = ScanResult::FAIL;
  Time last_look{};
  bool last_writable = false;
  std::uint32_t last_none_or_zero = 0, last_unmapped = 0, last_referenced = 0, last_shared = 0, last_present = 0,
                last_looked_at = 0;
  Duration scan_cost{};  // CPU time of all scans, and of the collapses that failed
  // Succeeded. One of a file makes a huge page, but leaves it to the next fault to map it.
  std::uint32_t collapsed = 0, madvise_collapsed = 0;  // by khugepaged (khugepaged.pages_collapsed), MADV_COLLAPSE
  // --- huge ---
  By huge_by = By::nobody;  // the last time
  bool is_huge = false;
  Time first_huge{}, became_huge{};  // the first and the last time
  std::uint32_t became_huge_times = 0, split_times = 0;
  std::array<std::uint32_t, kBys> times_by{};
  Duration collapse_cost{};    // CPU time of the collapses that succeeded, their scans left out
  Duration stall{};            // how long others waited for a lock of a scan or collapse here, summed over waiters
  Duration huge_time{};        // in all former times that it was huge
  Stop stopped = Stop::never;  // the last time
  Cause stopped_by = Cause::other;
  Time stopped_huge{};

  std::uint32_t times_collapsed() const { return collapsed + madvise_collapsed; }
};

// Told just before a range becomes huge or stops being so, and of each scan or collapse that left it as it was.
class RangeWatcher {
 public:
  virtual ~RangeWatcher() = default;
  virtual void will_be_huge(Asid asid, VirtAddr base, RangeRecord::By by) = 0;
  virtual void will_be_small(Asid asid, VirtAddr base) = 0;
  virtual void refused(Asid, VirtAddr, ScanResult) {}
};

class RangeHistory {
 public:
  using By = RangeRecord::By;
  using Stop = RangeRecord::Stop;
  using Cause = RangeRecord::Cause;
  struct Key {
    Asid asid;
    std::uint64_t base;
    auto operator<=>(const Key&) const = default;
  };
  // A scan, and what came of it.
  struct Scan {
    Asid asid = 0;
    VirtAddr base{};
    By by = By::khugepaged;
    ScanResult result = ScanResult::FAIL;
    ScanCounts counts;
    bool attempted = false;
    bool collapsed = false;  // counts as collapsed
    bool maps_pmd = false;   // and is mapped by a PMD now
    Duration scan_cost{}, collapse_cost{}, stall{};
  };
  // While it lives, what stops being huge does so because of `cause`.
  class Because {
   public:
    Because(RangeHistory& history, Cause cause) : history_(history), before_(history.cause_) { history.cause_ = cause; }
    Because(const Because&) = delete;
    Because& operator=(const Because&) = delete;
    ~Because() { history_.cause_ = before_; }

   private:
    RangeHistory& history_;
    Cause before_;
  };

  explicit RangeHistory(const EventQueue& queue) : queue_(queue) {}
  void add_watcher(RangeWatcher& watcher) { watchers_.push_back(&watcher); }

  void scanned(const Scan& scan);
  void became_huge(Asid asid, VirtAddr va, By by);
  void pmd_split(Asid asid, VirtAddr va);               // any huge PMD, that of the huge zero page included
  void stopped_huge(Asid asid, VirtAddr va, Stop how);  // nothing happens to a range that is not huge
  // From now on huge_time counts anew (end of a warm-up).
  void restart_huge_time();
  // How long the range has been huge up to now, the times before included.
  Duration huge_time(const RangeRecord& record) const;

  const RangeRecord* find(Asid asid, VirtAddr base) const {
    auto it = ranges_.find({asid, huge_base(base).value});
    return it == ranges_.end() ? nullptr : &it->second;
  }
  const std::map<Key, RangeRecord>& all() const { return ranges_; }

 private:
  void note_look(RangeRecord& range, const Scan& scan) const;
  RangeRecord& at(Asid asid, VirtAddr va) { return ranges_[{asid, huge_base(va).value}]; }

  const EventQueue& queue_;
  std::vector<RangeWatcher*> watchers_;
  Cause cause_ = Cause::other;
  Time counted_from_{};
  std::map<Key, RangeRecord> ranges_;
};

}  // namespace collapsar
