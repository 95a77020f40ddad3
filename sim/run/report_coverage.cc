// When huge pages covered how much of the memory: what a scan rate is judged by.
#include <algorithm>
#include <array>

#include "sim/run/report.h"
#include "sim/run/report_format.h"

namespace collapsar {

namespace {

constexpr std::array<std::uint64_t, 5> kPercent{25, 50, 75, 90, 99};
constexpr std::size_t kPercentWidth = 12;

bool is_covered(const TimePoint& point, std::uint64_t percent) {
  return point.anon_bytes > 0 && point.anon_huge_bytes * 100 >= point.anon_bytes * percent;
}

// The first point of the time series with that much coverage.
std::string first_time(const Timeline& timeline, std::uint64_t percent) {
  const auto point =
      std::find_if(timeline.begin(), timeline.end(), [&](const TimePoint& p) { return is_covered(p, percent); });
  return point == timeline.end() ? "-" : readable_time(double(point->time_ns));
}

}  // namespace

std::string coverage_report(const ExperimentResult& result) {
  std::size_t width = 0;
  bool any = false;
  for (const VariantResult& variant : result.variants) {
    width = std::max(width, variant.name.size());
    any |= std::any_of(variant.timeline.begin(), variant.timeline.end(),
                       [](const TimePoint& p) { return is_covered(p, kPercent[0]); });
  }
  if (!any) return "";
  std::string out = std::string(width + 2, ' ');
  for (const std::uint64_t percent : kPercent) out += pad_left(fmt::format("{} %", percent), kPercentWidth);
  out += "\n";
  for (const VariantResult& variant : result.variants) {
    out += "  " + pad_right(variant.name, width);
    for (const std::uint64_t percent : kPercent) out += pad_left(first_time(variant.timeline, percent), kPercentWidth);
    out += "\n";
  }
  return out;
}

}  // namespace collapsar
