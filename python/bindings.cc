// The module collapsar._collapsar: what the package in collapsar/ needs of the simulator, and nothing that users see.
//
// Errors:      ConfigError and TraceError become ValueError, SimulationError becomes RuntimeError; the text stays.
// Files:       beside.h: a run with a thread of its own. bindings_sweep.cc: sweeps and their store.
//              bindings_simulation.cc: one variant, step by step.
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include "python/answer.h"
#include "python/beside.h"
#include "python/bindings_simulation.h"
#include "python/bindings_sweep.h"
#include "sim/run/report.h"

namespace py = pybind11;

namespace collapsar {

namespace {

using Texts = std::vector<std::string>;
using Records = py::array_t<Record, py::array::c_style>;

struct Request {
  ConfigNode config;
  RunOptions options;
  std::string out;  // directory for the report's files; "" for none
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

// ---- Runs -----------------------------------------------------------------------------------------------------------

Answer answer_of(const Request& request) {
  if (!request.out.empty()) prepare_report_directory(request.out);
  RunOptions options = request.options;
  options.record = !request.out.empty();
  Answer answer = answer_of(run_experiment(request.config, options), request.options.why);
  if (!request.out.empty()) write_report(answer.result, request.out, request.options.why);
  return answer;
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
  request.options.open_trace = maker_of(trace);
  for (std::uint64_t address : why) request.options.why.push_back({address});
  return dict_of(run_beside<Answer>([&request](const StopTest& stop) {
    request.options.on_progress = [&stop](const Progress&) { stop(); };
    return answer_of(request);
  }));
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
  bind_sweep(module);
  bind_simulation(module);
}

}  // namespace collapsar
