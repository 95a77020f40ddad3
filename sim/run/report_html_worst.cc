// The ranges of each variant that cost most walk cycles although they could have been huge, and why they are not.
#include <algorithm>

#include "sim/run/report_html.h"
#include "sim/run/report_parts.h"

namespace collapsar {

namespace {

constexpr std::size_t kMostRanges = 10;

bool is_costlier(const RangeRow* a, const RangeRow* b) {
  return a->walk_cycles != b->walk_cycles ? a->walk_cycles > b->walk_cycles : a->before(*b);
}

// Not huge at the end, the costliest first.
std::vector<const RangeRow*> worst_of(const VariantResult& variant) {
  std::vector<const RangeRow*> rows;
  for (const RangeRow& row : variant.ranges)
    if (row.happened && !row.is_huge() && row.walk_cycles > 0) rows.push_back(&row);
  const std::size_t shown = std::min(rows.size(), kMostRanges);
  std::partial_sort(rows.begin(), rows.begin() + std::ptrdiff_t(shown), rows.end(), is_costlier);
  rows.resize(shown);
  return rows;
}

std::string row_of(const ExperimentResult& result, const VariantResult& variant, const RangeRow& row,
                   double all_cycles) {
  const RangeRecord& history = row.history;
  const bool was_scanned = history.last_by != RangeRecord::By::nobody;
  const std::string where = fmt::format("{} of {}{}", row.mapping.empty() ? "?" : row.mapping, row.pid,
                                        row.process.empty() ? "" : " (" + row.process + ")");
  return fmt::format(
      "<tr><th scope=\"row\"><code>{}</code><br><small>{}</small></th><td>{}</td><td>{}</td><td "
      "class=\"text\">{}</td></tr>\n<tr><td class=\"text why\" colspan=\"4\">{}</td></tr>\n",
      to_hex(row.base.value), html_escaped(where), with_separators(row.walk_cycles),
      all_cycles > 0 ? readable_share(double(row.walk_cycles) / all_cycles) : "",
      was_scanned ? name_of(history.last) : "never scanned",
      html_escaped(fmt::format("{}", fmt::join(why_sentences(result, variant, row), " "))));
}

std::string table_of(const ExperimentResult& result, const VariantResult& variant) {
  const std::vector<const RangeRow*> rows = worst_of(variant);
  if (rows.empty()) return "<p>No walk ended in a range that is small at the end.</p>\n";
  const StatRow* cycles = variant.stats.find("mmu.walk_cycles");
  std::string out =
      "<div class=\"scroll\"><table>\n<thead><tr><th>range</th><th>walk cycles</th><th>of all</th>"
      "<th class=\"text\">last verdict</th></tr></thead>\n<tbody>\n";
  for (const RangeRow* row : rows) out += row_of(result, variant, *row, cycles ? cycles->value() : 0);
  return out + "</tbody></table></div>\n";
}

}  // namespace

std::string worst_ranges_html(const ExperimentResult& result) {
  std::string out;
  for (const VariantResult& variant : result.variants) {
    out += fmt::format("<h3>{}</h3>\n", html_escaped(variant.name));
    const bool is_off = variant.honest_time.ranges_per_wakeup == 0;
    out += is_off ? "<p>khugepaged is off.</p>\n" : table_of(result, variant);
  }
  return out;
}

}  // namespace collapsar
