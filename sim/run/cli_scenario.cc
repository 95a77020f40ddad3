// `collapsar scenario`: plays scenario files on the simulated kernel.
#include <filesystem>
#include <iostream>

#include "models/kernel/rules.h"
#include "sim/run/cli_options.h"
#include "sim/run/report.h"
#include "sim/run/scenario.h"

namespace collapsar {
namespace {

namespace fs = std::filesystem;

// With one scenario --out is a file; with several, or where it is a directory already, each gets NAME.KERNEL.jsonl there.
fs::path result_file(const std::string& out, const std::string& name, const std::string& kernel, bool is_folder) {
  return is_folder ? fs::path(out) / fmt::format("{}.{}.jsonl", name, kernel) : fs::path(out);
}

}  // namespace

CommandOptions options_of_scenario() {
  CommandOptions options("scenario", "scenario FILE.scn... --kernel VERSION [--out FILE]",
                         "Plays scripted address-space histories on the simulated kernel, khugepaged one pass at a "
                         "time, and writes what it "
                         "did: every visit, VMA, scan and collapse, and the memory at each snapshot, as JSON lines. "
                         "Scenarios named in one "
                         "call share one boot, in this order.",
                         "  collapsar scenario tests/oracle/cases/01-full-pmd.scn --kernel 6.1\n"
                         "  collapsar scenario tests/oracle/cases/*.scn --kernel 6.12 --out results/\n");
  options.value("kernel", "VERSION", "whose rules the kernel follows; default: the newest that is recorded, 6.12");
  options.value("out", "FILE", "where the records go; a directory for several scenarios; default: standard output");
  options.flag("check", "hold the kernel's books against its page tables after each scenario");
  options.flag("quiet", "no progress line");
  return options;
}

int run_scenario(const Arguments& arguments) {
  CommandOptions options = options_of_scenario();
  if (!options.parse(arguments, 1, 100'000)) return kDone;
  const std::string kernel = options.get("kernel", "6.12"), out = options.get("out", "");
  if (!find_rules(kernel))
    throw UsageError(fmt::format("scenario: --kernel {}: known are {}", kernel, known_versions()));
  std::vector<ScenarioScript> scripts;
  for (const std::string& file : options.arguments()) scripts.push_back(read_scenario(file));
  const bool is_folder = scripts.size() > 1 || (!out.empty() && fs::is_directory(out));
  const ReportDirectory directory(is_folder ? out : "");
  ScenarioPlayer player(kernel, options.has("check"));
  TerminalLine line(!options.has("quiet"));
  for (std::size_t done = 0; const ScenarioScript& script : scripts) {
    const double share = double(done) / double(scripts.size());
    if (line.is_due())
      line.show(
          fmt::format("{}/{} scenarios  {}{}", done, scripts.size(), script.name, time_left(share, line.seconds())));
    const std::string records = player.play(script);
    ++done;
    if (out.empty()) line.clear();
    if (out.empty()) std::cout << records;
    else write_whole_file(result_file(out, script.name, kernel, is_folder), records);
  }
  return kDone;
}

}  // namespace collapsar
