#include "sim/run/ranges.h"

#include <algorithm>
#include <tuple>

#include "sim/run/machine.h"

namespace collapsar {

namespace {

// One address space on its way to rows: what the walks and the history know of its ranges.
class SpaceRanges {
 public:
  SpaceRanges(Machine& machine, AddressSpace& mm, std::uint32_t space) : mm_(mm), space_(space) {
    if (const Process* process = machine.kernel().processes().by_pid(mm.pid())) process_ = process->name;
    if (const WalkAccount::Ranges* walks = machine.walks().ranges_of(mm.asid()))
      for (const auto& [number, range] : *walks) add_walks({number * kHugeBytes}, range);
    const auto& all = machine.kernel().history().all();
    for (auto it = all.lower_bound({mm.asid(), 0}); it != all.end() && it->first.asid == mm.asid(); ++it)
      row_at({it->first.base}).history = it->second;
  }

  void append_to(std::vector<RangeRow>& out) {
    for (auto& [base, row] : rows_) {
      if (row.mapping.empty()) row.mapping = name_at({{base}, {base + kHugeBytes}});
      out.push_back(std::move(row));
    }
  }

 private:
  RangeRow& row_at(VirtAddr base) {
    RangeRow& row = rows_[base.value];
    row.pid = mm_.pid(), row.space = space_, row.base = base, row.process = process_;
    return row;
  }
  void add_walks(VirtAddr base, const WalkAccount::RangeWalks& walks) {
    RangeRow& row = row_at(base);
    row.walks = walks.walks, row.walk_cycles = walks.cycles();
    if (walks.mapping < mm_.mappings().size()) row.mapping = mm_.mappings()[walks.mapping].name;
  }
  // Of the first VMA that is there at the end.
  std::string name_at(VirtRange range) {
    const Vma* vma = mm_.first_ending_above(range.start);
    const bool is_there = vma && vma->range.overlaps(range) && vma->mapping < mm_.mappings().size();
    return is_there ? mm_.mappings()[vma->mapping].name : "";
  }

  AddressSpace& mm_;
  std::uint32_t space_;
  std::string process_;
  std::map<std::uint64_t, RangeRow> rows_;  // by base
};

}  // namespace

bool RangeRow::before(const RangeRow& o) const {
  return std::tuple(pid, space, base.value) < std::tuple(o.pid, o.space, o.base.value);
}

std::vector<RangeRow> collect_ranges(Machine& machine) {
  std::vector<RangeRow> rows;
  std::map<std::uint32_t, std::uint32_t> spaces_of;  // by pid
  for (const auto& mm : machine.kernel().processes().address_spaces())
    SpaceRanges(machine, *mm, spaces_of[mm->pid()]++).append_to(rows);
  std::stable_sort(rows.begin(), rows.end(), [](const RangeRow& a, const RangeRow& b) { return a.before(b); });
  return rows;
}

const RangeRow* find_range(const std::vector<RangeRow>& rows, const RangeRow& like) {
  const auto it = std::lower_bound(rows.begin(), rows.end(), like,
                                   [](const RangeRow& a, const RangeRow& b) { return a.before(b); });
  return it != rows.end() && it->same_range(like) ? &*it : nullptr;
}

std::string_view name_of(RangeRecord::By by) {
  switch (by) {
    case RangeRecord::By::nobody: return "";
    case RangeRecord::By::fault: return "fault";
    case RangeRecord::By::khugepaged: return "khugepaged";
    case RangeRecord::By::madvise_collapse: return "madvise_collapse";
  }
  return "";
}

}  // namespace collapsar
