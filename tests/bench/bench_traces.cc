// How fast whole traces replay from their files. items_per_second is references (fetches included) per second of CPU time of all threads.
//
// Runs every `.ctr` file of the folder that the environment variable COLLAPSAR_TRACES names (without it: of traces/) in two depths:
//   tlb:   no data caches, every page-table read takes 80 ns: TLBs, walks and the kernel
//   full:  caches, DRAM, swap, kernel and khugepaged
#include <benchmark/benchmark.h>

#include <cstdlib>
#include <filesystem>

#include "sim/run/experiment.h"

namespace collapsar {
namespace {

namespace fs = std::filesystem;

const char* const kTlbOnly =
    "caches: none\n"
    "dram: {ideal: 80ns}\n"
    "variants: {never: {kernel.thp.enabled: never}}\n";
const char* const kFull =
    "variants: {khugepaged: {kernel.thp.enabled: always, kernel.thp.at_fault: false}}\n"
    "baseline: khugepaged\n";

void replay(benchmark::State& state, const std::string& file, const char* settings) {
  ConfigNode config = experiment_of_trace({file}, {}, {});
  config.merge(parse_yaml(settings, "benchmark"));
  std::uint64_t references = 0;
  for (auto _ : state) references += run_experiment(config, RunOptions{}).trace.references;
  state.SetItemsProcessed(std::int64_t(references));
}

void add_all() {
  const char* named = std::getenv("COLLAPSAR_TRACES");
  const fs::path folder = named ? fs::path(named) : fs::path(COLLAPSAR_SOURCE_DIR) / "traces";
  std::vector<fs::path> files;
  for (const auto& entry : fs::directory_iterator(folder))
    if (entry.path().extension() == ".ctr") files.push_back(entry.path());
  std::sort(files.begin(), files.end());
  for (const fs::path& file : files)
    for (const auto& [depth, settings] : {std::pair{"tlb", kTlbOnly}, {"full", kFull}})
      benchmark::RegisterBenchmark(
          ("trace/" + file.stem().string() + "/" + depth).c_str(),
          [path = file.string(), settings = settings](benchmark::State& state) { replay(state, path, settings); })
          ->Iterations(1)
          ->MeasureProcessCPUTime()
          ->Unit(benchmark::kMillisecond);
}

const bool kAdded = (add_all(), true);

}  // namespace
}  // namespace collapsar
