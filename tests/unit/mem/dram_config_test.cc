#include "models/mem/dram_config.h"

#include <gtest/gtest.h>

#include <map>

#include "models/mem/dram_map.h"
#include "sim/core/random.h"

namespace collapsar {
namespace {

std::string refusal(const std::string& yaml) {
  DramConfig config;
  try {
    read_config(parse_yaml(yaml, "machine.yaml"), config, "dram");
  } catch (const std::invalid_argument& error) {
    return error.what();
  }
  return "";
}

void expect_refusal(const std::string& yaml, const std::string& place, const std::string& rule) {
  const std::string message = refusal(yaml);
  EXPECT_EQ(message.find(place), 0U) << message;
  EXPECT_NE(message.find(rule), std::string::npos) << message;
}

TEST(DramConfig, TakesEveryStandard) {
  for (const char* standard : {"DDR4-2400", "DDR4-2666", "DDR4-3200", "DDR5-4800", "DDR5-5600"})
    EXPECT_EQ(refusal(std::string("standard: ") + standard), "") << standard;
}

TEST(DramConfig, RefusesTimingsThatContradictEachOther) {
  const auto timing = [](const std::string& line) { return "standard: DDR4-2400\ntiming:\n  " + line + "\n"; };
  const std::string place = "machine.yaml:3:";
  expect_refusal(timing("tRAS: 31"), place, "tRAS >= tRCD + tCL");
  expect_refusal(timing("tCL: 24"), place, "tRAS >= tRCD + tCL");
  expect_refusal(timing("tRTP: 24"), place, "tRAS >= tRCD + tRTP");
  expect_refusal(timing("tRC: 54"), place, "tRC >= tRAS + tRP");
  expect_refusal(timing("tCWL: 17"), place, "tCL >= tCWL");
  expect_refusal(timing("tCCD_S: 3"), place, "tCCD_S >= the burst");
  expect_refusal(timing("tCCD_L: 3"), place, "tCCD_L >= tCCD_S");
  expect_refusal(timing("tCCD_L_WR: 3"), place, "tCCD_L_WR >= tCCD_S");
  expect_refusal(timing("tRRD_L: 3"), place, "tRRD_L >= tRRD_S");
  expect_refusal(timing("tWTR_L: 2"), place, "tWTR_L >= tWTR_S");
  expect_refusal(timing("tFAW: 15"), place, "tFAW >= tRRD_S + tRRD_S + tRRD_S + tRRD_S");
  expect_refusal(timing("tRFC: 9300"), place, "tREFI >= tRFC + tRP + tRC");
  expect_refusal(timing("tREFI: 400"), place, "tREFI >= tRFC + tRP + tRC");
  expect_refusal(timing("tRP: 0"), place, "tRP >= one cycle");
  EXPECT_EQ(refusal(timing("tRAS: 32")), "");
  EXPECT_EQ(refusal(timing("tFAW: 16")), "");
}

TEST(DramConfig, RefusesTheImpossibleWithWhatWouldBeRight) {
  expect_refusal("standard: DDR4-2667", "machine.yaml:1:", "DDR4-2666");
  expect_refusal("channels: 0", "machine.yaml:1:", "1 to 64");
  expect_refusal("queue: 0", "machine.yaml:1:", "expected 1");
  expect_refusal("write_high: 33", "machine.yaml:1:", "1 to 32");
  expect_refusal("write_low: 26", "machine.yaml:1:", "0 to 25");
  expect_refusal("ranks: 3\nmapping: MOP4CLXOR\nchannels: 4", "machine.yaml:2:", "powers of two");
  for (const char* mapping : {"RoBaRaCo", "RoBaRaCoCo", "RoBaRaCoXx", "RoBaRaCoChCh", "RoBaRaCoChB", "RoBgRaCoCh"})
    expect_refusal(std::string("mapping: ") + mapping, "machine.yaml:1:", "Ro Ba Ra Co Ch");
}

TEST(DramConfig, ReplacesSingleTimings) {
  DramConfig config;
  config.standard = "DDR4-2400";
  config.timing.cl = config.timing.rcd = config.timing.rp = 17;
  const DramTiming t = config.effective_timing(), standard = *DramTiming::find("DDR4-2400");
  EXPECT_EQ(t.cl, 17);
  EXPECT_EQ(t.rp, 17);
  EXPECT_EQ(t.ras, standard.ras);
  EXPECT_EQ(t.refi, standard.refi);
}

TEST(DramTiming, ObeysTheNanosecondsOfItsStandard) {
  for (const char* name : {"DDR4-2400", "DDR4-2666", "DDR4-3200", "DDR5-4800", "DDR5-5600"}) {
    const DramTiming& t = *DramTiming::find(name);
    const auto ns = [&](std::int64_t cycles) {
      return double(cycles) * double(t.period_ps) / double(t.period_divisor) / 1e3;
    };
    const bool is_ddr5 = t.sub_channels == 2;
    EXPECT_NEAR(ns(t.refi), is_ddr5 ? 3900 : 7800, 1) << name;
    EXPECT_NEAR(ns(t.rfc), is_ddr5 ? 295 : 350, 1) << name;
    EXPECT_NEAR(ns(t.ras), 32.3, 0.5) << name;
    EXPECT_GE(ns(t.cl), 13) << name;
    EXPECT_LE(ns(t.cl), 15) << name;
    EXPECT_NEAR(ns(t.wr), is_ddr5 ? 30 : 15, 0.5) << name;
  }
}

// ---- Mappings

DramMap map_of(const std::string& mapping, std::uint32_t channels = 1, std::uint32_t ranks = 1) {
  DramConfig config;
  config.standard = "DDR4-2400";
  config.mapping = mapping;
  config.channels = channels;
  config.ranks = ranks;
  config.validate();
  return DramMap(config, config.effective_timing());
}

// By shifts where that will do, and always what dividing digit by digit gives.
TEST(DramMap, FindsALineAloneWhereItFindsItAmongOthers) {
  Random random(1, "dram_config_test");
  for (const char* mapping : {"RoBaRaCoCh", "RoRaBaCoBgCh", "BaRaRoCoCh", "RoChRaBaBgCo"})
    for (const std::uint32_t channels : {1U, 2U, 3U, 6U, 7U})
      for (const std::uint32_t ranks : {1U, 2U, 3U}) {
        const DramMap map = map_of(mapping, channels, ranks);
        for (int i = 0; i < 2000; ++i) {
          const PhysAddr address{random.below(1ULL << 46)};
          const DramMap::Location alone = map.locate(address), among = map.location(map.position(address));
          ASSERT_EQ(alone.channel, among.channel) << mapping << channels << ranks << to_hex(address.value);
          ASSERT_EQ(alone.bank, among.bank) << mapping << channels << ranks << to_hex(address.value);
          ASSERT_EQ(alone.row, among.row) << mapping << channels << ranks << to_hex(address.value);
          ASSERT_LT(alone.channel, channels);
        }
      }
}

TEST(DramMap, PutsTheFieldsWhereTheNameSays) {
  constexpr std::uint64_t kRow = 8 * kKiB;
  const DramMap plain = map_of("RoBaRaCoCh");
  EXPECT_EQ(plain.locate({kRow - 64}).bank, 0U);
  EXPECT_EQ(plain.locate({kRow}).bank, 1U);      // the next bank group
  EXPECT_EQ(plain.locate({4 * kRow}).bank, 4U);  // the next bank
  EXPECT_EQ(plain.locate({16 * kRow}).bank, 0U);
  EXPECT_EQ(plain.locate({16 * kRow}).row, 1U);
  EXPECT_FALSE(plain.alternates_groups());
  const DramMap groups_low = map_of("RoRaBaCoBgCh");
  EXPECT_EQ(groups_low.locate({64}).bank, 1U);
  EXPECT_EQ(groups_low.locate({256}).bank, 0U);
  EXPECT_EQ(groups_low.locate({4 * kRow}).bank, 4U);
  EXPECT_TRUE(groups_low.alternates_groups());
  const DramMap row_below = map_of("BaRaRoCoCh");
  EXPECT_EQ(row_below.locate({kRow}).row, 1U);
  EXPECT_EQ(row_below.locate({65'536 * kRow}).bank, 1U);
  const DramMap six = map_of("RoBaRaCoCh", 6, 2);
  EXPECT_EQ(six.locate({5 * 64}).channel, 5U);
  EXPECT_EQ(six.locate({6 * 64}).channel, 0U);
  EXPECT_EQ(six.locate({6 * kRow}).bank, 16U);  // the next rank
}

TEST(DramMap, KnowsTheNamesOfOtherSimulators) {
  const DramMap theirs = map_of("rochrababgco", 2, 2), ours = map_of("RoChRaBaCo", 2, 2);
  for (std::uint64_t address = 0; address < 64 * kMiB; address += 4096 + 64) {
    EXPECT_EQ(theirs.locate({address}).bank, ours.locate({address}).bank);
    EXPECT_EQ(theirs.locate({address}).row, ours.locate({address}).row);
    EXPECT_EQ(theirs.locate({address}).channel, ours.locate({address}).channel);
  }
  const DramMap mop = map_of("MOP4CLXOR");
  EXPECT_EQ(mop.locate({192}).bank, 0U);
  EXPECT_EQ(mop.locate({256}).bank, 1U);       // four lines stay together
  EXPECT_EQ(mop.locate({16 * 256}).bank, 1U);  // the second four of a row: bank group XOR 1
  EXPECT_EQ(mop.locate({17 * 256}).bank, 0U);
  EXPECT_EQ(mop.locate({128 * kKiB}).row, 1U);
}

TEST(DramMap, StepsFromLineToLine) {
  for (const char* mapping : {"RoBaRaCoCh", "RoRaBaCoBgCh", "ChRaBaRoCo"}) {
    const DramMap map = map_of(mapping, 6, 2);
    DramMap::Position at = map.position({0});
    for (std::uint64_t line = 0; line < 100'000; ++line, map.step(at)) {
      const DramMap::Location stepped = map.location(at), located = map.locate({line * 64});
      ASSERT_EQ(stepped.channel, located.channel) << mapping << ' ' << line;
      ASSERT_EQ(stepped.bank, located.bank) << mapping << ' ' << line;
      ASSERT_EQ(stepped.row, located.row) << mapping << ' ' << line;
    }
  }
}

TEST(DramMap, GivesEveryLineAPlaceOfItsOwn) {
  for (const char* mapping : {"RoBaRaCoCh", "RoRaBaCoBgCh", "ChRaBaRoCo", "MOP4CLXOR"}) {
    const DramMap map = map_of(mapping, 2, 2);
    std::map<std::tuple<std::uint32_t, std::uint32_t, std::uint64_t>, int> lines;  // of each row of each bank
    for (std::uint64_t line = 0; line < 1 << 16; ++line) {
      const DramMap::Location at = map.locate({line * 64});
      ++lines[{at.channel, at.bank, at.row}];
    }
    for (const auto& [place, n] : lines) EXPECT_EQ(n, 128) << mapping;
  }
}

}  // namespace
}  // namespace collapsar
