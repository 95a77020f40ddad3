// The comparison table: one row per number, one column per variant with its difference to the baseline.
#include <algorithm>
#include <map>

#include "sim/run/report.h"
#include "sim/run/report_format.h"
#include "sim/run/report_parts.h"

namespace collapsar {

namespace {

constexpr std::size_t kTableWidth = 120;
constexpr std::size_t kMostParts = 5;  // mappings shown

double number(const StatTable& stats, std::string_view path) {
  const StatRow* row = stats.find(path);
  return row ? row->value() : 0;
}
double percentile(const StatTable& stats, std::string_view path, double percent) {
  const StatRow* row = stats.find(path);
  return row && row->histogram ? double(row->histogram->percentile(percent)) : 0;
}

struct Metric {
  const char* section;
  const char* label;
  NumberFormat format;
  bool is_optional;  // left out where it is 0 in every variant
  double (*value)(const StatTable&);
};

#define AT(path) [](const StatTable& s) { return number(s, path); }
#define PERCENTILE(path, percent) [](const StatTable& s) { return percentile(s, path, percent); }
using F = NumberFormat;
constexpr Metric kMetrics[] = {
    {"TLB", "L1 misses, data", F::count, false, AT("mmu.l1d.misses")},
    {"TLB", "L1 misses, instructions", F::count, true, AT("mmu.l1i.misses")},
    {"TLB", "L2 misses", F::count, false,
     [](const StatTable& s) {
       return number(s, "mmu.l2.misses") + number(s, "mmu.l2i.misses") + number(s, "mmu.l2d.misses");
     }},
    {"TLB", "page walks", F::count, false, AT("mmu.walks")},
    {"TLB", "walk cycles", F::count, false, AT("mmu.walk_cycles")},
    {"TLB", "cycles stalled for a walk", F::count, false, AT("mmu.stall_cycles")},
    {"Program", "cycles", F::count, false, AT("cycles")},
    {"Program", "simulated time", F::nanoseconds, false, AT("time_ns")},
    {"Program", "page faults, minor", F::count, false, AT("faults.minor")},
    {"Program", "page faults, major", F::count, true, AT("faults.major")},
    {"Program", "page faults, huge", F::count, true, AT("faults.huge")},
    {"Program", "time in page faults", F::nanoseconds, true,
     [](const StatTable& s) {
       const StatRow* row = s.find("faults.stall_ns");
       return row && row->histogram ? double(row->histogram->sum()) : 0;
     }},
    {"Memory", "huge-page coverage", F::share, false, AT("memory.coverage")},
    {"Memory", "RSS", F::bytes, false, AT("memory.rss_bytes")},
    {"Memory", "page tables", F::bytes, false, AT("memory.page_tables_bytes")},
    {"Memory", "pages swapped in", F::count, true, AT("vmstat.pswpin")},
    {"Memory", "pages swapped out", F::count, true, AT("vmstat.pswpout")},
    {"Compaction", "CPU time", F::nanoseconds, true, AT("compaction.cpu_ns")},
    {"Compaction", "pages moved", F::count, true, AT("vmstat.pgmigrate_success")},
    {"Compaction", "direct, for a huge page", F::count, true, AT("vmstat.compact_stall")},
    {"Compaction", "  in vain", F::count, true, AT("vmstat.compact_fail")},
    {"Compaction", "  longest stall of a task", F::nanoseconds, true, PERCENTILE("stall.compaction_ns", 100)},
    {"khugepaged", "ranges collapsed", F::count, false, AT("khugepaged.pages_collapsed")},
    {"khugepaged", "CPU time", F::nanoseconds, false, AT("khugepaged.cpu_ns")},
    {"khugepaged", "shootdown interrupts", F::count, true, AT("shootdown.ipis")},
    {"khugepaged", "stalls behind a collapse", F::count, false, AT("stall.collapse_ns")},
    {"khugepaged", "  half are shorter than", F::nanoseconds, true, PERCENTILE("stall.collapse_ns", 50)},
    {"khugepaged", "  99 % are shorter than", F::nanoseconds, true, PERCENTILE("stall.collapse_ns", 99)},
    {"khugepaged", "  the longest", F::nanoseconds, true, PERCENTILE("stall.collapse_ns", 100)},
};
#undef AT
#undef PERCENTILE

using Row = ComparisonRow;

Row row_of(const ExperimentResult& result, std::string section, std::string label, const std::string& path) {
  Row row{std::move(section), std::move(label), NumberFormat::count, {}};
  for (const VariantResult& variant : result.variants) row.values.push_back(number(variant.stats, path));
  return row;
}

// "vmas.12.heap.mmu.walk_cycles" -> {12, heap} for all such paths of the baseline.
struct Part {
  std::string name, path;
  double cycles;
};
std::vector<Part> parts_of(const StatTable& stats, std::string_view top) {
  constexpr std::string_view kEnd = ".mmu.walk_cycles";
  std::vector<Part> parts;
  for (const StatRow& row : stats) {
    if (!row.path.starts_with(top) || !row.path.ends_with(kEnd)) continue;
    std::string name = row.path.substr(top.size(), row.path.size() - top.size() - kEnd.size());
    parts.push_back({std::move(name), row.path, row.value()});
  }
  std::stable_sort(parts.begin(), parts.end(), [](const Part& a, const Part& b) { return a.cycles > b.cycles; });
  return parts;
}

// Where the walk cycles of the baseline are: by process if there are several, by mapping.
void add_parts(const ExperimentResult& result, std::vector<Row>& rows) {
  const std::vector<Part> processes = parts_of(result.base().stats, "processes.");
  for (std::size_t i = 0; processes.size() > 1 && i < std::min(processes.size(), kMostParts); ++i)
    rows.push_back(row_of(result, "Walk cycles by process", "process " + processes[i].name, processes[i].path));
  const std::vector<Part> mappings = parts_of(result.base().stats, "vmas.");
  for (std::size_t i = 0; i < std::min(mappings.size(), kMostParts); ++i) {
    const std::size_t dot = mappings[i].name.find('.');
    std::string label = mappings[i].name.substr(dot + 1);
    if (processes.size() > 1) label += " of " + mappings[i].name.substr(0, dot);
    rows.push_back(row_of(result, "Walk cycles by mapping", label, mappings[i].path));
  }
  std::erase_if(rows, [](const Row& row) { return row.section.starts_with("Walk cycles by") && row.is_zero(); });
}

std::vector<Row> rows_of(const ExperimentResult& result) {
  std::vector<Row> rows;
  for (const Metric& metric : kMetrics) {
    Row row{metric.section, metric.label, metric.format, {}};
    for (const VariantResult& variant : result.variants) row.values.push_back(metric.value(variant.stats));
    if (!metric.is_optional || !row.is_zero()) rows.push_back(std::move(row));
  }
  add_parts(result, rows);
  return rows;
}

std::string shortened(const std::string& text, std::size_t width) {
  return text.size() <= width ? text : text.substr(0, width - 2) + "..";
}

// One variant's column: values and differences, aligned.
struct Column {
  std::string name;
  std::vector<std::string> values, differences;
  std::size_t value_width = 0, difference_width = 0;
  std::size_t width() const {
    return std::max(value_width + (difference_width ? difference_width + 2 : 0), name.size());
  }
};

Column column_of(const ExperimentResult& result, std::size_t variant, const std::vector<Row>& rows, std::size_t base) {
  Column column;
  column.name = shortened(result.variants[variant].name, 40);
  for (const Row& row : rows) {
    column.values.push_back(readable(row.values[variant], row.format));
    column.differences.push_back(
        variant == base ? "" : readable_difference(row.values[base], row.values[variant], row.format));
    column.value_width = std::max(column.value_width, column.values.back().size());
    column.difference_width = std::max(column.difference_width, column.differences.back().size());
  }
  return column;
}

constexpr std::size_t kLabelWidth = 28, kGap = 3;

std::string cell(const Column& column, std::size_t row) {
  std::string text = pad_left(column.values[row], column.value_width);
  if (column.difference_width) text += "  " + pad_left(column.differences[row], column.difference_width);
  return std::string(kGap, ' ') + pad_left(text, column.width());
}

std::string without_trailing_spaces(std::string line) {
  line.erase(line.find_last_not_of(' ') + 1);
  return line + "\n";
}

std::string block(const std::vector<Row>& rows, const std::vector<const Column*>& columns) {
  std::string head(kLabelWidth, ' ');
  for (const Column* column : columns) head += std::string(kGap, ' ') + pad_left(column->name, column->width());
  std::string out = without_trailing_spaces(head);
  for (std::size_t i = 0; i < rows.size(); ++i) {
    if (i == 0 || rows[i].section != rows[i - 1].section) out += rows[i].section + "\n";
    std::string line = pad_right("  " + shortened(rows[i].label, kLabelWidth - 2), kLabelWidth);
    for (const Column* column : columns) line += cell(*column, i);
    out += without_trailing_spaces(line);
  }
  return out;
}

// As many variants side by side as fit; the baseline stands first in each further block.
std::string table(const ExperimentResult& result) {
  const std::vector<Row> rows = rows_of(result);
  const std::size_t base = std::size_t(&result.base() - result.variants.data());
  std::vector<Column> columns;
  for (std::size_t i = 0; i < result.variants.size(); ++i) columns.push_back(column_of(result, i, rows, base));
  std::string out;
  std::size_t next = 0;
  while (next < columns.size()) {
    std::vector<const Column*> shown;
    std::size_t width = kLabelWidth;
    const auto show = [&](const Column& column) { shown.push_back(&column), width += kGap + column.width(); };
    if (next > 0) show(columns[base]);
    const std::size_t fixed = shown.size();
    for (; next < columns.size(); ++next) {
      if (&columns[next] == &columns[base] && fixed > 0) continue;
      if (shown.size() > fixed && width + kGap + columns[next].width() > kTableWidth) break;
      show(columns[next]);
    }
    if (shown.size() > fixed) out += (out.empty() ? "" : "\n") + block(rows, shown);
  }
  return out;
}

std::string notes(const ExperimentResult& result) {
  std::string out;
  for (const std::string& note : report_notes(result)) out += fmt::format("note: {}\n", note);
  return out + fmt::format("note: simplified in {} points, listed under `notes` in result.json\n",
                           simplified_points(result).size());
}

}  // namespace

std::vector<ComparisonRow> comparison_rows(const ExperimentResult& result) { return rows_of(result); }

std::vector<std::string> report_notes(const ExperimentResult& result) {
  std::vector<std::string> notes = result.trace.notes;
  for (std::string& note : left_out_notes(result)) notes.push_back(std::move(note));
  const double outside = number(result.base().stats, "refs.outside_vma");
  if (outside > 0)
    notes.push_back(fmt::format("{} references to addresses that no VMA covers were skipped",
                                with_separators(std::uint64_t(outside))));
  return notes;
}

std::vector<std::string> simplified_points(const ExperimentResult& result) {
  std::vector<std::string> simplified;
  for (const VariantResult& variant : result.variants)
    for (const std::string& text : variant.simplified)
      if (std::find(simplified.begin(), simplified.end(), text) == simplified.end()) simplified.push_back(text);
  return simplified;
}

std::string honest_time_of(const HonestTime& honest) {
  const std::string simulated =
      fmt::format("{} simulated, time.scale {}; ", readable_time(to_ns(honest.simulated)), honest.scale);
  if (honest.ranges_per_wakeup == 0) return simulated + "khugepaged is off";
  return simulated + fmt::format("{} wake-up{} of up to {} ranges, {} candidates: at most {} collapsed, in fact {}",
                                 with_separators(honest.wakeups), honest.wakeups == 1 ? "" : "s",
                                 with_separators(honest.ranges_per_wakeup), with_separators(honest.candidates),
                                 with_separators(honest.collapsible_at_most), with_separators(honest.collapsed));
}

std::string honest_time_report(const ExperimentResult& result) {
  std::size_t width = 0;
  for (const VariantResult& variant : result.variants) width = std::max(width, variant.name.size());
  std::string out;
  for (const VariantResult& variant : result.variants)
    out += fmt::format("  {}  {}\n", pad_right(variant.name, width), honest_time_of(variant.honest_time));
  return out;
}

std::string table_report(const ExperimentResult& result) {
  const StatTable& base = result.base().stats;
  std::string out =
      fmt::format("{}: {} references of {}; differences to {}\n\n", result.name.empty() ? "collapsar" : result.name,
                  with_separators(std::uint64_t(number(base, "refs"))), result.trace.name, result.baseline);
  out += table(result);
  const std::string coverage = coverage_report(result);
  if (!coverage.empty()) out += "\nHuge-page coverage reached after\n" + coverage;
  const std::string gain = gain_report(result);
  if (!gain.empty()) out += "\n" + gain;
  out += "\nHonest time\n" + honest_time_report(result);
  return out + notes(result);
}

}  // namespace collapsar
