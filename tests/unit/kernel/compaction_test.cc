#include <set>

#include "tests/unit/kernel/compaction_bench.h"

namespace collapsar::test {
namespace {

using namespace std::chrono_literals;
using Result = Compaction::Result;
using Priority = Compaction::Priority;

// --- one run ---

TEST(Compaction, EndsWithTheFirstBlockThatIsWhole) {
  CompactionBench b({.movable = 1.0, .fill = 0.25});
  ASSERT_EQ(b.huge_blocks(), 0U);
  EXPECT_EQ(b.compact().result, Result::success);
  EXPECT_EQ(b.huge_blocks(), 1U);
  EXPECT_EQ(b.vm().pgmigrate_success, kHugePages / 4);  // the pages of one block
  EXPECT_EQ(b.vm().pgmigrate_fail, 0U);
  b.kernel.check();
}

TEST(Compaction, TakesItsTimePerFrameLookedAtAndPerPageMoved) {
  CompactionBench b({.movable = 1.0, .fill = 0.25});
  const Time start = b.queue.now();
  const Compaction::Request request = b.compact();
  const Duration looking =
      b.costs().compact_scan * std::int64_t(b.vm().compact_migrate_scanned + b.vm().compact_free_scanned);
  const Duration moving = (b.costs().migrate_page + b.costs().copy_page) * std::int64_t(b.vm().pgmigrate_success);
  EXPECT_EQ(request.cost, looking + moving);
  EXPECT_EQ(b.queue.now() - start, request.cost);
  EXPECT_EQ(b.stats().compaction.cpu, request.cost);
  EXPECT_EQ(b.stats().compaction.kcompactd, Duration::zero());
}

TEST(Compaction, MovedPagesAreMappedAsBefore) {
  CompactionBench b;
  const TaskId task = b.process();
  const VirtRange range = checkered(b, task);
  std::vector<Pte> before;
  for (VirtAddr va = range.start; va < range.end; va += kPageBytes) before.push_back(b.entry(task, va));
  const std::uint64_t rss = b.mm(task).anon_rss;
  EXPECT_EQ(b.compact().result, Result::success);
  std::uint64_t moved = 0;
  std::set<std::uint64_t> frames;
  for (std::size_t i = 0; i < before.size(); ++i) {
    const Pte after = b.entry(task, range.start + i * kPageBytes);
    EXPECT_EQ(after.with_frame({0}), before[i].with_frame({0}));
    if (after.none()) continue;
    EXPECT_TRUE(frames.insert(after.pfn().value).second);
    EXPECT_EQ(b.memory.frame(after.pfn()).index, (range.start + i * kPageBytes).value >> kPageShift);
    moved += after != before[i];
  }
  EXPECT_EQ(moved, b.vm().pgmigrate_success);
  EXPECT_EQ(b.mm(task).anon_rss, rss);
  EXPECT_EQ(b.kernel.reclaim().lru_pages(), rss);
  EXPECT_GT(b.huge_blocks(), 0U);
}

TEST(Compaction, FlushesOnceForAClusterSince6_3AndPageByPageBefore) {
  for (const char* version : {"6.1", "6.12"}) {
    BenchConfig config = machine();
    config.kernel.version = version;
    CompactionBench b(config);
    checkered(b, b.process());
    EXPECT_EQ(b.compact().result, Result::success);
    const std::uint64_t clusters = (b.vm().pgmigrate_success + 31) / 32;
    EXPECT_EQ(b.shootdown.flushes.size(),
              b.kernel.context().rules.batches_migration ? clusters : b.vm().pgmigrate_success);
    EXPECT_EQ(b.kernel.context().rules.batches_migration, std::string(version) != "6.1");
  }
}

TEST(Compaction, APageInTheSwapCacheIsFoundThereAfterItsMove) {
  CompactionBench b;
  const TaskId task = b.process();
  const VirtRange range = checkered(b, task);
  std::vector<std::pair<VirtAddr, SwapSlot>> cached;
  for (VirtAddr va = range.start + kPageBytes; va < range.end; va += 64 * kPageBytes) {
    cached.emplace_back(va, *b.swap.allocate());
    b.kernel.swap_cache().add(cached.back().second, b.frame_of(task, va));
  }
  EXPECT_EQ(b.compact().result, Result::success);
  for (const auto& [va, slot] : cached) EXPECT_EQ(b.kernel.swap_cache().find(slot), b.frame_of(task, va));
}

TEST(Compaction, LeavesPinnedPagesWhereTheyAre) {
  CompactionBench b;
  const TaskId task = b.process();
  const VirtRange range = checkered(b, task);
  for (VirtAddr va = range.start + kPageBytes; va < range.end; va += 2 * kPageBytes)
    ++b.memory.frame(b.frame_of(task, va)).pins;
  EXPECT_EQ(b.compact().result, Result::complete);
  EXPECT_EQ(b.compact(Priority::sync_light).result, Result::complete);
  EXPECT_EQ(b.vm().pgmigrate_success, 0U);
  EXPECT_EQ(b.huge_blocks(), 0U);
}

TEST(Compaction, LeavesLockedMemoryAloneOnlyIfToldTo) {
  for (const bool allowed : {true, false}) {
    BenchConfig config = machine();
    config.kernel.compaction.unevictable_allowed = allowed;
    CompactionBench b(config);
    const TaskId task = b.process();
    const VirtRange range = checkered(b, task);
    for (VirtAddr va = range.start + kPageBytes; va < range.end; va += 2 * kPageBytes)
      b.memory.frame(b.frame_of(task, va)).set(Frame::kUnevictable);
    EXPECT_EQ(b.compact(Priority::sync_light).result, allowed ? Result::success : Result::complete);
    EXPECT_EQ(b.vm().pgmigrate_success > 0, allowed);
  }
}

// --- effort ---

TEST(Compaction, AsynchronousEffortGivesABlockUpAtItsUnmovablePage) {
  const FragmentationConfig pieces{.hybrid = 1.0, .fill = 0.5};
  CompactionBench lazy(pieces), thorough(pieces);
  EXPECT_EQ(lazy.compact().result, Result::complete);
  EXPECT_EQ(thorough.compact(Priority::sync_light).result, Result::complete);
  EXPECT_GT(thorough.vm().pgmigrate_success, lazy.vm().pgmigrate_success);
  for (CompactionBench* b : {&lazy, &thorough}) {
    EXPECT_EQ(b->huge_blocks(), 0U);  // all in vain
    b->kernel.check();
  }
}

TEST(Compaction, AsynchronousEffortKeepsToMovableBlocks) {
  CompactionBench b({.movable = 1.0, .fill = 0.25});
  for (Pfn block{kHugePages}; block < Pfn{b.memory.total_pages()}; block += kHugePages)
    b.memory.set_pageblock_type(block, MigrateType::unmovable);
  EXPECT_EQ(b.compact().result, Result::complete);
  EXPECT_EQ(b.vm().compact_migrate_scanned, 0U);
}

// --- whether it begins ---

TEST(Compaction, DoesNotBeginWhereMemoryIsShort) {
  CompactionBench b({.movable = 1.0, .fill = 0.25});
  EXPECT_TRUE(b.compaction().has_enough_free());
  const std::uint64_t needed = b.memory.watermarks().low + 2 * kHugePages;
  while (b.memory.free_pages() >= needed) ASSERT_TRUE(b.memory.allocate(0, MigrateType::movable, FrameUse::kernel));
  EXPECT_FALSE(b.compaction().has_enough_free());
  EXPECT_EQ(b.compact().result, Result::skipped);
  EXPECT_EQ(b.vm().compact_stall, 0U);
}

TEST(Compaction, DoesNotBeginWhereMemoryIsNotInPieces) {
  BenchConfig config = machine();
  config.kernel.compaction.extfrag_threshold = 1000;  // whatever is missing, it is for lack of memory
  CompactionBench b({.movable = 1.0, .fill = 0.25}, config);
  EXPECT_EQ(b.compact().result, Result::skipped);
}

TEST(Compaction, IsDeferredAfterItHasFailedWithFullEffort) {
  CompactionBench b({.hybrid = 1.0, .fill = 0.5});
  EXPECT_EQ(b.compact(Priority::async).result, Result::complete);  // does not count
  EXPECT_EQ(b.compact(Priority::sync_light).result, Result::complete);
  EXPECT_EQ(b.compact().result, Result::deferred);  // 1 of 2
  EXPECT_EQ(b.compact(Priority::sync_light).result, Result::complete);
  for (int i = 0; i < 3; ++i) EXPECT_EQ(b.compact().result, Result::deferred);  // 3 of 4
  EXPECT_EQ(b.compact(Priority::sync_light).result, Result::complete);
}

TEST(Compaction, DoesNotLookAgainAtTheBarrenBottomOfMemory) {
  CompactionBench b({.movable = 1.0, .fill = 0.25});
  constexpr std::uint64_t kBarren = 8;  // blocks, the zero page's among them
  for (Pfn p{0}; p < Pfn{kBarren * kHugePages}; ++p) b.memory.frame(p).pins = 1;
  ASSERT_EQ(b.compact(Priority::sync_light).result, Result::success);
  const std::uint64_t first = b.vm().compact_migrate_scanned;
  EXPECT_GT(first, kBarren * kHugePages);
  ASSERT_TRUE(b.memory.allocate(kHugeOrder, MigrateType::movable, FrameUse::kernel, AllocLevel::min));
  ASSERT_EQ(b.compact(Priority::sync_light).result, Result::success);
  EXPECT_LE(b.vm().compact_migrate_scanned - first, kHugePages);
}

TEST(Compaction, PassesOverBlocksThatGaveNothingUntilKswapdHasSlept) {
  BenchConfig config = machine();
  config.swap.device = SwapKind::none;  // kswapd finds nothing to do
  CompactionBench b(config);
  const TaskId task = b.process();
  const VirtRange range = checkered(b, task);
  for (VirtAddr va = range.start + kPageBytes; va < range.end; va += 2 * kPageBytes)
    ++b.memory.frame(b.frame_of(task, va)).pins;
  ASSERT_EQ(b.compact().result, Result::complete);
  const std::uint64_t all = std::exchange(b.vm().compact_migrate_scanned, 0);
  ASSERT_GT(all, 0U);
  ASSERT_EQ(b.compact().result, Result::complete);
  EXPECT_EQ(b.vm().compact_migrate_scanned, 0U);

  std::vector<Pfn> others;
  while (b.memory.free_pages() > b.memory.watermarks().low)
    others.push_back(*b.memory.allocate(0, MigrateType::movable, FrameUse::kernel, AllocLevel::reserve));
  b.kernel.reclaim().wake_kswapd();
  b.wait(1s);
  ASSERT_EQ(b.kernel.reclaim().kswapd_sleeps(), 1U);
  for (const Pfn frame : others) b.memory.free(frame, 0);
  ASSERT_EQ(b.compact().result, Result::complete);
  EXPECT_EQ(b.vm().compact_migrate_scanned, all);
}

}  // namespace
}  // namespace collapsar::test
