#include "models/mmu/tlb.h"

#include <gtest/gtest.h>

#include <set>

namespace collapsar {
namespace {

using enum PageSize;

TlbArrayConfig array(std::map<PageSize, std::uint32_t> ways, std::uint32_t sets, TlbAccess access = TlbAccess::any) {
  TlbArrayConfig a;
  a.pages.clear();
  for (const auto& [size, count] : ways) a.pages.push_back(size);
  a.sets = sets, a.ways = std::move(ways), a.access = access;
  return a;
}

// One level with the calls in short.
struct Level {
  explicit Level(std::vector<TlbArrayConfig> arrays) : tlb(Tlb::Level::first, arrays, 1, "test") {}
  static Pte leaf(std::uint64_t frame) { return Pte::make(Pfn{frame}, Pte::kPresent); }
  void fill(std::uint64_t number, PageSize size = k4K, Asid asid = 1, bool is_store = false) {
    tlb.fill({number << page_shift(size)}, asid, {leaf(number), size}, is_store);
  }
  bool look_up(std::uint64_t number, PageSize size = k4K, Asid asid = 1, bool is_store = false) {
    const Tlb::Hit hit = tlb.lookup({number << page_shift(size)}, Tlb::Space(asid), is_store);
    if (!hit) return false;
    EXPECT_EQ(hit.size(), size);
    EXPECT_EQ(hit.leaf().pfn().value, number);
    return true;
  }
  // Without a look-up: recency stays.
  bool holds(std::uint64_t number, PageSize size = k4K, Asid asid = 1) {
    bool found = false;
    tlb.for_each([&](Asid a, VirtAddr va, TlbEntry entry) {
      found |= a == asid && entry.size == size && va.value >> page_shift(size) == number;
    });
    return found;
  }
  Tlb tlb;
};

TEST(Tlb, FindsWhatWasFilledForAnyAddressOfThePage) {
  Level level({array({{k4K, 4}}, 16), array({{k2M, 4}}, 8), array({{k1G, 4}}, 1)});
  level.fill(7), level.fill(3, k2M), level.fill(5, k1G);
  EXPECT_EQ(level.tlb.lookup({7 * kPageBytes + 4095}, Tlb::Space(1), false).size(), k4K);
  EXPECT_EQ(level.tlb.lookup({3 * kHugeBytes + 4096 * 77 + 5}, Tlb::Space(1), false).size(), k2M);
  EXPECT_EQ(level.tlb.lookup({5 * kGiB + 700 * kMiB}, Tlb::Space(1), true).size(), k1G);
  EXPECT_FALSE(level.tlb.lookup({8 * kPageBytes}, Tlb::Space(1), false));
}

TEST(Tlb, KeepsTheEntriesOfAddressSpacesApart) {
  Level level({array({{k4K, 4}}, 1)});
  level.fill(7, k4K, 1);
  EXPECT_TRUE(level.look_up(7, k4K, 1));
  EXPECT_FALSE(level.look_up(7, k4K, 2));
  level.fill(7, k4K, 2);
  level.tlb.flush_asid(1);
  EXPECT_FALSE(level.look_up(7, k4K, 1));
  EXPECT_TRUE(level.look_up(7, k4K, 2));
  EXPECT_TRUE(level.look_up(7, k4K, 2)) << "second look-up, by way of the hint";
}

TEST(Tlb, LookUpMakesMostRecentAndUpdateDoesNot) {
  Level level({array({{k4K, 2}}, 1)});
  level.fill(1), level.fill(2);
  ASSERT_TRUE(level.look_up(1));
  level.fill(3);
  EXPECT_TRUE(level.holds(1) && level.holds(3) && !level.holds(2));

  const Pte dirty = Pte::make(Pfn{1}, Pte::kPresent | Pte::kDirty);
  EXPECT_TRUE(level.tlb.update({1 * kPageBytes}, 1, {dirty, k4K}));
  EXPECT_FALSE(level.tlb.update({2 * kPageBytes}, 1, {dirty, k4K}));
  level.fill(4);
  EXPECT_TRUE(level.holds(3) && level.holds(4) && !level.holds(1));
}

TEST(Tlb, UpdateReplacesTheLeafInEveryArray) {
  Level level({array({{k4K, 2}}, 1, TlbAccess::load), array({{k4K, 2}}, 1, TlbAccess::store)});
  level.fill(1, k4K, 1, false), level.fill(1, k4K, 1, true);
  const Pte dirty = Pte::make(Pfn{1}, Pte::kPresent | Pte::kDirty);
  level.tlb.update({kPageBytes}, 1, {dirty, k4K});
  for (const bool is_store : {false, true})
    EXPECT_TRUE(level.tlb.lookup({kPageBytes}, Tlb::Space(1), is_store).leaf().dirty());
}

TEST(Tlb, FillOfWhatIsThereRenewsIt) {
  Level level({array({{k4K, 2}}, 1)});
  level.fill(1), level.fill(2), level.fill(1);
  level.fill(3);
  EXPECT_TRUE(level.holds(1) && level.holds(3) && !level.holds(2));
}

TEST(Tlb, LoadsAndStoresHaveArraysOfTheirOwnWhereTheyAreSplit) {
  Level level({array({{k4K, 1}}, 1, TlbAccess::load), array({{k4K, 2}}, 1, TlbAccess::store)});
  level.fill(1, k4K, 1, false);
  EXPECT_TRUE(level.look_up(1, k4K, 1, false));
  EXPECT_FALSE(level.look_up(1, k4K, 1, true));
  level.fill(1, k4K, 1, true), level.fill(2, k4K, 1, true), level.fill(2, k4K, 1, false);
  EXPECT_TRUE(level.look_up(1, k4K, 1, true) && level.look_up(2, k4K, 1, true) && level.look_up(2, k4K, 1, false));
  EXPECT_FALSE(level.look_up(1, k4K, 1, false));
}

TEST(Tlb, TwoArraysOfALevelActAsOneByTheBitAboveTheSetIndex) {
  constexpr std::uint32_t kSets = 4;
  Level level({array({{k4K, 1}, {k2M, 1}}, kSets), array({{k4K, 1}, {k1G, 1}}, kSets)});
  level.fill(0), level.fill(kSets), level.fill(1);  // 0 and kSets share a set index, in different arrays
  EXPECT_TRUE(level.holds(0) && level.holds(kSets) && level.holds(1));
  level.fill(2 * kSets);  // back in the first array: in the place of 0
  EXPECT_TRUE(level.holds(2 * kSets) && level.holds(kSets) && !level.holds(0));
  level.fill(kSets + 8 * kSets, k2M);  // 2M only in the first array, whatever the bit
  level.fill(0, k2M);
  EXPECT_TRUE(level.holds(0, k2M) && !level.holds(9 * kSets, k2M));
  EXPECT_FALSE(level.holds(2 * kSets)) << "sizes share the ways of the array";
}

TEST(Tlb, ASizeMayBeConfinedToSomeWays) {
  Level level({array({{k4K, 4}, {k2M, 2}}, 1)});
  for (std::uint64_t number = 0; number < 4; ++number) level.fill(number);
  level.fill(10, k2M), level.fill(11, k2M), level.fill(12, k2M);
  EXPECT_TRUE(level.holds(2) && level.holds(3) && level.holds(11, k2M) && level.holds(12, k2M));
  EXPECT_FALSE(level.holds(10, k2M));
}

TEST(Tlb, ASizeThatNoArrayTakesIsNotKept) {
  Level level({array({{k4K, 4}}, 1)});
  level.fill(3, k2M);
  EXPECT_FALSE(level.tlb.takes(k2M, false));
  EXPECT_FALSE(level.look_up(3, k2M));
}

TEST(Tlb, FlushRangeDropsWhatOverlapsAndCounts) {
  Level level({array({{k4K, 8}}, 4), array({{k2M, 8}}, 1)});
  for (std::uint64_t number = 510; number < 516; ++number) level.fill(number), level.look_up(number);
  level.fill(0, k2M), level.fill(1, k2M), level.fill(512, k4K, 2);
  EXPECT_EQ(level.tlb.flush_range(1, {{511 * kPageBytes}, {513 * kPageBytes}}), 4U);  // 511, 512 and both large pages
  for (const std::uint64_t gone : {511, 512}) EXPECT_FALSE(level.look_up(gone));
  for (const std::uint64_t kept : {510, 513, 514, 515}) EXPECT_TRUE(level.look_up(kept));
  EXPECT_FALSE(level.look_up(0, k2M) || level.look_up(1, k2M));
  EXPECT_TRUE(level.look_up(512, k4K, 2));
  level.tlb.flush_all();
  EXPECT_FALSE(level.look_up(510) || level.look_up(512, k4K, 2));
}

TEST(Tlb, WhatSavesSearchesChangesNoResult) {
  const std::vector<TlbArrayConfig> arrays{array({{k4K, 3}}, 5, TlbAccess::load),
                                           array({{k4K, 2}}, 5, TlbAccess::store), array({{k2M, 3}}, 2)};
  Level with(arrays), without(arrays), short_cut(arrays);
  Random random(1, "pages");
  int found_by_shortcut = 0;
  for (int i = 0; i < 100'000; ++i) {
    const bool has_large = i > 50'000;
    const PageSize size = has_large && random.below(4) == 0 ? k2M : k4K;
    const bool is_store = random.below(2);
    const auto asid = Asid(1 + random.below(2));
    const VirtAddr va{(size == k2M ? kGiB : 0) + (random.below(40) << page_shift(size))};
    const bool hits = bool(with.tlb.lookup(va, Tlb::Space(asid), is_store));
    ASSERT_EQ(hits, bool(without.tlb.search(va, Tlb::Space(asid), is_store)));
    Tlb::Hit hit = short_cut.tlb.shortcut(is_store).lookup(va, Tlb::Space(asid));
    found_by_shortcut += bool(hit);
    if (!hit) hit = short_cut.tlb.lookup(va, Tlb::Space(asid), is_store);
    ASSERT_EQ(hits, bool(hit));
    if (hit) {
      ASSERT_EQ(hit.size(), size);
    }
    for (Level* level : {&with, &without, &short_cut}) {
      if (!hits) level->tlb.fill(va, asid, {Level::leaf(1), size}, is_store);
      if (i % 97 == 0) level->tlb.flush_range(asid, {va, va + 3 * kPageBytes});
    }
  }
  EXPECT_GT(found_by_shortcut, 10'000);  // or the test shows nothing
}

// Tree-PLRU keeps more than a time for a use.
TEST(Tlb, AShortcutFindsNothingWithoutLru) {
  TlbArrayConfig plru = array({{k4K, 4}}, 1);
  plru.replacement = Replacement::plru;
  Level level({plru});
  level.fill(7);
  EXPECT_TRUE(level.look_up(7));
  EXPECT_FALSE(level.tlb.shortcut(false).lookup({7 * kPageBytes}, Tlb::Space(1)));
}

TEST(TlbKey, KeepsPageSizeAndAddressSpaceApart) {
  std::set<std::uint64_t> keys;
  std::size_t made = 0;
  for (const Asid asid : {0U, 1U, 1023U, 1024U, 4096U, 65535U})
    for (const PageSize size : {k4K, k2M, k1G})
      for (const std::uint64_t gib : {0U, 1U, 7U, (1U << 17) - 1, (1U << 26) - 1}) {
        const std::uint64_t page = gib * kGiB,
                            key = TlbKey::of({page + page_bytes(size) - 1}, size, TlbKey::Space(asid));
        EXPECT_EQ(TlbKey::asid_in(key), asid);
        EXPECT_EQ(TlbKey::size_in(key), size);
        EXPECT_EQ(TlbKey::address_in(key).value, page);
        EXPECT_NE(key, 0U);
        keys.insert(key), ++made;
      }
  EXPECT_EQ(keys.size(), made);
}

}  // namespace
}  // namespace collapsar
