// The tables and texts of report.html.
#include <iterator>

#include "sim/run/report.h"
#include "sim/run/report_html.h"
#include "sim/run/report_parts.h"

namespace collapsar {

namespace {

std::string cell_of(const ComparisonRow& row, std::size_t variant, std::size_t base) {
  std::string text = html_escaped(readable(row.values[variant], row.format));
  if (variant != base)
    text += fmt::format(" <small>{}</small>",
                        html_escaped(readable_difference(row.values[base], row.values[variant], row.format)));
  return "<td>" + text + "</td>";
}

std::string head_of(const ExperimentResult& result) {
  std::string out = "<thead><tr><th></th>";
  for (const VariantResult& variant : result.variants)
    out += fmt::format("<th scope=\"col\">{}</th>", html_escaped(variant.name));
  return out + "</tr></thead>\n";
}

std::string list_of(const std::vector<std::string>& texts) {
  std::string out = "<ul>\n";
  for (const std::string& text : texts) out += fmt::format("<li>{}</li>\n", html_escaped(text));
  return out + "</ul>\n";
}

std::string row_of(const char* title, const std::string& variant, const Histogram& h) {
  std::string out = fmt::format("<tr><th scope=\"row\">{}</th><td class=\"text\">{}</td><td>{}</td>", title,
                                html_escaped(variant), with_separators(h.count()));
  for (const std::uint64_t ns : {h.sum(), h.percentile(50), h.percentile(90), h.percentile(99), h.max()})
    out += fmt::format("<td>{}</td>", readable_time(double(ns)));
  return out + "</tr>\n";
}

}  // namespace

std::string comparison_html(const ExperimentResult& result) {
  const std::size_t base = std::size_t(&result.base() - result.variants.data());
  std::string out = "<div class=\"scroll\"><table class=\"comparison\">\n" + head_of(result) + "<tbody>\n";
  std::string section;
  for (const ComparisonRow& row : comparison_rows(result)) {
    if (row.section != section)
      out += fmt::format("<tr class=\"part\"><th colspan=\"{}\">{}</th></tr>\n", result.variants.size() + 1,
                         html_escaped(row.section));
    section = row.section;
    out += fmt::format("<tr><th scope=\"row\">{}</th>", html_escaped(row.label));
    for (std::size_t i = 0; i < row.values.size(); ++i) out += cell_of(row, i, base);
    out += "</tr>\n";
  }
  out += "</tbody></table></div>\n";
  const std::string coverage = coverage_report(result), gain = gain_report(result);
  if (!coverage.empty())
    out += "<h3>Huge-page coverage reached after</h3>\n<pre>" + html_escaped(coverage) + "</pre>\n";
  if (!gain.empty()) out += "<pre>" + html_escaped(gain) + "</pre>\n";
  return out;
}

std::string honest_time_html(const ExperimentResult& result) {
  std::string out = "<ul>\n";
  for (const VariantResult& variant : result.variants)
    out += fmt::format("<li><strong>{}</strong>: {}</li>\n", html_escaped(variant.name),
                       html_escaped(honest_time_of(variant.honest_time)));
  return out + "</ul>\n";
}

// Only what happened in some variant.
std::string stalls_html(const ExperimentResult& result) {
  std::string rows;
  for (const ShownHistogram& shown : kShownHistograms)
    for (const VariantResult& variant : result.variants) {
      const StatRow* row = variant.stats.find(shown.path);
      if (row && row->histogram && row->histogram->count() > 0)
        rows += row_of(shown.title, variant.name, *row->histogram);
    }
  if (rows.empty()) return "<p>Nobody waited for anything.</p>\n";
  return "<div class=\"scroll\"><table>\n<thead><tr><th>what</th><th class=\"text\">variant</th><th>times</th>"
         "<th>together</th><th>half below</th><th>90 % below</th><th>99 % "
         "below</th><th>longest</th></tr></thead>\n<tbody>\n" +
         rows + "</tbody></table></div>\n";
}

std::string notes_html(const ExperimentResult& result) {
  const std::vector<std::string> notes = report_notes(result), simplified = simplified_points(result);
  std::string out = notes.empty() ? "" : list_of(notes);
  if (simplified.empty()) return out;
  return out + fmt::format("<details><summary>simplified in {} points that this run touched</summary>\n{}</details>\n",
                           simplified.size(), list_of(simplified));
}

}  // namespace collapsar
