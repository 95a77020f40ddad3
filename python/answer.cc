#include "python/answer.h"

#include <pybind11/numpy.h>

#include <algorithm>

#include "sim/run/report.h"

namespace py = pybind11;

namespace collapsar {

namespace {

template <class T, class Value>
py::array_t<T> column_of(const Timeline& timeline, Value value) {
  py::array_t<T> array(static_cast<py::ssize_t>(timeline.size()));
  std::transform(timeline.begin(), timeline.end(), array.mutable_data(), value);
  return array;
}

// Counts as int64, so that differences may be negative; ratios as float64.
py::dict columns_of(const Timeline& timeline) {
  py::dict columns;
  for (const TimeColumn& column : time_columns()) {
    if (column.is_ratio())
      columns[column.name] = column_of<double>(timeline, [&](const TimePoint& p) { return column.number(p); });
    else
      columns[column.name] =
          column_of<std::int64_t>(timeline, [&](const TimePoint& p) { return std::int64_t(column.count(p)); });
  }
  return columns;
}

}  // namespace

Answer answer_of(ExperimentResult result, const std::vector<VirtAddr>& why) {
  Answer answer{std::move(result), {}, {}, {}};
  answer.json = json_report(answer.result, why);
  answer.table = table_report(answer.result);
  answer.ranges_csv = ranges_csv(answer.result);
  return answer;
}

py::dict dict_of(const Answer& answer) {
  py::dict timeseries;
  for (const VariantResult& variant : answer.result.variants)
    timeseries[py::str(variant.name)] = columns_of(variant.timeline);
  py::dict out;
  out["json"] = answer.json;
  out["table"] = answer.table;
  out["ranges_csv"] = answer.ranges_csv;
  out["timeseries"] = timeseries;
  return out;
}

}  // namespace collapsar
