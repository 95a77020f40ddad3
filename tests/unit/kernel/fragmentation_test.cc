#include "tests/unit/kernel/compaction_bench.h"

namespace collapsar::test {
namespace {

// --- a fragmented start ---

TEST(Fragmentation, EachKindLeavesItsShareOfBlocksInPieces) {
  CompactionBench b({.unmovable = 0.25, .movable = 0.25, .hybrid = 0.125, .fill = 0.5});
  const std::uint64_t blocks = b.memory.total_pages() / kHugePages;
  std::uint64_t unmovable = 0, movable = 0, hybrid = 0;
  for (std::uint64_t n = 1; n < blocks; ++n) {  // the first holds the zero page
    std::uint64_t cache = 0, kernel = 0;
    for (Pfn p{n * kHugePages}; p < Pfn{(n + 1) * kHugePages}; ++p) {
      cache += b.memory.frame(p).used_as() == FrameUse::file;
      kernel += b.memory.frame(p).used_as() == FrameUse::kernel;
    }
    EXPECT_TRUE(cache == 0 || cache == kHugePages / 2);
    const MigrateType type = b.memory.pageblock_type({n * kHugePages});
    if (cache + kernel > 0) {
      EXPECT_EQ(type == MigrateType::unmovable, cache == 0);
    }
    unmovable += cache == 0 && kernel == 1, movable += cache > 0 && kernel == 0, hybrid += cache > 0 && kernel == 1;
  }
  EXPECT_EQ(unmovable, blocks / 4);
  EXPECT_EQ(movable, blocks / 4);
  EXPECT_EQ(hybrid, blocks / 8);
  b.kernel.check();
}

TEST(Fragmentation, TogetherLeavesTheTopOfMemoryWhole) {
  CompactionBench b({.movable = 0.5, .spread = BlockSpread::together});
  const std::uint64_t half = b.memory.total_pages() / 2;
  const auto has_cache = [&](Pfn block) {
    for (Pfn p = block; p < block + kHugePages; ++p)
      if (b.memory.frame(p).used_as() == FrameUse::file) return true;
    return false;
  };
  for (Pfn block{kHugePages}; block < Pfn{b.memory.total_pages()}; block += kHugePages)  // not the zero page's
    EXPECT_EQ(has_cache(block), block.value <= half);
}

TEST(Fragmentation, PageCacheOfOthersGoesWhenMemoryIsShort) {
  CompactionBench b({.movable = 1.0, .fill = 0.9});
  const TaskId task = b.process();
  const std::uint64_t bytes = 20 * kMiB;  // less than a tenth of the memory is free
  ASSERT_LT(b.memory.free_pages() * kPageBytes, bytes);
  b.touch_all(task, b.map(task, kHeap, bytes));
  EXPECT_EQ(b.mm(task).anon_rss, bytes / kPageBytes);
  EXPECT_GT(b.vm().pgsteal_kswapd + b.vm().pgsteal_direct, 0U);
}

TEST(FragmentationConfig, RefusesWhatIsNoShare) {
  EXPECT_NO_THROW((FragmentationConfig{.unmovable = 0.5, .movable = 0.5}.validate()));
  EXPECT_THROW((FragmentationConfig{.unmovable = -0.1}.validate()), std::invalid_argument);
  EXPECT_THROW((FragmentationConfig{.movable = 1.1}.validate()), std::invalid_argument);
  EXPECT_THROW((FragmentationConfig{.unmovable = 0.6, .movable = 0.6}.validate()), std::invalid_argument);
  EXPECT_THROW((FragmentationConfig{.fill = 1.0}.validate()), std::invalid_argument);
}

}  // namespace
}  // namespace collapsar::test
