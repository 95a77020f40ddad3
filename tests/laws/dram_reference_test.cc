// Two cycle-level DRAM simulators were run on four streams of 200,000 reads, at equal timings: DRAMsim3 @2981759
// (DDR4_8Gb_x8_2400, channel_size 8192, CL, tRCD, tRP set to 16) and Ramulator 2.0 (tag v2.0a, DDR4_8Gb_x8, DDR4_2400R). Here
// are their figures beside ours. `laws_tests --gtest_filter='*DramReference*'` prints the table.
#include <gtest/gtest.h>

#include "models/mem/dram_stream.h"

namespace collapsar {
namespace {

constexpr std::uint64_t kReads = 200'000;
constexpr std::uint32_t kSparse = 100;  // cycles between two reads

struct Sparse {
  DramStream stream;
  double dramsim3, ramulator;            // mean latency, cycles
  double dramsim3_hits, ramulator_hits;  // per cent
};
class DramReferenceSparse : public ::testing::TestWithParam<Sparse> {};

TEST_P(DramReferenceSparse, LatencyAndRowHitsAgree) {
  const Sparse& theirs = GetParam();
  const DramStreamResult ours = run_dram_stream(dram_reference_config(), theirs.stream, kReads, kSparse);
  const double mean = (theirs.dramsim3 + theirs.ramulator) / 2, hits = 100 * ours.row_hit_share;
  fmt::print(
      "{:<10}  one read in {} cycles: latency {:.2f} cycles; DRAMsim3 {:.2f}, Ramulator 2.0 {:.2f}; {:+.1f} % of their "
      "mean; row hits {:.2f} %, {:.2f} %, {:.2f} %\n",
      name_of(theirs.stream), kSparse, ours.latency, theirs.dramsim3, theirs.ramulator, 100 * (ours.latency / mean - 1),
      hits, theirs.dramsim3_hits, theirs.ramulator_hits);
  EXPECT_NEAR(ours.latency, mean, 0.03 * mean);
  EXPECT_NEAR(hits, (theirs.dramsim3_hits + theirs.ramulator_hits) / 2, 0.5);
  EXPECT_EQ(ours.stats.completed, kReads);
}

INSTANTIATE_TEST_SUITE_P(Streams, DramReferenceSparse,
                         ::testing::Values(Sparse{DramStream::seq, 33.02, 33.30, 98.16, 98.16},
                                           Sparse{DramStream::rand, 63.51, 62.87, 0.00, 0.00},
                                           Sparse{DramStream::stride4096, 46.38, 46.51, 49.57, 49.55},
                                           Sparse{DramStream::stride8192, 63.33, 62.71, 0, 0}),
                         [](const auto& param) { return std::string(name_of(param.param.stream)); });

struct Saturated {
  DramStream stream;
  double dramsim3, ramulator;  // cycles per request; 0: was not run
};
class DramReferenceSaturated : public ::testing::TestWithParam<Saturated> {};

TEST_P(DramReferenceSaturated, CyclesPerRequestAgreeWithOneOfThem) {
  const Saturated& theirs = GetParam();
  const double ours = run_dram_stream(dram_reference_config(), theirs.stream, kReads, 0).cycles_per_request;
  const auto off = [&](double their) { return their > 0 ? ours / their - 1 : 1; };
  fmt::print(
      "{:<10}  saturated: {:.3f} cycles per read; DRAMsim3 {}, Ramulator 2.0 {:.3f} ({:+.1f} %)\n",
      name_of(theirs.stream), ours,
      theirs.dramsim3 > 0 ? fmt::format("{:.3f} ({:+.1f} %)", theirs.dramsim3, 100 * off(theirs.dramsim3)) : "not run",
      theirs.ramulator, 100 * off(theirs.ramulator));
  EXPECT_LT(std::min(std::abs(off(theirs.dramsim3)), std::abs(off(theirs.ramulator))), 0.05);
}

INSTANTIATE_TEST_SUITE_P(Streams, DramReferenceSaturated,
                         ::testing::Values(Saturated{DramStream::seq, 5.094, 5.319},
                                           Saturated{DramStream::rand, 6.863, 6.845},
                                           Saturated{DramStream::stride4096, 0, 4.267},
                                           Saturated{DramStream::stride8192, 0, 6.846}),
                         [](const auto& param) { return std::string(name_of(param.param.stream)); });

}  // namespace
}  // namespace collapsar
