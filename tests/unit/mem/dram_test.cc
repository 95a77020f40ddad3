#include "models/mem/dram.h"

#include <gtest/gtest.h>

#include <cmath>
#include <deque>

#include "models/mem/dram_stream.h"
#include "tests/unit/mem/one_rank.h"

namespace collapsar {
namespace {

using Cycle = std::int64_t;

// A memory with requests that write down when they were answered.
class DramBench {
 public:
  explicit DramBench(const DramConfig& config)
      : dram(queue, config), t(dram.timing()), controller(config.controller_latency) {}
  struct Access {
    explicit Access(DramBench& owner) : bench(owner) { request.done = &done; }
    void answered() { finished = bench.queue.now(); }
    DramBench& bench;
    DramRequest request;
    Time finished = kNever;
    Event done = event<&Access::answered>(this, "test.answered", Phase::cpu);
  };
  Access& submit(std::uint64_t address, bool is_write = false, std::uint32_t lines = 1) {
    Access& access = accesses.emplace_back(*this);
    access.request.address = {address};
    access.request.is_write = is_write;
    access.request.lines = lines;
    dram.submit(access.request);
    return access;
  }
  void run_to(Cycle cycle) { queue.run_until(t.time_of(cycle)); }
  // Not one tick earlier, exactly then.
  void expect_answer(const Access& access, Cycle cycle) {
    queue.run_until(t.time_of(cycle) - Duration(1));
    EXPECT_EQ(access.finished, kNever);
    queue.run_until(t.time_of(cycle));
    EXPECT_EQ(access.finished, t.time_of(cycle));
  }

