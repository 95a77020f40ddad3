// report.html as text: what people read, what the scripts get, and that no name can do harm. tests/page/ looks at it in a browser.
#include "sim/run/report_html.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "tests/unit/run/sample_result.h"

namespace collapsar {
namespace {

std::size_t count(const std::string& text, std::string_view part) {
  std::size_t n = 0;
  for (std::size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++n;
  return n;
}

nlohmann::json data_of(const ExperimentResult& result) { return nlohmann::json::parse(plot_data(result)); }

TEST(ReportHtml, IsOneFileThatFetchesNothing) {
  const std::string page = html_report(two_variants());
  EXPECT_TRUE(page.starts_with("<!doctype html>"));
  EXPECT_EQ(count(page, "</html>"), 1U);
  EXPECT_NE(page.find("default-src 'none'"), std::string::npos);
  for (const char* fetches : {"<script src", "<link rel=\"stylesheet\"", "@import", "<img", "fetch(", "XMLHttpRequest"})
    EXPECT_EQ(count(page, fetches), 0U) << fetches;
  EXPECT_NE(page.find("Permission is hereby granted, free of charge"), std::string::npos) << "uPlot's licence";
  for (const char* place : {"{{title}}", "{{data}}", "{{script}}"}) EXPECT_EQ(count(page, place), 0U);
}

TEST(ReportHtml, ShowsWhatTheTableShows) {
  const std::string page = html_report(two_variants());
  for (const char* part : {"<h1>pair</h1>", "1,000,000 references of app.ctr; differences to never", "page walks",
                           "-60.0 %", "2 wake-ups of up to 8 ranges, 64 candidates: at most 16 collapsed, in fact 16",
                           "VMAs inferred from what is touched", "size: 16GiB"})
    EXPECT_NE(page.find(part), std::string::npos) << part;
}

TEST(ReportHtml, TheWorstRangesAreThoseThatAreNotHuge) {
  ExperimentResult result = two_variants();
  EXPECT_NE(worst_ranges_html(result).find("khugepaged is off"), std::string::npos);
  EXPECT_EQ(count(worst_ranges_html(result), "0x7f0000200000"), 0U);  // huge at the end
  RangeRow small = result.variants[1].ranges[0];
  small.base = {0x7f0000400000}, small.history.is_huge = false, small.history.last = ScanResult::EXCEED_NONE_PTE;
  small.history.became_huge_times = 0, small.walk_cycles = 60'000;
  result.variants[1].ranges.push_back(small);
  const std::string worst = worst_ranges_html(result);
  for (const char* part : {"0x7f0000400000", "60,000", "50.0 %", "SCAN_EXCEED_NONE_PTE", "Not huge, and never was."})
    EXPECT_NE(worst.find(part), std::string::npos) << part << worst;
}

TEST(ReportHtml, NoNameDoesHarm) {
  const std::string evil = "</script><script>alert(1)</script><!--<b a='\"&";
  ExperimentResult result = two_variants();
  result.name = result.trace.name = result.trace.program = evil;
  result.trace.notes = {evil};
  result.config = parse_yaml("name: \"</script><script>alert(1)</script>\"\n", "t");
  result.variants[1].name = evil;
  result.variants[1].ranges[0].mapping = result.variants[1].ranges[0].process = evil;
  result.variants[1].ranges[0].history.is_huge = false;
  const std::string page = html_report(result);
  EXPECT_EQ(count(page, "alert(1)</script>"), 0U);
  EXPECT_EQ(count(page, "<script>alert"), 0U);
  EXPECT_EQ(count(page, "<!--<b"), 0U);
  EXPECT_EQ(count(page, "<script"), 2U);
  EXPECT_EQ(count(page, "</script>"), 2U);
  EXPECT_EQ(data_of(result)["variants"][1]["name"], evil);
}

TEST(ReportHtml, BytesThatAreNoTextDoNotBreakIt) {
  ExperimentResult result = two_variants();
  result.variants[1].ranges[0].mapping = "\xff\xfe";
  EXPECT_NO_THROW(data_of(result));
}

TEST(ReportHtml, TheDataHasACurveForEachVariant) {
  const nlohmann::json data = data_of(two_variants());
  ASSERT_EQ(data["variants"].size(), 2U);
  EXPECT_EQ(data["curves"].size(), 7U);
  for (const auto& variant : data["variants"])
    for (const auto& curve : data["curves"])
      EXPECT_EQ(variant["curves"][std::string(curve["key"])].size(), variant["time"].size()) << curve;
  EXPECT_EQ(data["variants"][0]["time"][1], 1e-7);
  EXPECT_EQ(data["variants"][0]["curves"]["coverage"][1], 25);
  EXPECT_TRUE(data["variants"][0]["curves"]["coverage"][0].is_null());  // no anonymous memory: no answer
}

TEST(ReportHtml, TheMapNamesItsStates) {
  ExperimentResult result = two_variants();
  for (VariantResult& variant : result.variants) variant.facts.end = std::chrono::seconds(12);
  RangeRow& row = result.variants[1].ranges[0];
  row.first_walk = kTimeZero;
  row.changes = {{.when = kTimeZero + std::chrono::seconds(6),
                  .state = RangeChange::State::huge,
                  .by = RangeRecord::By::khugepaged}};
  const nlohmann::json data = data_of(result);
  EXPECT_EQ(data["variants"][1]["map"][0]["states"], "a120b120");
  EXPECT_EQ(data["states"][1]["label"], "collapsed by khugepaged");
  EXPECT_EQ(data["states"][1]["code"], "b");
  EXPECT_EQ(data["variants"][0]["map"].size(), 0U);
}

TEST(ReportHtml, HistogramsAreCountedByPowersOfTwo) {
  const nlohmann::json data = data_of(two_variants());
  const auto it = std::find_if(data["histograms"].begin(), data["histograms"].end(),
                               [](const auto& h) { return h["key"] == "stall.collapse_ns"; });
  ASSERT_NE(it, data["histograms"].end());
  EXPECT_EQ((*it)["bars"][1]["counts"].dump(), "[[19,1]]");  // 2^18 <= 400,000 < 2^19
}

TEST(ReportHtml, TheSameResultGivesTheSameBytes) {
  EXPECT_EQ(html_report(two_variants()), html_report(two_variants()));
}

}  // namespace
}  // namespace collapsar
