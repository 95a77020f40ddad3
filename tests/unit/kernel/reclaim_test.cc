#include "models/kernel/reclaim.h"

#include "tests/support/layout.h"

namespace collapsar::test {
namespace {

using namespace std::chrono_literals;

BenchConfig pressed(SwapKind device = SwapKind::nvme, Bytes memory = Bytes{16 * kMiB}) {
  BenchConfig config;
  config.memory = memory;
  config.kernel.thp.enabled = ThpEnabled::never;
  config.swap = {
      .device = device, .size = Bytes{64 * kMiB}, .queue_depth = {}, .read = {}, .write = {}, .bandwidth = {}};
  return config;
}

// --- lists ---

struct ReclaimLists : testing::Test {
  KernelBench b;
  TaskId task = b.process();
  Layout layout{b, task};
  Reclaim& reclaim = b.kernel.reclaim();
  const Lru& lru = reclaim.lru();
};

TEST_F(ReclaimLists, NewPagesEnterTheInactiveListInOrder) {
  layout.vma(kBase, 2 * kMiB);
  const Pfn first = layout.page(kBase), second = layout.page(kBase + kPageBytes);
  EXPECT_EQ(lru.tail(Lru::Kind::anon, false), first);
  reclaim.remove(first);
  EXPECT_EQ(lru.tail(Lru::Kind::anon, false), second);
  reclaim.add(first, false);
  EXPECT_EQ(reclaim.lru_pages(), 2U);
}

TEST_F(ReclaimLists, ActivatedPageComesBackOnlyByDeactivation) {
  layout.vma(kBase, 2 * kMiB);
  const Pfn page = layout.page(kBase);
  layout.page(kBase + kPageBytes);
  reclaim.activate(page);
  EXPECT_EQ(lru.pages(Lru::Kind::anon, true), 1U);
  reclaim.deactivate(page);
  EXPECT_EQ(lru.tail(Lru::Kind::anon, false), page);
  EXPECT_EQ(b.stats().vmstat.pgactivate, 1U);
  EXPECT_EQ(b.stats().vmstat.pgdeactivate, 1U);
}

TEST_F(ReclaimLists, IsolatedPageReturnsToItsList) {
  layout.vma(kBase, 2 * kMiB);
  const Pfn page = layout.page(kBase);
  reclaim.activate(page);
  EXPECT_TRUE(reclaim.isolate(page));
  EXPECT_FALSE(reclaim.isolate(page));
  EXPECT_EQ(reclaim.lru_pages(), 0U);
  reclaim.putback(page);
  EXPECT_EQ(lru.pages(Lru::Kind::anon, true), 1U);
}

TEST_F(ReclaimLists, HugePageCountsAs512) {
  layout.vma(kBase, 2 * kMiB);
  layout.huge(kBase);
  EXPECT_EQ(lru.pages(Lru::Kind::anon), kHugePages);
  EXPECT_EQ(lru.entries(), 1U);
}

// --- page_out ---

struct ReclaimPages : testing::Test {
  KernelBench b;
  TaskId task = b.process();
  Layout layout{b, task};
  Reclaim& reclaim = b.kernel.reclaim();
  Duration page_out(const std::vector<Pfn>& pages) {
    Signal done(b.queue);
    const Duration cost = reclaim.page_out(pages, done.event);
    b.run_until(done);
    return cost;
  }
};

TEST_F(ReclaimPages, PageGoesOutAndComesBack) {
  layout.vma(kBase, 2 * kMiB);
  const Pfn page = layout.page(kBase);
  EXPECT_EQ(page_out({page}), b.costs().reclaim_page + b.costs().swap_out_page);
  EXPECT_TRUE(b.entry(task, kBase).swap());
  EXPECT_EQ(b.mm(task).anon_rss, 0U);
  EXPECT_EQ(b.mm(task).swap_entries, 1U);
  EXPECT_EQ(b.shootdown.flushes.size(), 1U);
  b.kernel.check();
  b.touch(task, kBase);
  EXPECT_EQ(b.stats().faults.major, 1U);
  EXPECT_EQ(b.mm(task).swap_entries, 0U);
  EXPECT_EQ(b.swap.free_slots(), b.swap.slots());
  b.kernel.check();
}

TEST_F(ReclaimPages, OneFlushPerBatchAndProcess) {
  layout.vma(kBase, 2 * kMiB);
  std::vector<Pfn> pages;
  for (std::uint64_t i = 0; i < 4; ++i) pages.push_back(layout.page(kBase + 3 * i * kPageBytes));
  page_out(pages);
  ASSERT_EQ(b.shootdown.flushes.size(), 1U);
  EXPECT_EQ(b.shootdown.flushes[0].range, (VirtRange{kBase, kBase + 10 * kPageBytes}));
}

TEST_F(ReclaimPages, HugePageGoesOutWhole) {
  layout.vma(kBase, 2 * kMiB);
  const Pfn head = layout.huge(kBase);
  page_out({head});
  EXPECT_EQ(b.stats().vmstat.thp_swpout, 1U);
  EXPECT_EQ(b.stats().vmstat.thp_split_pmd, 1U);
  EXPECT_EQ(b.stats().vmstat.pswpout, kHugePages);
  EXPECT_EQ(b.mm(task).swap_entries, kHugePages);
  EXPECT_EQ(b.mm(task).huge_pages, 0U);
  EXPECT_EQ(b.stats().vmstat.thp_deferred_split_page, 0U);
  b.kernel.check();
  b.touch(task, kBase + 9 * kPageBytes);
  EXPECT_EQ(b.mm(task).anon_rss, 1U);
  b.kernel.check();
}

TEST_F(ReclaimPages, HugePageIsSplitWhereNoRunOfSlotsIsLeft) {
  while (b.swap.free_slots() > 100) ASSERT_TRUE(b.swap.allocate());
  layout.vma(kBase, 2 * kMiB);
  const Pfn head = layout.huge(kBase);
  page_out({head});
  EXPECT_EQ(b.stats().vmstat.thp_swpout_fallback, 1U);
  EXPECT_EQ(b.stats().vmstat.thp_split_page, 1U);
  EXPECT_EQ(b.stats().vmstat.pswpout, 100U);  // 512 pages now, of which as many go as there is room for
  EXPECT_EQ(b.mm(task).anon_rss, kHugePages - 100);
}

TEST_F(ReclaimPages, CleanLazyFreePageIsDropped) {
  layout.vma(kBase, 2 * kMiB);
  const Pfn clean = layout.page(kBase, Layout::kWarm & ~Pte::kDirty);
  const Pfn written = layout.page(kBase + kPageBytes);
  b.memory.frame(clean).set(Frame::kLazyFree);
  b.memory.frame(written).set(Frame::kLazyFree);
  page_out({clean, written});
  EXPECT_TRUE(b.entry(task, kBase).none());
  EXPECT_TRUE(b.entry(task, kBase + kPageBytes).present());
  EXPECT_EQ(b.stats().vmstat.pglazyfreed, 1U);
  EXPECT_FALSE(b.memory.frame(written).is(Frame::kLazyFree));
  b.kernel.check();
}

TEST_F(ReclaimPages, CleanPageInTheSwapCacheNeedsNoWrite) {
  layout.vma(kBase, 2 * kMiB);
  const Pfn page = layout.page(kBase);
  const TaskId child = b.fork(task, 2);
  page_out({page});
  const std::uint64_t writes = b.stats().vmstat.pswpout;
  b.touch(task, kBase, Access::read);  // the child's entry keeps the slot
  const Pfn again = b.entry(task, kBase).pfn();
  b.drain_lru();
  page_out({again});
  EXPECT_TRUE(b.entry(task, kBase).swap());
  EXPECT_EQ(b.stats().vmstat.pswpout, writes);
  EXPECT_EQ(b.entry(child, kBase).swap_slot(), b.entry(task, kBase).swap_slot());
  b.kernel.check();
}

TEST_F(ReclaimPages, LockedAndMlockedPagesStay) {
  layout.vma(kBase, 2 * kMiB);
  const Pfn locked = layout.page(kBase + kPageBytes), mlocked = layout.page(kBase + 2 * kPageBytes);
  b.memory.frame(locked).set(Frame::kLocked);
  b.memory.frame(mlocked).set(Frame::kUnevictable);
  page_out({locked, mlocked});
  EXPECT_EQ(b.mm(task).anon_rss, 2U);
}

// A plain reference is noticed only when the page is about to be written: its entries are gone by then.
TEST_F(ReclaimPages, PinnedPageIsUnmappedButNeitherWrittenNorFreed) {
  layout.vma(kBase, 2 * kMiB);
  const Pfn pinned = layout.page(kBase);
  ++b.memory.frame(pinned).pins;
  page_out({pinned});
  EXPECT_TRUE(b.entry(task, kBase).swap());
  EXPECT_EQ(b.stats().vmstat.pswpout, 0U);
  EXPECT_TRUE(b.memory.frame(pinned).is(Frame::kSwapCache));
  b.touch(task, kBase);
  EXPECT_EQ(b.entry(task, kBase).pfn(), pinned);
  EXPECT_EQ(b.stats().vmstat.pswpin, 0U);
  --b.memory.frame(pinned).pins;
  b.kernel.check();
}

// --- shortage ---

TEST(Reclaim, AccessedPagesGetASecondChance) {
  KernelBench b(pressed());
  const TaskId task = b.process();
  Layout layout(b, task);
  layout.vma(kBase, 2 * kMiB);
  const Pfn young = layout.page(kBase), old = layout.page(kBase + kPageBytes, Layout::kOld);
  Signal done(b.queue);
  Reclaim::DirectReclaim request{.done = &done.event, .pages_wanted = 1};
  b.kernel.reclaim().direct_reclaim(request);
  b.run_until(done);
  EXPECT_TRUE(request.made_progress);
  EXPECT_TRUE(b.entry(task, kBase + kPageBytes).swap());
  EXPECT_TRUE(b.entry(task, kBase).present());
  EXPECT_FALSE(b.entry(task, kBase).accessed());  // cleared, without a flush of its own
  EXPECT_TRUE(b.memory.frame(young).is(Frame::kReferenced));
  EXPECT_EQ(b.stats().vmstat.allocstall, 1U);
  static_cast<void>(old);
}

TEST(Reclaim, DirectReclaimWaitsForItsWrites) {
  KernelBench b(pressed());
  const TaskId task = b.process();
  Layout layout(b, task);
  layout.vma(kBase, 2 * kMiB);
  layout.pages(kBase, 40, Layout::kOld);
  Signal done(b.queue);
  Reclaim::DirectReclaim request{.done = &done.event};
  b.kernel.reclaim().direct_reclaim(request);
  const Duration scan = b.costs().reclaim_page * 32;
  b.wait(scan - Duration(1));
  EXPECT_EQ(b.mm(task).anon_rss, 40U);
  b.wait(Duration(1));
  EXPECT_EQ(b.mm(task).anon_rss, 8U);
  EXPECT_FALSE(done.arrived());
  b.run_until(done);
  EXPECT_EQ(b.stats().vmstat.pswpout, 32U);
  EXPECT_EQ(b.stats().vmstat.pgsteal_direct, 32U);
  EXPECT_EQ(b.swap.in_flight(), 0U);
  EXPECT_GE(done.at - kTimeZero, scan + b.costs().swap_out_page * 32);
  b.kernel.check();
}

TEST(Reclaim, WithoutSwapAnonymousMemoryMakesNoProgress) {
  KernelBench b(pressed(SwapKind::none));
  const TaskId task = b.process();
  Layout layout(b, task);
  layout.vma(kBase, 2 * kMiB);
  layout.pages(kBase, 40, Layout::kOld);
  Signal done(b.queue);
  Reclaim::DirectReclaim request{.done = &done.event};
  b.kernel.reclaim().direct_reclaim(request);
  b.run_until(done);
  EXPECT_FALSE(request.made_progress);
  EXPECT_EQ(b.mm(task).anon_rss, 40U);
}

TEST(Reclaim, KswapdStartsBelowLowAndStopsAboveHigh) {
  KernelBench b(pressed());
  const TaskId task = b.process();
  const VirtRange range = b.map(task, kBase, 32 * kMiB);
  VirtAddr va = range.start;
  for (; !b.kernel.reclaim().kswapd_runs(); va += kPageBytes) {
    ASSERT_LT(va, range.end);
    b.touch(task, va);
  }
  EXPECT_LE(b.memory.free_pages(), b.memory.watermarks().low);
  b.wait(1s);
  EXPECT_FALSE(b.kernel.reclaim().kswapd_runs());
  EXPECT_GT(b.memory.free_pages(), b.memory.watermarks().high);
  EXPECT_EQ(b.stats().vmstat.allocstall, 0U);
  b.kernel.check();
}

TEST(Reclaim, TwiceTheMemoryIsTouchedAndReadBack) {
  for (const SwapKind device : {SwapKind::nvme, SwapKind::zram, SwapKind::ideal}) {
    KernelBench b(pressed(device));
    const TaskId task = b.process();
    const VirtRange range = b.map(task, kBase, 32 * kMiB);
    b.touch_all(task, range);
    EXPECT_EQ(b.mm(task).anon_rss + b.mm(task).swap_entries, range.pages());
    b.touch_all(task, range, Access::read);
    b.wait(1s);
    EXPECT_EQ(b.mm(task).anon_rss + b.mm(task).swap_entries, range.pages());
    EXPECT_GT(b.stats().faults.major, 0U);
    EXPECT_EQ(b.stats().vmstat.pswpout, b.swap.stats().writes);
    EXPECT_EQ(b.stats().vmstat.pswpin, b.swap.stats().reads);
    EXPECT_EQ(b.swap.in_flight(), 0U);
    b.kernel.check();
  }
}

TEST(Reclaim, HugePagesUnderPressureStayConsistent) {
  BenchConfig config = pressed(SwapKind::nvme, Bytes{32 * kMiB});
  config.kernel.thp.enabled = ThpEnabled::always;
  KernelBench b(config);
  const TaskId task = b.process();
  const VirtRange range = b.map(task, kBase, 64 * kMiB);
  b.touch_all(task, range);
  b.touch_all(task, range, Access::read, 7 * kPageBytes);
  b.wait(1s);
  EXPECT_EQ(b.mm(task).anon_rss + b.mm(task).swap_entries, range.pages());
  EXPECT_GT(b.stats().vmstat.thp_swpout + b.stats().vmstat.thp_swpout_fallback, 0U);
  b.kernel.check();
}

TEST(Reclaim, FilePagesAreDroppedBeforeAnonymousOnesWhereTheyAreMore) {
  KernelBench b(pressed(SwapKind::none));
  const TaskId task = b.process();
  SyscallRequest r = KernelBench::request(SyscallRequest::Op::mmap, task, kBase, 32 * kMiB);
  r.map_flags = 2;  // MAP_PRIVATE
  r.prot = 1;       // PROT_READ
  r.file = 3;
  b.now(r);
  b.touch_all(task, {kBase, kBase + 32 * kMiB}, Access::read);
  EXPECT_GT(b.stats().vmstat.pgsteal_kswapd + b.stats().vmstat.pgsteal_direct, 0U);
  EXPECT_LT(b.mm(task).file_rss, 16 * kMiB / kPageBytes);
  b.wait(1s);
  b.kernel.check();
}

TEST(Reclaim, OutOfMemorySaysWhoHowMuchAndWhatWouldHelp) {
  KernelBench b(pressed(SwapKind::none));
  const TaskId task = b.process(77);
  const VirtRange range = b.map(task, kBase, 32 * kMiB);
  try {
    b.touch_all(task, range);
    FAIL() << "32 MiB fitted into 16 MiB";
  } catch (const SimulationError& e) {
    const std::string text = e.what();
    for (const char* part : {"process 77", "16.0 MiB memory", "no swap device", "memory.size", "swap.device"})
      EXPECT_NE(text.find(part), std::string::npos) << part << " is missing in: " << text;
  }
}

}  // namespace
}  // namespace collapsar::test
