// collapsar tune: the knobs of khugepaged that get most of what it can get, at the least CPU time of its own.
#include <bit>
#include <cstdio>
#include <iterator>

#include "sim/core/units.h"
#include "sim/run/cli_experiment.h"
#include "sim/run/cli_progress.h"
#include "sim/run/tune_run.h"

namespace collapsar {

CommandOptions options_of_tune() {
  CommandOptions options(
      "tune", "tune CONFIG.yaml | TRACE... [OPTION]...",
      "Looks for the knobs of khugepaged that reach 90 % of the attainable reduction of TLB misses at the\n"
      "least CPU time of khugepaged, and prints the lines that set them. Attainable is what the most\n"
      "eager khugepaged reaches (64 GiB scanned ten times a second) with any max_ptes_none, within the\n"
      "memory bound. For each max_ptes_none (511, 384, 255, 127, 63, 0) the slowest scan rate that still\n"
      "reaches the goal is found by bisection, in at most 31 runs of the trace. Runs are kept and not\n"
      "made again while config, trace and program are the same.",
      "  collapsar tune configs/quickstart.yaml\n"
      "  collapsar tune trace.ctr --max-rss 2GiB --jobs 8\n");
  options.value("max-rss", "BYTES", "the highest RSS allowed: 2GiB");
  options.value("variant", "VARIANT", "the variant that is tuned (default: khugepaged)");
  options.values("set", "KEY=VALUE", "changes the config of all runs");
  options.value("out", "DIR", "where finished runs are kept (default: NAME.tune here)");
  options.value("jobs", "N", "runs side by side (default: one per CPU of this computer)");
  options.flag("quiet", "no progress line");
  return options;
}

namespace {

// The baseline; for each max_ptes_none the most eager, and a bisection of the other rungs.
constexpr std::size_t kMostRuns = 1 + std::size(kMaxPtesNone) * (1 + std::bit_width(kRungCount - 1));
static_assert(kMostRuns == 31, "as the help says");

std::uint64_t max_rss_of(const CommandOptions& options) {
  if (!options.has("max-rss")) return 0;
  try {
    const std::uint64_t bytes = parse_bytes(options.get("max-rss", "")).value;
    if (bytes > 0) return bytes;
  } catch (const std::invalid_argument& error) {
    throw UsageError(fmt::format("tune: --max-rss: {}", error.what()));
  }
  throw UsageError("tune: --max-rss: 0; a bound has a size, as 2GiB");
}

}  // namespace

int run_tune(const Arguments& arguments) {
  CommandOptions options = options_of_tune();
  if (!options.parse(arguments, 1, 1000)) return kDone;
  RunOptions run;
  run.search_dirs = installed_configs();
  run.jobs = jobs_of(options, "tune");
  const std::uint64_t max_rss = max_rss_of(options);
  const ConfigNode config = config_of(options, "tune", run.search_dirs);
  PointStore store(options.get("out", name_of(config) + ".tune"));
  TuneRuns runs(config, options.get("variant", "khugepaged"), store, run);
  store.lock();
  Tuning tuning;
  {
    ProgressLine line({kMostRuns, "runs at most", "", true}, !options.has("quiet"));
    line.watch(run);
    tuning = tune(
        runs.baseline(), [&](const std::vector<Knobs>& knobs) { return runs.measure(knobs); }, max_rss);
  }
  print(fmt::format("{}, variant {}: {} runs\n\n", name_of(config), options.get("variant", "khugepaged"),
                    tuning.trials.size() + 1));
  print(tuning_report(tuning, max_rss, runs.enabled()));
  if (tuning.chosen && !runs.at_fault())
    print(
        "\nnote: kernel.thp.at_fault is false, so that khugepaged did all the work; with `enabled` as above a real "
        "kernel\n"
        "      also takes huge pages at faults, and khugepaged has less to do\n");
  return kDone;
}

}  // namespace collapsar