  EventQueue queue;
  Dram dram;
  const DramTiming& t;
  const Cycle controller;
  std::deque<Access> accesses;
};

TEST(Dram, AnswersALoneReadOfAClosedBankAfterControllerActivateColumnAndBurst) {
  for (const char* standard : {"DDR4-2400", "DDR4-2666", "DDR4-3200", "DDR5-4800", "DDR5-5600"}) {
    DramConfig config;
    config.standard = standard;
    DramBench bench(config);
    const Cycle expected = bench.controller + bench.t.rcd + bench.t.cl + bench.t.burst;
    EXPECT_EQ(bench.dram.unloaded_read(), bench.t.time_of(expected) - kTimeZero);
    bench.expect_answer(bench.submit(0), expected);
    EXPECT_EQ(bench.dram.stats().row_misses, 1U);
  }
}

TEST(Dram, SkipsTheActivateOnARowHitAndAddsAPrechargeOnAConflict) {
  DramBench bench(one_rank());
  bench.submit(0);
  bench.run_to(1000);
  bench.expect_answer(bench.submit(64), 1000 + bench.controller + bench.t.cl + bench.t.burst);
  bench.run_to(2000);
  bench.expect_answer(bench.submit(kBanks * kRowBytes),
                      2000 + bench.controller + bench.t.rp + bench.t.rcd + bench.t.cl + bench.t.burst);
  EXPECT_EQ(bench.dram.stats().row_hits, 1U);
  EXPECT_EQ(bench.dram.stats().row_misses, 1U);
  EXPECT_EQ(bench.dram.stats().row_conflicts, 1U);
  EXPECT_EQ(bench.dram.in_flight(), 0U);
}

TEST(Dram, StartsAtTheNextClockEdge) {
  DramBench bench(one_rank());
  bench.queue.run_until(bench.t.time_of(10) + Duration(1));
  bench.expect_answer(bench.submit(0), 11 + bench.controller + bench.t.rcd + bench.t.cl + bench.t.burst);
}

TEST(Dram, ClosedPagePolicyAlwaysActivatesButKeepsARowThatTheNextRequestWants) {
  DramConfig config = one_rank();
  config.page_policy = PagePolicy::closed;
  DramBench bench(config);
  bench.submit(0);
  bench.submit(64);
  bench.run_to(1000);
  EXPECT_EQ(bench.dram.stats().row_hits, 1U);
  bench.expect_answer(bench.submit(128), 1000 + bench.controller + bench.t.rcd + bench.t.cl + bench.t.burst);
  EXPECT_EQ(bench.dram.stats().row_misses, 2U);
}

TEST(Dram, KeepsARowOpenForTRas) {
  DramBench bench(one_rank());
  bench.submit(0);
  DramBench::Access& conflict = bench.submit(kBanks * kRowBytes);
  const Cycle precharge = std::max(bench.t.ras, bench.t.rcd + bench.t.rtp);
  bench.expect_answer(conflict, precharge + bench.t.rp + bench.t.rcd + bench.t.cl + bench.t.burst + bench.controller);
}

TEST(Dram, WaitsForWriteRecoveryBeforeAPrecharge) {
  DramBench bench(one_rank());
  bench.submit(0, true);
  DramBench::Access& conflict = bench.submit(kBanks * kRowBytes);
  const Cycle precharge = bench.t.rcd + bench.t.cwl + bench.t.burst + bench.t.wr;
  bench.expect_answer(conflict, precharge + bench.t.rp + bench.t.rcd + bench.t.cl + bench.t.burst + bench.controller);
}

TEST(Dram, SpacesColumnsOfOneBankGroupAndOfTwo) {
  DramBench bench(one_rank());
  for (std::uint64_t bank : {0, 4, 1}) bench.submit(bank * kRowBytes);  // groups 0, 0, 1
  bench.run_to(1000);
  const Cycle first = 1000 + bench.controller + bench.t.cl + bench.t.burst;
  bench.submit(64);
  DramBench::Access& same_group = bench.submit(4 * kRowBytes + 64);
  bench.expect_answer(same_group, first + bench.t.ccd_l);
  bench.run_to(2000);
  bench.submit(128);
  DramBench::Access& other_group = bench.submit(kRowBytes + 64);
  bench.expect_answer(other_group, 1000 + first + bench.t.ccd_s);
}

TEST(Dram, SpacesActivatesOfOneGroupOfTwoAndOfAWindowOfFour) {
  DramBench bench(one_rank());
  DramBench::Access& a = bench.submit(0);
  DramBench::Access& same_group = bench.submit(4 * kRowBytes);
  bench.run_to(1000);
  EXPECT_EQ(same_group.finished - a.finished, bench.t.time_of(bench.t.rrd_l) - kTimeZero);

  DramBench five(one_rank());
  DramBench::Access* access[5];
  for (std::uint64_t bank = 0; bank < 5; ++bank) access[bank] = &five.submit((bank < 4 ? bank : 8) * kRowBytes);
  five.run_to(1000);
  const Cycle alone = five.controller + five.t.rcd + five.t.cl + five.t.burst;
  for (Cycle i = 0; i < 4; ++i) EXPECT_EQ(access[i]->finished, five.t.time_of(alone + i * five.t.rrd_s));
  EXPECT_EQ(access[4]->finished, five.t.time_of(alone + five.t.faw));
}

TEST(Dram, TurnsTheBusRoundBetweenWriteAndRead) {
  DramBench bench(one_rank());
  for (std::uint64_t bank : {0, 1}) bench.submit(bank * kRowBytes);
  bench.run_to(1000);
  bench.submit(64, true);
  DramBench::Access& same_group = bench.submit(128);
  bench.expect_answer(
      same_group, 1000 + bench.t.cwl + bench.t.burst + bench.t.wtr_l + bench.t.cl + bench.t.burst + bench.controller);
  bench.run_to(2000);
  bench.submit(64, true);
  DramBench::Access& other_group = bench.submit(kRowBytes + 64);
  bench.expect_answer(
      other_group, 2000 + bench.t.cwl + bench.t.burst + bench.t.wtr_s + bench.t.cl + bench.t.burst + bench.controller);
}

TEST(Dram, LeavesABusCycleBetweenRanks) {
  DramConfig config = one_rank();
  config.ranks = 2;
  config.mapping = "RaRoBaCoCh";
  DramBench bench(config);
  const std::uint64_t other_rank = 65'536 * kBanks * kRowBytes;
  bench.submit(0);
  bench.submit(other_rank);
  bench.run_to(1000);
  DramBench::Access& first = bench.submit(64);
  DramBench::Access& second = bench.submit(other_rank + 64);
  bench.run_to(2000);
  EXPECT_EQ(second.finished - first.finished, bench.t.time_of(bench.t.burst + 1) - kTimeZero);
}

TEST(Dram, ServesHitsOfTheOpenRowFirstThenTheOldest) {
  DramBench bench(one_rank());
  DramBench::Access& first = bench.submit(0);
  DramBench::Access& second = bench.submit(kBanks * kRowBytes);
  DramBench::Access& third = bench.submit(64);  // a hit by the time the first is served
  DramBench::Access& elsewhere = bench.submit(kRowBytes);
  bench.run_to(1000);
  EXPECT_LT(first.finished, third.finished);
  EXPECT_LT(third.finished, second.finished);
  EXPECT_LT(elsewhere.finished, second.finished);
  EXPECT_EQ(bench.dram.stats().row_hits, 1U);
  EXPECT_EQ(bench.dram.stats().row_misses, 2U);
  EXPECT_EQ(bench.dram.stats().row_conflicts, 1U);
}

TEST(Dram, LetsAtMostHitLimitYoungerRequestsPassTheOldest) {
  DramConfig config = one_rank();
  config.hit_limit = 3;
  DramBench bench(config);
  bench.submit(0);
  DramBench::Access& conflict = bench.submit(kBanks * kRowBytes);
  std::vector<DramBench::Access*> hits;
  for (std::uint64_t i = 1; i <= 5; ++i) hits.push_back(&bench.submit(64 * i));
  bench.run_to(2000);
  EXPECT_LT(hits[2]->finished, conflict.finished);
  EXPECT_GT(hits[3]->finished, conflict.finished);
  EXPECT_EQ(bench.dram.stats().row_hits, 4U);
}

TEST(Dram, LetsRequestsBeyondTheQueueWaitOutside) {
  DramConfig config = one_rank();
  config.queue = 1;
  DramBench bench(config);
  DramBench::Access& first = bench.submit(0);
  DramBench::Access& second = bench.submit(kRowBytes);  // another bank, but no room in the queue
  bench.run_to(1000);
  const Cycle alone = bench.t.rcd + bench.t.cl + bench.t.burst + bench.controller;
  EXPECT_EQ(first.finished, bench.t.time_of(alone));
  EXPECT_EQ(second.finished,
            bench.t.time_of(bench.t.rcd + 1 + alone));  // activated in the cycle after the first column
}

TEST(Dram, MovesAFrameWithOneActivateAtThePaceOfItsBankGroup) {
  DramBench bench(one_rank());
  bench.expect_answer(bench.submit(0, false, 64),
                      bench.controller + bench.t.rcd + 63 * bench.t.ccd_l + bench.t.cl + bench.t.burst);
  EXPECT_EQ(bench.dram.stats().reads, 64U);
  EXPECT_EQ(bench.dram.stats().row_misses, 1U);
  EXPECT_EQ(bench.dram.stats().completed, 1U);
}

TEST(Dram, MovesAFrameAtThePaceOfTheBusWhereBankGroupsAlternate) {
  DramConfig config = one_rank();
  config.mapping = "RoRaBaCoBgCh";
  DramBench bench(config);
  DramBench::Access& frame = bench.submit(0, false, 64);
  bench.run_to(2000);
  const Cycle all_data = bench.t.rcd + 64 * bench.t.burst;
  EXPECT_GE(frame.finished, bench.t.time_of(all_data));
  EXPECT_LE(frame.finished, bench.t.time_of(all_data + bench.t.cl + bench.controller + 4 * bench.t.rrd_s));
}

TEST(Dram, SplitsAFrameOverTheChannels) {
  DramConfig config = one_rank();
  config.channels = 6;
  DramBench bench(config);
  bench.expect_answer(bench.submit(0, true, 64), bench.controller + bench.t.rcd + 10 * bench.t.ccd_l_wr + bench.t.cwl +
                                                     bench.t.burst);  // 64 lines: 11 at most
  EXPECT_EQ(bench.dram.stats().row_misses, 6U);
  EXPECT_EQ(bench.dram.stats().writes, 64U);
}

TEST(Dram, CountsAPostedWriteThatNobodyWaitsFor) {
  DramBench bench(one_rank());
  bench.dram.post_write({0});
  EXPECT_EQ(bench.dram.in_flight(), 1U);
  bench.run_to(1000);
  EXPECT_EQ(bench.dram.in_flight(), 0U);
  EXPECT_EQ(bench.dram.stats().writes, 1U);
  EXPECT_EQ(bench.dram.stats().latency.count(), 0U);
}

TEST(Dram, IdealTakesItsTimeWhateverIsAsked) {
  DramConfig config;
  config.ideal = std::chrono::nanoseconds(80);
  DramBench bench(config);
  DramBench::Access& one = bench.submit(0);
  DramBench::Access& many = bench.submit(4096, true, 64);
  bench.queue.run_until(Time(*config.ideal - Duration(1)));
  EXPECT_EQ(one.finished, kNever);
  bench.queue.run_until(Time(*config.ideal));
  EXPECT_EQ(one.finished, Time(*config.ideal));
  EXPECT_EQ(many.finished, Time(*config.ideal));
  EXPECT_EQ(bench.dram.unloaded_read(), *config.ideal);
  EXPECT_TRUE(std::isinf(bench.dram.peak_bandwidth()));
}

TEST(Dram, KeepsExactClockEdges) {
  for (const char* standard : {"DDR4-2400", "DDR4-2666", "DDR5-5600"}) {
    const DramTiming& t = *DramTiming::find(standard);
    for (Cycle cycle :
         {Cycle{0}, Cycle{1}, Cycle{2}, Cycle{6}, Cycle{7}, Cycle{1'000'003}, Cycle{900'000'000'000'001}}) {
      EXPECT_EQ(t.cycle_not_before(t.time_of(cycle)), cycle);
      EXPECT_EQ(t.cycle_not_before(t.time_of(cycle) + Duration(1)), cycle + 1);
    }
  }
  EXPECT_EQ(DramTiming::find("DDR4-2400")->time_of(1'200'000'000), Time(std::chrono::seconds(1)));
}

// ---- Bandwidth

// Bytes per second of a saturated memory against the peak of its buses.
double share_of_peak(const DramConfig& config, DramStream stream) {
  const DramStreamResult result = run_dram_stream(config, stream, 20'000, 0);
  const DramTiming t = config.effective_timing();
  const double channels = double(config.channels * t.sub_channels);
  return double(t.burst) / channels / result.cycles_per_request;
}

TEST(Dram, NeverPassesThePeakBandwidth) {
  for (const char* mapping : {"RoBaRaCoCh", "RoCoRaBaCh", "ChRaBaRoCo", "RoRaCoBaCh"})
    for (const char* standard : {"DDR4-2666", "DDR5-4800"})
      for (const DramStream stream : {DramStream::seq, DramStream::rand}) {
        DramConfig config;
        config.mapping = mapping;
        config.standard = standard;
        EXPECT_LE(share_of_peak(config, stream), 1.0) << mapping << ' ' << standard;
      }
}

TEST(Dram, ReachesThePeakWhereBankGroupsAlternateButForRefresh) {
  DramConfig config = one_rank();
  config.mapping = "RoRaCoBaCh";
  const DramTiming t = config.effective_timing();
  const double refreshing = double(t.rp + t.rfc) / double(t.refi);
  EXPECT_NEAR(share_of_peak(config, DramStream::seq), 1 - refreshing, 0.02);
  config.refresh = DramRefresh::none;
  EXPECT_GT(share_of_peak(config, DramStream::seq), 0.99);
}

}  // namespace
}  // namespace collapsar
