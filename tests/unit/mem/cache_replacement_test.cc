// The replacement policies of a cache: against plain models of their rules; what an adaptive cache keeps that LRU does not.
#include <gtest/gtest.h>

#include <algorithm>
#include <optional>
#include <utility>
#include <vector>

#include "models/mem/cache.h"
#include "models/mem/cache_array.h"
#include "sim/core/random.h"

namespace collapsar {
namespace {

// QLRU_H00_M1_R0_U1 as its name says it: a hit makes age 0 of any age (H00), a miss comes in at 1 (M1), the first empty block
// or else the first of age 3 goes (R0); after each access, if no other block has age 3, all others age until one has (U1).
class PlainSet {
 public:
  explicit PlainSet(std::size_t ways) : blocks_(ways) {}
  bool touch(std::uint64_t line) {
    const auto at = find(line);
    if (at == blocks_.end()) return false;
    at->age = 0;
    age_all_but(*at);
    return true;
  }
  std::uint64_t insert(std::uint64_t line) {
    auto at = std::find_if(blocks_.begin(), blocks_.end(), [](const Block& block) { return !block.line; });
    if (at == blocks_.end())
      at = std::find_if(blocks_.begin(), blocks_.end(), [](const Block& block) { return block.age == 3; });
    if (at == blocks_.end()) at = blocks_.begin();  // of one way
    const std::uint64_t victim = at->line.value_or(CacheArray::kNoLine);
    *at = {line, 1};
    age_all_but(*at);
    return victim;
  }
  void flush(std::uint64_t line) {
    if (const auto at = find(line); at != blocks_.end()) *at = {};
  }

 private:
  struct Block {
    std::optional<std::uint64_t> line;
    int age = 3;
  };
  std::vector<Block>::iterator find(std::uint64_t line) {
    return std::find_if(blocks_.begin(), blocks_.end(), [&](const Block& block) { return block.line == line; });
  }
  void age_all_but(const Block& accessed) {
    int oldest = 0;
    for (const Block& block : blocks_)
      if (&block != &accessed) oldest = std::max(oldest, block.age);
    for (Block& block : blocks_)
      if (&block != &accessed) block.age += 3 - oldest;
  }
  std::vector<Block> blocks_;
};

// Tree-PLRU as a tree of nodes that point away from the last use, written down as such.
class PlainTree {
 public:
  explicit PlainTree(std::uint32_t ways) : points_up_(ways, false), lines_(ways, CacheArray::kNoLine) {}
  bool touch(std::uint64_t line) {
    const auto at = std::find(lines_.begin(), lines_.end(), line);
    if (at != lines_.end()) use(1, 0, std::uint32_t(lines_.size()), std::uint32_t(at - lines_.begin()));
    return at != lines_.end();
  }
  std::uint64_t insert(std::uint64_t line) {
    const auto empty = std::find(lines_.begin(), lines_.end(), CacheArray::kNoLine);
    std::uint32_t first = 0, ways = std::uint32_t(lines_.size());
    for (std::uint32_t node = 1; ways > 1; ways /= 2) {
      if (points_up_[node]) first += ways / 2;
      node = 2 * node + points_up_[node];
    }
    const auto way = empty != lines_.end() ? std::uint32_t(empty - lines_.begin()) : first;
    const std::uint64_t victim = std::exchange(lines_[way], line);
    use(1, 0, std::uint32_t(lines_.size()), way);
    return victim;
  }
  void flush(std::uint64_t line) { std::replace(lines_.begin(), lines_.end(), line, CacheArray::kNoLine); }

