// What differs between kernel versions, shown by what the kernel does (khugepaged.md 9). Numbers of results: rules_test.cc.
#include "tests/support/versions.h"

#include <cerrno>

#include "models/kernel/sysfs.h"
#include "tests/support/layout.h"

namespace collapsar::test {
namespace {

class Versions : public testing::TestWithParam<const char*> {
 protected:
  Versions() {
    config.kernel.version = GetParam();
    config.kernel.thp.enabled = ThpEnabled::always;
  }
  void build() {
    bench = std::make_unique<KernelBench>(config);
    task = bench->process();
    layout = std::make_unique<Layout>(*bench, task);
  }
  // One eligible VMA of `ranges` ranges.
  void build(std::uint64_t ranges) {
    build();
    layout->vma(kBase, ranges * kHugeBytes);
  }
  bool since(std::string_view first) const { return is_since(GetParam(), first); }
  AddressSpace& mm() { return bench->mm(task); }
  KhugepagedStats& stats() { return bench->stats().khugepaged; }
  ScanResult verdict(LockOwner owner = LockOwner::khugepaged) {
    return bench->kernel.collapse().verdict(mm(), kBase, owner, counts);
  }
  void wake_up() {
    const std::uint64_t before = stats().wakeups;
    while (stats().wakeups == before || !bench->kernel.khugepaged().asleep()) ASSERT_TRUE(bench->queue.run_one());
  }
  int madvise_collapse(std::uint64_t ranges) {
    SyscallRequest r = KernelBench::advice(task, Advice::collapse, kBase, ranges * kHugeBytes);
    bench->call(r);
    return r.error;
  }
  int prctl(std::uint64_t value) {
    SyscallRequest r = KernelBench::request(KernelBench::Op::thp_disable, task);
    r.value = value;
    bench->call(r);
    return r.error;
  }

