// --why: the history of one 2 MiB range in sentences.
#include <set>

#include "sim/run/report.h"
#include "sim/run/report_format.h"

namespace collapsar {

namespace {

std::string moment(Time t) { return readable_time(to_ns(t - kTimeZero)); }

std::string times(std::uint64_t n) { return n == 1 ? "once" : fmt::format("{} times", with_separators(n)); }

std::string how_it_became_huge(const RangeRecord& history) {
  const std::string when = moment(history.became_huge);
  switch (history.huge_by) {
    case RangeRecord::By::nobody: return "";
    case RangeRecord::By::fault: return fmt::format("mapped huge by a page fault at {}", when);
    case RangeRecord::By::khugepaged:
      return fmt::format("collapsed by khugepaged at {} for {} of CPU time", when,
                         readable_time(to_ns(history.collapse_cost)));
    case RangeRecord::By::madvise_collapse:
      return fmt::format("collapsed by MADV_COLLAPSE at {} for {} of CPU time", when,
                         readable_time(to_ns(history.collapse_cost)));
  }
  return "";
}

std::string state(const RangeRecord& history) {
  const std::string how = how_it_became_huge(history);
  if (history.is_huge) return fmt::format("Huge: {}.", how);
  if (how.empty()) return "Not huge, and never was.";
  return fmt::format("Not huge any more: {}, split or unmapped since ({}).", how, times(history.split_times));
}

std::string scans(const RangeRecord& history) {
  if (history.times_scanned == 0) return " Never scanned.";
  std::string out = fmt::format(" Scanned {}:", times(history.times_scanned));
  const char* separator = " ";
  for (std::size_t i = 0; i < kScanResults; ++i) {
    if (history.results[i] == 0) continue;
    out += fmt::format("{}{} {}", separator, name_of(ScanResult(i)), times(history.results[i]));
    separator = ", ";
  }
  return out + fmt::format(
                   "; last at {} with {}: {} of 512 PTEs present, {} empty or zero page, {} swapped out, {} shared, {} "
                   "referenced.",
                   moment(history.last_scan), name_of(history.last), history.last_present, history.last_none_or_zero,
                   history.last_unmapped, history.last_shared, history.last_referenced);
}

std::string walks(const RangeRow& row, const RangeRow* base) {
  std::string out =
      fmt::format(" {} walks, {} walk cycles", with_separators(row.walks), with_separators(row.walk_cycles));
  if (base && base != &row && base->walk_cycles > 0)
    out += fmt::format(" ({} to the baseline)",
                       readable_difference(double(base->walk_cycles), double(row.walk_cycles), NumberFormat::count));
  return out + ".";
}

// Why khugepaged may not have come by at all.
std::string why_not_scanned(const VariantResult& variant, const RangeRecord* history) {
  if (history && (history->times_scanned > 0 || history->is_huge)) return "";
  const HonestTime& honest = variant.honest_time;
  if (honest.ranges_per_wakeup == 0) return " Transparent huge pages are off in this variant.";
  return fmt::format(" khugepaged woke {} and looks at up to {} ranges each time.", times(honest.wakeups),
                     honest.ranges_per_wakeup);
}

WhyAnswer answer(const ExperimentResult& result, const VariantResult& variant, const RangeRow& like) {
  WhyAnswer answer{like.pid, variant.name, {}};
  const RangeRow* row = find_range(variant.ranges, like);
  if (!row) {
    answer.text = "Nothing happened in this range." + why_not_scanned(variant, nullptr);
    return answer;
  }
  answer.text = state(row->history) + scans(row->history) + why_not_scanned(variant, &row->history) +
                walks(*row, find_range(result.base().ranges, *row));
  return answer;
}

struct Earlier {
  bool operator()(const RangeRow& a, const RangeRow& b) const { return a.before(b); }
};
using RangeSet = std::set<RangeRow, Earlier>;

// The range in every process and address space that has it in some variant.
RangeSet ranges_at(const ExperimentResult& result, VirtAddr address) {
  RangeSet found;
  for (const VariantResult& variant : result.variants)
    for (const RangeRow& row : variant.ranges)
      if (row.base == huge_base(address)) found.insert(row);
  return found;
}

}  // namespace

std::vector<WhyAnswer> explain(const ExperimentResult& result, VirtAddr address) {
  std::vector<WhyAnswer> answers;
  for (const RangeRow& like : ranges_at(result, address))
    for (const VariantResult& variant : result.variants) answers.push_back(answer(result, variant, like));
  return answers;
}

std::string why_report(const ExperimentResult& result, VirtAddr address) {
  const RangeSet found = ranges_at(result, address);
  if (found.empty()) return fmt::format("Why {}? Nobody touched or scanned its 2 MiB range.\n", to_hex(address.value));
  std::string out;
  for (const RangeRow& like : found) {
    out += fmt::format("Why {}? 2 MiB range {} of process {}{}{}:\n", to_hex(address.value), to_hex(like.base.value),
                       like.pid, like.process.empty() ? "" : " (" + like.process + ")",
                       like.mapping.empty() ? "" : ", mapping " + like.mapping);
    for (const VariantResult& variant : result.variants)
      out += fmt::format("  {}: {}\n", variant.name, answer(result, variant, like).text);
  }
  return out;
}

}  // namespace collapsar
