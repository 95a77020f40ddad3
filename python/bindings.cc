// The module collapsar._collapsar: what the package in collapsar/ needs of the simulator, and nothing that users see.
//
// Errors:      ConfigError and TraceError become ValueError, SimulationError becomes RuntimeError; the text stays.
// Threads:     the interpreter is free while a run goes on: the run has a thread of its own, and the calling one sleeps
//              and looks for signals now and then, so that Ctrl-C ends the run.
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <algorithm>
#include <atomic>
#include <future>

#include "sim/run/report.h"

namespace py = pybind11;

namespace collapsar {

namespace {

using Texts = std::vector<std::string>;
using Records = py::array_t<Record, py::array::c_style>;

constexpr auto kSignalInterval = std::chrono::milliseconds(100);  // host time; too short for a person to notice

// References from a NumPy array. Each variant replays a copy.
struct ArrayTrace {
  std::vector<Record> records;
  std::string name;
};

struct Request {
  ConfigNode config;
  RunOptions options;
  std::string out;  // directory for the report's files; "" for none
};

struct Answer {
  ExperimentResult result;
  std::string json, table, ranges_csv;
};

// ---- Configs --------------------------------------------------------------------------------------------------------

// The text was made from a dict: its lines mean nothing to the user, and its files are relative to the working directory.
void forget_lines(ConfigNode& node) {
  node.place.line = node.key_place.line = 0;
  for (ConfigNode& child : node.children) forget_lines(child);
}

ConfigNode config_of_text(const std::string& text, const Texts& sets, const Texts& search_dirs) {
  ConfigNode config = parse_yaml(text, "config");
  forget_lines(config);
  config = expand_base(config, search_dirs).config;
  apply_sets(config, sets, search_dirs);
  return config;
}

void set_variants(ConfigNode& config, const std::string& text) {
  ConfigNode variants = parse_yaml(text, "variants");
  forget_lines(variants);
  config.set("variants", std::move(variants));
}

// ---- Arrays ---------------------------------------------------------------------------------------------------------

ArrayTrace trace_of(const Records& records, std::string name) {
  return {std::vector<Record>(records.data(), records.data() + records.size()), std::move(name)};
}

Records records_of(const ArrayTrace& trace) { return Records(py::ssize_t(trace.records.size()), trace.records.data()); }

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

// ---- Runs -----------------------------------------------------------------------------------------------------------

struct Stopped : std::exception {};

Answer answer_of(const Request& request) {
  if (!request.out.empty()) prepare_report_directory(request.out);
  RunOptions options = request.options;
  options.record = !request.out.empty();
  Answer answer{run_experiment(request.config, options), {}, {}, {}};
  answer.json = json_report(answer.result, request.options.why);
  answer.table = table_report(answer.result);
  answer.ranges_csv = ranges_csv(answer.result);
  if (!request.out.empty()) write_report(answer.result, request.out, request.options.why);
  return answer;
}

// Sleeps until `running` is done. Requires: the interpreter is released. Throws what a signal handler raised.
void wait_for(std::future<Answer>& running, std::atomic<bool>& stop) {
  while (running.wait_for(kSignalInterval) != std::future_status::ready) {
    const py::gil_scoped_acquire hold;
    if (PyErr_CheckSignals() == 0) continue;
    py::error_already_set raised;
    stop = true;
    const py::gil_scoped_release free;
    running.wait();
    throw raised;
  }
}

Answer run_beside(Request request) {
  std::atomic<bool> stop = false;
  request.options.on_progress = [&stop](const Progress&) {
    if (stop) throw Stopped();
  };
  const py::gil_scoped_release free;
  std::future<Answer> running = std::async(std::launch::async, [&request] { return answer_of(request); });
  wait_for(running, stop);
  return running.get();
}

py::dict run(const ConfigNode& config, const ArrayTrace* trace, const Texts& variants, const Texts& search_dirs,
             unsigned jobs, bool check, bool one_event_per_step, const std::string& out,
             const std::vector<std::uint64_t>& why) {
  Request request{config, {}, out};
  request.options.variants = variants;
  request.options.search_dirs = search_dirs;
  request.options.jobs = jobs;
  request.options.check = check;
  request.options.one_event_per_step = one_event_per_step;
  if (trace) request.options.open_trace = [trace] { return make_memory_trace(trace->records, {}, trace->name); };
  for (std::uint64_t address : why) request.options.why.push_back({address});
  return dict_of(run_beside(std::move(request)));
}

}  // namespace

PYBIND11_MODULE(_collapsar, module) {
  PYBIND11_NUMPY_DTYPE(Record, va, instructions, size, kind, flags);

  module.attr("version") = COLLAPSAR_VERSION;
  module.attr("record_dtype") = py::dtype::of<Record>();
  module.attr("depends_on_load") = Record::kDependsOnLoad;

  py::class_<ConfigNode>(module, "Config").def("set_variants", &set_variants, py::arg("text"));
  module.def("config_of_file", &load_experiment, py::arg("file"), py::arg("sets"), py::arg("search_dirs"));
  module.def("config_of_trace", &experiment_of_trace, py::arg("files"), py::arg("sets"), py::arg("search_dirs"));
  module.def("config_of_text", &config_of_text, py::arg("text"), py::arg("sets"), py::arg("search_dirs"));

  py::class_<ArrayTrace>(module, "ArrayTrace")
      .def(py::init(&trace_of), py::arg("records"), py::arg("name"))
      .def("__len__", [](const ArrayTrace& trace) { return trace.records.size(); })
      .def_property_readonly("records", &records_of)
      .def_readonly("name", &ArrayTrace::name);

  module.def("run", &run, py::arg("config"), py::arg("trace"), py::kw_only(), py::arg("variants"),
             py::arg("search_dirs"), py::arg("jobs"), py::arg("check"), py::arg("one_event_per_step"), py::arg("out"),
             py::arg("why"));
}

}  // namespace collapsar
