#include "sim/run/laws.h"

#include <gtest/gtest.h>

namespace collapsar {
namespace {

// Ten references, eight L1 hits, one L2 hit, one walk and one more for a dirty bit.
StatTable lawful() {
  StatTable table;
  const auto add = [&table](const char* path, std::uint64_t n) {
    table.add({path, StatKind::counter, "", "", n, 1, {}});
  };
  add("refs", 10), add("refs.read", 6), add("refs.write", 4), add("refs.fetch", 0), add("refs.kernel", 0);
  add("mmu.l1d.hits", 8), add("mmu.l1d.hits.4k", 8), add("mmu.l1d.misses", 2), add("mmu.l1d.misses.4k", 2);
  add("mmu.l2.hits", 1), add("mmu.l2.hits.4k", 1), add("mmu.l2.misses", 1), add("mmu.l2.misses.4k", 1);
  add("mmu.walks", 2), add("mmu.walks_merged", 0), add("mmu.walks_repeated", 1);
  add("processes.1.refs", 7), add("processes.12.refs", 3);
  add("processes.1.mmu.l1d.misses", 2), add("processes.1.mmu.walks", 2);
  return table;
}

StatTable with(std::string_view path, std::uint64_t n) {
  StatTable table;
  for (StatRow row : lawful()) {
    if (row.path == path) row.amount = n;
    table.add(row);
  }
  return table;
}

using Texts = std::vector<std::string>;

TEST(Laws, HoldForALawfulTable) { EXPECT_EQ(broken_laws(lawful(), false), Texts{}); }

TEST(Laws, NameBothSidesOfABrokenOne) {
  EXPECT_EQ(broken_laws(with("mmu.walks", 3), false),
            (Texts{"mmu.walks + mmu.walks_merged = mmu.l2 misses + mmu.walks_repeated: 3 and 2",
                   "mmu.walks = mmu.walks of all processes: 3 and 2"}));
  EXPECT_EQ(broken_laws(with("refs.write", 5), false), Texts{"refs = their kinds: 10 and 11"});
  EXPECT_EQ(broken_laws(with("mmu.l1d.hits.4k", 7), false), Texts{"mmu.l1d.hits = mmu.l1d.hits of all sizes: 8 and 7"});
}

TEST(Laws, AnIdealTlbNeedNotWalk) { EXPECT_EQ(broken_laws(with("mmu.walks_repeated", 0), true), Texts{}); }

}  // namespace
}  // namespace collapsar
