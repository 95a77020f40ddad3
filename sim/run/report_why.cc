// --why: the history of one 2 MiB range in sentences.
#include <cmath>
#include <set>

#include "sim/run/range_saving.h"
#include "sim/run/report.h"
#include "sim/run/report_format.h"
#include "sim/run/report_parts.h"

namespace collapsar {

namespace {

using By = RangeRecord::By;

std::string moment(Time t) { return readable_time(to_ns(t - kTimeZero)); }
std::string span(Duration d) { return readable_time(to_ns(d)); }
std::string times(std::uint64_t n) { return n == 1 ? "once" : fmt::format("{} times", with_separators(n)); }
std::string cycles(double n) { return readable(std::max(n, 0.0), NumberFormat::count); }

// --- huge or not, since when, by whom ---

std::string how_it_became_huge(const RangeRecord& history) {
  switch (history.huge_by) {
    case By::nobody: return "";
    case By::fault: return "mapped huge by a page fault";
    case By::khugepaged: return "collapsed by khugepaged";
    case By::madvise_collapse: return "collapsed by MADV_COLLAPSE";
    case By::fork: return "inherited from its parent by fork";
    case By::mremap: return "moved here by mremap";
  }
  return "";
}

std::string how_it_stopped(const RangeRecord& history) {
  const std::string_view why =
      history.stopped_by == RangeRecord::Cause::other ? "the kernel" : name_of(history.stopped_by);
  switch (history.stopped) {
    case RangeRecord::Stop::never: return "";
    case RangeRecord::Stop::split:
      return fmt::format("its PMD was split by {} at {}", why, moment(history.stopped_huge));
    case RangeRecord::Stop::unmapped: return fmt::format("unmapped by {} at {}", why, moment(history.stopped_huge));
    case RangeRecord::Stop::moved: return fmt::format("moved away by {} at {}", why, moment(history.stopped_huge));
  }
  return "";
}

std::string state(const RangeRow& row) {
  const RangeRecord& history = row.history;
  const std::string end = row.ended ? fmt::format(" Its address space ended at {}.", moment(*row.ended)) : "";
  if (history.became_huge_times == 0) return "Not huge, and never was." + end;
  std::string out = row.is_huge() ? "Huge: " : "Not huge any more: ";
  out += fmt::format("{} at {}", how_it_became_huge(history), moment(history.became_huge));
  if (!row.is_huge()) out += ", " + how_it_stopped(history);
  if (history.became_huge_times > 1) {
    out += fmt::format("; huge {}, first at {}", times(history.became_huge_times), moment(history.first_huge));
    if (row.is_huge() && history.is_huge) out += ", " + how_it_stopped(history) + " before that";
  }
  return out + "." + end;
}

// --- scans ---

std::string results(const RangeRecord& history) {
  std::string out;
  for (std::size_t i = 0; i < kScanResults; ++i)
    if (history.results[i] > 0)
      out += fmt::format("{}{} {}", out.empty() ? "" : ", ", name_of(ScanResult(i)), times(history.results[i]));
  return out;
}

// The knob behind a refusal.
std::string limit(ScanResult result, const KhugepagedConfig& knobs) {
  if (result == ScanResult::EXCEED_NONE_PTE) return fmt::format(" (max_ptes_none is {})", knobs.max_ptes_none);
  if (result == ScanResult::EXCEED_SWAP_PTE) return fmt::format(" (max_ptes_swap is {})", knobs.max_ptes_swap);
  if (result == ScanResult::EXCEED_SHARED_PTE) return fmt::format(" (max_ptes_shared is {})", knobs.max_ptes_shared);
  return "";
}

std::string last_counts(const RangeRecord& history) {
  if (history.last_looked_at == 0) return " without a look at its PTEs";
  std::string out;
  if (history.last_look != history.last_scan)
    out = fmt::format(" without a look at its PTEs; these were last seen at {}, when it was {}",
                      moment(history.last_look), name_of(history.last_look_result));
  return out + fmt::format(
                   ": {} of 512 PTEs looked at, {} present, {} empty or zero page, {} swapped out, {} shared, "
                   "{} referenced, {}",
                   history.last_looked_at, history.last_present, history.last_none_or_zero, history.last_unmapped,
                   history.last_shared, history.last_referenced, history.last_writable ? "writable" : "none writable");
}

std::string scans(const RangeRecord& history, const KhugepagedConfig& knobs) {
  if (history.last_by == By::nobody) return "Never scanned.";
  std::string out;
  if (history.times_scanned > 0)
    out += fmt::format("Scanned by khugepaged {}: {}. ", times(history.times_scanned), results(history));
  if (history.times_madvised > 0) out += fmt::format("Scanned for MADV_COLLAPSE {}. ", times(history.times_madvised));
  const bool failed_late = history.last_attempted && history.last != ScanResult::SUCCEED;
  const std::string cost = history.scan_cost == Duration::zero()
                               ? ""
                               : fmt::format(" CPU time of scans{}: {}.", failed_late ? " and failed collapses" : "",
                                             span(history.scan_cost));
  return out + fmt::format("Last at {}: {}{}{}{}.{}", moment(history.last_scan), name_of(history.last),
                           history.last_by == By::khugepaged ? limit(history.last, knobs) : "",
                           failed_late ? " in the collapse, after the scan had succeeded" : "", last_counts(history),
                           cost);
}

// --- what is in khugepaged's way ---

std::string on_its_way(const RangeOutlook& outlook, const KhugepagedConfig& knobs) {
  if (knobs.policy != CollapsePolicy::as_linux)
    return "khugepaged may take it at any wake-up: its policy, not the address, says which range is next";
  const std::uint64_t wakeups = outlook.pages_ahead / knobs.pages_to_scan + 1;
  return fmt::format(
      "khugepaged comes to it in {} wake-up{}, not before {} from then: {} pages of its budget lie before "
      "it, of which a wake-up every {} takes {}",
      with_separators(wakeups), wakeups == 1 ? "" : "s", span(knobs.scan_sleep * std::int64_t(wakeups - 1)),
      with_separators(outlook.pages_ahead), span(knobs.scan_sleep), with_separators(knobs.pages_to_scan));
}

std::string text_of(const RangeOutlook& outlook, const KhugepagedConfig& knobs) {
  const std::string vma = fmt::format("the VMA {}-{}", to_hex(outlook.vma.start.value), to_hex(outlook.vma.end.value));
  switch (outlook.obstacle) {
    case Obstacle::none: return on_its_way(outlook, knobs);
    case Obstacle::thp_off: return "thp.enabled is never: khugepaged does not run";
    case Obstacle::no_vma: return "nothing is mapped there";
    case Obstacle::cut_by_vma: return vma + " does not hold the whole 2 MiB";
    case Obstacle::not_madvised: return fmt::format("thp.enabled is madvise and {} has no VM_HUGEPAGE", vma);
    case Obstacle::nohugepage: return vma + " has VM_NOHUGEPAGE";
    case Obstacle::thp_disabled: return "the process has switched THP off by prctl(PR_SET_THP_DISABLE)";
    case Obstacle::special: return vma + " has VM_IO or VM_HUGETLB";
    case Obstacle::file: return vma + " is not anonymous";
    case Obstacle::temporary_stack: return vma + " is the temporary stack of an exec";
    case Obstacle::no_anon_vma: return vma + " has no anonymous page yet (no anon_vma)";
    case Obstacle::other: return vma + " is not eligible (thp_vma_allowable)";
    case Obstacle::not_registered:
      return vma +
             " is eligible, but no fault, mmap or madvise in an eligible VMA has registered the process with "
             "khugepaged";
  }
  return "";
}

// Of a range that is not huge.
std::string outlook(const RangeRow& row, const RunFacts& facts) {
  if (row.is_huge()) return "";
  return fmt::format("{}: {}.", row.ended ? "When its address space ended" : "At the end of the run",
                     text_of(row.outlook, facts.khugepaged));
}

// --- cost, walks, saving ---

std::string cost(const RangeRow& row, const RunFacts& facts) {
  const RangeRecord& history = row.history;
  if (history.times_collapsed() == 0) return "";
  return fmt::format("Collapse{}: {} of CPU time; others waited {} for its locks.",
                     history.times_collapsed() == 1 ? "" : "s", span(history.collapse_cost), span(history.stall)) +
         fmt::format(" Together {} cycles.", cycles(collapse_cycles(row, facts.frequency)));
}

std::string walks(const RangeRow& row, const RangeRow* base, const RunFacts& facts) {
  std::string out = fmt::format("Walks{}: {}, {} walk cycles", facts.has_warmup ? " after the warm-up" : "",
                                with_separators(row.walks), with_separators(row.walk_cycles));
  if (row.history.became_huge_times > 0)
    out += fmt::format(": {} in {} while it was small, {} in {} while it was huge",
                       with_separators(row.walk_cycles_small()), span(row.small_time),
                       with_separators(row.walk_cycles_huge), span(row.huge_time));
  if (base && base != &row && base->walk_cycles > 0)
    out += fmt::format(" ({} to the baseline)",
                       readable_difference(double(base->walk_cycles), double(row.walk_cycles), NumberFormat::count));
  return out + ".";
}

std::string saved_to_baseline(const RangeSaving& saving) {
  return fmt::format("{} against the baseline: {} walk cycles, {} per second while huge.",
                     saving.saved < 0 ? "Lost" : "Saved", cycles(std::abs(saving.saved)),
                     cycles(std::abs(saving.per_second)));
}

std::string saved_by_rate(const RangeSaving& saving, const RangeRow& row) {
  const double before = double(row.walk_cycles_small()) / std::chrono::duration<double>(row.small_time).count();
  return fmt::format(
      "{} since it became huge, if the program had gone on as before: about {} walk cycles ({} per second "
      "while small x {} huge - {}).",
      saving.saved < 0 ? "Lost" : "Saved", cycles(std::abs(saving.saved)), cycles(before), span(row.huge_time),
      with_separators(row.walk_cycles_huge));
}

// A scaled trace runs that much slower than the program did; the collapse does not.
std::string in_program_time(Duration after, double scale) {
  if (scale == 1) return "";
  return fmt::format(" (time.scale {}: {} of the program's own time)", scale, readable_time(to_ns(after) / scale));
}

std::string break_even_text(const BreakEvenTime& time, double scale) {
  const std::string after = span(time.after) + in_program_time(time.after, scale);
  switch (time.state) {
    case BreakEven::reached: return fmt::format("Break-even: reached {} after it became huge.", after);
    case BreakEven::not_yet: return fmt::format("Break-even: not yet; at this rate {} after it became huge.", after);
    case BreakEven::never: return "Break-even: never at this rate.";
  }
  return "";
}

std::vector<std::string> savings(const RangeRow& row, const RangeRow* base, bool base_is_other, const RunFacts& facts) {
  std::vector<std::string> out;
  if (base_is_other)
    if (const auto saving = saving_to_baseline(row, base)) out.push_back(saved_to_baseline(*saving));
  if (const auto saving = saving_by_rate_before(row)) out.push_back(saved_by_rate(*saving, row));
  if (out.empty() && row.history.times_collapsed() > 0)
    out.push_back(
        "Saved: not known; it was seen small for too short a time, and there is no baseline where it never was huge.");
  if (const auto best = best_saving(row, base, base_is_other))
    if (const auto time = break_even(row, *best, facts.frequency)) out.push_back(break_even_text(*time, facts.scale));
  return out;
}

// --- an answer ---

std::vector<std::string> story(const ExperimentResult& result, const VariantResult& variant, const RangeRow& row) {
  const RangeRow* base = find_range(result.base().ranges, row);
  std::vector<std::string> sentences;
  if (row.happened) {
    sentences = {state(row), scans(row.history, variant.facts.khugepaged), outlook(row, variant.facts),
                 cost(row, variant.facts), walks(row, base, variant.facts)};
    for (std::string& text : savings(row, base, variant.name != result.baseline, variant.facts))
      sentences.push_back(std::move(text));
  } else {
    sentences = {"Nothing happened in this range.", outlook(row, variant.facts)};
  }
  std::erase(sentences, "");
  return sentences;
}

struct Earlier {
  bool operator()(const RangeRow& a, const RangeRow& b) const { return a.before(b); }
};
using RangeSet = std::set<RangeRow, Earlier>;

// The range in every process and address space that has it in some variant: something happened there, or a VMA is there.
RangeSet ranges_at(const ExperimentResult& result, VirtAddr address) {
  RangeSet found;
  for (const VariantResult& variant : result.variants)
    for (const RangeRow& row : variant.ranges)
      if (row.base == huge_base(address) && (row.happened || !row.outlook.vma.empty())) found.insert(row);
  return found;
}

std::string title(VirtAddr address, const RangeRow& like) {
  return fmt::format("Why {}? 2 MiB range {}-{} of process {}{}{}{}:\n", to_hex(address.value), to_hex(like.base.value),
                     to_hex(like.base.value + kHugeBytes), like.pid,
                     like.process.empty() ? "" : " (" + like.process + ")",
                     like.space == 0 ? "" : fmt::format(", address space {}", like.space),
                     like.mapping.empty() ? "" : ", mapping " + like.mapping);
}

std::vector<std::string> answer(const ExperimentResult& result, const VariantResult& variant, const RangeRow& like) {
  const RangeRow* row = find_range(variant.ranges, like);
  if (!row) return {"Nothing happened in this range."};
  return story(result, variant, *row);
}

}  // namespace

std::vector<std::string> why_sentences(const ExperimentResult& result, const VariantResult& variant,
                                       const RangeRow& row) {
  return story(result, variant, row);
}

std::vector<WhyAnswer> explain(const ExperimentResult& result, VirtAddr address) {
  std::vector<WhyAnswer> answers;
  for (const RangeRow& like : ranges_at(result, address))
    for (const VariantResult& variant : result.variants)
      answers.push_back({like.pid, variant.name, fmt::format("{}", fmt::join(answer(result, variant, like), " "))});
  return answers;
}

std::string why_report(const ExperimentResult& result, VirtAddr address) {
  const RangeSet found = ranges_at(result, address);
  if (found.empty())
    return fmt::format("Why {}? No process had a VMA there, and nothing happened in its 2 MiB range.\n",
                       to_hex(address.value));
  std::string out;
  for (const RangeRow& like : found) {
    out += title(address, like);
    for (const VariantResult& variant : result.variants) {
      out += fmt::format("  {}\n", variant.name);
      for (const std::string& text : answer(result, variant, like)) out += fmt::format("    {}\n", text);
    }
  }
  return out;
}

}  // namespace collapsar
