// Ranges: what happened to each 2 MiB range of a run: scans, refusals, how it became huge, what its walks cost.
//
// A range is known once it was scanned, collapsed, faulted huge or walked in. Ranges of different variants are the same
// range if process, address space of the process (a new one after exec) and base are.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "models/kernel/range_history.h"
#include "sim/core/units.h"

namespace collapsar {

class Machine;

struct RangeRow {
  std::uint32_t pid = 0;
  std::uint32_t space = 0;  // which address space of the process, from 0
  VirtAddr base{};
  std::string process, mapping;
  RangeRecord history;
  std::uint64_t walks = 0, walk_cycles = 0;  // after the warm-up
  bool same_range(const RangeRow& o) const { return pid == o.pid && space == o.space && base == o.base; }
  bool before(const RangeRow& o) const;
};

// In order of process, address space, base.
std::vector<RangeRow> collect_ranges(Machine& machine);
// The row of the same range in the rows of another variant; nullptr: nothing happened there.
const RangeRow* find_range(const std::vector<RangeRow>& rows, const RangeRow& like);
std::string_view name_of(RangeRecord::By by);  // "khugepaged", "" for nobody

}  // namespace collapsar
