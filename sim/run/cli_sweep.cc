// collapsar sweep: a config at every combination of some keys' values, on all cores; what is finished is kept.
#include <cstdio>

#include "sim/run/cli_experiment.h"
#include "sim/run/cli_progress.h"
#include "sim/run/report.h"
#include "sim/run/sweep.h"

namespace collapsar {

CommandOptions options_of_sweep() {
  CommandOptions options(
      "sweep", "sweep CONFIG.yaml | TRACE... --vary KEY=V1,V2,... [OPTION]...",
      "Runs a config at every combination of the values of some keys, all its variants each time, and\n"
      "prints a table; sweep.csv in the output directory has every number. A finished point is kept\n"
      "there, in points/, and not run again while config, trace and program are the same: after an\n"
      "interruption the same command goes on where it was.",
      "  collapsar sweep configs/quickstart.yaml --vary kernel.khugepaged.scan_sleep=1s,3s,10s\n"
      "  collapsar sweep trace.ctr --vary cpu.count=1,2 --vary kernel.khugepaged.max_ptes_none=0,511 --out mine\n");
  options.values("vary", "KEY=V1,V2,...", "a key and its values; may be given several times");
  options.values("set", "KEY=VALUE", "changes the config of all points");
  options.values("variant", "VARIANT", "runs only this variant; may be given several times");
  options.value("out", "DIR", "where sweep.csv and finished points go (default: NAME.sweep here)");
  options.value("jobs", "N", "points that run side by side (default: one per CPU of this computer)");
  options.flag("quiet", "no progress line");
  return options;
}

namespace {

std::vector<SweepAxis> axes_of(const CommandOptions& options) {
  std::vector<SweepAxis> axes;
  for (const std::string& text : options.all("vary")) axes.push_back(parse_axis(text));
  if (axes.empty()) throw UsageError("sweep: nothing varies; write --vary KEY=V1,V2,...");
  return axes;
}

std::size_t left_to_run(const Sweep& sweep, const PointStore& store) {
  std::size_t variants = 0;
  for (const SweepPoint& point : sweep.points) variants += store.has(point.identity) ? 0 : point.variants;
  return variants;
}

}  // namespace

int run_sweep_command(const Arguments& arguments) {
  CommandOptions options = options_of_sweep();
  if (!options.parse(arguments, 1, 1000)) return kDone;
  RunOptions run;
  run.variants = options.all("variant");
  run.search_dirs = installed_configs();
  run.jobs = jobs_of(options, "sweep");
  const std::vector<SweepAxis> axes = axes_of(options);
  const ConfigNode config = config_of(options, "sweep", run.search_dirs);
  const Sweep sweep = make_sweep(config, axes, run);
  const std::string directory = options.get("out", name_of(config) + ".sweep");
  PointStore store(directory);
  store.lock();
  std::vector<PointOutcome> outcomes;
  {
    ProgressLine line({left_to_run(sweep, store)}, !options.has("quiet"));
    line.watch(run);
    outcomes = run_sweep(sweep, store, run);
  }
  write_whole_file(directory + "/sweep.csv", sweep_csv(sweep, outcomes, store));
  print(options.paint(stdout).table(sweep_table(sweep, outcomes, store), 2));
  for (const PointOutcome& outcome : outcomes)
    if (outcome.state == PointOutcome::State::failed) return kSimulationFailed;
  return kDone;
}

}  // namespace collapsar
