// A sweep as a table for people, and as CSV with every number. Both are made from result.json of the points, so that a
// sweep that was resumed gives the same bytes as one that was not.
#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

#include "sim/run/report_format.h"
#include "sim/run/sweep.h"

namespace collapsar {

namespace {

using Json = nlohmann::ordered_json;
using Cells = std::vector<std::string>;

// The result of a point; nothing if it failed.
Json result_of(const SweepPoint& point, const PointOutcome& outcome, const PointStore& store) {
  if (outcome.state == PointOutcome::State::failed) return {};
  Json json = Json::parse(store.read(point.identity, "result.json"), nullptr, /*allow_exceptions=*/false);
  if (!json.is_discarded()) return json;
  throw ConfigError(fmt::format("{}: damaged; remove the folder to have the point run again",
                                (store.folder(point.identity) / "result.json").string()));
}

// ---- The table ------------------------------------------------------------------------------------------------------

struct Figure {
  const char* title;
  const char* path;
  NumberFormat format;
  bool has_difference;
};
constexpr Figure kFigures[] = {
    {"page walks", "mmu.walks", NumberFormat::count, true},
    {"walk cycles", "mmu.walk_cycles", NumberFormat::count, true},
    {"cycles", "cycles", NumberFormat::count, true},
    {"coverage", "memory.coverage", NumberFormat::share, false},
    {"RSS", "memory.rss_bytes", NumberFormat::bytes, false},
    {"khugepaged", "khugepaged.cpu_ns", NumberFormat::nanoseconds, false},
};

double number(const Json& stats, const char* path) {
  const auto found = stats.find(path);
  return found == stats.end() ? 0 : found->get<double>();
}

// "max_ptes_none" for kernel.khugepaged.max_ptes_none; the whole key where two axes end alike.
std::string short_key(const std::vector<SweepAxis>& axes, const SweepAxis& axis) {
  const auto last = [](const std::string& key) { return key.substr(key.rfind('.') + 1); };
  const auto alike = std::count_if(axes.begin(), axes.end(),
                                   [&](const SweepAxis& other) { return last(other.key) == last(axis.key); });
  return alike > 1 ? axis.key : last(axis.key);
}

Cells header(const Sweep& sweep) {
  Cells cells;
  for (const SweepAxis& axis : sweep.axes) cells.push_back(short_key(sweep.axes, axis));
  cells.emplace_back("variant");
  for (const Figure& column : kFigures) {
    cells.emplace_back(column.title);
    if (column.has_difference) cells.emplace_back();
  }
  return cells;
}

Cells row_of(const Json& stats, const Json& base) {
  Cells cells;
  for (const Figure& column : kFigures) {
    const double value = number(stats, column.path);
    cells.push_back(readable(value, column.format));
    if (column.has_difference)
      cells.push_back(&stats == &base ? "" : readable_difference(number(base, column.path), value, column.format));
  }
  return cells;
}

// The values of a point stand in its first line only.
void add_point(const SweepPoint& point, const PointOutcome& outcome, const Json& result, std::vector<Cells>& rows) {
  Cells values = point.values;
  if (outcome.state == PointOutcome::State::failed) {
    values.push_back("failed: " + outcome.error);
    rows.push_back(std::move(values));
    return;
  }
  const Json& base = result["variants"][result["baseline"].get<std::string>()];
  for (const auto& [name, stats] : result["variants"].items()) {
    Cells cells = std::exchange(values, Cells(values.size()));
    cells.push_back(name);
    for (std::string& cell : row_of(stats, base)) cells.push_back(std::move(cell));
    rows.push_back(std::move(cells));
  }
}

std::string title(const Sweep& sweep, const std::vector<PointOutcome>& outcomes) {
  std::string keys;
  for (const SweepAxis& axis : sweep.axes) keys += fmt::format("{}{}", keys.empty() ? "" : " x ", axis.key);
  std::size_t kept = 0;
  for (const PointOutcome& outcome : outcomes) kept += outcome.state == PointOutcome::State::kept;
  return fmt::format("{} point{} over {}; {} of them finished earlier; differences to the baseline of the point\n\n",
                     sweep.points.size(), sweep.points.size() == 1 ? "" : "s", keys, kept);
}

// ---- CSV ------------------------------------------------------------------------------------------------------------

constexpr const char* kOfHistogram[] = {"count", "sum", "max", "p50", "p90", "p99"};

// Calls f(column, text) for every number of a variant.
template <class F>
void for_each_number(const Json& stats, F&& f) {
  for (const auto& [path, value] : stats.items()) {
    if (!value.is_object()) f(path, value.dump());
    else
      for (const char* part : kOfHistogram) f(path + "." + part, value[part].dump());
  }
}

// Every column that any variant of any point has, where it comes first.
class Numbers {
 public:
  void meet(const Json& stats) {
    for_each_number(stats, [this](const std::string& column, const std::string&) {
      if (index_.emplace(column, columns_.size()).second) columns_.push_back(column);
    });
  }
  const Cells& columns() const { return columns_; }
  Cells row(const Json& stats) const {
    Cells cells(columns_.size());
    for_each_number(stats,
                    [&](const std::string& column, std::string text) { cells[index_.at(column)] = std::move(text); });
    return cells;
  }

 private:
  Cells columns_;
  std::map<std::string, std::size_t> index_;
};

std::string csv_line(const Cells& cells) {
  std::string line;
  const char* separator = "";
  for (const std::string& cell : cells) line += std::exchange(separator, ",") + csv_field(cell);
  return line + "\n";
}

Cells joined(Cells front, const Cells& back) {
  front.insert(front.end(), back.begin(), back.end());
  return front;
}

}  // namespace

std::string sweep_table(const Sweep& sweep, const std::vector<PointOutcome>& outcomes, const PointStore& store) {
  std::vector<Cells> rows{header(sweep)};
  for (std::size_t i = 0; i < sweep.points.size(); ++i)
    add_point(sweep.points[i], outcomes[i], result_of(sweep.points[i], outcomes[i], store), rows);
  std::string sides(rows.front().size(), '>');
  std::fill_n(sides.begin(), sweep.axes.size() + 1, '<');
  return title(sweep, outcomes) + aligned(rows, sides);
}

std::string sweep_csv(const Sweep& sweep, const std::vector<PointOutcome>& outcomes, const PointStore& store) {
  std::vector<Json> results;
  Numbers numbers;
  for (std::size_t i = 0; i < sweep.points.size(); ++i) {
    results.push_back(result_of(sweep.points[i], outcomes[i], store));
    if (!results.back().is_null())
      for (const Json& stats : results.back()["variants"]) numbers.meet(stats);
  }
  Cells first;
  for (const SweepAxis& axis : sweep.axes) first.push_back(axis.key);
  std::string out = csv_line(joined(joined(first, {"point", "error", "variant"}), numbers.columns()));
  for (std::size_t i = 0; i < sweep.points.size(); ++i) {
    const SweepPoint& point = sweep.points[i];
    const Cells common = joined(point.values, {point.identity.key, outcomes[i].error});
    if (results[i].is_null()) {
      out += csv_line(joined(joined(common, {""}), Cells(numbers.columns().size())));
      continue;
    }
    for (const auto& [name, stats] : results[i]["variants"].items())
      out += csv_line(joined(joined(common, {name}), numbers.row(stats)));
  }
  return out;
}

}  // namespace collapsar