 private:
  void use(std::uint32_t node, std::uint32_t first, std::uint32_t ways, std::uint32_t way) {
    if (ways == 1) return;
    const bool is_upper = way >= first + ways / 2;
    points_up_[node] = !is_upper;
    use(2 * node + is_upper, is_upper ? first + ways / 2 : first, ways / 2, way);
  }
  std::vector<bool> points_up_;
  std::vector<std::uint64_t> lines_;
};

template <class Plain>
void expect_agreement(CacheReplacement replacement, std::uint32_t ways) {
  CacheArray array(1, ways, replacement);
  Plain plain(ways);
  Random random(ways, "cache_replacement_test");
  for (int i = 0; i < 20'000; ++i) {
    const std::uint64_t line = random.below(ways * 2);
    if (random.below(20) == 0) {
      plain.flush(line);
      array.remove(line);
      continue;
    }
    const bool found = plain.touch(line);
    ASSERT_EQ(array.touch(line, random.below(2) == 0), found) << ways << ", access " << i;
    if (found) continue;
    ASSERT_EQ(array.insert(line, false).line, plain.insert(line)) << ways << ", access " << i;
  }
}

TEST(CacheReplacement, QlruAgreesWithAPlainSet) {
  for (const std::uint32_t ways : {1U, 2U, 8U, 12U, 20U, 64U}) expect_agreement<PlainSet>(CacheReplacement::qlru, ways);
}

TEST(CacheReplacement, TreePlruAgreesWithAPlainTree) {
  for (const std::uint32_t ways : {1U, 2U, 4U, 8U, 16U, 64U}) expect_agreement<PlainTree>(CacheReplacement::plru, ways);
}

TEST(CacheReplacement, AgesOfTwoBitsKeepTheDirtyMark) {
  CacheArray array(1, 2, CacheReplacement::qlru);
  array.insert(0, true);
  array.insert(1, false);
  EXPECT_TRUE(array.touch(0, false));
  const CacheArray::Victim clean = array.insert(2, false), dirty = array.insert(3, false);
  EXPECT_EQ(clean.line, 1U);
  EXPECT_FALSE(clean.dirty);
  EXPECT_EQ(dirty.line, 0U);  // its hit was forgotten when 2 came in
  EXPECT_TRUE(dirty.dirty);
  EXPECT_EQ(array.remove(2), CacheArray::Removed::clean);
}

constexpr std::uint64_t kDuelSets = 330, kDuelWays = 8, kDuelLines = kDuelSets * kDuelWays;

// Hits of `rounds` over so many lines in order, as a share; and of those in sets with index `place` modulo kLeaders.
double share_kept(CacheArray& array, std::uint64_t lines, int rounds, std::optional<std::uint64_t> place = {}) {
  std::uint64_t hits = 0, all = 0;
  for (int round = 0; round < rounds; ++round)
    for (std::uint64_t line = 0; line < lines; ++line) {
      const bool hit = array.touch(line, false);
      if (!hit) array.insert(line, false);
      if (round == 0 || (place && line % kDuelSets % CacheArray::kLeaders != *place)) continue;
      hits += hit;
      ++all;
    }
  return double(hits) / double(all);
}

TEST(CacheReplacement, AdaptiveKeepsPartOfALoopThatDoesNotFit) {
  CacheArray lru(kDuelSets, kDuelWays, CacheReplacement::lru), qlru(kDuelSets, kDuelWays, CacheReplacement::qlru),
      adaptive(kDuelSets, kDuelWays, CacheReplacement::adaptive);
  EXPECT_EQ(share_kept(lru, 2 * kDuelLines, 40), 0);
  EXPECT_EQ(share_kept(qlru, 2 * kDuelLines, 40), 0);
  const double kept = share_kept(adaptive, 2 * kDuelLines, 40);
  EXPECT_GT(kept, 0.3);
  EXPECT_LT(kept, 0.5);  // no policy keeps more than what there is room for
}

TEST(CacheReplacement, AdaptiveIsQlruWhereThatMissesNothing) {
  CacheArray adaptive(kDuelSets, kDuelWays, CacheReplacement::adaptive);
  EXPECT_EQ(share_kept(adaptive, kDuelLines, 4), 1);
}

TEST(CacheReplacement, LeadersStayWhatTheyAre) {
  const auto kept = [](std::uint64_t place) {
    CacheArray adaptive(kDuelSets, kDuelWays, CacheReplacement::adaptive);
    return share_kept(adaptive, 2 * kDuelLines, 40, place);
  };
  EXPECT_EQ(kept(0), 0);                            // always warm: loses all
  EXPECT_GT(kept(CacheArray::kLeaders / 2), 0.3);   // always cold
  EXPECT_GT(kept(CacheArray::kLeaders - 1), 0.25);  // follows the better one, from the moment it is seen
}

// Each line comes twice, with two others of its set between.
double share_kept_of_pairs(CacheArray& array) {
  std::uint64_t hits = 0, all = 0;
  const std::uint64_t begin = 10 * kDuelLines, end = 200 * kDuelLines;
  for (std::uint64_t line = begin; line < end; ++line)
    for (const std::uint64_t wanted : {line, line - 2 * kDuelSets}) {
      const bool hit = array.touch(wanted, false);
      if (!hit) array.insert(wanted, false);
      if (wanted == line || line < end / 2) continue;
      hits += hit;
      ++all;
    }
  return double(hits) / double(all);
}

TEST(CacheReplacement, AdaptiveGoesBackWhenWarmLinesMissLess) {
  const ColdLines all_cold{1, Random(1, "test")};
  CacheArray qlru(kDuelSets, kDuelWays, CacheReplacement::qlru),
      adaptive(kDuelSets, kDuelWays, CacheReplacement::adaptive, all_cold);
  ASSERT_GT(share_kept(adaptive, 2 * kDuelLines, 10), 0.2);  // cold now
  EXPECT_GT(share_kept_of_pairs(qlru), 0.95);
  EXPECT_GT(share_kept_of_pairs(adaptive), 0.9);  // all but the leaders that stay cold
}

// What it is for: lines that come again live among lines that never do.
TEST(CacheReplacement, AdaptiveKeepsWhatComesAgainAmongWhatDoesNot) {
  const auto kept = [](CacheReplacement replacement) {
    CacheArray array(kDuelSets, kDuelWays, replacement);
    Random random(1, "cache_replacement_test.mixed");
    std::uint64_t hits = 0, never = kDuelLines, all = 200 * kDuelLines;
    for (std::uint64_t i = 0; i < 2 * all; ++i) {
      const std::uint64_t line = i % 2 ? ++never : random.below(kDuelLines);
      const bool hit = array.touch(line, false);
      if (!hit) array.insert(line, false);
      if (i >= all) hits += hit;
    }
    return double(hits) / double(all / 2);
  };
  EXPECT_NEAR(kept(CacheReplacement::lru), 0.44, 0.02);
  EXPECT_GT(kept(CacheReplacement::adaptive), 0.6);
}

TEST(CacheReplacement, OneStreamGivesOneResult) {
  const auto hits = [](std::uint64_t seed) {
    CacheArray array(kDuelSets, kDuelWays, CacheReplacement::adaptive, {0.5, Random(seed, "test")});
    return share_kept(array, 2 * kDuelLines, 10);
  };
  EXPECT_EQ(hits(1), hits(1));
  EXPECT_NE(hits(1), hits(2));
}

TEST(CacheReplacement, AdaptiveNeedsLeadersAndAShare) {
  CachesConfig config;
  config.l3->replacement = CacheReplacement::adaptive;
  EXPECT_NO_THROW(config.validate());
  const auto message = [](const CachesConfig& refused) {
    try {
      refused.validate();
    } catch (const std::invalid_argument& error) {
      return std::string(error.what());
    }
    return std::string();
  };
  config.l3->cold_share = 1.5;
  EXPECT_EQ(message(config), "l3.cold_share: found 1.5, expected 0 to 1");
  config.l3->cold_share = 0.5;
  config.l3->size = Bytes{32 * 64 * config.l3->ways};
  EXPECT_EQ(message(config), "l3.size: 32 sets, expected at least 33 with adaptive, whose sets compare");
}

}  // namespace
}  // namespace collapsar
