#include "sim/core/stats.h"

#include <gtest/gtest.h>

#include <stdexcept>

#include "sim/core/random.h"

namespace collapsar {
namespace {

using namespace std::chrono_literals;

struct ScanStats {
  std::uint64_t succeed = 0;
  template <class V>
  void describe(V& v) {
    v("SCAN_SUCCEED", succeed, "ranges", "collapsed");
  }
};

struct ExampleStats {
  std::uint64_t hits = 0, misses = 0, free_bytes = 0, huge = 0, rss = 0;
  Duration cpu{};
  Histogram latency;
  ScanStats scan;
  template <class V>
  void describe(V& v) {
    v("hits", hits, "look-ups", "found");
    v("misses", misses, "look-ups", "not found");
    v.ratio("hit_ratio", hits, hits + misses, "share found");
    v("cpu_ns", cpu, "ns", "time taken");
    v.gauge("free_bytes", free_bytes, "bytes", "at the end");
    v.gauge_ratio("coverage", huge, rss, "huge of resident");
    v("latency", latency, "ns", "from request to answer");
    v.group("scan", scan);
  }
};

StatTable table_of(ExampleStats& stats) {
  StatTable table;
  table.collect("mmu.l1d", stats);
  return table;
}

TEST(Stats, RowsKeepTheOrderAndTheNamesOfTheList) {
  ExampleStats stats;
  const StatTable table = table_of(stats);
  std::vector<std::string> paths;
  for (const StatRow& row : table) paths.push_back(row.path);
  EXPECT_EQ(paths, (std::vector<std::string>{"mmu.l1d.hits", "mmu.l1d.misses", "mmu.l1d.hit_ratio", "mmu.l1d.cpu_ns",
                                             "mmu.l1d.free_bytes", "mmu.l1d.coverage", "mmu.l1d.latency",
                                             "mmu.l1d.scan.SCAN_SUCCEED"}));
  EXPECT_STREQ(table.find("mmu.l1d.hits")->unit, "look-ups");
  EXPECT_STREQ(table.find("mmu.l1d.hits")->help, "found");
}

TEST(Stats, AnEmptyPrefixAddsNoDot) {
  ScanStats stats;
  StatTable table;
  table.collect("", stats);
  EXPECT_NE(table.find("SCAN_SUCCEED"), nullptr);
}

TEST(Stats, IntegersStayExact) {
  ExampleStats stats;
  stats.hits = (1ULL << 53) + 1;
  EXPECT_EQ(table_of(stats).find("mmu.l1d.hits")->integer(), (1ULL << 53) + 1);
}

TEST(Stats, TimesAreWholeNanosecondsRoundedToTheNearest) {
  ExampleStats stats;
  stats.cpu = Duration(1499);
  EXPECT_EQ(table_of(stats).find("mmu.l1d.cpu_ns")->integer(), 1U);
  stats.cpu = Duration(1500);
  EXPECT_EQ(table_of(stats).find("mmu.l1d.cpu_ns")->integer(), 2U);
}

TEST(Stats, UnknownPathsAreNotZero) {
  const StatTable table;
  EXPECT_EQ(table.find("nothing"), nullptr);
  EXPECT_THROW(table.value("nothing"), std::out_of_range);
}

TEST(Stats, ADifferenceIsTakenOfWhatCountsUp) {
  ExampleStats stats;
  stats.hits = 10, stats.misses = 90, stats.cpu = Duration(1600), stats.free_bytes = 500, stats.huge = 1,
  stats.rss = 10;
  stats.latency.add(1000);
  const StatTable warm = table_of(stats);
  stats.hits = 40, stats.misses = 100, stats.cpu = Duration(3000), stats.free_bytes = 300, stats.huge = 3,
  stats.rss = 4;
  stats.latency.add(7);
  stats.scan.succeed = 2;

  const StatTable difference = table_of(stats).minus(warm);
  EXPECT_EQ(difference.value("mmu.l1d.hits"), 30);
  EXPECT_EQ(difference.value("mmu.l1d.hit_ratio"), 30.0 / 40);
  EXPECT_EQ(difference.value("mmu.l1d.cpu_ns"), 1);  // 1400 ps: the difference is taken before it is rounded
  EXPECT_EQ(difference.value("mmu.l1d.free_bytes"), 300);
  EXPECT_EQ(difference.value("mmu.l1d.coverage"), 3.0 / 4);
  EXPECT_EQ(difference.value("mmu.l1d.scan.SCAN_SUCCEED"), 2);
  const Histogram& latency = *difference.find("mmu.l1d.latency")->histogram;
  EXPECT_EQ(latency.count(), 1U);
  EXPECT_EQ(latency.sum(), 7U);
  EXPECT_EQ(latency.max(), 7U);
}

TEST(Stats, ARowThatIsNewStartsFromZero) {
  ScanStats scan;
  scan.succeed = 3;
  StatTable now;
  now.collect("processes.7", scan);
  EXPECT_EQ(now.minus(StatTable()).value("processes.7.SCAN_SUCCEED"), 3);
}

TEST(Stats, ARatioOfNothingIsZero) {
  ExampleStats stats;
  EXPECT_EQ(table_of(stats).value("mmu.l1d.hit_ratio"), 0);
}

TEST(StatsDeathTest, APathTakenTwiceIsABug) {
  ScanStats stats;
  StatTable table;
  table.collect("a", stats);
  EXPECT_DEATH(table.collect("a", stats), "stat a.SCAN_SUCCEED collected twice");
}

TEST(Histogram, BucketsTileAllValues) {
  std::uint64_t next = 0;
  for (std::size_t i = 0; i < Histogram::kBuckets; ++i) {
    EXPECT_EQ(Histogram::bucket_low(i), next);
    EXPECT_EQ(Histogram::bucket_of(Histogram::bucket_low(i)), i);
    EXPECT_EQ(Histogram::bucket_of(Histogram::bucket_high(i)), i);
    next = Histogram::bucket_high(i) + 1;
  }
  EXPECT_EQ(next, 0U);  // the last bucket ends at 2^64 - 1
}

TEST(Histogram, SmallValuesAreExact) {
  Histogram histogram;
  for (std::uint64_t value = 0; value < 8; ++value) histogram.add(value);
  EXPECT_EQ(histogram.percentile(0), 0U);
  EXPECT_EQ(histogram.percentile(50), 3U);
  EXPECT_EQ(histogram.percentile(100), 7U);
  EXPECT_EQ(histogram.mean(), 3.5);
}

TEST(Histogram, APercentileIsAtMostAQuarterTooHigh) {
  Random random(1, "histogram");
  Histogram histogram;
  std::vector<std::uint64_t> values;
  for (int i = 0; i < 1000; ++i) values.push_back(random.next() >> random.below(64));
  for (std::uint64_t value : values) histogram.add(value);
  std::sort(values.begin(), values.end());
  for (int percent : {1, 10, 50, 90, 99, 100}) {
    const double exact = double(values[static_cast<std::size_t>(percent) * 10 - 1]);
    EXPECT_GE(double(histogram.percentile(percent)), exact);
    EXPECT_LE(double(histogram.percentile(percent)), exact * 1.25);
  }
  EXPECT_EQ(histogram.percentile(100), values.back());
}

TEST(Histogram, MergeIsTheInverseOfMinus) {
  Histogram a, both;
  a.add(5), a.add(100);
  both = a;
  both.add(3'000'000);
  Histogram later = both.minus(a);
  EXPECT_EQ(later.max(), 3'000'000U);
  later.merge(a);
  EXPECT_EQ(later, both);
}

TEST(Histogram, OfNothingIsZero) {
  const Histogram histogram;
  EXPECT_EQ(histogram.percentile(99), 0U);
  EXPECT_EQ(histogram.mean(), 0);
}

TEST(Histogram, DurationsCountInNanoseconds) {
  Histogram histogram;
  histogram.add(Duration(80us));
  EXPECT_EQ(histogram.sum(), 80'000U);
}

}  // namespace
}  // namespace collapsar
