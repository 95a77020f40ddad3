// Policies side by side in one experiment: the oracle's first pass, and the share of its gain that a report gives.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "sim/run/hindsight.h"
#include "sim/run/report.h"

namespace collapsar {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

// Sixteen cold ranges lie before four hot ones; khugepaged has two a second, from 0 s on. What is accessed between two
// wake-ups tells the hot from the cold.
constexpr const char* kColdFirst =
    "name: cold-first\n"
    "trace.synthetic:\n"
    "  - {pattern: touch, footprint: 32MiB, write: true, region: cold}\n"
    "  - {pattern: touch, footprint: 8MiB, write: true, region: hot}\n"
    "  - {pattern: idle, time: 1500ms}\n"
    "  - {pattern: random, footprint: 8MiB, references: 20k, region: hot}\n"
    "  - {pattern: idle, time: 2s}\n"
    "  - {pattern: random, footprint: 8MiB, references: 40k, region: hot}\n"
    "memory.size: 256MiB\ncaches: none\ndram.ideal: 80ns\nswap.device: none\n"
    "mmu: {l1d: [{pages: [4K, 2M], sets: 16, ways: 4}], l2: [{pages: [4K, 2M], sets: 64, ways: 4}]}\n"
    "kernel: {thp: {enabled: always, at_fault: false}, khugepaged: {pages_to_scan: 1024, scan_sleep: 1s}}\n"
    "variants:\n"
    "  never: {kernel.thp.enabled: never}\n"
    "  linux: {}\n"
    "  coverage: {kernel.khugepaged.policy: coverage}\n"
    "  oracle: {kernel.khugepaged.policy: oracle}\n";

double walk_cycles(const ExperimentResult& result, std::string_view name) {
  for (const VariantResult& variant : result.variants)
    if (variant.name == name) return variant.stats.value("mmu.walk_cycles");
  return -1;
}

TEST(Policies, TheOracleSavesMoreThanLinuxWithTheSameBudget) {
  const ExperimentResult result = run_experiment(parse_yaml(kColdFirst, "cold-first.yaml"), {});
  EXPECT_LT(walk_cycles(result, "oracle"), walk_cycles(result, "linux"));
  EXPECT_LE(walk_cycles(result, "oracle"), walk_cycles(result, "coverage"));
  EXPECT_LT(walk_cycles(result, "coverage"), walk_cycles(result, "never"));
  const std::string report = table_report(result);
  EXPECT_THAT(report, HasSubstr("Page-walk cycles saved against never\n"));
  EXPECT_THAT(gain_report(result), HasSubstr("100.0 % of the oracle's\n"));
  EXPECT_THAT(gain_report(result), Not(HasSubstr("  never")));
}

TEST(Policies, JobsAndTheWayOfStepsDoNotChangeTheNumbers) {
  const ConfigNode config = parse_yaml(kColdFirst, "cold-first.yaml");
  RunOptions other;
  other.jobs = 4, other.one_event_per_step = true, other.check = true;
  EXPECT_EQ(json_report(run_experiment(config, {})), json_report(run_experiment(config, other)));
}

TEST(Policies, WithoutAnOracleThereIsNothingToCompareWith) {
  RunOptions some;
  some.variants = {"never", "linux"};
  const ExperimentResult result = run_experiment(parse_yaml(kColdFirst, "cold-first.yaml"), some);
  EXPECT_EQ(gain_report(result), "");
}

TEST(Policies, UnknownPoliciesAndSharesAreRefused) {
  const auto refusal = [](const std::string& set) -> std::string {
    try {
      ConfigNode config = parse_yaml(kColdFirst, "cold-first.yaml");
      apply_sets(config, {set}, {});
      resolve_experiment(config, {}, {});
    } catch (const ConfigError& error) {
      return error.what();
    }
    return "";
  };
  EXPECT_THAT(refusal("kernel.khugepaged.policy=ingens"), HasSubstr("kernel.khugepaged.policy: found ingens"));
  EXPECT_THAT(refusal("kernel.khugepaged.utilization=0"), HasSubstr("utilization: 0; a share above 0, at most 1"));
  EXPECT_THAT(refusal("kernel.khugepaged.utilization=1.5"), HasSubstr("utilization: 1.5; a share above 0, at most 1"));
}

TEST(Hindsight, KnowsTheWalksOfARangeByProcessAndSpace) {
  RangeRow row;
  row.pid = 3, row.space = 1, row.base = {0x200000}, row.walk_cycles = 42;
  const Hindsight hindsight({row});
  EXPECT_EQ(hindsight.walk_cycles(3, 1, {0x200000}), 42U);
  EXPECT_EQ(hindsight.walk_cycles(3, 0, {0x200000}), 0U);
  EXPECT_EQ(hindsight.walk_cycles(3, 1, {0x400000}), 0U);
}

}  // namespace
}  // namespace collapsar
