// collapsar run: the variants of a config, or of the default machine on a trace, and their report.
#include <cstdio>

#include "sim/run/cli_experiment.h"
#include "sim/run/cli_progress.h"
#include "sim/run/report.h"

namespace collapsar {

CommandOptions options_of_run() {
  CommandOptions options(
      "run", "run CONFIG.yaml | TRACE... [OPTION]...",
      "Replays a trace once per variant (never, khugepaged, always, unless the config names others) and\n"
      "prints a table with the difference to the baseline. TRACE alone: the default machine; several\n"
      "files are the processes of one recording.",
      "  collapsar run configs/quickstart.yaml\n"
      "  collapsar run trace.ctr --set kernel.khugepaged.max_ptes_none=0 --variant khugepaged\n"
      "  collapsar run config.yaml --out results --why 0x7f3a12345678\n");
  options.values("set", "KEY=VALUE", "changes the config: --set kernel.khugepaged.scan_sleep=1s");
  options.values("variant", "VARIANT", "runs only this variant; may be given several times");
  options.value("out", "DIR", "writes report.html, result.json, timeseries.csv, ranges.csv and events.json there");
  options.value("jobs", "N", "variants that run side by side (default: one per CPU of this computer)");
  options.flag("json", "prints result.json on standard output and nothing else");
  options.flag("quiet", "no progress line");
  options.values("why", "ADDRESS", "tells why the 2 MiB range of this address is huge or not");
  options.flag("check", "holds TLBs against page tables after every flush, and the kernel at each interval (slow)");
  options.flag("one-event-per-step", "no short cuts between events; gives the same results, slower");
  return options;
}

namespace {

std::vector<VirtAddr> addresses_of(const CommandOptions& options) {
  std::vector<VirtAddr> addresses;
  for (const std::string& text : options.all("why")) {
    try {
      addresses.push_back({parse_count(text)});
    } catch (const std::invalid_argument&) {
      throw UsageError(fmt::format("run: --why {}: no address; write it as 0x7f3a12345678", text));
    }
  }
  return addresses;
}

// Before a run that may take long.
void check_addresses(const Experiment& experiment, const std::vector<VirtAddr>& addresses) {
  for (const Variant& variant : experiment.variants) {
    const unsigned levels = variant.config.mmu.levels;
    const std::uint64_t end = 1ULL << (kPageShift + 9 * levels - 1);
    for (const VirtAddr address : addresses)
      if (address.value >= end)
        throw UsageError(fmt::format("run: --why {}: no user-space address; with {}-level page tables these end at {}",
                                     to_hex(address.value), levels, to_hex(end - 1)));
  }
}

RunOptions run_options(const CommandOptions& options) {
  RunOptions run;
  run.variants = options.all("variant");
  run.search_dirs = installed_configs();
  run.why = addresses_of(options);
  run.jobs = jobs_of(options, "run");
  run.check = options.has("check");
  run.one_event_per_step = options.has("one-event-per-step");
  run.record = options.has("out");
  return run;
}

ExperimentResult run_with_progress(const ConfigNode& config, RunOptions& run, bool quiet) {
  const Experiment experiment = resolve_experiment(config, run.variants, run.search_dirs);
  check_addresses(experiment, run.why);
  ProgressLine line({experiment.variants.size()}, !quiet);
  line.watch(run);
  return run_experiment(config, run);
}

}  // namespace

int run_run(const Arguments& arguments) {
  CommandOptions options = options_of_run();
  if (!options.parse(arguments, 1, 1000)) return kDone;
  RunOptions run = run_options(options);
  const std::vector<VirtAddr>& why = run.why;
  const ConfigNode config = config_of(options, "run", run.search_dirs);
  const std::string out = options.get("out", "");
  const ReportDirectory directory(out);
  const ExperimentResult result = run_with_progress(config, run, options.has("quiet"));
  if (!out.empty()) write_report(result, out, why);
  if (options.has("json")) {
    print(json_report(result, why));
    return kDone;
  }
  print(options.paint(stdout).table(table_report(result), 2));
  for (VirtAddr address : why) print("\n" + why_report(result, address));
  return kDone;
}

}  // namespace collapsar
