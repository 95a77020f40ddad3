// Every gate, one at a time: one cycle earlier the command is refused, then it is taken.
#include "models/mem/dram_gates.h"

#include <gtest/gtest.h>

#include <functional>

#include "tests/support/dram_checker.h"

namespace collapsar {
namespace {

using Cycle = DramGates::Cycle;
using Command = DramCommand;
constexpr std::uint32_t kGroups = 4, kBanksOfRank = 16;  // of DDR4, x8

// Bank numbers beside bank 0.
constexpr std::uint32_t kSameGroup = kGroups, kOtherGroup = 1, kOtherRank = kBanksOfRank;

// A standard of which every gate is made long in turn, so that no other hides it.
DramTiming plain() { return *DramTiming::find("DDR4-2400"); }

class GatesBench {
 public:
  explicit GatesBench(const DramTiming& timing) : t(timing), gates(t, 2) { gates.log_to(&log); }
  void give(Command command, std::uint32_t bank, Cycle at) {
    switch (command) {
      case Command::activate: gates.activate(bank, 7, at); return;
      case Command::precharge: gates.precharge(bank, at); return;
      case Command::read: gates.column(bank, false, 1, t.ccd_l, at); return;
      case Command::write: gates.column(bank, true, 1, t.ccd_l_wr, at); return;
      case Command::refresh: gates.refresh(bank / kBanksOfRank, at); return;
    }
  }
  // `command` is refused at `at` - 1 and taken at `at`; a reader of the command log who knows the rules agrees.
  void expect_edge(Command command, std::uint32_t bank, Cycle at) {
    EXPECT_DEATH(give(command, bank, at - 1), "legal from");
    std::vector<DramCommandRecord> early = log;
    early.push_back({at - 1, command, bank, 7});
    EXPECT_EQ(test::DramChecker(t).broken(early).size(), 1U) << at;
    give(command, bank, at);
    EXPECT_EQ(test::DramChecker(t).broken(log), std::vector<std::string>{});
  }

