// The verdict on a range, check by check, and what a collapse leaves behind. Its steps: tests/flow/collapse_test.cc.
#include "models/kernel/collapse.h"

#include "tests/support/layout.h"

namespace collapsar::test {
namespace {

// One process with one eligible range at kBase, under the rules of a kernel version.
class Collapsing : public testing::TestWithParam<const char*> {
 protected:
  explicit Collapsing(BenchConfig config = config_for(GetParam())) : bench_(config) {}
  void SetUp() override { vma_ = &layout_.vma(kBase, kHugeBytes); }

  ScanResult verdict(LockOwner owner = LockOwner::khugepaged) {
    return bench_.kernel.collapse().verdict(mm(), kBase, owner, counts_);
  }
  // Scans and, where the verdict allows it, collapses the range, to the end.
  Collapse::Request run(LockOwner owner = LockOwner::khugepaged) {
    Signal done(bench_.queue, Phase::kernel);
    Collapse::Request request;
    request.mm = &mm();
    request.base = kBase;
    request.owner = owner;
    request.done = &done.event;
    EXPECT_TRUE(mm().mmap_lock().try_read());
    bench_.kernel.collapse().scan_and_collapse(request);
    bench_.run_until(done);
    if (!request.mmap_lock_dropped) mm().mmap_lock().release_read();
    EXPECT_FALSE(mm().mmap_lock().read_locked());
    EXPECT_FALSE(mm().mmap_lock().write_locked());
    return request;
  }
  AddressSpace& mm() { return bench_.mm(task_); }
  bool is_6_1() const { return std::string(GetParam()) == "6.1"; }
  VmStat& vmstat() { return bench_.stats().vmstat; }

