// The story of a range from its first scan to its collapse, as --why and ranges.csv tell it, against the figures of the run.
#include <gtest/gtest.h>

#include <sstream>

#include "sim/run/report.h"

namespace collapsar {
namespace {

// Eight ranges with eight pages each, then filled, then read. khugepaged comes every 100 ms.
constexpr const char* kFilledLater =
    "trace.synthetic:\n"
    "  - {pattern: sparse, footprint: 16MiB, pages_per_range: 8, write: true}\n"
    "  - {pattern: idle, time: 250ms}\n"
    "  - {pattern: touch, footprint: 16MiB, write: true}\n"
    "  - {pattern: random, footprint: 16MiB, references: 20000}\n"
    "  - {pattern: idle, time: 200ms}\n"
    "  - {pattern: random, footprint: 16MiB, references: 20000}\n"
    "memory.size: 128MiB\n"
    "caches: none\n"
    "dram.ideal: 80ns\n"
    "swap.device: none\n"
    "kernel.thp: {enabled: always, at_fault: false}\n"
    "kernel.khugepaged: {scan_sleep: 100ms, pages_to_scan: 8192, max_ptes_none: 0}\n"
    "variants:\n"
    "  never: {kernel.thp.enabled: never}\n"
    "  khugepaged: {}\n";

ExperimentResult ask(const std::string& config, std::vector<VirtAddr> why = {}) {
  RunOptions options;
  options.check = true;
  options.why = std::move(why);
  return run_experiment(parse_yaml(config, "test.yaml"), options);
}

std::uint64_t count(const VariantResult& variant, const std::string& path) {
  const StatRow* row = variant.stats.find(path);
  EXPECT_TRUE(row) << path;
  return row ? row->integer() : 0;
}

template <class F>
std::uint64_t sum(const VariantResult& variant, F&& part) {
  std::uint64_t total = 0;
  for (const RangeRow& row : variant.ranges) total += part(row);
  return total;
}

// Where there was no warm-up, the ranges add up to the run.
void expect_ranges_add_up(const VariantResult& variant) {
  using By = RangeRecord::By;
  SCOPED_TRACE(variant.name);
  const auto by = [](By who) { return [who](const RangeRow& r) { return r.history.times_by[std::size_t(who)]; }; };
  EXPECT_EQ(sum(variant, [](const RangeRow& r) { return r.history.times_scanned; }),
            count(variant, "khugepaged.ranges_scanned"));
  for (std::size_t i = 0; i < kScanResults; ++i)
    EXPECT_EQ(sum(variant, [&](const RangeRow& r) { return r.history.results[i]; }),
              count(variant, "khugepaged." + KhugepagedStats::kScanPaths[i]));
  EXPECT_EQ(sum(variant, [](const RangeRow& r) { return r.history.collapsed; }),
            count(variant, "khugepaged.pages_collapsed"));
  EXPECT_EQ(sum(variant, by(By::fault)), count(variant, "vmstat.thp_fault_alloc"));
  EXPECT_EQ(sum(variant, [](const RangeRow& r) { return r.history.split_times; }),
            count(variant, "vmstat.thp_split_pmd"));
  EXPECT_EQ(sum(variant, [](const RangeRow& r) { return r.walks; }), count(variant, "mmu.walks"));
  const std::uint64_t cycles = sum(variant, [](const RangeRow& r) { return r.walk_cycles; });
  EXPECT_LE(cycles, count(variant, "mmu.walk_cycles"));
  EXPECT_GE(cycles + variant.ranges.size(), count(variant, "mmu.walk_cycles"));  // rounded down, range by range
  EXPECT_EQ(sum(variant, [](const RangeRow& r) { return r.is_huge(); }) * kHugeBytes,
            count(variant, "memory.anon_huge_bytes"));
}

// The phases of all collapses; looking for candidates also passes over VMAs and takes up processes.
void expect_costs_add_up(const VariantResult& variant) {
  const std::uint64_t collapses = sum(variant, [](const RangeRow& r) { return rounded_ns(r.history.collapse_cost); });
  const std::uint64_t scans = sum(variant, [](const RangeRow& r) { return rounded_ns(r.history.scan_cost); });
  const std::uint64_t all = count(variant, "khugepaged.cpu_ns"), looking = count(variant, "khugepaged.cpu_ns.scan");
  EXPECT_NEAR(double(collapses), double(all - looking), double(variant.ranges.size()));
  EXPECT_LE(scans, looking + variant.ranges.size());
  EXPECT_GE(scans * 2, looking);
}

TEST(Why, ARangeRefusedForNoneThenFilledThenCollapsed) {
  const ExperimentResult result = ask(kFilledLater);
  const VariantResult& variant = result.variants[1];
  expect_ranges_add_up(variant);
  expect_ranges_add_up(result.base());
  expect_costs_add_up(variant);
  std::uint64_t told = 0;
  for (const RangeRow& row : variant.ranges) {
    const RangeRecord& history = row.history;
    if (row.mapping != "main" || history.times_scanned == 0) continue;
    ++told;
    // At 100 and 200 ms; at 0 khugepaged finds the first range begun, its pages not on their list yet, and no page table
    // in the others.
    EXPECT_EQ(history.results[std::size_t(ScanResult::EXCEED_NONE_PTE)], 2U);
    EXPECT_EQ(history.results[std::size_t(ScanResult::PAGE_LRU)] + history.results[std::size_t(ScanResult::PMD_NULL)] +
                  history.results[std::size_t(ScanResult::PMD_NONE)],
              1U);
    EXPECT_EQ(history.results[std::size_t(ScanResult::PMD_MAPPED)], 1U);  // at 400 ms
    EXPECT_EQ(history.last_look_result, ScanResult::SUCCEED);
    EXPECT_EQ(history.results[std::size_t(ScanResult::SUCCEED)], 1U);
    EXPECT_EQ(history.last_present, 512U);
    EXPECT_EQ(history.huge_by, RangeRecord::By::khugepaged);
    EXPECT_EQ(history.first_huge, history.became_huge);
    EXPECT_TRUE(row.is_huge());
    EXPECT_LE(row.small_time + row.huge_time, variant.facts.end);
    EXPECT_GT(row.walk_cycles_small(), 0U);
  }
  EXPECT_EQ(told, count(variant, "khugepaged.pages_collapsed"));
  EXPECT_EQ(told, 8U);
}

TEST(Why, TheReportTellsThatStory) {
  const ExperimentResult result = ask(kFilledLater);
  const RangeRow* row = nullptr;
  for (const RangeRow& r : result.variants[1].ranges)
    if (!row && r.is_huge()) row = &r;
  ASSERT_TRUE(row);
  const std::string text = why_report(result, row->base + 4096);
  for (const char* part :
       {"  never\n    Not huge, and never was.\n    Never scanned.\n", "thp.enabled is never: khugepaged does not run.",
        "  khugepaged\n    Huge: collapsed by khugepaged at 3",
        "SCAN_SUCCEED once, SCAN_PMD_MAPPED once, SCAN_EXCEED_NONE_PTE 2 times, SCAN_PAGE_LRU once.",
        "512 of 512 PTEs looked at, 512 present, 0 empty or zero page, 0 swapped out, 0 shared, 512 referenced, "
        "writable",
        "Collapse: ", "of CPU time; others waited 0 ns for its locks", "while it was small",
        "Saved against the baseline: ", "if the program had gone on as before", "Break-even: "})
    EXPECT_NE(text.find(part), std::string::npos) << part << "\nis not in\n" << text;
}

TEST(Why, ARefusedRangeSaysWhatWasCountedAndWhichKnob) {
  const ExperimentResult early =
      ask("trace.synthetic:\n"
          "  - {pattern: sparse, footprint: 16MiB, pages_per_range: 8, write: true}\n"
          "  - {pattern: idle, time: 250ms}\n"
          "memory.size: 128MiB\n"
          "kernel.thp: {enabled: always, at_fault: false}\n"
          "kernel.khugepaged: {scan_sleep: 100ms, max_ptes_none: 100}\n"
          "variants: {only: {}}\n");
  const VariantResult& only = early.variants[0];
  const auto row = std::find_if(only.ranges.begin(), only.ranges.end(),
                                [](const RangeRow& r) { return r.history.times_scanned > 0; });
  ASSERT_NE(row, only.ranges.end());
  EXPECT_EQ(row->history.last_none_or_zero, 101U);
  const std::string text = why_report(early, row->base);
  EXPECT_NE(text.find("SCAN_EXCEED_NONE_PTE (max_ptes_none is 100): "), std::string::npos) << text;
  EXPECT_NE(text.find("At the end of the run: khugepaged comes to it in 1 wake-up"), std::string::npos) << text;
}

TEST(Why, AnAddressWithoutVmaIsAnswered) {
  const ExperimentResult result = ask(kFilledLater, {{0x10}});
  EXPECT_EQ(why_report(result, {0x10}),
            "Why 0x10? No process had a VMA there, and nothing happened in its 2 MiB range.\n");
  EXPECT_TRUE(explain(result, {0x10}).empty());
  EXPECT_EQ(ranges_csv(result).find(",0x0,"), std::string::npos);
}

TEST(Why, RangesAddUpWithManyProcessesAndUnderReclaim) {
  for (const char* config : {"processes", "swap"}) {
    SCOPED_TRACE(config);
    RunOptions options;
    options.search_dirs = {std::string(COLLAPSAR_SOURCE_DIR) + "/configs"};
    const std::string file = std::string(COLLAPSAR_SOURCE_DIR) + "/tests/golden/" + config + ".yaml";
    const ExperimentResult result = run_experiment(load_experiment(file, {}, options.search_dirs), options);
    for (const VariantResult& variant : result.variants) expect_ranges_add_up(variant);
  }
}

TEST(Why, AfterAWarmupOnlyItsWalksAreLeftOut) {
  const ExperimentResult result = ask(std::string(kFilledLater) + "trace.warmup: 5000\n");
  const VariantResult& variant = result.variants[1];
  EXPECT_EQ(sum(variant, [](const RangeRow& r) { return r.walks; }), count(variant, "mmu.walks"));
  EXPECT_EQ(
      sum(variant, [](const RangeRow& r) { return r.history.times_by[std::size_t(RangeRecord::By::khugepaged)]; }), 8U);
}

}  // namespace
}  // namespace collapsar
