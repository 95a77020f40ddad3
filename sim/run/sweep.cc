// The points of a sweep.
#include "sim/run/sweep.h"

#include <algorithm>

namespace collapsar {

namespace {

constexpr const char* kOption = "--vary";

[[noreturn]] void wrong(const std::string& text, const std::string& message) {
  throw ConfigError(fmt::format("{} {}: {}", kOption, text, message));
}

// Cuts at the commas outside of brackets and quotes.
std::vector<std::string> split_values(std::string_view text) {
  std::vector<std::string> values(1);
  int depth = 0;
  char quote = 0;
  for (const char c : text) {
    if (quote) quote = c == quote ? char(0) : quote;
    else if (c == '"' || c == '\'') quote = c;
    else if (c == '[' || c == '{') ++depth;
    else if (c == ']' || c == '}') --depth;
    if (c == ',' && depth == 0 && !quote) values.emplace_back();
    else values.back() += c;
  }
  return values;
}

void refuse_repeated_axes(const std::vector<SweepAxis>& axes) {
  for (std::size_t i = 0; i < axes.size(); ++i)
    for (std::size_t j = 0; j < i; ++j)
      if (axes[i].key == axes[j].key) wrong(axes[i].key, "given twice; write all its values after one --vary");
}

std::size_t count_points(const std::vector<SweepAxis>& axes) {
  std::size_t count = 1;
  for (const SweepAxis& axis : axes) {
    count *= axis.values.size();
    if (count > kMostPoints)
      wrong(axis.key, fmt::format("with this key there are more than {} points; take fewer values", kMostPoints));
  }
  return count;
}

// The first axis is the slowest.
std::vector<std::string> values_at(const std::vector<SweepAxis>& axes, std::size_t point) {
  std::vector<std::string> values(axes.size());
  for (std::size_t i = axes.size(); i-- > 0; point /= axes[i].values.size())
    values[i] = axes[i].values[point % axes[i].values.size()];
  return values;
}

std::vector<std::string> assignments(const std::vector<SweepAxis>& axes, const std::vector<std::string>& values) {
  std::vector<std::string> all;
  for (std::size_t i = 0; i < axes.size(); ++i) all.push_back(axes[i].key + "=" + values[i]);
  return all;
}

void refuse_equal_points(const Sweep& sweep) {
  std::vector<const SweepPoint*> sorted;
  for (const SweepPoint& point : sweep.points) sorted.push_back(&point);
  std::stable_sort(sorted.begin(), sorted.end(),
                   [](const SweepPoint* a, const SweepPoint* b) { return a->identity.text < b->identity.text; });
  const auto twin = std::adjacent_find(sorted.begin(), sorted.end(), [](const SweepPoint* a, const SweepPoint* b) {
    return a->identity.text == b->identity.text;
  });
  if (twin == sorted.end()) return;
  wrong(fmt::format("{}", fmt::join(assignments(sweep.axes, (*std::next(twin))->values), " ")),
        fmt::format("the same experiment as {}; a value stands twice, or every variant sets the key itself",
                    fmt::join(assignments(sweep.axes, (*twin)->values), " ")));
}

}  // namespace

SweepAxis parse_axis(const std::string& text) {
  const std::size_t equals = text.find('=');
  if (equals == std::string::npos || equals == 0) wrong(text, "write --vary a.b.c=v1,v2,...");
  SweepAxis axis{text.substr(0, equals), split_values(std::string_view(text).substr(equals + 1))};
  for (const std::string& value : axis.values) {
    if (value.find_first_not_of(' ') == std::string::npos)
      wrong(text, "an empty value; write v1,v2 without a comma at an end");
    parse_assignment(axis.key + "=" + value, kOption);
  }
  return axis;
}

Sweep make_sweep(const ConfigNode& config, const std::vector<SweepAxis>& axes, const RunOptions& options) {
  refuse_repeated_axes(axes);
  Sweep sweep{axes, {}};
  PointIdentities identities(options);
  const std::size_t count = count_points(axes);
  for (std::size_t i = 0; i < count; ++i) {
    SweepPoint point{values_at(axes, i), config, {}, 0};
    apply_sets(point.config, assignments(axes, point.values), options.search_dirs, kOption);
    const Experiment experiment = resolve_experiment(point.config, options.variants, options.search_dirs);
    point.identity = identities.of(experiment);
    point.variants = experiment.variants.size();
    sweep.points.push_back(std::move(point));
  }
  refuse_equal_points(sweep);
  return sweep;
}

}  // namespace collapsar