  KernelBench bench_;
  TaskId task_ = bench_.process();
  Layout layout_{bench_, task_};
  Vma* vma_ = nullptr;
  ScanCounts counts_;
};

class Verdict : public Collapsing {};

// --- the PMD ---

TEST_P(Verdict, TellsTheStateOfThePmd) {
  EXPECT_EQ(verdict(), ScanResult::PMD_NULL);
  ASSERT_TRUE(mm().table().ensure_pmd_table(kBase));
  EXPECT_EQ(verdict(), ScanResult::PMD_NONE);
  layout_.huge(kBase);
  EXPECT_EQ(verdict(), ScanResult::PMD_MAPPED);
  EXPECT_EQ(counts_.looked_at, 0U);
}

// --- present pages ---

TEST_P(Verdict, AcceptsAFullRange) {
  layout_.pages(kBase, kHugePages);
  EXPECT_EQ(verdict(), ScanResult::SUCCEED);
  EXPECT_EQ(counts_.looked_at, 512U);
  EXPECT_EQ(counts_.referenced, 512U);
  EXPECT_EQ(counts_.none_or_zero, 0U);
  EXPECT_TRUE(counts_.writable);
}

TEST_P(Verdict, RefusesARangeWithoutAWritablePage) {
  layout_.pages(kBase, kHugePages, Layout::kReadOnly);
  EXPECT_EQ(verdict(), ScanResult::PAGE_RO);
  EXPECT_EQ(verdict(LockOwner::madvise_collapse), ScanResult::PAGE_RO);
  mm().table().pte(at(511))->set(Pte::kWritable);
  EXPECT_EQ(verdict(), ScanResult::SUCCEED);
}

TEST_P(Verdict, RefusesARangeThatNobodyReferenced) {
  layout_.pages(kBase, kHugePages, Layout::kOld);
  EXPECT_EQ(verdict(), ScanResult::LACK_REFERENCED_PAGE);
  EXPECT_EQ(counts_.looked_at, 512U);
  EXPECT_EQ(verdict(LockOwner::madvise_collapse), ScanResult::SUCCEED);
  mm().table().pte(at(300))->set(Pte::kAccessed);
  EXPECT_EQ(verdict(), ScanResult::SUCCEED);
  EXPECT_EQ(counts_.referenced, 1U);
}

TEST_P(Verdict, TakesAPageMarkedReferencedForAReferencedOne) {
  layout_.pages(kBase, kHugePages, Layout::kOld);
  bench_.memory.frame(mm().table().pte(at(7))->pfn()).set(Frame::kReferenced);
  EXPECT_EQ(verdict(), ScanResult::SUCCEED);
}

TEST_P(Verdict, LeavesAccessedBitsAlone) {
  layout_.pages(kBase, kHugePages);
  const auto before = mm().table().pte_table(kBase);
  verdict();
  EXPECT_EQ(mm().table().pte_table(kBase), before);
}

TEST_P(Verdict, RefusesPagesOffTheLruLists) {
  layout_.pages(kBase, kHugePages);
  bench_.kernel.reclaim().isolate(mm().table().pte(at(5))->pfn());
  EXPECT_EQ(verdict(), ScanResult::PAGE_LRU);
  EXPECT_EQ(counts_.looked_at, 6U);
}

TEST_P(Verdict, RefusesLockedPages) {
  layout_.pages(kBase, kHugePages);
  bench_.memory.frame(mm().table().pte(at(5))->pfn()).set(Frame::kLocked);
  EXPECT_EQ(verdict(), ScanResult::PAGE_LOCK);
  EXPECT_EQ(verdict(LockOwner::madvise_collapse), ScanResult::PAGE_LOCK);
}

TEST_P(Verdict, RefusesPinnedPages) {
  layout_.pages(kBase, kHugePages);
  ++bench_.memory.frame(mm().table().pte(at(5))->pfn()).pins;
  EXPECT_EQ(verdict(), ScanResult::PAGE_COUNT);
  EXPECT_EQ(verdict(LockOwner::madvise_collapse), ScanResult::PAGE_COUNT);
}

TEST_P(Verdict, ChecksTheLruBeforeTheLockBeforeThePins) {
  layout_.pages(kBase, kHugePages);
  const Pfn pfn = mm().table().pte(kBase)->pfn();
  ++bench_.memory.frame(pfn).pins;
  bench_.memory.frame(pfn).set(Frame::kLocked);
  EXPECT_EQ(verdict(), ScanResult::PAGE_LOCK);
  bench_.kernel.reclaim().isolate(pfn);
  EXPECT_EQ(verdict(), ScanResult::PAGE_LRU);
}

// 6.1 asks for an anonymous page only after LRU and lock, 6.12 at once.
TEST_P(Verdict, RefusesPagesThatAreNotAnonymous) {
  layout_.page(kBase);
  Frame& frame = bench_.memory.frame(mm().table().pte(kBase)->pfn());
  frame.use = std::uint64_t(FrameUse::file);
  EXPECT_EQ(verdict(), ScanResult::PAGE_ANON);
  frame.set(Frame::kLocked);
  EXPECT_EQ(verdict(), is_6_1() ? ScanResult::PAGE_LOCK : ScanResult::PAGE_ANON);
  frame.use = std::uint64_t(FrameUse::page_table);
  EXPECT_EQ(verdict(), ScanResult::PAGE_NULL);
}

TEST_P(Verdict, AcceptsALargeFolioMappedByPtes) {
  layout_.huge_by_ptes(kBase);
  EXPECT_EQ(verdict(), ScanResult::SUCCEED);
  EXPECT_EQ(counts_.shared, 0U);
}

// --- limits; the default configuration allows 511 none, 64 swapped, 256 shared ---

TEST_P(Verdict, AcceptsOnePageOf512) {
  layout_.page(at(200));
  EXPECT_EQ(verdict(), ScanResult::SUCCEED);
  EXPECT_EQ(counts_.none_or_zero, 511U);
}

TEST_P(Verdict, CountsZeroPagesAsEmpty) {
  for (std::uint64_t i = 0; i < kHugePages; ++i) layout_.zero_page(at(i));
  EXPECT_EQ(verdict(), ScanResult::EXCEED_NONE_PTE);
  EXPECT_EQ(counts_.looked_at, 512U);
  *mm().table().pte(at(511)) = {};
  layout_.page(at(511));
  EXPECT_EQ(verdict(), ScanResult::SUCCEED);
  EXPECT_EQ(counts_.none_or_zero, 511U);
}

TEST_P(Verdict, AcceptsMaxPtesSwapButNotOneMore) {
  layout_.pages(kBase, kHugePages - 65);
  layout_.swapped_out(at(kHugePages - 65), 64);
  EXPECT_EQ(verdict(), ScanResult::SUCCEED);
  EXPECT_EQ(counts_.unmapped, 64U);
  layout_.swapped_out(at(kHugePages - 1));
  EXPECT_EQ(verdict(), ScanResult::EXCEED_SWAP_PTE);
  EXPECT_EQ(verdict(LockOwner::madvise_collapse), ScanResult::SUCCEED);
}

TEST_P(Verdict, WantsHalfThePagesReferencedIfOneIsSwappedOut) {
  layout_.swapped_out(kBase);
  layout_.pages(at(1), 255);
  layout_.pages(at(256), 256, Layout::kOld);
  EXPECT_EQ(verdict(), ScanResult::LACK_REFERENCED_PAGE);
  EXPECT_EQ(counts_.referenced, 255U);
  mm().table().pte(at(400))->set(Pte::kAccessed);
  EXPECT_EQ(verdict(), ScanResult::SUCCEED);
}

TEST_P(Verdict, AcceptsMaxPtesSharedButNotOneMore) {
  const TaskId other = bench_.process(2);
  Layout theirs(bench_, other);
  theirs.vma(kBase, kHugeBytes);
  layout_.pages(kBase, kHugePages);
  for (std::uint64_t i = 0; i < 256; ++i) theirs.share(at(i), mm().table().pte(at(i))->pfn());
  EXPECT_EQ(verdict(), ScanResult::SUCCEED);
  EXPECT_EQ(counts_.shared, 256U);
  theirs.share(at(256), mm().table().pte(at(256))->pfn());
  EXPECT_EQ(verdict(), ScanResult::EXCEED_SHARED_PTE);
  EXPECT_EQ(counts_.looked_at, 257U);
  EXPECT_EQ(verdict(LockOwner::madvise_collapse), ScanResult::SUCCEED);
}

// 6.1 judges the 4 KiB page, 6.12 the folio by its first page.
TEST_P(Verdict, JudgesSharingOfALargeFolioAsItsVersionDoes) {
  const TaskId other = bench_.process(2);
  Layout theirs(bench_, other);
  theirs.vma(kBase, kHugeBytes);
  const Pfn head = layout_.huge_by_ptes(kBase);
  theirs.share(at(0), head);
  EXPECT_EQ(verdict(), is_6_1() ? ScanResult::SUCCEED : ScanResult::EXCEED_SHARED_PTE);
  EXPECT_EQ(counts_.shared, is_6_1() ? 1U : 257U);
}

TEST_P(Verdict, OfMadviseCollapseIgnoresTheLimitOnEmptyEntries) {
  for (std::uint64_t i = 0; i < kHugePages; ++i) layout_.zero_page(at(i));
  EXPECT_EQ(verdict(LockOwner::madvise_collapse), ScanResult::PAGE_RO);
}

// --- a collapse, as a whole ---

TEST_P(Collapsing, LeavesOneHugePage) {
  layout_.pages(at(100), 3);
  const std::uint64_t tables = mm().table().table_pages(), free = bench_.memory.free_pages();
  const auto request = run();
  EXPECT_EQ(request.result, ScanResult::SUCCEED);
  EXPECT_TRUE(request.attempted);
  EXPECT_TRUE(request.mmap_lock_dropped);
  const Pte leaf = *mm().table().pmd(kBase);
  EXPECT_TRUE(leaf.huge() && leaf.hw_present() && leaf.writable() && leaf.accessed() && leaf.dirty() &&
              !leaf.executable());
  EXPECT_TRUE(leaf.bits & Pte::kSoftExclusive);
  EXPECT_EQ(mm().huge_pages, 1U);
  EXPECT_EQ(mm().anon_rss, 512U);
  EXPECT_EQ(mm().table().table_pages(), tables) << "the emptied table stays, deposited";
  EXPECT_EQ(bench_.memory.free_pages(), free + 3 - 512);
  EXPECT_EQ(mm().mappings()[vma_->mapping].collapsed, 1U);
  bench_.kernel.check();
}

TEST_P(Collapsing, NeedsOnlyOneWritablePageForAWritableHugePage) {
  layout_.pages(kBase, 511, Layout::kReadOnly);
  layout_.page(at(511));
  EXPECT_EQ(run().result, ScanResult::SUCCEED);
  EXPECT_TRUE(mm().table().pmd(kBase)->writable());
}

TEST_P(Collapsing, FreesTheOldPagesButNotThoseOfOthers) {
  const TaskId other = bench_.process(2);
  Layout theirs(bench_, other);
  theirs.vma(kBase, kHugeBytes);
  layout_.pages(kBase, kHugePages);
  const Pfn shared = mm().table().pte(at(9))->pfn(), own = mm().table().pte(at(10))->pfn();
  theirs.share(at(9), shared);
  EXPECT_EQ(run().result, ScanResult::SUCCEED);
  const Frame& kept = bench_.memory.frame(shared);
  EXPECT_EQ(kept.used_as(), FrameUse::anon);
  EXPECT_EQ(kept.mapcount, 1U);
  EXPECT_TRUE(kept.is(Frame::kLru));
  EXPECT_FALSE(kept.is(Frame::kLocked) || kept.is(Frame::kIsolated));
  EXPECT_EQ(bench_.memory.frame(own).used_as(), FrameUse::free);
  bench_.kernel.check();
}

TEST_P(Collapsing, TakesALargeFolioOnce) {
  const Pfn head = layout_.huge_by_ptes(kBase);
  EXPECT_EQ(run().result, ScanResult::SUCCEED);
  EXPECT_EQ(bench_.memory.frame(head).used_as(), FrameUse::free);
  EXPECT_NE(mm().table().pmd(kBase)->pfn(), head);
  bench_.kernel.check();
}

TEST_P(Collapsing, OfMadviseCollapseIsNotCountedAsKhugepageds) {
  layout_.pages(kBase, kHugePages, Layout::kOld);
  EXPECT_EQ(run(LockOwner::madvise_collapse).result, ScanResult::SUCCEED);
  EXPECT_EQ(vmstat().thp_collapse_alloc, 1U);
  EXPECT_EQ(bench_.stats().khugepaged.pages_collapsed, 0U);
  EXPECT_EQ(bench_.stats().khugepaged.cpu, Duration::zero());
  EXPECT_EQ(bench_.kernel.history().find(mm().asid(), kBase)->huge_by, RangeRecord::By::madvise_collapse);
}

TEST_P(Collapsing, RemembersEachScanOfTheRange) {
  layout_.pages(kBase, 30, Layout::kOld);
  EXPECT_EQ(run().result, ScanResult::LACK_REFERENCED_PAGE);
  const RangeRecord& record = *bench_.kernel.history().find(mm().asid(), kBase);
  EXPECT_EQ(record.times_scanned, 1U);
  EXPECT_EQ(record.results[std::size_t(ScanResult::LACK_REFERENCED_PAGE)], 1U);
  EXPECT_EQ(record.last_present, 30U);
  EXPECT_EQ(record.last_none_or_zero, 482U);
  EXPECT_FALSE(record.is_huge);
  mm().table().pte(kBase)->set(Pte::kAccessed);
  EXPECT_EQ(run().result, ScanResult::SUCCEED);
  EXPECT_EQ(record.times_scanned, 2U);
  EXPECT_EQ(record.last_referenced, 1U);
  EXPECT_TRUE(record.is_huge);
  EXPECT_EQ(record.huge_by, RangeRecord::By::khugepaged);
  EXPECT_EQ(record.became_huge, bench_.queue.now());
}

TEST_P(Collapsing, CountsWhatExceededALimit) {
  for (std::uint64_t i = 0; i < kHugePages; ++i) layout_.zero_page(at(i));
  EXPECT_EQ(run().result, ScanResult::EXCEED_NONE_PTE);
  EXPECT_EQ(vmstat().thp_scan_exceed_none_pte, 1U);
  EXPECT_EQ(vmstat().thp_collapse_alloc, 0U);
}

TEST_P(Collapsing, ReadsSwappedPagesBackIn) {
  layout_.pages(kBase, kHugePages - 2);
  layout_.swapped_out(at(kHugePages - 2), 2);
  EXPECT_EQ(run().result, ScanResult::SUCCEED);
  EXPECT_EQ(mm().swap_entries, 0U);
  EXPECT_EQ(mm().anon_rss, 512U);
  bench_.kernel.check();
}

INSTANTIATE_TEST_SUITE_P(Kernels, Verdict, testing::Values("6.1", "6.12"));
INSTANTIATE_TEST_SUITE_P(Kernels, Collapsing, testing::Values("6.1", "6.12"));

// --- no huge page to be had ---

BenchConfig config_without_memory(bool defrag) {
  BenchConfig config = config_for("6.12");
  config.swap.device = SwapKind::none;
  config.kernel.khugepaged.defrag = defrag;
  return config;
}

class CollapsingWithoutMemory : public Collapsing {
 protected:
  CollapsingWithoutMemory() : Collapsing(config_without_memory(false)) {}
};

TEST_P(CollapsingWithoutMemory, FailsAndLeavesEverythingInPlace) {
  layout_.pages(kBase, kHugePages);
  while (bench_.memory.allocate(kHugeOrder, MigrateType::movable, FrameUse::hugetlb, AllocLevel::reserve)) {
  }
  const auto before = mm().table().pte_table(kBase);
  EXPECT_EQ(run().result, ScanResult::ALLOC_HUGE_PAGE_FAIL);
  EXPECT_EQ(vmstat().thp_collapse_alloc_failed, 1U);
  EXPECT_EQ(vmstat().thp_collapse_alloc, 0U);
  EXPECT_EQ(mm().table().pte_table(kBase), before);
}

INSTANTIATE_TEST_SUITE_P(Kernels, CollapsingWithoutMemory, testing::Values("6.12"));

}  // namespace
}  // namespace collapsar::test
