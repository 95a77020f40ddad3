// report.html: the template of sim/run/html with its places filled.
#include "sim/run/report_html.h"

#include <map>

#include "sim/run/report.h"
#include "sim/run/report_assets.h"
#include "sim/run/report_format.h"

namespace collapsar {

namespace {

// Replaces each {{name}} once; what is put in is not looked at again.
std::string filled(std::string_view page, const std::map<std::string_view, std::string>& places) {
  std::string out;
  for (std::size_t at = 0;;) {
    const std::size_t open = page.find("{{", at);
    if (open == std::string_view::npos) return out.append(page.substr(at));
    const std::size_t close = page.find("}}", open);
    const auto place = places.find(page.substr(open + 2, close - open - 2));
    SIM_ASSERT(place != places.end(), "the page has a place that nobody fills: {}",
               page.substr(open, close + 2 - open));
    out.append(page.substr(at, open - at)).append(place->second);
    at = close + 2;
  }
}

std::string lead_of(const ExperimentResult& result) {
  const StatRow* refs = result.base().stats.find("refs");
  std::string lead = fmt::format("{} references of {}", with_separators(refs ? refs->integer() : 0), result.trace.name);
  if (!result.trace.program.empty() && result.trace.program != result.trace.name)
    lead += " (" + result.trace.program + ")";
  return html_escaped(lead + "; differences to " + result.baseline);
}

std::string footer_of(const ExperimentResult& result) {
  return html_escaped(fmt::format("collapsar {}; trace {}, hash {}. Plots: uPlot, MIT licence (in this file).",
                                  COLLAPSAR_VERSION, result.trace.name, result.trace.hash));
}

std::string script() {
  std::string out = fmt::format("/*! uPlot\n{}\n*/\n", assets::uplot_license);
  for (const std::string_view part :
       {assets::uplot_js, assets::base_js, assets::plots_js, assets::map_js, assets::stalls_js})
    out.append(part).append("\n");
  return out;
}

}  // namespace

std::string html_escaped(std::string_view text) {
  std::string out;
  for (const char c : text) {
    switch (c) {
      case '&': out += "&amp;"; break;
      case '<': out += "&lt;"; break;
      case '>': out += "&gt;"; break;
      case '"': out += "&quot;"; break;
      case '\'': out += "&#39;"; break;
      default: out += c;
    }
  }
  return out;
}

std::string html_report(const ExperimentResult& result) {
  return filled(assets::page_html, {{"title", html_escaped(result.name.empty() ? "collapsar" : result.name)},
                                    {"style", std::string(assets::uplot_css) + "\n" + std::string(assets::page_css)},
                                    {"lead", lead_of(result)},
                                    {"comparison", comparison_html(result)},
                                    {"honest", honest_time_html(result)},
                                    {"stalls", stalls_html(result)},
                                    {"worst", worst_ranges_html(result)},
                                    {"notes", notes_html(result)},
                                    {"config", html_escaped(to_yaml(result.config))},
                                    {"footer", footer_of(result)},
                                    {"data", plot_data(result)},
                                    {"script", script()}});
}

}  // namespace collapsar
