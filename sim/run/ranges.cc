#include "sim/run/ranges.h"

#include <algorithm>
#include <tuple>

#include "sim/run/walk_account.h"

namespace collapsar {

RangeBook::RangeBook(Kernel& kernel, WalkAccount& walks, const EventQueue& queue, const RangeChronicle* chronicle)
    : kernel_(kernel), walks_(walks), queue_(queue), chronicle_(chronicle) {}

void RangeBook::ask_for(const std::vector<VirtAddr>& addresses) {
  for (const VirtAddr address : addresses) asked_.push_back(huge_base(address));
}

void RangeBook::note_end(TaskId task) {
  AddressSpace* mm = kernel_.processes().mm_of(task);
  if (!mm || mm->exited()) return;
  Rows rows = rows_of(*mm);
  for (auto& [base, row] : rows) row.ended = queue_.now();
  ended_[mm->asid()] = std::move(rows);
}

void RangeBook::warmed_up() {
  walks_.forget_ranges();
  kernel_.history().restart_huge_time();
}

std::vector<RangeRow> RangeBook::rows() {
  std::map<std::uint32_t, std::uint32_t> spaces_of;  // by pid
  std::vector<Rows> by_space;
  std::size_t count = 0;
  for (const auto& mm : kernel_.processes().address_spaces()) {
    count += by_space.emplace_back(rows_of(*mm)).size();
    for (auto& [base, row] : by_space.back()) row.space = spaces_of[mm->pid()];
    ++spaces_of[mm->pid()];
  }
  std::vector<RangeRow> all;
  all.reserve(count);  // a row is half a kilobyte
  for (Rows& rows : by_space)
    for (; !rows.empty(); rows.erase(rows.begin())) all.push_back(std::move(rows.begin()->second));
  std::stable_sort(all.begin(), all.end(), [](const RangeRow& a, const RangeRow& b) { return a.before(b); });
  return all;
}

RangeBook::Rows RangeBook::rows_of(AddressSpace& mm) {
  const auto ended = ended_.find(mm.asid());
  const bool has_ended = ended != ended_.end();
  Rows rows = has_ended ? ended->second : Rows{};
  for (const VirtAddr base : asked_)
    if (mm.user_range().contains(base)) rows.try_emplace(base.value).first->second.happened = false;
  add_history(mm, rows);
  add_walks(mm, rows);
  for (auto& [base, row] : rows) row.pid = mm.pid(), row.base = {base};
  if (!has_ended && !mm.exited()) add_names(mm, rows);
  return rows;
}

void RangeBook::add_history(AddressSpace& mm, Rows& rows) {
  const RangeHistory& history = kernel_.history();
  const auto& all = history.all();
  for (auto it = all.lower_bound({mm.asid(), 0}); it != all.end() && it->first.asid == mm.asid(); ++it) {
    RangeRow& row = rows[it->first.base];
    row.happened = true;
    row.history = it->second;
    if (chronicle_) row.changes = chronicle_->of(mm.asid(), {it->first.base});
    row.huge_time = history.huge_time(it->second);
  }
}

void RangeBook::add_walks(AddressSpace& mm, Rows& rows) {
  const WalkAccount::Ranges* ranges = walks_.ranges_of(mm.asid());
  if (!ranges) return;
  for (const auto& [number, walks] : *ranges) {
    RangeRow& row = rows[number * kHugeBytes];
    const bool is_huge = row.history.is_huge;
    row.happened = true;
    row.walks = walks.walks, row.walk_cycles = walks.cycles();
    if (walks.walks > 0) row.first_walk = walks.first_walk;
    row.walk_cycles_huge = std::uint64_t(walks.subcycles_while_huge(is_huge)) / Clock::kSubcycles;
    row.small_time = walks.time_while_small(is_huge, row.ended.value_or(queue_.now()));
    if (walks.mapping < mm.mappings().size()) row.mapping = mm.mappings()[walks.mapping].name;
  }
}

// What only the VMAs can tell. The mapping, where no walk has told it, is that of the first VMA.
void RangeBook::add_names(AddressSpace& mm, Rows& rows) {
  const Process* process = kernel_.processes().by_pid(mm.pid());
  const ScanOutlook outlook(kernel_);
  for (auto& [base, row] : rows) {
    if (process) row.process = process->name;
    row.outlook = outlook.of(mm, row.base);
    const Vma* vma = row.outlook.vma.empty() ? nullptr : mm.first_ending_above(row.base);
    if (row.mapping.empty() && vma && vma->mapping < mm.mappings().size())
      row.mapping = mm.mappings()[vma->mapping].name;
  }
}

// --- rows ---

bool RangeRow::before(const RangeRow& o) const {
  return std::tuple(pid, space, base.value) < std::tuple(o.pid, o.space, o.base.value);
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
    case RangeRecord::By::fork: return "fork";
    case RangeRecord::By::mremap: return "mremap";
  }
  return "";
}

std::string_view name_of(RangeRecord::Stop stop) {
  switch (stop) {
    case RangeRecord::Stop::never: return "";
    case RangeRecord::Stop::split: return "split";
    case RangeRecord::Stop::unmapped: return "unmapped";
    case RangeRecord::Stop::moved: return "moved";
  }
  return "";
}

std::string_view name_of(RangeRecord::Cause cause) {
  using Cause = RangeRecord::Cause;
  switch (cause) {
    case Cause::other: return "other";
    case Cause::cow: return "copy_on_write";
    case Cause::reclaim: return "reclaim";
    case Cause::mmap: return "mmap";
    case Cause::munmap: return "munmap";
    case Cause::mremap: return "mremap";
    case Cause::brk: return "brk";
    case Cause::mprotect: return "mprotect";
    case Cause::mlock: return "mlock";
    case Cause::munlock: return "munlock";
    case Cause::madv_hugepage: return "MADV_HUGEPAGE";
    case Cause::madv_nohugepage: return "MADV_NOHUGEPAGE";
    case Cause::madv_dontneed: return "MADV_DONTNEED";
    case Cause::madv_free: return "MADV_FREE";
    case Cause::madv_cold: return "MADV_COLD";
    case Cause::madv_pageout: return "MADV_PAGEOUT";
    case Cause::exec: return "exec";
    case Cause::exit: return "exit";
  }
  return "";
}

}  // namespace collapsar
