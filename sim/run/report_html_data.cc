// What report.html plots, as JSON: curves over time, the map of the address space, histograms. sim/run/html/*.js reads it.
#include <bit>
#include <map>
#include <nlohmann/json.hpp>

#include "sim/run/range_map.h"
#include "sim/run/report_html.h"
#include "sim/run/report_series.h"

namespace collapsar {

namespace {

using Json = nlohmann::ordered_json;

// Seven digits are more than a plot shows, and short.
double rounded(double value) { return std::stod(fmt::format("{:.7g}", value)); }

Json json_of(const std::optional<double>& value) { return value ? Json(rounded(*value)) : Json(nullptr); }

Json curves_of(const Timeline& points) {
  Json out = Json::object();
  for (const Curve& curve : curves()) {
    Json& values = out[curve.key] = Json::array();
    for (std::size_t i = 0; i < points.size(); ++i)
      values.push_back(json_of(curve.value(points[i == 0 ? 0 : i - 1], points[i])));
  }
  return out;
}

// One letter per state that occurs, in order of the states; "." is nothing.
class StateCodes {
 public:
  void note(const RangeMap& map) {
    for (const RangeMap::Row& row : map.rows())
      for (const RangeMap::State state : row.cells) codes_[state];
  }
  void number() {
    constexpr std::string_view kLetters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
    std::size_t next = 0;
    for (auto& [state, code] : codes_) code = state == RangeMap::kNothing ? '.' : kLetters[next++];
  }
  // "a12.3": 12 columns of state a, 3 of nothing.
  std::string written(const std::vector<RangeMap::State>& cells) const {
    std::string out;
    for (std::size_t i = 0, end = 0; i < cells.size(); i = end) {
      while (end < cells.size() && cells[end] == cells[i]) ++end;
      out += fmt::format("{}{}", codes_.at(cells[i]), end - i);
    }
    return out;
  }
  Json legend() const {
    Json out = Json::array();
    for (const auto& [state, code] : codes_)
      if (state != RangeMap::kNothing)
        out.push_back(
            {{"code", std::string(1, code)}, {"label", RangeMap::label_of(state)}, {"colour", colour_of(state)}});
    return out;
  }

 private:
  // A name of page.css; refusals are coloured by the page, in turn.
  static const char* colour_of(RangeMap::State state) {
    if (state == RangeMap::kSmall) return "small";
    if (state >= RangeMap::kFirstRefused) return "";
    switch (RangeRecord::By(state - RangeMap::kFirstHuge)) {
      case RangeRecord::By::fault: return "huge-fault";
      case RangeRecord::By::khugepaged: return "huge-khugepaged";
      case RangeRecord::By::madvise_collapse: return "huge-madvise";
      case RangeRecord::By::nobody:
      case RangeRecord::By::fork:
      case RangeRecord::By::mremap: return "huge-other";
    }
    return "";
  }
  std::map<RangeMap::State, char> codes_;
};

Json json_of(const RangeMap& map, const StateCodes& codes) {
  Json rows = Json::array();
  for (const RangeMap::Row& row : map.rows())
    rows.push_back({{"base", to_hex(row.first->base.value)},
                    {"where", fmt::format("{} of process {}", row.first->mapping.empty() ? "?" : row.first->mapping,
                                          row.first->pid)},
                    {"ranges", row.ranges},
                    {"states", codes.written(row.cells)}});
  return rows;
}

// {power, count}: so many from 2^(power - 1) to 2^power ns; power 0: no time at all.
Json powers_of(const Histogram& histogram) {
  std::map<int, std::uint64_t> counts;
  for (std::size_t i = 0; i < Histogram::kBuckets; ++i)
    if (const std::uint64_t count = histogram.bucket_count(i))
      counts[int(std::bit_width(Histogram::bucket_low(i)))] += count;
  Json out = Json::array();
  for (const auto& [power, count] : counts) out.push_back({power, count});
  return out;
}

Json histograms_of(const ExperimentResult& result) {
  Json out = Json::array();
  for (const ShownHistogram& shown : kShownHistograms) {
    Json bars = Json::array();
    for (std::size_t i = 0; i < result.variants.size(); ++i) {
      const StatRow* row = result.variants[i].stats.find(shown.path);
      if (row && row->histogram) bars.push_back({{"variant", i}, {"counts", powers_of(*row->histogram)}});
    }
    out.push_back({{"key", shown.path}, {"title", shown.title}, {"bars", std::move(bars)}});
  }
  return out;
}

Json curve_list() {
  Json out = Json::array();
  for (const Curve& curve : curves())
    out.push_back({{"key", curve.key}, {"title", curve.title}, {"unit", curve.unit}, {"help", curve.help}});
  return out;
}

Json json_of(const VariantResult& variant, const RangeMap& map, const StateCodes& codes) {
  const Timeline points = thinned(variant.timeline, kMostPlotPoints);
  Json time = Json::array();
  for (const TimePoint& point : points) time.push_back(rounded(double(point.time_ns) * 1e-9));
  return {
      {"name", variant.name}, {"time", std::move(time)}, {"curves", curves_of(points)}, {"map", json_of(map, codes)}};
}

// For inside a <script>: nothing there may look like the end of it, or like a comment.
std::string without_angles(const std::string& json) {
  std::string out;
  for (const char c : json) out += c == '<' ? "\\u003c" : std::string(1, c);
  return out;
}

}  // namespace

std::string plot_data(const ExperimentResult& result) {
  Duration end(1);
  for (const VariantResult& variant : result.variants) end = std::max(end, variant.facts.end);
  std::vector<RangeMap> maps;
  StateCodes codes;
  for (const VariantResult& variant : result.variants) codes.note(maps.emplace_back(variant.ranges, end));
  codes.number();
  Json variants = Json::array();
  for (std::size_t i = 0; i < maps.size(); ++i) variants.push_back(json_of(result.variants[i], maps[i], codes));
  const Json json{
      {"end", rounded(to_ns(end) * 1e-9)}, {"columns", RangeMap::kColumns},       {"curves", curve_list()},
      {"states", codes.legend()},          {"histograms", histograms_of(result)}, {"variants", std::move(variants)}};
  return without_angles(json.dump(-1, ' ', /*ensure_ascii=*/true, Json::error_handler_t::replace));
}

}  // namespace collapsar
