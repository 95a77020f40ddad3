// Same bytes from two runs, from both event modes, and however many variants run side by side.
#include <gtest/gtest.h>

#include "sim/run/report.h"

namespace collapsar {
namespace {

// Small machines that between them have everything that could disturb the order of events.
constexpr const char* kConfigs[] = {
    // khugepaged and a program that shares its lock
    "trace.synthetic:\n"
    "  - {pattern: touch, footprint: 8MiB, write: true}\n"
    "  - {pattern: random, footprint: 8MiB, references: 20000, write: true}\n"
    "  - {pattern: idle, time: 100ms}\n"
    "  - {pattern: random, footprint: 8MiB, references: 20000}\n"
    "memory.size: 64MiB\n"
    "kernel.khugepaged: {scan_sleep: 1ms, pages_to_scan: 1024}\n"
    "output.interval: 1ms\n",
    // more processes than CPUs, khugepaged on one of them
    "trace.synthetic:\n"
    "  - {pattern: touch, footprint: 4MiB, write: true}\n"
    "  - {pattern: touch, footprint: 4MiB, write: true, process: 2}\n"
    "  - {pattern: chase, footprint: 4MiB, references: 20000, process: 2}\n"
    "  - {pattern: zipf, footprint: 4MiB, references: 20000}\n"
    "  - {pattern: touch, footprint: 2MiB, process: 3}\n"
    "memory.size: 64MiB\n"
    "cpu: {count: 2, time_slice: 100us}\n"
    "mmu.asids: false\n"
    "kernel.khugepaged: {scan_sleep: 1ms, pages_to_scan: 1024, cpu: 1}\n"
    "output.interval: 1ms\n",
    // reclaim and swap, stamps of its own pace
    "trace.synthetic:\n"
    "  - {pattern: touch, footprint: 40MiB, write: true}\n"
    "  - {pattern: sequential, footprint: 40MiB, references: 20000}\n"
    "memory.size: 32MiB\n"
    "swap: {device: ssd, size: 64MiB}\n"
    "time: {pace: fixed, fixed: 50ns}\n"
    "kernel.khugepaged: {scan_sleep: 5ms}\n"
    "output.interval: 10ms\n",
};

std::string everything(const ExperimentResult& result) {
  return json_report(result) + timeseries_csv(result) + ranges_csv(result) + events_report(result) +
         html_report(result);
}

std::string run(const char* config, unsigned jobs, bool one_event_per_step) {
  RunOptions options;
  options.jobs = jobs;
  options.one_event_per_step = one_event_per_step;
  options.record = true;
  return everything(run_experiment(parse_yaml(config, "test.yaml"), options));
}

// The first line that differs says more than two megabytes of text.
std::string first_difference(const std::string& a, const std::string& b) {
  if (a == b) return "";
  const std::size_t at = std::size_t(std::mismatch(a.begin(), a.end(), b.begin(), b.end()).first - a.begin());
  const std::size_t start = a.rfind('\n', at) + 1;
  return a.substr(start, a.find('\n', at) - start) + "\n" + b.substr(start, b.find('\n', at) - start);
}

class Determinism : public ::testing::TestWithParam<const char*> {};

TEST_P(Determinism, TwoRunsGiveTheSameBytes) {
  EXPECT_EQ(first_difference(run(GetParam(), 1, false), run(GetParam(), 1, false)), "");
}

TEST_P(Determinism, OneEventPerStepGivesTheSameBytes) {
  EXPECT_EQ(first_difference(run(GetParam(), 1, false), run(GetParam(), 1, true)), "");
}

TEST_P(Determinism, TheNumberOfJobsDoesNotMatter) {
  EXPECT_EQ(first_difference(run(GetParam(), 1, false), run(GetParam(), 2, false)), "");
}

INSTANTIATE_TEST_SUITE_P(Machines, Determinism, ::testing::ValuesIn(kConfigs));

// Sixteen processes that share caches, memory and khugepaged on any number of CPUs.
std::string config_with(std::uint32_t cpus) {
  std::string text = fmt::format("cpu: {{count: {}, time_slice: 50us}}\n", cpus);
  text += "memory.size: 128MiB\nkernel.khugepaged: {scan_sleep: 1ms, pages_to_scan: 2048}\noutput.interval: 1ms\n";
  text += "variants: {khugepaged: {kernel.thp.enabled: always, kernel.thp.at_fault: false}}\ntrace.synthetic:\n";
  for (unsigned process = 1; process <= 16; ++process)
    text += fmt::format("  - {{pattern: touch, footprint: 2MiB, write: true, process: {}}}\n", process);
  for (unsigned process = 1; process <= 16; ++process)
    text += fmt::format("  - {{pattern: random, footprint: 2MiB, references: 3000, write: {}, process: {}}}\n",
                        process % 2 ? "true" : "false", process);
  return text + "  - {pattern: idle, time: 5ms}\n";
}

class DeterminismOnCpus : public ::testing::TestWithParam<std::uint32_t> {};

TEST_P(DeterminismOnCpus, SameBytesAgainAndWithOneEventPerStep) {
  const std::string config = config_with(GetParam()), first = run(config.c_str(), 1, false);
  EXPECT_EQ(first_difference(first, run(config.c_str(), 1, false)), "");
  EXPECT_EQ(first_difference(first, run(config.c_str(), 1, true)), "");
}

TEST_P(DeterminismOnCpus, EveryReferenceIsMadeAndEveryPageIsThere) {
  const ExperimentResult result = run_experiment(parse_yaml(config_with(GetParam()), "test.yaml"), RunOptions{});
  const StatTable& stats = result.base().stats;
  EXPECT_EQ(stats.value("refs"), 16 * (512 + 3000));
  EXPECT_EQ(stats.value("memory.rss_bytes"), double(16 * kHugeBytes));
}

INSTANTIATE_TEST_SUITE_P(Cpus, DeterminismOnCpus, ::testing::Values(1, 2, 8, 64));

}  // namespace
}  // namespace collapsar
