// TouchedBefore: what a program has in memory at some moment: the pages that it has touched and not given back.
//
// Models:      pages touched so far, per process: unmapped, replaced, dropped (MADV_DONTNEED, MADV_FREE, MADV_REMOVE)
//              ones are out, moved ones move, a forked child has its parent's, exec and exit drop all.
// Simplified:  a page that MADV_FREE gave up counts as gone at once.
// Owns:        a PageSet per process.
#pragma once

#include <map>
#include <memory>
#include <vector>

#include "sim/trace/trace_touched.h"

namespace collapsar {

using Resident = std::map<std::uint32_t, std::vector<VirtRange>>;

class TouchedBefore {
 public:
  void add(const TraceRun& run, std::uint64_t count);  // its first `count` references
  void add(std::uint32_t pid, std::uint64_t page) { processes_[pid].pages->add(page); }
  void add(const TraceEvent& event);
  void add(const Resident& resident);
  Resident result() const;

 private:
  struct Process {
    std::unique_ptr<PageSet> pages = std::make_unique<PageSet>();
    std::uint64_t heap_end = 0;
  };
  void move(PageSet& pages, const TraceEvent& e) const;
  std::map<std::uint32_t, Process> processes_;
};

}  // namespace collapsar
