#include "python/bindings_sweep.h"

#include <pybind11/stl.h>

#include "python/beside.h"
#include "sim/run/report.h"
#include "sim/run/source_digest.h"
#include "sim/run/sweep.h"

namespace py = pybind11;

namespace collapsar {

namespace {

using Texts = std::vector<std::string>;
using Axes = std::vector<std::pair<std::string, Texts>>;
using Errors = std::map<std::size_t, std::string>;  // point -> why it failed

// A sweep and what its points were made with.
struct PySweep {
  Sweep sweep;
  RunOptions options;
  const SweepPoint& at(std::size_t point) const { return sweep.points.at(point); }
};

PySweep sweep_of(const ConfigNode& config, const Axes& axes, const ArrayTrace* trace, const Texts& variants,
                 const Texts& search_dirs) {
  PySweep made;
  made.options.variants = variants;
  made.options.search_dirs = search_dirs;
  made.options.open_trace = maker_of(trace);
  std::vector<SweepAxis> all;
  for (const auto& [key, values] : axes) all.push_back({key, values});
  made.sweep = make_sweep(config, all, made.options);
  return made;
}

std::string portable_text(const PySweep& sweep, std::size_t point) {
  const RunOptions& options = sweep.options;
  return to_yaml(resolve_experiment(sweep.at(point).config, options.variants, options.search_dirs).portable());
}

Errors run_here(const PySweep& sweep, const PointStore& store, unsigned jobs) {
  return run_beside<Errors>([&](const StopTest& stop) {
    RunOptions options = sweep.options;
    options.jobs = jobs;
    options.on_progress = [&stop](const Progress&) { stop(); };
    Errors errors;
    const std::vector<PointOutcome> outcomes = run_sweep(sweep.sweep, store, options);
    for (std::size_t i = 0; i < outcomes.size(); ++i)
      if (outcomes[i].state == PointOutcome::State::failed) errors[i] = outcomes[i].error;
    return errors;
  });
}

// One point of somebody's sweep, from the text that portable_text() made.
PointFiles point_files(const std::string& text, const ArrayTrace* trace, unsigned jobs) {
  return run_beside<PointFiles>([&](const StopTest& stop) {
    RunOptions options;
    options.jobs = jobs;
    options.open_trace = maker_of(trace);
    options.on_progress = [&stop](const Progress&) { stop(); };
    return files_of(run_experiment(parse_yaml(text, "config"), options));
  });
}

// `kept`: points that were finished before.
std::vector<PointOutcome> outcomes_of(const PySweep& sweep, const std::vector<std::size_t>& kept,
                                      const Errors& errors) {
  std::vector<PointOutcome> outcomes(sweep.sweep.points.size());
  for (const std::size_t point : kept) outcomes.at(point).state = PointOutcome::State::kept;
  for (const auto& [point, error] : errors) outcomes.at(point) = {PointOutcome::State::failed, error};
  return outcomes;
}

}  // namespace

void bind_sweep(py::module_& module) {
  module.attr("program") = std::string(COLLAPSAR_VERSION) + " " + source_digest();

  py::class_<PySweep>(module, "Sweep")
      .def(py::init(&sweep_of), py::arg("config"), py::arg("axes"), py::arg("trace"), py::arg("variants"),
           py::arg("search_dirs"), py::keep_alive<1, 4>())  // the array of the trace
      .def("__len__", [](const PySweep& sweep) { return sweep.sweep.points.size(); })
      .def("values", [](const PySweep& sweep, std::size_t point) { return sweep.at(point).values; })
      .def("key", [](const PySweep& sweep, std::size_t point) { return sweep.at(point).identity.key; })
      .def("portable", &portable_text)
      .def("run", &run_here, py::arg("store"), py::arg("jobs"))
      .def("table",
           [](const PySweep& sweep, const PointStore& store, const std::vector<std::size_t>& kept,
              const Errors& errors) { return sweep_table(sweep.sweep, outcomes_of(sweep, kept, errors), store); })
      .def("csv", [](const PySweep& sweep, const PointStore& store, const Errors& errors) {
        return sweep_csv(sweep.sweep, outcomes_of(sweep, {}, errors), store);
      });

  py::class_<PointStore>(module, "PointStore")
      .def(py::init<const std::string&>(), py::arg("directory"))
      .def("lock", &PointStore::lock)
      .def("has", [](const PointStore& store, const PySweep& sweep,
                     std::size_t point) { return store.has(sweep.at(point).identity); })
      .def("put", [](const PointStore& store, const PySweep& sweep, std::size_t point,
                     const PointFiles& files) { store.put(sweep.at(point).identity, files); })
      .def("folder", [](const PointStore& store, const PySweep& sweep, std::size_t point) {
        return store.folder(sweep.at(point).identity).string();
      });

  module.def("point_files", &point_files, py::arg("text"), py::arg("trace"), py::arg("jobs"));
}

}  // namespace collapsar
