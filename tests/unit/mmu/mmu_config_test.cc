#include "models/mmu/mmu_config.h"

#include <gtest/gtest.h>

namespace collapsar {
namespace {

using enum PageSize;

std::string error_of(const MmuConfig& config) {
  try {
    config.validate();
  } catch (const std::invalid_argument& e) {
    return e.what();
  }
  return "";
}

TEST(MmuConfig, TheDefaultIsAMachine) { EXPECT_EQ(error_of(MmuConfig{}), ""); }

TEST(MmuConfig, RefusesWhatIsNoMachineAndSaysWhatWouldBeRight) {
  const auto refused = [](auto&& change) {
    MmuConfig config;
    change(config);
    return error_of(config);
  };
  EXPECT_EQ(refused([](MmuConfig& c) { c.levels = 3; }), "levels: 3; a page table has 4 or 5");
  EXPECT_EQ(refused([](MmuConfig& c) { c.walkers = 0; }), "walkers: 0; 1 to 64");
  EXPECT_EQ(refused([](MmuConfig& c) { c.ideal = true, c.fixed_walk = 30; }),
            "fixed_walk: found 30, with ideal: true there are no walks; expected none");
  EXPECT_EQ(refused([](MmuConfig& c) { c.l1d[0].sets = 0; }), "l1d: sets: 0; 1 to 65536");
  EXPECT_EQ(refused([](MmuConfig& c) { c.l2[0].ways.erase(k2M); }),
            "l2: ways: none for 2m; every page size of an array needs at least 1");
  EXPECT_EQ(refused([](MmuConfig& c) { c.l2[0].pages.clear(); }), "l2: pages: none; [4K], say");
  EXPECT_EQ(refused([](MmuConfig& c) { c.l2[0].pages.push_back(k2M); }), "l2: pages: 2m twice; name each size once");
  EXPECT_EQ(refused([](MmuConfig& c) { c.l1d[0].access = TlbAccess::load; }),
            "l1d: no array takes 4K pages of store references");
  EXPECT_EQ(refused([](MmuConfig& c) { c.l1i.clear(); }), "l1i: no array takes 4K pages of load references");
  EXPECT_EQ(refused([](MmuConfig& c) { c.l2i = c.l2; }), "l2d: a split second level needs both");
  EXPECT_EQ(refused([](MmuConfig& c) { c.l2[1].pages.push_back(k2M); }),
            "l2: sets: 128 and 4 in arrays that both take 2m pages; they act as one, so both need the same");
}

TEST(MmuConfig, ASplitSecondLevelStandsBesideTheDefaultOne) {
  MmuConfig config;
  config.l2i = config.l2d = config.l2;
  EXPECT_EQ(error_of(config), "");
  EXPECT_TRUE(config.split_l2());
}

TEST(MmuConfig, WaysMayDifferBySize) {
  TlbArrayConfig array;
  array.pages = {k4K, k2M}, array.ways = {{k4K, 8}, {k2M, 6}, {k1G, 9}};
  EXPECT_EQ(array.ways_for(k4K), 8U);
  EXPECT_EQ(array.ways_for(k2M), 6U);
  EXPECT_EQ(array.ways_for(k1G), 0U) << "not among its pages";
  EXPECT_EQ(array.total_ways(), 8U);
}

}  // namespace
}  // namespace collapsar
