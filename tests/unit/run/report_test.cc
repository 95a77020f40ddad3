// The three shapes of a report, from results made by hand.
#include "sim/run/report.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <sstream>

#include "tests/unit/run/sample_result.h"

namespace collapsar {
namespace {

TEST(Report, TheTableComparesEachVariantWithTheBaseline) {
  EXPECT_EQ(table_report(two_variants()),
            R"(pair: 1,000,000 references of app.ctr; differences to never

                                   never            khugepaged
TLB
  L1 misses, data                 20,000       8,000   -60.0 %
  L2 misses                       10,000       4,000   -60.0 %
  page walks                      10,000       4,000   -60.0 %
  walk cycles                    300,000     120,000   -60.0 %
  cycles stalled for a walk            0           0         =
Program
  cycles                       5,000,000   5,000,000         =
  simulated time                    12 s        12 s         =
  page faults, minor                   0           0         =
Memory
  huge-page coverage               0.0 %      50.0 %  +50.0 pt
  RSS                            128 MiB     128 MiB         =
  page tables                        0 B         0 B         =
khugepaged
  ranges collapsed                     0           0         =
  CPU time                          0 ns        0 ns         =
  stalls behind a collapse             0           1       new
    half are shorter than           0 ns      400 us       new
    99 % are shorter than           0 ns      400 us       new
    the longest                     0 ns      400 us       new
Walk cycles by mapping
  heap                           300,000     120,000   -60.0 %

Huge-page coverage reached after
                    25 %        50 %        75 %        90 %        99 %
  never           100 ns           -           -           -           -
  khugepaged      100 ns           -           -           -           -

Honest time
  never       12 s simulated, time.scale 100; khugepaged is off
  khugepaged  12 s simulated, time.scale 100; 2 wake-ups of up to 8 ranges, 64 candidates: at most 16 collapsed, in fact 16
note: VMAs inferred from what is touched
note: simplified in 0 points, listed under `notes` in result.json
)");
}

TEST(Report, ManyVariantsAreBrokenIntoBlocksThatRepeatTheBaseline) {
  ExperimentResult result = two_variants();
  for (int i = 0; i < 6; ++i) result.variants.push_back(variant("variant-number-" + std::to_string(i), 500, 8));
  std::istringstream lines(table_report(result));
  std::size_t heads = 0;
  for (std::string line; std::getline(lines, line);) {
    if (line.starts_with("Honest")) break;  // its lines grow with the names
    EXPECT_LE(line.size(), 120U) << line;
    heads += line.starts_with("     ") && line.find(" never ") != std::string::npos;
  }
  EXPECT_EQ(heads, 3U);
}

TEST(Report, JsonHasTheContractsShape) {
  const auto json = nlohmann::ordered_json::parse(json_report(two_variants(), {{0x7f0000212345}}));
  EXPECT_EQ(json["schema"], 1);
  EXPECT_EQ(json["baseline"], "never");
  EXPECT_EQ(json["trace"]["hash"], "abc");
  EXPECT_EQ(json["variants"]["khugepaged"]["mmu.walks"], 4000);
  EXPECT_EQ(json["variants"]["khugepaged"]["memory.coverage"], 0.5);
  EXPECT_EQ(
      json["variants"]["khugepaged"]["stall.collapse_ns"].dump(),
      R"({"count":1,"sum":400000,"max":400000,"p50":400000,"p90":400000,"p99":400000,"buckets":[[393216,458751,1]]})");
  EXPECT_EQ(json["config"].dump(),
            R"({"seed":1,"memory":{"size":"16GiB"},"mmu":{"asids":true},"time":{"scale":1.5},"name":"7"})");
  EXPECT_EQ(json["notes"]["honest_time"]["khugepaged"]["collapsible_at_most"], 16);
  EXPECT_EQ(json["notes"]["trace"][0], "VMAs inferred from what is touched");
  EXPECT_EQ(json["why"]["0x7f0000212345"].size(), 2U);
}

TEST(Report, TheTimeSeriesHasOneRowPerIntervalAndVariant) {
  std::istringstream lines(timeseries_csv(two_variants()));
  std::string head, row;
  std::getline(lines, head);
  EXPECT_TRUE(head.starts_with("variant,time_ns,refs,instructions,cycles,mmu.l1i.misses,mmu.l1d.misses,"));
  std::getline(lines, row);
  EXPECT_TRUE(row.starts_with("never,0,0,"));
  std::getline(lines, row);
  EXPECT_TRUE(row.starts_with("never,100,5,"));
  EXPECT_NE(row.find(",2097152,0.250000,"), std::string::npos);
  EXPECT_EQ(std::count(row.begin(), row.end(), ','), std::count(head.begin(), head.end(), ','));
}

std::vector<std::string> fields(std::string line) {
  const std::size_t name = line.find("\"a,b\"");
  if (name != std::string::npos) line.replace(name, 5, "ab");
  std::vector<std::string> out;
  std::istringstream stream(line + ",");
  for (std::string field; std::getline(stream, field, ',');) out.push_back(field);
  return out;
}

// Column name -> field, of row `n` of ranges.csv.
std::map<std::string, std::string> range_row(std::size_t n) {
  std::istringstream lines(ranges_csv(two_variants()));
  std::string head, row;
  std::getline(lines, head);
  for (std::size_t i = 0; i <= n; ++i) std::getline(lines, row);
  const std::vector<std::string> names = fields(head), values = fields(row);
  EXPECT_EQ(names.size(), values.size());
  std::map<std::string, std::string> out;
  for (std::size_t i = 0; i < std::min(names.size(), values.size()); ++i) out[names[i]] = values[i];
  return out;
}

TEST(Report, RangesHaveAColumnForEachFact) {
  auto row = range_row(1);
  const std::pair<const char*, const char*> expected[] = {
      {"variant", "khugepaged"},
      {"process", "1"},
      {"space", "0"},
      {"base", "0x7f0000200000"},
      {"times_scanned", "2"},
      {"SCAN_LACK_REFERENCED_PAGE", "1"},
      {"SCAN_SUCCEED", "1"},
      {"SCAN_PAGE_RO", "0"},
      {"last_result", "SCAN_SUCCEED"},
      {"last_scan_ns", "10000000000"},
      {"last_present", "500"},
      {"last_writable", "1"},
      {"last_none_or_zero", "12"},
      {"is_huge", "1"},
      {"huge_by", "khugepaged"},
      {"by_khugepaged", "1"},
      {"became_huge_ns", "10001000000"},
      {"stopped", ""},
      {"collapse_cost_ns", "438000"},
      {"stall_ns", "62000"},
      {"walk_cycles_small", "118000"},
      {"walk_cycles_huge", "2000"},
      {"saved_walk_cycles", "180000"},
      {"saving_basis", "baseline"},
      {"saved_since_huge", "180000"},
      {"break_even", "not_yet"},
      {"break_even_ns", "5555555556"}};  // 500,000 cycles at 90,000 per second
  for (const auto& [name, text] : expected) EXPECT_EQ(row[name], text) << name;
}

TEST(Report, WhatNeverHappenedToARangeIsEmpty) {
  auto row = range_row(0);
  EXPECT_EQ(row["mapping"], "ab");
  EXPECT_EQ(row["obstacle"], "thp_off");
  for (const char* name : {"last_result", "last_scan_ns", "last_present", "huge_by", "became_huge_ns", "saving_basis",
                           "saved_since_huge", "break_even", "break_even_ns"})
    EXPECT_EQ(row[name], "") << name;
}

TEST(Report, EveryColumnOfRangesIsDocumented) {
  std::ifstream file(std::string(COLLAPSAR_SOURCE_DIR) + "/docs/ranges.md");
  std::stringstream text;
  text << file.rdbuf();
  for (const auto& [name, value] : range_row(0)) {
    if (name.starts_with("SCAN_")) continue;
    EXPECT_NE(text.str().find("`" + name + "`"), std::string::npos) << name;
  }
}

TEST(Report, WhyTellsTheHistoryOfARange) {
  EXPECT_EQ(why_report(two_variants(), {0x7f0000212345}),
            R"(Why 0x7f0000212345? 2 MiB range 0x7f0000200000-0x7f0000400000 of process 1 (app), mapping a,b:
  never
    Not huge, and never was.
    Never scanned.
    At the end of the run: thp.enabled is never: khugepaged does not run.
    Walks: 10,000, 300,000 walk cycles.
  khugepaged
    Huge: collapsed by khugepaged at 10 s.
    Scanned by khugepaged 2 times: SCAN_SUCCEED once, SCAN_LACK_REFERENCED_PAGE once. Last at 10 s: SCAN_SUCCEED: 512 of 512 PTEs looked at, 500 present, 12 empty or zero page, 0 swapped out, 0 shared, 40 referenced, writable. CPU time of scans: 112 us.
    Collapse: 438 us of CPU time; others waited 62 us for its locks. Together 500,000 cycles.
    Walks: 4,000, 120,000 walk cycles: 118,000 in 10 s while it was small, 2,000 in 2 s while it was huge (-60.0 % to the baseline).
    Saved against the baseline: 180,000 walk cycles, 90,000 per second while huge.
    Saved since it became huge, if the program had gone on as before: about 21,600 walk cycles (11,800 per second while small x 2 s huge - 2,000).
    Break-even: not yet; at this rate 5.556 s (time.scale 100: 55.56 ms of the program's own time) after it became huge.
)");
  EXPECT_EQ(why_report(two_variants(), {0x1000}),
            "Why 0x1000? No process had a VMA there, and nothing happened in its 2 MiB range.\n");
}

TEST(Report, WhyTellsWhenAndOnWhoseBehalfARangeStoppedBeingHuge) {
  ExperimentResult result = two_variants();
  RangeRecord& history = result.variants[1].ranges[0].history;
  history.is_huge = false;
  history.stopped = RangeRecord::Stop::split, history.stopped_by = RangeRecord::Cause::mprotect;
  history.stopped_huge = kTimeZero + std::chrono::seconds(11);
  history.last = ScanResult::PAGE_COUNT;
  result.variants[1].ranges[0].outlook.pages_ahead = 3 * 4096;
  const std::string text = why_report(result, {0x7f0000200000});
  for (const char* part :
       {"Not huge any more: collapsed by khugepaged at 10 s, its PMD was split by mprotect at 11 s.",
        "Last at 10 s: SCAN_PAGE_COUNT in the collapse, after the scan had succeeded: 512 of 512",
        "At the end of the run: khugepaged comes to it in 4 wake-ups, not before 30 s from then: 12,288 pages"})
    EXPECT_NE(text.find(part), std::string::npos) << part << "\nis not in\n" << text;
}

TEST(Report, WritesWholeFilesOnly) {
  namespace fs = std::filesystem;
  const fs::path dir = fs::temp_directory_path() / fmt::format("collapsar-report-{}", ::getpid());
  write_report(two_variants(), dir / "new" / "deep");
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(dir / "new" / "deep")) names.push_back(entry.path().filename());
  std::sort(names.begin(), names.end());
  EXPECT_EQ(names,
            (std::vector<std::string>{"events.json", "ranges.csv", "report.html", "result.json", "timeseries.csv"}));
  fs::remove_all(dir);
}

}  // namespace
}  // namespace collapsar
