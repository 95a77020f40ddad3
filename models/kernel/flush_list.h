// FlushList: what is to be flushed from the TLBs together: one range for each address space, in order of appearance.
//
// Time:        none of its own: duration() says what the flush takes from who asks for it.
// Source:      Linux mm/rmap.c try_to_unmap_flush() as documented: pages unmapped in a batch are flushed in one go.
#pragma once

#include <algorithm>
#include <vector>

#include "models/kernel/kernel_context.h"

namespace collapsar {

class FlushList {
 public:
  void note(Asid asid, VirtRange range) {
    const auto known = std::ranges::find(ranges_, asid, &Entry::asid);
    if (known == ranges_.end()) ranges_.push_back({asid, range});
    else known->range = {std::min(known->range.start, range.start), std::max(known->range.end, range.end)};
  }
  bool covers(Asid asid, VirtRange range) const {
    const auto known = std::ranges::find(ranges_, asid, &Entry::asid);
    return known != ranges_.end() && known->range.start <= range.start && range.end <= known->range.end;
  }
  // From now on these ranges count as changing; flush() must follow.
  Duration duration(const KernelContext& kernel, CpuId cpu) const {
    Duration total{};
    for (const Entry& e : ranges_) total += kernel.shootdown.flush_duration(e.asid, e.range, PageSize::k4K, cpu);
    return total;
  }
  // Takes effect now; afterwards the list is empty.
  void flush(const KernelContext& kernel, CpuId cpu) {
    for (const Entry& e : ranges_) kernel.shootdown.flush(e.asid, e.range, PageSize::k4K, cpu, /*tables_freed=*/false);
    ranges_.clear();
  }

 private:
  struct Entry {
    Asid asid;
    VirtRange range;
  };
  std::vector<Entry> ranges_;
};

}  // namespace collapsar
