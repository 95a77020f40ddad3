// Ranges: what happened to each 2 MiB range of a run: scans, refusals, how it became huge, what its walks cost.
//
// A range is known once it was scanned, collapsed, faulted huge or walked in, or asked for. Ranges of different variants
// are the same range if process, address space of the process (a new one after exec) and base are.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "models/kernel/range_history.h"
#include "sim/core/units.h"
#include "sim/run/range_chronicle.h"
#include "sim/run/scan_outlook.h"

namespace collapsar {

class WalkAccount;

struct RangeRow {
  std::uint32_t pid = 0;
  std::uint32_t space = 0;  // which address space of the process, from 0
  VirtAddr base{};
  std::string process, mapping;
  bool happened = true;              // false: nothing did, it was only asked for
  RangeRecord history;               // from time 0
  std::vector<RangeChange> changes;  // from time 0; empty if nothing is recorded
  RangeOutlook outlook;              // at the end, or when the address space ended
  std::optional<Time> first_walk;    // after the warm-up
  std::optional<Time> ended;         // exit or exec of its process
  // --- after the warm-up ---
  std::uint64_t walks = 0, walk_cycles = 0, walk_cycles_huge = 0;  // all; of these, while it was huge
  Duration small_time{};                                           // from the first walk on, while it was not huge
  Duration huge_time{};

  // At the end, or when its address space ended.
  bool is_huge() const {
    using Cause = RangeRecord::Cause;
    const bool ended_huge = history.stopped_by == Cause::exit || history.stopped_by == Cause::exec;
    return history.is_huge || (history.stopped == RangeRecord::Stop::unmapped && ended_huge);
  }
  std::uint64_t walk_cycles_small() const { return walk_cycles - walk_cycles_huge; }
  bool same_range(const RangeRow& o) const { return pid == o.pid && space == o.space && base == o.base; }
  bool before(const RangeRow& o) const;
};

// Brings the accounts of kernel and walker together. An address space that ends gives its VMAs away: what they told is
// noted before.
class RangeBook {
 public:
  // `chronicle`: nullptr if nobody wants to know the states over time.
  RangeBook(Kernel& kernel, WalkAccount& walks, const EventQueue& queue, const RangeChronicle* chronicle = nullptr);
  // These get a row in every address space, whatever happens there.
  void ask_for(const std::vector<VirtAddr>& addresses);
  // The process of `task` is about to exit or to exec.
  void note_end(TaskId task);
  // What the walks and the times while huge or small have so far no longer counts (end of the warm-up).
  void warmed_up();
  // In order of process, address space, base.
  std::vector<RangeRow> rows();

 private:
  using Rows = std::map<std::uint64_t, RangeRow>;  // by base
  Rows rows_of(AddressSpace& mm);
  void add_history(AddressSpace& mm, Rows& rows);
  void add_walks(AddressSpace& mm, Rows& rows);
  void add_names(AddressSpace& mm, Rows& rows);

  Kernel& kernel_;
  WalkAccount& walks_;
  const EventQueue& queue_;
  const RangeChronicle* chronicle_;
  std::vector<VirtAddr> asked_;  // bases
  std::map<Asid, Rows> ended_;   // names, outlook and end are as of then
};

// The row of the same range in the rows of another variant; nullptr: nothing happened there.
const RangeRow* find_range(const std::vector<RangeRow>& rows, const RangeRow& like);
std::string_view name_of(RangeRecord::By by);        // "khugepaged", "" for nobody
std::string_view name_of(RangeRecord::Stop stop);    // "split", "" for never
std::string_view name_of(RangeRecord::Cause cause);  // "mprotect", "MADV_DONTNEED"

}  // namespace collapsar
