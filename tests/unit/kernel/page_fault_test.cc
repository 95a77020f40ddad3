#include "models/kernel/page_fault.h"

#include "tests/support/kernel_bench.h"

namespace collapsar::test {
namespace {

using Outcome = FaultRequest::Outcome;

// No huge pages unless a test asks for them.
BenchConfig small_pages() { return config_for("6.12", ThpEnabled::never); }
BenchConfig always_huge() { return config_for("6.12"); }

SyscallRequest file_mapping(TaskId task, bool shared) {
  SyscallRequest r = KernelBench::request(SyscallRequest::Op::mmap, task, kBase, 1 * kMiB);
  r.map_flags = shared ? 0x01 : 0x02;  // MAP_SHARED, MAP_PRIVATE
  r.file = 7;
  r.name = "data";
  return r;
}

TEST(PageFault, WriteToUntouchedMemoryMapsAClearedPage) {
  KernelBench b(small_pages());
  const TaskId task = b.process();
  const VirtRange range = b.map(task, kBase, 1 * kMiB);
  const auto touch = b.touch(task, range.start);
  EXPECT_EQ(touch.took, b.costs().fault_entry + b.costs().clear_page + b.costs().fault_anon);
  const Pte pte = b.entry(task, range.start);
  EXPECT_TRUE(pte.writable() && pte.accessed() && pte.dirty() && !pte.zero_page());
  EXPECT_EQ(b.mm(task).anon_rss, 1U);
  EXPECT_EQ(b.stats().faults.minor, 1U);
  EXPECT_EQ(b.stats().vmstat.pgfault, 1U);
  EXPECT_EQ(b.stats().faults.stall_ns.max(), rounded_ns(touch.took));
  b.kernel.check();
}

TEST(PageFault, ReadOfUntouchedMemoryMapsTheZeroPage) {
  KernelBench b(small_pages());
  const TaskId task = b.process();
  const VirtRange range = b.map(task, kBase, 1 * kMiB);
  EXPECT_EQ(b.touch(task, range.start, Access::read).took, b.costs().fault_entry + b.costs().fault_zero_page);
  EXPECT_TRUE(b.entry(task, range.start).zero_page());
  EXPECT_EQ(b.mm(task).anon_rss, 0U);
  EXPECT_EQ(b.touch(task, range.start).took, b.costs().fault_entry + b.costs().clear_page + b.costs().fault_anon);
  EXPECT_EQ(b.mm(task).anon_rss, 1U);
  EXPECT_EQ(b.stats().faults.cow, 0U);  // there was nothing to copy
  EXPECT_EQ(b.shootdown.flushes.size(), 1U);
  b.kernel.check();
}

TEST(PageFault, AddressWithoutAVmaIsOutside) {
  KernelBench b(small_pages());
  const TaskId task = b.process();
  b.map(task, kBase, 1 * kMiB);
  EXPECT_EQ(b.touch(task, kBase - 1).outcome, Outcome::outside_vma);
  EXPECT_EQ(b.touch(task, kBase + 1 * kMiB).outcome, Outcome::outside_vma);
  EXPECT_EQ(b.stats().vmstat.pgfault, 0U);
  EXPECT_FALSE(b.mm(task).mmap_lock().read_locked());
}

TEST(PageFault, ProtectionIsObeyed) {
  KernelBench b(small_pages());
  const TaskId task = b.process();
  SyscallRequest r = KernelBench::request(SyscallRequest::Op::mmap, task, kBase, 1 * kMiB);
  r.prot = 1;  // PROT_READ
  b.now(r);
  EXPECT_EQ(b.touch(task, kBase, Access::write).outcome, Outcome::protection);
  EXPECT_EQ(b.touch(task, kBase, Access::execute).outcome, Outcome::protection);
  EXPECT_EQ(b.touch(task, kBase, Access::read).outcome, Outcome::resolved);
}

TEST(PageFault, WriteMapsAHugePageWhereTheBlockFits) {
  KernelBench b(always_huge());
  const TaskId task = b.process();
  b.map(task, kBase, 3 * kMiB);
  const auto touch = b.touch(task, kBase + 5 * kPageBytes);
  EXPECT_EQ(touch.took, b.costs().fault_entry + b.costs().clear_page * kHugePages + b.costs().fault_huge);
  EXPECT_TRUE(b.entry(task, kBase).huge());
  EXPECT_EQ(b.mm(task).huge_pages, 1U);
  EXPECT_EQ(b.stats().faults.huge, 1U);
  EXPECT_EQ(b.stats().faults.minor, 1U);
  EXPECT_EQ(b.stats().vmstat.thp_fault_alloc, 1U);
  EXPECT_TRUE(b.mm(task).registered);
  const RangeRecord* record = b.kernel.history().find(b.mm(task).asid(), kBase);
  ASSERT_TRUE(record);
  EXPECT_EQ(record->huge_by, RangeRecord::By::fault);
  b.touch(task, kBase + 2 * kMiB);  // the block does not fit
  EXPECT_FALSE(b.entry(task, kBase + 2 * kMiB).huge());
  EXPECT_EQ(b.stats().vmstat.thp_fault_fallback, 0U);
  b.kernel.check();
}

TEST(PageFault, AtFaultOffStillRegistersButMapsSmallPages) {
  BenchConfig config = always_huge();
  config.kernel.thp.at_fault = false;
  KernelBench b(config);
  const TaskId task = b.process();
  b.map(task, kBase, 4 * kMiB);
  b.touch(task, kBase);
  b.touch(task, kBase + kHugeBytes, Access::read);
  EXPECT_TRUE(b.mm(task).registered);
  EXPECT_EQ(b.mm(task).huge_pages, 0U);
  EXPECT_EQ(b.kernel.huge_zero().page(), kNoPfn);
  EXPECT_EQ(b.stats().vmstat.thp_fault_alloc + b.stats().vmstat.thp_fault_fallback, 0U);
}

TEST(PageFault, ReadsShareOneHugeZeroPage) {
  KernelBench b(always_huge());
  const TaskId task = b.process();
  b.map(task, kBase, 4 * kMiB);
  const Duration clear = b.costs().clear_page * kHugePages;
  EXPECT_EQ(b.touch(task, kBase, Access::read).took, b.costs().fault_entry + clear + b.costs().fault_zero_page);
  EXPECT_EQ(b.touch(task, kBase + kHugeBytes, Access::read).took, b.costs().fault_entry + b.costs().fault_zero_page);
  EXPECT_EQ(b.stats().vmstat.thp_zero_page_alloc, 1U);
  EXPECT_EQ(b.entry(task, kBase).pfn(), b.entry(task, kBase + kHugeBytes).pfn());
  EXPECT_EQ(b.mm(task).anon_rss, 0U);
  b.kernel.check();
}

TEST(PageFault, WriteToTheHugeZeroPageSplitsItAndMapsOnePage) {
  KernelBench b(always_huge());
  const TaskId task = b.process();
  b.map(task, kBase, 2 * kMiB);
  b.touch(task, kBase, Access::read);
  const Duration one_page = b.costs().clear_page + b.costs().fault_anon;
  EXPECT_EQ(b.touch(task, kBase + kPageBytes).took, b.costs().fault_entry + b.costs().split_pmd + one_page);
  EXPECT_TRUE(b.entry(task, kBase).zero_page());
  EXPECT_FALSE(b.entry(task, kBase + kPageBytes).zero_page());
  EXPECT_EQ(b.mm(task).anon_rss, 1U);
  EXPECT_EQ(b.stats().vmstat.thp_split_pmd, 1U);
  b.kernel.check();
}

TEST(PageFault, FileMissReadsAndIsMajorThenHits) {
  KernelBench b(small_pages());
  const TaskId task = b.process(1), other = b.process(2);
  b.now(file_mapping(task, false));
  b.now(file_mapping(other, false));
  const Duration hit = b.costs().fault_entry + b.costs().fault_file;
  EXPECT_EQ(b.touch(task, kBase, Access::read).took, hit + b.costs().file_read);
  EXPECT_EQ(b.stats().faults.major, 1U);
  ASSERT_EQ(b.cpus.sleeps.size(), 2U);
  EXPECT_EQ(b.cpus.sleeps[1].at - b.cpus.sleeps[0].at, b.costs().file_read);
  EXPECT_EQ(b.touch(other, kBase, Access::read).took, hit);
  EXPECT_EQ(b.stats().faults.minor, 1U);
  EXPECT_EQ(b.entry(task, kBase).pfn(), b.entry(other, kBase).pfn());
  EXPECT_EQ(b.mm(task).file_rss, 1U);
  b.kernel.check();
}

TEST(PageFault, PrivateWriteToAFileCopies) {
  KernelBench b(small_pages());
  const TaskId task = b.process();
  b.now(file_mapping(task, false));
  b.touch(task, kBase, Access::read);
  const Pfn cached = b.entry(task, kBase).pfn();
  EXPECT_EQ(b.touch(task, kBase).took, b.costs().fault_entry + b.costs().copy_page + b.costs().fault_cow);
  EXPECT_NE(b.entry(task, kBase).pfn(), cached);
  EXPECT_EQ(b.mm(task).file_rss, 0U);
  EXPECT_EQ(b.mm(task).anon_rss, 1U);
  EXPECT_EQ(b.stats().faults.cow, 1U);
  const Duration read = b.costs().file_read;
  EXPECT_EQ(b.touch(task, kBase + kPageBytes).took,
            b.costs().fault_entry + read + b.costs().copy_page + b.costs().fault_cow);
  b.kernel.check();
}

TEST(PageFault, SharedFilePageBecomesWritableOnWrite) {
  KernelBench b(small_pages());
  const TaskId task = b.process();
  b.now(file_mapping(task, true));
  b.touch(task, kBase, Access::read);
  EXPECT_FALSE(b.entry(task, kBase).writable());
  const Pfn page = b.entry(task, kBase).pfn();
  b.touch(task, kBase);
  EXPECT_EQ(b.entry(task, kBase).pfn(), page);
  EXPECT_TRUE(b.entry(task, kBase).dirty());
  EXPECT_TRUE(b.memory.frame(page).is(Frame::kDirty));
}

TEST(PageFault, SharedAnonymousMemoryIsOnePageForBoth) {
  KernelBench b(small_pages());
  const TaskId parent = b.process(1);
  SyscallRequest r = KernelBench::request(SyscallRequest::Op::mmap, parent, kBase, 1 * kMiB);
  r.map_flags = KernelBench::kSharedAnon;
  b.now(r);
  const TaskId child = b.fork(parent, 2);
  const Duration first = b.costs().fault_entry + b.costs().clear_page + b.costs().fault_file;
  EXPECT_EQ(b.touch(parent, kBase).took, first);
  b.touch(child, kBase);
  EXPECT_EQ(b.entry(parent, kBase).pfn(), b.entry(child, kBase).pfn());
  EXPECT_EQ(b.stats().faults.major, 0U);
  b.kernel.check();
}

TEST(PageFault, ForkedPageIsCopiedByOneAndTakenOverByTheOther) {
  KernelBench b(small_pages());
  const TaskId parent = b.process(1);
  b.map(parent, kBase, 1 * kMiB);
  b.touch(parent, kBase);
  const TaskId child = b.fork(parent, 2);
  const Pfn page = b.entry(parent, kBase).pfn();
  EXPECT_EQ(b.touch(child, kBase).took, b.costs().fault_entry + b.costs().copy_page + b.costs().fault_cow);
  EXPECT_NE(b.entry(child, kBase).pfn(), page);
  EXPECT_EQ(b.touch(parent, kBase).took, b.costs().fault_entry + b.costs().fault_spurious);
  EXPECT_EQ(b.entry(parent, kBase).pfn(), page);
  EXPECT_EQ(b.stats().faults.cow, 2U);
  b.kernel.check();
}

TEST(PageFault, WriteToASharedHugePageSplitsAndCopiesOnePage) {
  KernelBench b(always_huge());
  const TaskId parent = b.process(1);
  b.map(parent, kBase, 2 * kMiB);
  b.touch(parent, kBase);
  const TaskId child = b.fork(parent, 2);
  const Duration copy = b.costs().copy_page + b.costs().fault_cow;
  EXPECT_EQ(b.touch(child, kBase).took, b.costs().fault_entry + b.costs().split_pmd + copy);
  EXPECT_EQ(b.mm(child).huge_pages, 0U);
  EXPECT_EQ(b.mm(parent).huge_pages, 1U);
  EXPECT_EQ(b.mm(child).anon_rss, kHugePages);
  b.kernel.check();
  EXPECT_FALSE(b.entry(child, kBase + kPageBytes).writable());
}

TEST(PageFault, LastOwnerOfAHugePageTakesItOverWhole) {
  KernelBench b(always_huge());
  const TaskId parent = b.process(1);
  b.map(parent, kBase, 2 * kMiB);
  b.touch(parent, kBase);
  const TaskId child = b.fork(parent, 2);
  b.call(KernelBench::request(SyscallRequest::Op::exit, child));
  EXPECT_EQ(b.touch(parent, kBase).took, b.costs().fault_entry + b.costs().fault_spurious);
  EXPECT_TRUE(b.entry(parent, kBase).huge());
  EXPECT_EQ(b.stats().vmstat.thp_split_pmd, 0U);
  b.kernel.check();
}

// khugepaged.md 7.2: with no block of 2 MiB left, only some settings try harder: by compaction, as there is memory enough; a
// kernel without compaction can only reclaim. Here neither helps.
class PageFaultDefrag : public testing::TestWithParam<std::tuple<ThpDefrag, bool, bool>> {
 protected:
  // One frame of each 2 MiB block stays taken.
  static void leave_pieces(PhysicalMemory& memory) {
    std::vector<Pfn> frames;
    while (const auto frame = memory.allocate(0, MigrateType::movable, FrameUse::file, AllocLevel::reserve))
      frames.push_back(*frame);
    for (const Pfn p : frames)
      if (p.value % kHugePages != 0) memory.free(p, 0);
  }
};

TEST_P(PageFaultDefrag, TriesHarderOnlyWhereTheTableSaysSo) {
  const auto [defrag, madvised, tries] = GetParam();
  for (const bool compacts : {true, false}) {
    BenchConfig config = always_huge();
    config.kernel.thp.defrag = defrag;
    config.kernel.compaction.enabled = compacts;
    config.swap.device = SwapKind::none;
    KernelBench b(config);
    leave_pieces(b.memory);
    const TaskId task = b.process();
    b.map(task, kBase, 2 * kMiB);
    if (madvised) b.now(KernelBench::advice(task, Advice::hugepage, kBase, 2 * kMiB));
    EXPECT_EQ(b.touch(task, kBase).outcome, Outcome::resolved);
    EXPECT_FALSE(b.entry(task, kBase).huge());
    EXPECT_EQ(b.stats().vmstat.thp_fault_fallback, 1U);
    EXPECT_EQ(b.stats().vmstat.compact_stall, tries && compacts ? 2U : 0U);
    const bool gives_up_at_once =
        defrag == ThpDefrag::always && !madvised;  // __GFP_NORETRY, and compaction was no option
    EXPECT_EQ(b.stats().vmstat.allocstall, tries && !compacts && !gives_up_at_once ? 1U : 0U);
  }
}

INSTANTIATE_TEST_SUITE_P(
    Table, PageFaultDefrag,
    testing::Values(std::tuple{ThpDefrag::always, true, true}, std::tuple{ThpDefrag::always, false, true},
                    std::tuple{ThpDefrag::defer, true, false}, std::tuple{ThpDefrag::defer, false, false},
                    std::tuple{ThpDefrag::defer_madvise, true, true},
                    std::tuple{ThpDefrag::defer_madvise, false, false}, std::tuple{ThpDefrag::madvise, true, true},
                    std::tuple{ThpDefrag::madvise, false, false}, std::tuple{ThpDefrag::never, true, false},
                    std::tuple{ThpDefrag::never, false, false}));

TEST(PageFault, FaultNowFollowsTheSamePolicyFreeOfTime) {
  KernelBench b(always_huge());
  const TaskId task = b.process();
  b.map(task, kBase, 3 * kMiB);
  EXPECT_TRUE(b.kernel.faults().fault_now(b.mm(task), kBase, Access::write));
  EXPECT_TRUE(b.kernel.faults().fault_now(b.mm(task), kBase + kHugeBytes, Access::write));
  EXPECT_FALSE(b.kernel.faults().fault_now(b.mm(task), kBase + 4 * kMiB, Access::write));
  EXPECT_EQ(b.mm(task).huge_pages, 1U);
  EXPECT_EQ(b.mm(task).anon_rss, kHugePages + 1);
  EXPECT_EQ(b.queue.now(), kTimeZero);
  EXPECT_EQ(b.stats().vmstat.pgfault, 0U);
  b.kernel.check();
}

TEST(PageFault, FaultNowSaysWhenMemoryIsOut) {
  KernelBench b(small_pages());
  const TaskId task = b.process(42);
  const VirtRange range = b.map(task, kBase, 128 * kMiB);
  try {
    for (VirtAddr va = range.start; va < range.end; va += kPageBytes)
      b.kernel.faults().fault_now(b.mm(task), va, Access::write);
    FAIL() << "128 MiB fitted into 64 MiB";
  } catch (const SimulationError& e) {
    EXPECT_NE(std::string(e.what()).find("process 42"), std::string::npos) << e.what();
    EXPECT_NE(std::string(e.what()).find("memory.size"), std::string::npos) << e.what();
  }
}

TEST(PageFault, PopulateFaultsEveryPageOnce) {
  KernelBench b(small_pages());
  const TaskId task = b.process();
  const VirtRange range = b.map(task, kBase, 16 * kPageBytes);
  b.touch(task, range.start + 3 * kPageBytes);
  const Time start = b.queue.now();
  Signal done(b.queue);
  b.kernel.faults().populate(task, 0, b.mm(task), range, Access::write, done.event);
  b.run_until(done);
  EXPECT_EQ(b.mm(task).anon_rss, 16U);
  EXPECT_EQ(done.at - start, 15 * (b.costs().fault_entry + b.costs().clear_page + b.costs().fault_anon));
  EXPECT_EQ(b.stats().faults.stall_ns.count(), 1U);  // no exceptions
}

TEST(PageFault, HugetlbMapsWholePages) {
  KernelBench b(small_pages());
  const TaskId task = b.process();
  SyscallRequest r = KernelBench::request(SyscallRequest::Op::mmap, task, kBase, 4 * kMiB);
  r.map_flags = KernelBench::kPrivateAnon | 0x40000;  // MAP_HUGETLB, default size
  b.now(r);
  const auto touch = b.touch(task, kBase + 7 * kPageBytes);
  EXPECT_EQ(touch.took, b.costs().fault_entry + b.costs().clear_page * kHugePages + b.costs().fault_huge);
  EXPECT_TRUE(b.entry(task, kBase).huge());
  EXPECT_EQ(b.mm(task).hugetlb_rss, kHugePages);
  EXPECT_EQ(b.mm(task).anon_rss, 0U);
  b.kernel.check();
}

TEST(PageFault, GiganticPagesComeWhole) {
  BenchConfig config = small_pages();
  config.memory = Bytes{4 * kGiB};
  KernelBench b(config);
  const TaskId task = b.process();
  SyscallRequest r = KernelBench::request(SyscallRequest::Op::mmap, task, kBase, 1 * kGiB);
  r.map_flags = KernelBench::kPrivateAnon | 0x40000 | (30U << 26);  // MAP_HUGETLB | MAP_HUGE_1GB
  b.now(r);
  b.touch(task, kBase + 123 * kMiB);
  EXPECT_EQ(b.mm(task).table().lookup(kBase).size, PageSize::k1G);
  EXPECT_EQ(b.mm(task).hugetlb_rss, pages_4k(PageSize::k1G));
}

}  // namespace
}  // namespace collapsar::test
