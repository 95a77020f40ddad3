#include "models/kernel/compaction.h"

#include <algorithm>
#include <functional>
#include <set>

#include "models/kernel/huge_alloc.h"
#include "tests/support/layout.h"

namespace collapsar::test {
namespace {

using namespace std::chrono_literals;
using Result = Compaction::Result;
using Priority = Compaction::Priority;

constexpr VirtAddr kHeap{0x40000000};

BenchConfig machine(Bytes memory = Bytes{64 * kMiB}) {
  BenchConfig config;
  config.memory = memory;
  config.kernel.compaction.proactiveness = 0;
  return config;
}

struct CompactionBench : KernelBench {
  explicit CompactionBench(const BenchConfig& config = machine()) : KernelBench(config) {}
  explicit CompactionBench(const FragmentationConfig& pieces, const BenchConfig& config = machine())
      : KernelBench(config) {
    kernel.fragment(pieces, /*seed=*/1);
  }
  Compaction& compaction() { return kernel.compaction(); }
  VmStat& vm() { return stats().vmstat; }
  std::uint64_t huge_blocks() const { return memory.free_blocks(kHugeOrder); }
  Compaction::Request compact(Priority priority = Priority::async) {
    Signal done(queue);
    Compaction::Request request{.done = &done.event, .priority = priority};
    compaction().direct(request);
    run_until(done);
    return request;
  }
  Pfn frame_of(TaskId task, VirtAddr va) { return entry(task, va).pfn(); }
};

// Every second page of a mapping that fills the memory but for `left`: no 2 MiB block is free, and any page may move.
VirtRange checkered(CompactionBench& b, TaskId task, std::uint64_t left = 4 * kMiB) {
  Layout layout(b, task);
  const std::uint64_t bytes = align_down(b.memory.free_pages() * kPageBytes - left, kHugeBytes);
  layout.vma(kHeap, bytes);
  layout.pages(kHeap, bytes / kPageBytes);
  std::vector<Pfn> rest;
  while (auto page = b.memory.allocate(0, MigrateType::movable, FrameUse::kernel, AllocLevel::reserve))
    rest.push_back(*page);
  for (VirtAddr va = kHeap; va < kHeap + bytes; va += 2 * kPageBytes)
    b.kernel.rmap().zap_pte(b.mm(task), va, *b.mm(task).table().pte(va));
  EXPECT_EQ(b.huge_blocks(), 0U);
  return {kHeap, kHeap + bytes};
}

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
  b.touch_all(task, b.map(task, kHeap.value, bytes));
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

// --- in the middle of a run ---

// Compacts, and does `meanwhile` as soon as pages are in its hands.
Compaction::Request compact_and(CompactionBench& b, const std::function<void()>& meanwhile) {
  Signal done(b.queue);
  Compaction::Request request{.done = &done.event, .priority = Priority::sync_light};
  b.compaction().direct(request);
  EXPECT_FALSE(b.compaction().at_rest());
  EXPECT_FALSE(b.kernel.at_rest());
  meanwhile();
  b.run_until(done);
  EXPECT_TRUE(b.compaction().at_rest());
  return request;
}

// The pages that the run holds.
std::vector<VirtAddr> isolated(CompactionBench& b, TaskId task, VirtRange range) {
  std::vector<VirtAddr> found;
  for (VirtAddr va = range.start; va < range.end; va += kPageBytes)
    if (const Pte pte = b.entry(task, va); pte.present() && b.memory.frame(pte.pfn()).is(Frame::kIsolated))
      found.push_back(va);
  return found;
}

TEST(CompactionMeanwhile, PinnedOrWrittenBackPagesStay) {
  CompactionBench b;
  const TaskId task = b.process();
  const VirtRange range = checkered(b, task);
  Pfn pinned = kNoPfn, written = kNoPfn;
  VirtAddr first{}, second{};
  compact_and(b, [&] {
    const std::vector<VirtAddr> pages = isolated(b, task, range);
    ASSERT_EQ(pages.size(), 32U);  // a cluster
    first = pages[0], second = pages[1];
    pinned = b.frame_of(task, first), written = b.frame_of(task, second);
    ++b.memory.frame(pinned).pins;
    b.memory.frame(written).set(Frame::kWriteback);
  });
  EXPECT_EQ(b.vm().pgmigrate_fail, 2U);
  EXPECT_EQ(b.frame_of(task, first), pinned);
  EXPECT_EQ(b.frame_of(task, second), written);
  for (const Pfn page : {pinned, written}) {
    EXPECT_TRUE(b.memory.frame(page).is(Frame::kLru));
    EXPECT_FALSE(b.memory.frame(page).is(Frame::kLocked));
  }
}

TEST(CompactionMeanwhile, UnmappedPagesAreFreed) {
  CompactionBench b;
  const TaskId task = b.process();
  const VirtRange range = checkered(b, task);
  std::uint64_t unmapped = 0;
  compact_and(b, [&] {
    for (const VirtAddr va : isolated(b, task, range)) {
      b.kernel.rmap().zap_pte(b.mm(task), va, *b.mm(task).table().pte(va));
      ++unmapped;
    }
  });
  EXPECT_EQ(unmapped, 32U);
  EXPECT_EQ(b.kernel.reclaim().lru_pages(), b.mm(task).anon_rss);  // nothing is left of them
}

TEST(CompactionMeanwhile, ForkedPagesMoveInBothAndAreFlushedInBoth) {
  CompactionBench b;
  const TaskId parent = b.process();
  const VirtRange range = checkered(b, parent);
  TaskId child{};
  std::vector<std::pair<VirtAddr, Pfn>> held;
  compact_and(b, [&] {
    for (const VirtAddr va : isolated(b, parent, range)) held.emplace_back(va, b.frame_of(parent, va));
    SyscallRequest fork = KernelBench::request(SyscallRequest::Op::fork, parent);
    fork.value = 2;
    child = b.now(fork).new_task;
    b.shootdown.flushes.clear();
  });
  ASSERT_EQ(held.size(), 32U);
  for (const auto& [va, was] : held) {
    EXPECT_EQ(b.frame_of(child, va), b.frame_of(parent, va));
    EXPECT_NE(b.frame_of(parent, va), was);
  }
  for (const TaskId task : {parent, child})
    EXPECT_TRUE(std::ranges::count(b.shootdown.flushes, b.mm(task).asid(), &FakeShootdown::Flush::asid) > 0);
}

TEST(CompactionMeanwhile, ASecondRunLeavesTheFirstItsBlock) {
  CompactionBench b({.movable = 1.0, .fill = 0.5});
  Signal done(b.queue);
  Compaction::Request second{.done = &done.event};
  const Compaction::Request first = compact_and(b, [&] { b.compaction().direct(second); });
  b.run_until(done);
  EXPECT_EQ(first.result, Result::success);
  EXPECT_EQ(second.result, Result::success);
  EXPECT_LE(b.vm().pgmigrate_success, kHugePages);  // a block each, at most
  b.kernel.check();
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

// --- who asks ---

// A fault on a madvised range with this `defrag`.
struct HugeFault {
  CompactionBench b;
  TaskId task = b.process();
  HugeFault(ThpDefrag defrag, bool madvised, const FragmentationConfig& pieces) : b(pieces, config_of(defrag)) {
    b.map(task, kHeap.value, kHugeBytes);
    if (madvised) b.call(KernelBench::advice(task, Advice::hugepage, kHeap.value, kHugeBytes));
    b.touch(task, kHeap);
  }
  static BenchConfig config_of(ThpDefrag defrag) {
    BenchConfig config = machine();
    config.kernel.thp.enabled = ThpEnabled::always;
    config.kernel.thp.defrag = defrag;
    return config;
  }
  bool is_huge() { return b.mm(task).huge_pages > 0; }
};

TEST(DirectCompaction, GetsAFaultItsHugePageWhereDefragAllows) {
  const FragmentationConfig pieces{.movable = 1.0, .fill = 0.25};
  for (const ThpDefrag defrag : {ThpDefrag::always, ThpDefrag::madvise, ThpDefrag::defer_madvise}) {
    HugeFault fault(defrag, /*madvised=*/true, pieces);
    EXPECT_TRUE(fault.is_huge());
    EXPECT_EQ(fault.b.vm().compact_stall, 1U);
    EXPECT_EQ(fault.b.vm().compact_success, 1U);
    EXPECT_EQ(fault.b.stats().stall.compaction_ns.count(), 1U);
    EXPECT_EQ(fault.b.stats().stall.compaction_ns.sum(), rounded_ns(fault.b.stats().compaction.cpu));
    EXPECT_TRUE(fault.b.cpus.sleeps.empty());  // it works; it does not sleep
  }
  HugeFault plain(ThpDefrag::madvise, /*madvised=*/false, pieces);
  EXPECT_FALSE(plain.is_huge());
  EXPECT_EQ(plain.b.vm().thp_fault_fallback, 1U);
  EXPECT_EQ(plain.b.vm().compact_stall, 0U);
}

TEST(DirectCompaction, TriesTwiceInAFaultAndTheSecondTimeHarder) {
  HugeFault fault(ThpDefrag::madvise, /*madvised=*/true, {.hybrid = 1.0, .fill = 0.5});
  EXPECT_FALSE(fault.is_huge());
  EXPECT_EQ(fault.b.vm().compact_stall, 2U);
  EXPECT_EQ(fault.b.vm().compact_fail, 2U);
  EXPECT_EQ(fault.b.vm().allocstall, 0U);  // there is memory enough: nothing is reclaimed
  EXPECT_EQ(fault.b.vm().thp_fault_fallback, 1U);
  EXPECT_EQ(fault.b.compact().result, Result::deferred);  // so the second was synchronous
}

TEST(DirectCompaction, StaysAsynchronousForWhoDidNotAskForHugePages) {
  HugeFault fault(ThpDefrag::always, /*madvised=*/false, {.hybrid = 1.0, .fill = 0.5});
  EXPECT_EQ(fault.b.vm().compact_stall, 2U);
  EXPECT_NE(fault.b.compact().result, Result::deferred);
}

TEST(DirectCompaction, MakesRoomForKhugepagedWithDefragOnly) {
  for (const bool defrag : {true, false}) {
    BenchConfig config = machine();
    config.kernel.thp.enabled = ThpEnabled::always;
    config.kernel.thp.at_fault = false;
    config.kernel.khugepaged.defrag = defrag;
    CompactionBench b({.movable = 1.0, .fill = 0.25}, config);
    const TaskId task = b.process();
    Layout layout(b, task);
    layout.vma(kHeap, kHugeBytes);
    layout.pages(kHeap, kHugePages);
    b.kernel.start();
    b.wait(15s);
    EXPECT_EQ(b.stats().khugepaged.pages_collapsed, defrag ? 1U : 0U);
    EXPECT_EQ(b.vm().thp_collapse_alloc_failed, defrag ? 0U : 1U);
    EXPECT_EQ(b.stats().khugepaged.cpu_alloc > b.costs().collapse_alloc, defrag);
    EXPECT_EQ(b.stats().stall.compaction_ns.count(), 0U);  // nobody waits for it
  }
}

// --- kcompactd ---

TEST(Kcompactd, WorksForAFaultThatDidNotWait) {
  HugeFault fault(ThpDefrag::defer, /*madvised=*/false, {.movable = 1.0, .fill = 0.25});
  EXPECT_FALSE(fault.is_huge());
  EXPECT_EQ(fault.b.vm().compact_daemon_wake, 1U);
  EXPECT_EQ(fault.b.vm().compact_stall, 0U);
  fault.b.wait(1s);
  EXPECT_GT(fault.b.huge_blocks(), 0U);
  EXPECT_GT(fault.b.vm().compact_daemon_migrate_scanned, 0U);
  EXPECT_EQ(fault.b.stats().compaction.kcompactd, fault.b.stats().compaction.cpu);
}

std::uint64_t percent_in_pieces(const PhysicalMemory& memory) {
  return (memory.free_pages() - memory.free_pages_in_blocks(kHugeOrder)) * 100 / memory.free_pages();
}

TEST(Kcompactd, KeepsMemoryTogetherUnasked) {
  for (const std::uint64_t proactiveness : {0, 20, 60}) {
    BenchConfig config = machine();
    config.kernel.compaction.proactiveness = proactiveness;
    CompactionBench b({.movable = 1.0, .fill = 0.25}, config);
    ASSERT_EQ(percent_in_pieces(b.memory), 100U);
    b.kernel.start();
    b.wait(499ms);
    EXPECT_EQ(percent_in_pieces(b.memory), 100U);
    b.wait(500ms);
    EXPECT_LE(percent_in_pieces(b.memory), 100 - proactiveness);
    EXPECT_EQ(percent_in_pieces(b.memory) == 100, proactiveness == 0);
  }
}

TEST(Kcompactd, LeavesHopelessMemoryAloneForHalfAMinute) {
  BenchConfig config = machine();
  config.kernel.compaction.proactiveness = 20;
  CompactionBench b({.hybrid = 1.0, .fill = 0.5}, config);
  b.kernel.start();
  b.wait(1s);
  const std::uint64_t looked_at = b.vm().compact_daemon_migrate_scanned;
  EXPECT_GT(looked_at, 0U);
  b.wait(31s);
  EXPECT_EQ(b.vm().compact_daemon_migrate_scanned, looked_at);
  b.wait(2s);
  EXPECT_GT(b.vm().compact_daemon_migrate_scanned, looked_at);
}

}  // namespace
}  // namespace collapsar::test
