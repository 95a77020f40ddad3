#include "models/kernel/swap_cache.h"

#include "tests/support/layout.h"

namespace collapsar::test {
namespace {

BenchConfig on_nvme() {
  BenchConfig config;
  config.swap = {
      .device = SwapKind::nvme, .size = Bytes{64 * kMiB}, .queue_depth = {}, .read = {}, .write = {}, .bandwidth = {}};
  return config;
}

struct SwapCacheBench : testing::Test {
  KernelBench b{on_nvme()};
  TaskId task = b.process();
  Layout layout{b, task};
  SwapCache& cache = b.kernel.swap_cache();

  Pfn frame() { return *b.memory.allocate(0, MigrateType::movable, FrameUse::anon); }
  SwapSlot slot_at(VirtAddr va) { return b.entry(task, va).swap_slot(); }
  // The page at `va` as reclaim leaves it: a slot, a swap entry, the write under way.
  Pfn send_out(VirtAddr va, SwapCache::Write* written) {
    const Pfn pfn = layout.page(va);
    const SwapSlot slot = *b.swap.allocate();
    cache.add(slot, pfn);
    Pte& entry = *b.mm(task).table().pte(va);
    const Pte old = std::exchange(entry, Pte::make_swap(slot, Pte::kSoftExclusive));
    b.swap.duplicate(slot);
    ++b.mm(task).swap_entries;
    b.kernel.rmap().drop_mapping(b.mm(task), old);
    cache.start_write(pfn, written);
    return pfn;
  }
};

TEST_F(SwapCacheBench, ReadLocksThePageUntilItIsThere) {
  layout.vma(kBase, 2 * kMiB);
  layout.swapped_out(kBase);
  const Pfn pfn = frame();
  cache.start_read(slot_at(kBase), pfn);
  EXPECT_TRUE(b.memory.frame(pfn).is(Frame::kLocked));
  EXPECT_EQ(cache.find(slot_at(kBase)), pfn);
  EXPECT_EQ(b.stats().vmstat.pswpin, 1U);
  b.wait(std::chrono::milliseconds(1));
  EXPECT_FALSE(b.memory.frame(pfn).is(Frame::kLocked));
  EXPECT_EQ(cache.find(slot_at(kBase)), pfn);  // the swap entry still wants it
  b.kernel.check();
}

TEST_F(SwapCacheBench, PageThatNobodyWantsAnyMoreGoesWhenItsReadIsDone) {
  layout.vma(kBase, 2 * kMiB);
  layout.swapped_out(kBase);
  const std::uint64_t free = b.memory.free_pages();
  cache.start_read(slot_at(kBase), frame());
  b.kernel.rmap().zap_range(b.mm(task), {kBase, kBase + kPageBytes});
  EXPECT_EQ(b.memory.free_pages(), free - 1);
  b.wait(std::chrono::milliseconds(1));
  EXPECT_EQ(b.memory.free_pages(), free);
  EXPECT_EQ(b.swap.free_slots(), b.swap.slots());
  EXPECT_EQ(cache.pages(), 0U);
  b.kernel.check();
}

TEST_F(SwapCacheBench, WrittenPageIsFreedAndItsSlotKept) {
  layout.vma(kBase, 2 * kMiB);
  Signal done(b.queue);
  SwapCache::Write write{.done = &done.event};
  send_out(kBase, &write);
  EXPECT_EQ(cache.writes_in_flight(), 1U);
  b.run_until(done);
  EXPECT_TRUE(write.freed);
  EXPECT_EQ(cache.pages(), 0U);
  EXPECT_EQ(b.swap.users(slot_at(kBase)), 1U);
  EXPECT_EQ(b.stats().vmstat.pswpout, 1U);
  b.kernel.check();
}

TEST_F(SwapCacheBench, PageMappedAgainDuringItsWriteIsKept) {
  layout.vma(kBase, 2 * kMiB);
  Signal done(b.queue);
  SwapCache::Write write{.done = &done.event};
  const Pfn pfn = send_out(kBase, &write);
  b.touch(task, kBase);
  EXPECT_EQ(b.entry(task, kBase).pfn(), pfn);
  EXPECT_EQ(b.stats().faults.minor, 1U);  // no device was waited for
  EXPECT_TRUE(b.memory.frame(pfn).is(Frame::kSwapCache));
  b.run_until(done);
  EXPECT_FALSE(write.freed);
  EXPECT_TRUE(b.memory.frame(pfn).is(Frame::kSwapCache));  // it keeps its copy until it is reused or freed
  EXPECT_EQ(b.swap.free_slots(), b.swap.slots() - 1);
  b.kernel.check();
}

TEST_F(SwapCacheBench, ReadaheadTakesTheSwapEntriesOfTheAlignedCluster) {
  layout.vma(kBase, 2 * kMiB);
  layout.swapped_out(kBase + 8 * kPageBytes, 6);
  layout.page(kBase + 14 * kPageBytes);
  layout.swapped_out(kBase + 16 * kPageBytes);
  const VirtAddr va = kBase + 10 * kPageBytes;
  const auto slots = cache.readahead(b.mm(task), *b.mm(task).find(va), va);
  ASSERT_EQ(slots.size(), 5U);  // pages 8..13 of the cluster 8..15, without the one asked for
  EXPECT_EQ(slots[0], slot_at(kBase + 8 * kPageBytes));
  EXPECT_EQ(slots[2], slot_at(kBase + 11 * kPageBytes));
}

TEST_F(SwapCacheBench, SlotStaysWhileAnotherProcessNeedsIt) {
  layout.vma(kBase, 2 * kMiB);
  layout.swapped_out(kBase);
  const SwapSlot slot = slot_at(kBase);
  const TaskId child = b.fork(task, 2);
  EXPECT_EQ(b.swap.users(slot), 2U);
  b.touch(task, kBase);               // reads it, and copies because the child has it too
  EXPECT_EQ(b.swap.users(slot), 2U);  // the child and the cache
  b.touch(child, kBase);
  EXPECT_EQ(b.stats().faults.major, 1U);
  EXPECT_EQ(b.swap.free_slots(), b.swap.slots());
  EXPECT_NE(b.entry(task, kBase).pfn(), b.entry(child, kBase).pfn());
  b.kernel.check();
}

}  // namespace
}  // namespace collapsar::test
