// What populated memory costs the host.
//
//   populated/scan    khugepaged over 64 GiB whose accessed bits were cleared, so that it looks at every entry and collapses nothing;
//                     items_per_second: entries per second of CPU time, of 100 further seconds of simulated time
//   populated/pages   bytes of host memory for each 4 KiB page of 32 further GiB, page tables included; at the peak of a run, so
//                     with its final check
#include <benchmark/benchmark.h>
#include <fmt/format.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <stdexcept>
#include <string>

#include "sim/run/experiment.h"
#include "tests/bench/bench_clock.h"

namespace collapsar {
namespace {

// Everything is in place before time 0; the first reference, elsewhere, lets time begin.
StatTable run_populated(int gib, int seconds) {
  const std::string text = fmt::format(
      "memory.size: 96GiB\n"
      "kernel: {{thp: {{enabled: always, at_fault: false}}, khugepaged: {{pages_to_scan: 16777216, scan_sleep: 1s}}}}\n"
      "trace:\n"
      "  prefault: vmas\n"
      "  synthetic:\n"
      "    - {{pattern: sequential, region: other, footprint: 4KiB, references: 1}}\n"
      "    - {{pattern: idle, time: 1s, clear_accessed: true}}\n"
      "    - {{pattern: sequential, region: other, footprint: 4KiB, references: 1}}\n"
      "    - {{pattern: idle, time: {}s}}\n"
      "    - {{pattern: sequential, footprint: {}GiB, references: 1}}\n"
      "variants: {{khugepaged: {{}}}}\nbaseline: khugepaged\n",
      seconds, gib);
  return run_experiment(parse_yaml(text, "benchmark"), RunOptions{}).variants.front().stats;
}

// The most that such a run has in memory. In a process of its own: what one run leaves to the allocator is not the next one's.
double peak_bytes(int gib, int seconds) {
  const pid_t child = fork();
  if (child == 0) {
    run_populated(gib, seconds);
    _exit(0);
  }
  int status = -1;
  rusage used{};
  if (child < 0 || wait4(child, &status, 0, &used) != child || status != 0)
    throw std::runtime_error("a run in a process of its own has failed");
  return double(used.ru_maxrss) * 1024;
}

void populated_scan(benchmark::State& state) {
  for (auto _ : state) {
    const double start = cpu_seconds();
    const double few = run_populated(64, 20).value("khugepaged.ptes_scanned"), middle = cpu_seconds();
    const double many = run_populated(64, 120).value("khugepaged.ptes_scanned"), end = cpu_seconds();
    state.SetIterationTime((end - middle) - (middle - start));
    state.SetItemsProcessed(std::int64_t(many - few));
  }
}

void populated_pages(benchmark::State& state) {
  constexpr double kFurtherPages = 32.0 * (1 << 30) / 4096;
  for (auto _ : state) {
    state.counters["bytes_per_page"] = (peak_bytes(64, 20) - peak_bytes(32, 20)) / kFurtherPages;
  }
}

BENCHMARK(populated_scan)->Name("populated/scan")->Iterations(1)->UseManualTime()->Unit(benchmark::kMillisecond);
BENCHMARK(populated_pages)->Name("populated/pages")->Iterations(1)->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace collapsar
