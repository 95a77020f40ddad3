#include "models/mem/bulk_copy.h"

#include <gtest/gtest.h>

namespace collapsar {
namespace {

constexpr std::int64_t kLines = kPageBytes / 64;

struct Job {
  explicit Job(const DramConfig& config) : dram(queue, config), copy(queue, dram), t(dram.timing()) {}
  void on_done() { finished = queue.now(); }
  void start(const Pfn* source, std::uint64_t pages, Duration cost) {
    if (!source) return copy.clear(Pfn{1000}, pages, cost, done);
    sources.clear();
    for (std::uint64_t i = 0; i < pages; ++i) sources.push_back(*source + i);
    copy.start(sources, Pfn{1000}, cost, done);
  }
  void expect_end(Time end) {
    queue.run_until(end - Duration(1));
    EXPECT_EQ(finished, kNever);
    EXPECT_TRUE(copy.busy());
    queue.run_until(end);
    EXPECT_EQ(finished, end);
    EXPECT_FALSE(copy.busy());
  }

  EventQueue queue;
  Dram dram;
  BulkCopy copy;
  std::vector<Pfn> sources;
  const DramTiming& t;
  // One frame, whose lines share a bank here, from an idle start: controller, row, column, then line after line.
  std::int64_t read_cycles() const { return 3 + t.rcd + t.cl + (kLines - 1) * t.ccd_l + t.burst; }
  std::int64_t write_cycles() const { return 3 + t.rcd + t.cwl + (kLines - 1) * t.ccd_l_wr + t.burst; }
  Time finished = kNever;
  Event done = event<&Job::on_done>(this, "test.done", Phase::kernel);
};

DramConfig one_channel() {
  DramConfig config;
  config.standard = "DDR4-3200";
  config.channels = config.ranks = 1;
  return config;
}
TEST(BulkCopy, ClearingLastsAtLeastItsTableCost) {
  Job job(one_channel());
  job.start(nullptr, 2, std::chrono::microseconds(100));
  job.expect_end(Time(std::chrono::microseconds(100)));
  EXPECT_EQ(job.dram.stats().writes, 2U * kLines);
  EXPECT_EQ(job.dram.stats().reads, 0U);
}

TEST(BulkCopy, ClearingLastsAtLeastItsMemoryTime) {
  Job job(one_channel());
  job.start(nullptr, 1, Duration(1));
  job.expect_end(job.t.time_of(job.write_cycles()));
}

TEST(BulkCopy, CopyingReadsAFrameThenWritesIt) {
  const Pfn source{0};  // banks 0 and, at frame 1000, 500 rows on: bank 4 of row 31
  Job job(one_channel());
  job.start(&source, 1, Duration::zero());
  job.expect_end(job.t.time_of(job.read_cycles() + job.write_cycles()));
  EXPECT_EQ(job.dram.stats().reads, kLines);
  EXPECT_EQ(job.dram.stats().writes, kLines);
}

TEST(BulkCopy, ReadsTheNextFrameWhileItWritesTheOneBefore) {
  const Pfn source{0};
  constexpr std::int64_t kFrames = 8;
  Job job(one_channel());
  job.start(&source, kFrames, Duration::zero());
  job.queue.run();
  EXPECT_LT(job.finished, job.t.time_of(kFrames * (job.read_cycles() + job.write_cycles())));
  EXPECT_GT(job.finished, job.t.time_of(kFrames * kLines * 2 * job.t.burst)) << "the data bus carries each line twice";
}

TEST(BulkCopy, ClearsWhereThereIsNoSource) {
  Job job(one_channel());
  job.sources = {Pfn{5}, kNoPfn, kNoPfn, Pfn{77}};
  job.copy.start(job.sources, Pfn{1000}, Duration::zero(), job.done);
  job.queue.run();
  EXPECT_EQ(job.dram.stats().reads, 2U * kLines);
  EXPECT_EQ(job.dram.stats().writes, 4U * kLines);
}

TEST(BulkCopy, MovesEveryLineOfAHugePage) {
  const Pfn source{1 << 20};
  Job job(DramConfig{});
  job.start(&source, kHugePages, Duration::zero());
  job.queue.run();
  EXPECT_EQ(job.dram.stats().reads, kHugePages * kLines);
  EXPECT_EQ(job.dram.stats().writes, kHugePages * kLines);
  EXPECT_EQ(job.dram.in_flight(), 0U);
  const double seconds = double((job.finished - kTimeZero).count()) * 1e-12;
  EXPECT_LT(2.0 * double(kHugeBytes) / seconds, job.dram.peak_bandwidth());
}

TEST(BulkCopy, IdealMemoryLeavesTheTableCostAlone) {
  DramConfig config;
  config.ideal = std::chrono::nanoseconds(80);
  const Pfn source{0};
  Job job(config);
  job.start(&source, kHugePages, std::chrono::nanoseconds(79));
  job.expect_end(Time(std::chrono::nanoseconds(79)));
  EXPECT_EQ(job.dram.stats().reads, kHugePages * kLines);
  EXPECT_EQ(job.dram.stats().writes, kHugePages * kLines);
}

TEST(BulkCopy, CanStartAgainFromItsCompletion) {
  Job job(one_channel());
  job.start(nullptr, 1, std::chrono::microseconds(1));
  job.queue.run();
  const Time first = job.finished;
  job.finished = kNever;
  job.start(nullptr, 1, std::chrono::microseconds(1));
  job.expect_end(first + std::chrono::microseconds(1));
}

}  // namespace
}  // namespace collapsar