  DramTiming t;
  DramGates gates;
  std::vector<DramCommandRecord> log;
};

constexpr Cycle kAt = 1000, kLong = 200;

TEST(DramGates, HoldsColumnsForTRcd) {
  for (const Command column : {Command::read, Command::write}) {
    GatesBench bench(plain());
    bench.give(Command::activate, 0, kAt);
    bench.expect_edge(column, 0, kAt + bench.t.rcd);
  }
}

TEST(DramGates, HoldsThePrechargeForTRas) {
  GatesBench bench(plain());
  bench.give(Command::activate, 0, kAt);
  bench.expect_edge(Command::precharge, 0, kAt + bench.t.ras);
}

TEST(DramGates, HoldsTheNextActivateForTRp) {
  GatesBench bench(plain());
  bench.give(Command::activate, 0, kAt);
  bench.give(Command::precharge, 0, kAt + 2 * bench.t.ras);
  bench.expect_edge(Command::activate, 0, kAt + 2 * bench.t.ras + bench.t.rp);
}

TEST(DramGates, HoldsTheNextActivateForTRc) {
  DramTiming t = plain();
  t.rc = kLong;
  GatesBench bench(t);
  bench.give(Command::activate, 0, kAt);
  bench.give(Command::precharge, 0, kAt + t.ras);
  bench.expect_edge(Command::activate, 0, kAt + t.rc);
}

TEST(DramGates, SpacesActivatesByTRrdLInAGroupAndTRrdSElsewhere) {
  GatesBench group(plain());
  group.give(Command::activate, 0, kAt);
  group.expect_edge(Command::activate, kSameGroup, kAt + group.t.rrd_l);
  GatesBench rank(plain());
  rank.give(Command::activate, 0, kAt);
  rank.expect_edge(Command::activate, kOtherGroup, kAt + rank.t.rrd_s);
}

TEST(DramGates, LetsFourActivatesGoInTFaw) {
  GatesBench bench(plain());
  for (std::uint32_t i = 0; i < 4; ++i) bench.give(Command::activate, i, kAt + i * bench.t.rrd_s);
  bench.give(Command::activate, kOtherRank, kAt + 4 * bench.t.rrd_s);  // another rank has its own window
  bench.expect_edge(Command::activate, kSameGroup, kAt + bench.t.faw);
}

TEST(DramGates, HoldsThePrechargeAfterAReadForTRtp) {
  GatesBench bench(plain());
  bench.give(Command::activate, 0, kAt);
  bench.give(Command::read, 0, kAt + kLong);
  bench.expect_edge(Command::precharge, 0, kAt + kLong + bench.t.rtp);
}

TEST(DramGates, HoldsThePrechargeAfterAWriteForTWr) {
  GatesBench bench(plain());
  bench.give(Command::activate, 0, kAt);
  bench.give(Command::write, 0, kAt + kLong);
  bench.expect_edge(Command::precharge, 0, kAt + kLong + bench.t.cwl + bench.t.burst + bench.t.wr);
}

// The two columns of `first` in bank 0 and `second` in `bank`, both of whose rows are long open.
void expect_spacing(const DramTiming& t, Command first, Command second, std::uint32_t bank, Cycle gap) {
  GatesBench bench(t);
  bench.give(Command::activate, 0, kAt);
  if (bank != 0) bench.give(Command::activate, bank, kAt + kLong);
  bench.give(first, 0, kAt + 2 * kLong);
  bench.expect_edge(second, bank, kAt + 2 * kLong + gap);
}

TEST(DramGates, SpacesReadsByTCcd) {
  const DramTiming t = plain();
  for (const std::uint32_t bank : {0U, kSameGroup}) expect_spacing(t, Command::read, Command::read, bank, t.ccd_l);
  DramTiming slow = t;
  slow.ccd_s = t.burst + 1;  // else the data bus holds the read as long
  expect_spacing(slow, Command::read, Command::read, kOtherGroup, slow.ccd_s);
}

TEST(DramGates, SpacesWritesByTCcd) {
  DramTiming t = plain();
  t.ccd_s = t.burst + 1, t.ccd_l_wr = t.ccd_l + 3;
  for (const std::uint32_t bank : {0U, kSameGroup}) expect_spacing(t, Command::write, Command::write, bank, t.ccd_l_wr);
  expect_spacing(t, Command::write, Command::write, kOtherGroup, t.ccd_s);
}

TEST(DramGates, TurnsFromWriteToReadInTWtr) {
  const DramTiming t = plain();
  for (const std::uint32_t bank : {0U, kSameGroup})
    expect_spacing(t, Command::write, Command::read, bank, t.cwl + t.burst + t.wtr_l);
  expect_spacing(t, Command::write, Command::read, kOtherGroup, t.cwl + t.burst + t.wtr_s);
}

TEST(DramGates, TurnsFromReadToWriteWithAGapOnTheBus) {
  const DramTiming t = plain();
  for (const std::uint32_t bank : {0U, kSameGroup, kOtherGroup})
    expect_spacing(t, Command::read, Command::write, bank, t.cl + t.burst + DramTiming::kReadToWrite - t.cwl);
}

TEST(DramGates, LeavesTheBusIdleBetweenRanks) {
  const DramTiming t = plain();
  expect_spacing(t, Command::read, Command::read, kOtherRank, t.burst + t.rtrs);
  expect_spacing(t, Command::write, Command::write, kOtherRank, t.burst + t.rtrs);
  expect_spacing(t, Command::read, Command::write, kOtherRank, t.cl + t.burst + t.rtrs - t.cwl);
  expect_spacing(t, Command::write, Command::read, kOtherRank, t.cwl + t.burst + t.rtrs - t.cl);
}

TEST(DramGates, BeginsDataTClOrTCwlAfterItsCommand) {
  GatesBench bench(plain());
  bench.give(Command::activate, 0, kAt);
  const Cycle read = kAt + kLong, write = kAt + 2 * kLong;
  EXPECT_EQ(bench.gates.column(0, false, 1, bench.t.ccd_l, read), read + bench.t.cl + bench.t.burst);
  EXPECT_EQ(bench.gates.column(0, true, 3, bench.t.ccd_l, write),
            write + 2 * bench.t.ccd_l + bench.t.cwl + bench.t.burst);
}

TEST(DramGates, RefreshClosesTheRowsOfItsRankAndHoldsItForTRfc) {
  GatesBench bench(plain());
  bench.give(Command::activate, 0, kAt);
  bench.give(Command::activate, kOtherRank, kAt + bench.t.rrd_s);
  bench.give(Command::refresh, 0, kAt + 1);  // the row of bank 0 has to stay for tRAS
  EXPECT_FALSE(bench.gates.bank(0).is_open);
  EXPECT_TRUE(bench.gates.bank(kOtherRank).is_open);
  bench.expect_edge(Command::activate, kSameGroup, kAt + bench.t.ras + bench.t.rp + bench.t.rfc);
}

TEST(DramGates, RefreshOfAClosedRankWaitsForTheLastPrecharge) {
  GatesBench bench(plain());
  bench.give(Command::activate, 0, kAt);
  bench.give(Command::precharge, 0, kAt + kLong);
  bench.give(Command::refresh, 0, kAt + kLong);
  bench.expect_edge(Command::activate, 0, kAt + kLong + bench.t.rp + bench.t.rfc);
}

}  // namespace
}  // namespace collapsar
