// The files that report.html is made of, as cmake/Embed.cmake puts them into the program.
#pragma once

#include <string_view>

namespace collapsar::assets {

// sim/run/html
extern const std::string_view page_html, page_css, base_js, plots_js, map_js, stalls_js;
// third_party/uplot
extern const std::string_view uplot_js, uplot_css, uplot_license;

}  // namespace collapsar::assets