  BenchConfig config;
  std::unique_ptr<KernelBench> bench;
  TaskId task = 0;
  std::unique_ptr<Layout> layout;
  ScanCounts counts;
};
INSTANTIATE_TEST_SUITE_P(All, Versions, all_versions());

// --- the PMD ---

TEST_P(Versions, NameTheWantOfAPageTable) {
  build(2);
  const ScanResult absent = since("6.19") ? ScanResult::NO_PTE_TABLE : ScanResult::PMD_NULL;
  const ScanResult none = since("6.19") ? ScanResult::NO_PTE_TABLE : ScanResult::PMD_NONE;
  EXPECT_EQ(verdict(), absent);
  layout->page(kBase + kHugeBytes);  // the upper levels are there now
  EXPECT_EQ(verdict(), none);
}

TEST_P(Versions, JudgeAPmdUnderMigration) {
  build(2);
  layout->page(kBase + kHugeBytes);
  *mm().table().pmd(kBase) = Pte::make_swap(1);
  EXPECT_EQ(verdict(), since("6.18") ? ScanResult::PMD_MAPPED : ScanResult::PMD_NULL);
  *mm().table().pmd(kBase) = {};
}

// --- the 512 PTEs ---

TEST_P(Versions, RefuseOrTakeARangeWithoutAWritablePte) {
  build(1);
  layout->pages(kBase, 8, Layout::kReadOnly);
  EXPECT_EQ(verdict(), since("6.18") ? ScanResult::SUCCEED : ScanResult::PAGE_RO);
  EXPECT_EQ(madvise_collapse(1), since("6.18") ? 0 : EINVAL);
  EXPECT_EQ(mm().huge_pages, since("6.18") ? 1U : 0U);
}

TEST_P(Versions, TestForAnonymousPagesEarlyOrLate) {
  build(1);
  const Pfn pfn = layout->page(kBase);
  Frame& frame = bench->memory.frame(pfn);
  frame.use = std::uint64_t(FrameUse::file);
  frame.set(Frame::kLocked);
  EXPECT_EQ(verdict(), since("6.12") ? ScanResult::PAGE_ANON : ScanResult::PAGE_LOCK);
  frame.clear(Frame::kLocked);
  frame.use = std::uint64_t(FrameUse::anon);
}

TEST_P(Versions, RefuseOrTakeCleanLazyfreePages) {
  build(1);
  layout->pages(kBase, 3);
  const Pfn pfn = layout->page(at(3), Layout::kWarm & ~Pte::kDirty);
  bench->memory.frame(pfn).set(Frame::kLazyFree);
  EXPECT_EQ(verdict(), since("7.1") ? ScanResult::PAGE_LAZYFREE : ScanResult::SUCCEED);
  EXPECT_EQ(verdict(LockOwner::madvise_collapse), ScanResult::SUCCEED);
  mm().table().pte(at(3))->set(Pte::kDirty);
  EXPECT_EQ(verdict(), ScanResult::SUCCEED) << "written again since";
}

// Page 5 of a folio belongs to another process too, the rest to this one alone; two of its pages are unmapped here.
TEST_P(Versions, JudgeSharingByPageOrByFolio) {
  config.kernel.khugepaged.max_ptes_shared = 0;
  build(1);
  const TaskId other = bench->process(2);
  const Pfn head = layout->huge_by_ptes(kBase);
  bench->kernel.rmap().fork_anon_vmas(mm(), bench->mm(other));
  Vma copy = *mm().find(kBase);
  bench->mm(other).insert(copy);
  bench->kernel.rmap().fork_anon_vmas(mm(), bench->mm(other));
  Layout theirs(*bench, other);
  theirs.share(at(5), head + 5);
  for (std::uint64_t i : {1, 2}) bench->kernel.rmap().zap_pte(mm(), at(i), *mm().table().pte(at(i)));

  const ScanResult result = verdict();
  if (!since("6.12")) {
    EXPECT_EQ(result, ScanResult::EXCEED_SHARED_PTE);
    EXPECT_EQ(counts.looked_at, 6U) << "page 5 is the shared one";
  } else if (!since("6.18")) {
    EXPECT_EQ(result, ScanResult::SUCCEED) << "the first page, mapped once, stands for all";
  } else {
    EXPECT_EQ(result, ScanResult::EXCEED_SHARED_PTE);
    EXPECT_EQ(counts.looked_at, 1U) << "every page of the folio counts as shared";
  }
}

// --- the budget ---

TEST_P(Versions, CountARangeWithoutPageTableAs512OrAs1) {
  config.kernel.khugepaged.pages_to_scan = 2 * kHugePages;
  build(10);
  layout->page(kBase + 9 * kHugeBytes, Layout::kOld);
  bench->kernel.start();
  wake_up();
  EXPECT_EQ(stats().ranges_scanned, since("7.1") ? 10U : 2U);
}

TEST_P(Versions, CountARangeGivenUpAtItsFirstEntryAs512OrAs1) {
  config.kernel.khugepaged.pages_to_scan = 2 * kHugePages;
  config.kernel.khugepaged.max_ptes_none = 0;
  build(10);
  for (std::uint64_t i = 0; i < 10; ++i) layout->page(kBase + i * kHugeBytes + kPageBytes);
  bench->kernel.start();
  wake_up();
  EXPECT_EQ(stats().ranges_scanned, since("7.1") ? 10U : 2U);
  EXPECT_EQ(stats().ptes_scanned, stats().ranges_scanned);
}

TEST_P(Versions, CountAFullyScannedRangeAs512Everywhere) {
  config.kernel.khugepaged.pages_to_scan = 2 * kHugePages;
  build(10);
  for (std::uint64_t i = 0; i < 10; ++i) layout->page(kBase + i * kHugeBytes, Layout::kOld);
  bench->kernel.start();
  wake_up();
  EXPECT_EQ(stats().ranges_scanned, 2U);
  wake_up();
  EXPECT_EQ(stats().ranges_scanned, 4U) << "each activation begins with nothing used";
}

// --- who may have huge pages ---

TEST_P(Versions, TurnAwayADisabledProcessAsAWholeOrVmaByVma) {
  build(1);
  layout->page(kBase, Layout::kOld);
  for (std::uint64_t i = 0; i < 5; ++i) layout->vma(VirtAddr{(16 + 2 * i) * kMiB}, kPageBytes);
  mm().thp = AddressSpace::Disabled::completely;
  bench->kernel.start();
  wake_up();
  EXPECT_EQ(stats().ranges_scanned, 0U);
  EXPECT_EQ(stats().full_scans, 1U);
  const Duration vmas = bench->costs().scan_vma * 6;
  EXPECT_EQ(stats().cpu_scan, bench->costs().scan_mm + (since("6.12") ? Duration::zero() : vmas));
}

// Disabled while its first range is scanned. 6.1 asks each VMA only once; 6.12 leaves the cursor where it is and comes
// back at once; 7.1 is done with the process.
TEST_P(Versions, LeaveAProcessDisabledInTheMiddleOfItsVisit) {
  build(3);
  for (std::uint64_t i = 0; i < 3; ++i) layout->page(kBase + i * kHugeBytes, Layout::kOld);
  bench->kernel.start();
  while (stats().cpu_scan <= bench->costs().scan_mm) ASSERT_TRUE(bench->queue.run_one());
  mm().thp = AddressSpace::Disabled::completely;
  while (!bench->kernel.khugepaged().asleep()) ASSERT_TRUE(bench->queue.run_one());
  EXPECT_EQ(stats().ranges_scanned, since("6.12") ? 1U : 3U);
  EXPECT_EQ(stats().full_scans, 1U);
  const int visits = !since("6.12") || since("7.1") ? 1 : 2;
  EXPECT_EQ(stats().cpu_scan, visits * bench->costs().scan_mm + stats().ptes_scanned * bench->costs().scan_pte);
}

TEST_P(Versions, DisableAllButAdvisedMemorySince6_18) {
  build(1);
  layout->page(kBase);
  EXPECT_EQ(prctl(3), since("6.18") ? 0 : EINVAL);
  const auto allows = [&](bool enforce_sysfs) {
    return thp_vma_allowable(bench->kernel.context(), mm(), *mm().find(kBase), enforce_sysfs, /*in_fault=*/false);
  };
  EXPECT_EQ(allows(/*enforce_sysfs=*/true), !since("6.18"));
  EXPECT_TRUE(allows(/*enforce_sysfs=*/false)) << "MADV_COLLAPSE";
  const TaskId child = bench->fork(task, 2);
  EXPECT_EQ(bench->mm(child).thp, mm().thp);
  mm().find(kBase)->flags |= Vma::kHugePage;
  EXPECT_TRUE(allows(true));
  EXPECT_EQ(prctl(1), 0);
  EXPECT_FALSE(allows(true));
  EXPECT_FALSE(allows(false));
  EXPECT_EQ(prctl(0), 0);
  EXPECT_TRUE(allows(true));
}

TEST_P(Versions, HaveControlsPerSizeSince6_12) {
  build(1);
  layout->page(kBase);
  const auto allows = [&] {
    return thp_vma_allowable(bench->kernel.context(), mm(), *mm().find(kBase), true, /*in_fault=*/false);
  };
  const auto write = [&](std::string_view file, std::string_view value) {
    return write_sysfs(bench->kernel, file, value);
  };
  constexpr std::string_view kFile = "hugepages-2048kB/enabled";
  EXPECT_EQ(write(kFile, "never"), since("6.12") ? 0 : ENOENT);
  EXPECT_EQ(allows(), !since("6.12"));
  if (!since("6.12")) return;
  EXPECT_EQ(write(kFile, "sometimes"), EINVAL);
  EXPECT_EQ(write(kFile, "madvise"), 0);
  EXPECT_FALSE(allows());
  EXPECT_EQ(write("enabled", "never"), 0);
  EXPECT_EQ(write(kFile, "inherit"), 0);
  EXPECT_FALSE(allows());
  EXPECT_EQ(bench->kernel.khugepaged().state(), Khugepaged::State::stopped);
  EXPECT_EQ(write(kFile, "always"), 0);
  EXPECT_TRUE(allows());
  EXPECT_NE(bench->kernel.khugepaged().state(), Khugepaged::State::stopped);
}

TEST_P(Versions, StartTheDaemonForSharedMemoryAloneSince6_18) {
  config.kernel.thp.enabled = ThpEnabled::never;
  config.kernel.thp.shmem_enabled = ShmemEnabled::advise;
  build();
  bench->kernel.start();
  EXPECT_EQ(bench->kernel.khugepaged().state() == Khugepaged::State::stopped, !since("6.18"));
  write_sysfs(bench->kernel, "shmem_enabled", "never");
  EXPECT_EQ(bench->kernel.khugepaged().state(), Khugepaged::State::stopped);
}

TEST_P(Versions, RegisterAtStackGrowthIn6_1) {
  build();
  bench->now(KernelBench::request(KernelBench::Op::stack_room, task, {256 * kMiB}, 32 * kMiB));
  SyscallRequest image = KernelBench::request(KernelBench::Op::add_vma, task, {284 * kMiB}, 4 * kMiB);
  image.name = "[stack]";
  bench->now(image);
  Vma& stack = *mm().find(VirtAddr{284 * kMiB});
  stack.flags |= Vma::kNoHugePage;
  bench->touch(task, {286 * kMiB});
  stack.flags &= ~std::uint32_t(Vma::kNoHugePage);
  ASSERT_FALSE(mm().registered);
  bench->kernel.config().thp.at_fault = false;
  bench->touch(task, {284 * kMiB - kPageBytes});
  EXPECT_EQ(mm().registered, !since("6.12"));
}

TEST_P(Versions, AlignMappingsOfWhole2MiBSince6_12) {
  build();
  const auto place = [&](std::uint64_t bytes) {
    return bench->now(KernelBench::request(KernelBench::Op::mmap, task, {}, bytes)).address;
  };
  place(kPageBytes);
  EXPECT_EQ(place(2 * kHugeBytes) % kHugeBytes == 0, since("6.12"));
  EXPECT_NE(place(kHugeBytes + kPageBytes) % kHugeBytes, 0U);
}

// --- MADV_COLLAPSE ---

TEST_P(Versions, EndOrGoOnAtAHole) {
  build(3);
  layout->page(kBase);
  layout->page(kBase + 2 * kHugeBytes);
  EXPECT_EQ(madvise_collapse(3), EINVAL);
  EXPECT_EQ(mm().huge_pages, since("6.19") ? 2U : 1U);
}

TEST_P(Versions, CollapseAnEmptyPageTableSince6_18) {
  build(1);
  layout->page(kBase);
  bench->kernel.rmap().zap_pte(mm(), kBase, *mm().table().pte(kBase));
  EXPECT_EQ(verdict(LockOwner::khugepaged), ScanResult::EXCEED_NONE_PTE);
  EXPECT_EQ(madvise_collapse(1), since("6.18") ? 0 : EINVAL);
  EXPECT_EQ(mm().huge_pages, since("6.18") ? 1U : 0U);
}

// --- the flush ---

TEST_P(Versions, InterruptEveryCpuAfterTheFlushSince6_18) {
  build(1);
  layout->page(kBase);
  EXPECT_EQ(madvise_collapse(1), 0);
  EXPECT_EQ(bench->shootdown.interrupts_of_all, since("6.18") ? 1U : 0U);
  ASSERT_EQ(bench->shootdown.flushes.size(), 1U);
  EXPECT_EQ(bench->shootdown.flushes[0].tables_freed, since("6.12"));
}

// --- the huge zero page ---

TEST_P(Versions, SplitOrReplaceTheHugeZeroPageOnWrite) {
  build(1);
  bench->touch(task, kBase, Access::read);
  ASSERT_TRUE(bench->entry(task, kBase).zero_page());
  EXPECT_EQ(bench->stats().vmstat.thp_fault_alloc, 0U);
  bench->shootdown.flushes.clear();
  bench->touch(task, at(7), Access::write);
  EXPECT_EQ(mm().huge_pages, since("6.18") ? 1U : 0U);
  EXPECT_EQ(mm().anon_rss, since("6.18") ? kHugePages : 1U);
  EXPECT_EQ(bench->stats().vmstat.thp_fault_alloc, since("6.18") ? 1U : 0U);
  EXPECT_EQ(bench->stats().vmstat.thp_split_pmd, since("6.18") ? 0U : 1U);
  ASSERT_FALSE(bench->shootdown.flushes.empty());
  EXPECT_EQ(bench->shootdown.flushes[0].range, (VirtRange{kBase, kBase + kHugeBytes}));
  bench->kernel.check();
}

TEST_P(Versions, SplitTheHugeZeroPageWhereThereIsNoHugePage) {
  build(1);
  bench->touch(task, kBase, Access::read);
  std::vector<Pfn> taken;
  while (const auto block =
             bench->memory.allocate(kHugeOrder, MigrateType::movable, FrameUse::anon, AllocLevel::reserve))
    taken.push_back(*block);
  for (int i = 0; i < 8; ++i) {
    bench->memory.split_compound(taken.back());
    for (std::uint64_t page = 0; page < kHugePages; page += 2) bench->memory.free(taken.back() + page, 0);
    taken.pop_back();
  }
  bench->touch(task, at(7), Access::write);
  EXPECT_EQ(mm().huge_pages, 0U);
  EXPECT_EQ(mm().anon_rss, 1U);
  EXPECT_EQ(bench->stats().vmstat.thp_split_pmd, 1U);
  EXPECT_EQ(bench->stats().vmstat.thp_fault_fallback, since("6.18") ? 1U : 0U);
}

}  // namespace
}  // namespace collapsar::test
