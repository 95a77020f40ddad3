// FileCollapse and FileTables: ranges of the page cache made huge, and what becomes of the page tables over them.
#include "models/kernel/file_collapse.h"

#include <cerrno>

#include "models/kernel/file_thp.h"
#include "models/kernel/observer.h"
#include "tests/support/kernel_bench.h"

namespace collapsar::test {
namespace {

using Op = KernelBench::Op;

constexpr FileId kFile = 7;
constexpr VirtRange pages(std::uint64_t first, std::uint64_t count) { return {at(first), at(first + count)}; }

struct ScansOfFiles : KernelObserver {
  void file_scanned(const FileScan& scan) override { scans.push_back(scan); }
  void pte_mapped(const AddressSpace&, VirtAddr, bool, ScanResult result) override { mapped.push_back(result); }
  void busy(const AddressSpace&, bool write) override { busy_writes += write; }
  std::vector<FileScan> scans;
  std::vector<ScanResult> mapped;
  unsigned busy_writes = 0;
};

BenchConfig config_with_shmem(const std::string& version) {
  BenchConfig config = config_for(version);
  config.kernel.thp.shmem_enabled = ShmemEnabled::always;
  config.kernel.thp.at_fault = false;  // shared memory comes in small pages
  return config;
}

struct FileCollapseTest : testing::TestWithParam<const char*> {
  explicit FileCollapseTest(BenchConfig config = config_with_shmem(GetParam())) : bench(config) {
    bench.kernel.context().observer = &watcher;
  }
  ~FileCollapseTest() override { bench.kernel.check(); }

  bool is_6_1() const { return std::string(GetParam()) == "6.1"; }
  void map_shared(std::uint64_t bytes) {
    SyscallRequest r = KernelBench::request(Op::mmap, task, kBase, bytes);
    r.map_flags = KernelBench::kSharedAnon;
    bench.call(r);
  }
  void map_file(std::uint64_t bytes) {
    SyscallRequest r = KernelBench::request(Op::mmap, task, kBase, bytes);
    r.map_flags = 1;  // MAP_SHARED
    r.file = kFile;
    r.prot = Vma::kRead | Vma::kExec;
    bench.call(r);
  }
  FileId file() { return mm.find(kBase)->file; }
  ScanResult collapse(LockOwner owner = LockOwner::khugepaged, std::uint64_t first = 0) {
    request.mm = &mm;
    request.base = at(first);
    request.file = file();
    request.first = first;
    request.owner = owner;
    Signal done(bench.queue);
    request.done = &done.event;
    bench.drain_lru();
    bench.kernel.file_collapse().scan_and_collapse(request);
    bench.run_until(done);
    return request.result;
  }
  int advise_collapse(std::uint64_t first = 0, std::uint64_t count = kHugePages) {
    SyscallRequest r = KernelBench::advice(task, Advice::collapse, at(first), count * kPageBytes);
    bench.call(r);
    return r.error;
  }
  void page_out(std::uint64_t first, std::uint64_t count) {
    bench.call(KernelBench::advice(task, Advice::pageout, at(first), count * kPageBytes));
    bench.wait(std::chrono::milliseconds(1));
  }
  bool has_table(std::uint64_t first = 0) { return mm.table().pmd_is_table(at(first)); }
  bool is_huge(std::uint64_t first = 0) { return mm.table().pmd_is_huge(at(first)); }

  KernelBench bench;
  ScansOfFiles watcher;
  TaskId task = bench.process();
  AddressSpace& mm = bench.mm(task);
  FileCollapse::Request request;
};

TEST_P(FileCollapseTest, PresenceIsThatOfThePageCache) {
  map_shared(2 * kHugeBytes);
  bench.touch_all(task, pages(0, 100));
  bench.now(KernelBench::advice(task, Advice::dontneed, kBase, 50 * kPageBytes));
  EXPECT_EQ(collapse(), ScanResult::SUCCEED);
  EXPECT_EQ(request.present, 100U);
  EXPECT_FALSE(has_table());
  EXPECT_FALSE(is_huge());
  EXPECT_EQ(mm.file_rss, 0U);
  EXPECT_TRUE(bench.kernel.page_cache().find_huge_page(file(), 3));
}

TEST_P(FileCollapseTest, TheNextFaultMapsTheHugePage) {
  map_shared(kHugeBytes);
  bench.touch(task, at(0));
  ASSERT_EQ(collapse(), ScanResult::SUCCEED);
  bench.touch(task, at(300), Access::read);
  EXPECT_TRUE(is_huge());
  EXPECT_EQ(mm.file_rss, kHugePages);
  EXPECT_EQ(mm.file_huge_pages, 1U);
  EXPECT_EQ(bench.stats().vmstat.thp_file_mapped, 1U);
}

TEST_P(FileCollapseTest, LimitsHoldForTheDaemonAlone) {
  bench.kernel.config().khugepaged.max_ptes_none = 256;
  map_shared(kHugeBytes);
  bench.touch_all(task, pages(0, 255));
  EXPECT_EQ(collapse(), ScanResult::EXCEED_NONE_PTE);
  EXPECT_EQ(bench.stats().vmstat.thp_scan_exceed_none_pte, 1U);
  EXPECT_FALSE(request.collapse);
  bench.touch(task, at(255));
  EXPECT_EQ(collapse(), ScanResult::SUCCEED);
}

TEST_P(FileCollapseTest, AnEmptyExtentIsTruncated) {
  map_shared(2 * kHugeBytes);
  bench.touch(task, at(kHugePages));
  EXPECT_EQ(collapse(LockOwner::madvise_collapse), ScanResult::TRUNCATED);
  EXPECT_EQ(advise_collapse(), EINVAL);
  EXPECT_EQ(collapse(), ScanResult::EXCEED_NONE_PTE);
}

TEST_P(FileCollapseTest, MadviseMapsTheHugePageAtOnce) {
  map_shared(kHugeBytes);
  bench.touch_all(task, pages(0, 7));
  EXPECT_EQ(advise_collapse(), 0);
  EXPECT_TRUE(is_huge());
  ASSERT_EQ(watcher.scans.size(), 1U);
  EXPECT_EQ(watcher.scans[0].status, is_6_1() ? ScanResult::SUCCEED : ScanResult::PTE_MAPPED_HUGEPAGE);
  EXPECT_EQ(watcher.mapped.size(), is_6_1() ? 0U : 1U);
  EXPECT_EQ(advise_collapse(), 0) << "huge already";
  EXPECT_EQ(watcher.mapped.back(), ScanResult::PMD_MAPPED);
}

// What a page table that the daemon has emptied is for MADV_COLLAPSE.
TEST_P(FileCollapseTest, MadviseFillsARetractedPageTable) {
  map_shared(kHugeBytes);
  bench.touch(task, at(0));
  ASSERT_EQ(collapse(), ScanResult::SUCCEED);
  EXPECT_EQ(advise_collapse(), 0);
  EXPECT_TRUE(is_huge());
}

TEST_P(FileCollapseTest, BothProcessesLoseTheirPageTables) {
  map_shared(kHugeBytes);
  bench.touch_all(task, pages(0, 10));
  const TaskId child = bench.fork(task, 2);
  bench.touch_all(child, pages(5, 10));
  AddressSpace& other = bench.mm(child);
  ASSERT_EQ(collapse(), ScanResult::SUCCEED);
  EXPECT_EQ(request.present, 15U);
  EXPECT_FALSE(has_table());
  EXPECT_FALSE(other.table().pmd_is_table(at(0)));
  EXPECT_EQ(other.file_rss, 0U);
}

// 6.1 asks for mmap_lock of the other process and does without; 6.12 needs none.
TEST_P(FileCollapseTest, ABusyProcessKeepsItsPageTableOn61Only) {
  map_shared(kHugeBytes);
  bench.touch(task, at(0));
  const TaskId child = bench.fork(task, 2);
  bench.touch(child, at(0), Access::read);
  AddressSpace& other = bench.mm(child);
  ASSERT_TRUE(other.mmap_lock().try_write(LockOwner::syscall));
  EXPECT_EQ(collapse(), ScanResult::SUCCEED);
  other.mmap_lock().release_write();
  EXPECT_EQ(other.table().pmd_is_table(at(0)), is_6_1());
  EXPECT_EQ(watcher.busy_writes, is_6_1() ? 1U : 0U);
  EXPECT_EQ(other.file_rss, 0U) << "its page is unmapped all the same";
}

TEST_P(FileCollapseTest, APinnedPageRefusesAtTheScan) {
  map_shared(kHugeBytes);
  bench.touch_all(task, pages(0, 20));
  Frame& frame = bench.memory.frame(*bench.kernel.page_cache().find_page(file(), 7));
  ++frame.pins;
  EXPECT_EQ(collapse(), ScanResult::PAGE_COUNT);
  EXPECT_EQ(request.present, 7U);
  --frame.pins;
  EXPECT_EQ(collapse(), ScanResult::SUCCEED);
}

// --- swap ---

TEST_P(FileCollapseTest, PagedOutSharedMemoryStandsInThePageCacheAsSwap) {
  map_shared(kHugeBytes);
  bench.touch_all(task, pages(0, 10));
  page_out(0, 4);
  EXPECT_EQ(bench.kernel.page_cache().swapped_pages(file(), 0, kHugePages), 4U);
  EXPECT_EQ(mm.file_rss, 6U);
  EXPECT_EQ(mm.swap_entries, 0U) << "page tables hold no swap entries for shared memory";
  bench.touch(task, at(2), Access::read);
  EXPECT_EQ(bench.kernel.page_cache().swapped_pages(file(), 0, kHugePages), 3U);
  EXPECT_EQ(bench.stats().vmstat.pswpin, 1U);
  bench.call(KernelBench::request(Op::munmap, task, kBase, kHugeBytes));
  EXPECT_EQ(bench.swap.free_slots(), bench.swap.slots());
}

// 6.1 does not find a page it has just read on the LRU: one more page each pass.
TEST_P(FileCollapseTest, SwappedPagesComeBackOneByOneOn61) {
  map_shared(kHugeBytes);
  bench.touch_all(task, pages(0, 10));
  page_out(3, 2);
  if (is_6_1()) {
    EXPECT_EQ(collapse(), ScanResult::DEL_PAGE_LRU);
    EXPECT_EQ(request.swap, 2U);
    EXPECT_EQ(collapse(), ScanResult::DEL_PAGE_LRU);
    EXPECT_EQ(request.swap, 1U);
  }
  EXPECT_EQ(collapse(), ScanResult::SUCCEED);
  EXPECT_EQ(bench.stats().vmstat.pswpin, 2U);
  EXPECT_EQ(bench.swap.free_slots(), bench.swap.slots());
}

TEST_P(FileCollapseTest, AHugePageIsSplitToBePagedOutOrGoesWhole) {
  map_shared(kHugeBytes);
  bench.touch(task, at(0));
  ASSERT_EQ(advise_collapse(), 0);
  page_out(0, kHugePages);
  EXPECT_EQ(bench.kernel.page_cache().swapped_pages(file(), 0, kHugePages), kHugePages);
  EXPECT_EQ(mm.file_rss, 0U);
  EXPECT_EQ(bench.stats().vmstat.thp_split_page, is_6_1() ? 1U : 0U);
  EXPECT_EQ(bench.stats().vmstat.thp_swpout, is_6_1() ? 0U : 1U);
}

TEST_P(FileCollapseTest, OnePageBackFromSwapLeavesTheOthersThereOneByOne) {
  map_shared(kHugeBytes);
  bench.touch(task, at(0));
  ASSERT_EQ(advise_collapse(), 0);
  page_out(0, kHugePages);
  const std::uint64_t whole = bench.kernel.page_cache().pages_of_swap_entry(file(), 1);
  EXPECT_EQ(whole, is_6_1() ? 1U : kHugePages);
  bench.touch(task, at(0));
  EXPECT_EQ(bench.kernel.page_cache().pages_of_swap_entry(file(), 1), 1U);
  EXPECT_EQ(bench.kernel.page_cache().swapped_pages(file(), 0, kHugePages), kHugePages - 1);
  bench.kernel.check();
}

TEST_P(FileCollapseTest, CuttingAHugePageOnlyUnmapsIt) {
  map_shared(kHugeBytes);
  bench.touch(task, at(0));
  ASSERT_EQ(advise_collapse(), 0);
  bench.call(KernelBench::advice(task, Advice::dontneed, at(9), kPageBytes));
  EXPECT_FALSE(is_huge());
  EXPECT_EQ(mm.file_rss, 0U);
  EXPECT_EQ(bench.stats().vmstat.thp_split_pmd, 1U);
  EXPECT_TRUE(bench.kernel.page_cache().find_huge_page(file(), 0));
  bench.touch(task, at(9));
  EXPECT_TRUE(is_huge());
}

// --- regular files ---

TEST_P(FileCollapseTest, ReadsWhatAFileHasNotInMemory) {
  map_file(kHugeBytes);
  bench.touch(task, at(0), Access::read);
  EXPECT_EQ(collapse(), ScanResult::SUCCEED);
  EXPECT_EQ(request.present, 1U);
  EXPECT_FALSE(has_table());
  bench.touch(task, at(100), Access::read);
  EXPECT_TRUE(is_huge());
  EXPECT_FALSE(mm.table().pmd(at(0))->writable());
}

TEST_P(FileCollapseTest, ADirtyFileIsWrittenBackFirst) {
  map_file(kHugeBytes);
  bench.touch_all(task, pages(0, 3), Access::read);
  Frame& frame = bench.memory.frame(*bench.kernel.page_cache().find_page(kFile, 1));
  frame.set(Frame::kDirty);
  EXPECT_EQ(collapse(), ScanResult::FAIL);
  EXPECT_TRUE(frame.is(Frame::kWriteback));
  bench.wait(bench.costs().file_write);
  EXPECT_FALSE(frame.is(Frame::kWriteback));
  EXPECT_EQ(collapse(), ScanResult::SUCCEED);
}

TEST_P(FileCollapseTest, MadviseCollapsesAReadOnlyFile) {
  map_file(2 * kHugeBytes);
  bench.touch_all(task, pages(0, 2 * kHugePages), Access::read);
  EXPECT_EQ(advise_collapse(0, 2 * kHugePages), 0);
  EXPECT_TRUE(is_huge(0));
  EXPECT_TRUE(is_huge(kHugePages));
  bench.kernel.page_cache().set_open_for_write(kFile, true);
  EXPECT_EQ(advise_collapse(), EINVAL);
}

INSTANTIATE_TEST_SUITE_P(Versions, FileCollapseTest, testing::Values("6.1", "6.12"));

// --- huge pages of shared memory at the fault ---

struct HugeShmemFault : testing::TestWithParam<const char*> {
  static BenchConfig config() {
    BenchConfig config = config_with_shmem(GetParam());
    config.kernel.thp.at_fault = true;
    return config;
  }
  VirtRange map(VirtAddr start, std::uint64_t bytes) {
    SyscallRequest r = KernelBench::request(Op::mmap, task, start, bytes);
    r.map_flags = KernelBench::kSharedAnon;
    bench.call(r);
    return {start, start + bytes};
  }
  KernelBench bench{config()};
  TaskId task = bench.process();
  AddressSpace& mm = bench.mm(task);
};

TEST_P(HugeShmemFault, OneTouchAllocatesAndMaps2MiB) {
  map(kBase, kHugeBytes);
  bench.touch(task, at(5));
  EXPECT_TRUE(mm.table().pmd_is_huge(at(0)));
  EXPECT_EQ(mm.file_rss, kHugePages);
  EXPECT_EQ(bench.stats().vmstat.thp_file_alloc, 1U);
  EXPECT_EQ(bench.stats().vmstat.thp_file_mapped, 1U);
  bench.call(KernelBench::request(Op::munmap, task, kBase, kHugeBytes));
  EXPECT_EQ(mm.file_rss, 0U);
  bench.kernel.check();
}

TEST_P(HugeShmemFault, AMappingThatIsAskewGetsPtesOfTheHugePageOn61AndSmallPagesOn612) {
  map(kBase + kPageBytes, 2 * kHugeBytes);
  bench.touch(task, at(5));
  const bool is_6_1 = std::string(GetParam()) == "6.1";
  EXPECT_FALSE(mm.table().pmd_is_huge(at(0)));
  EXPECT_EQ(mm.file_rss, 1U);
  EXPECT_EQ(bench.stats().vmstat.thp_file_alloc, is_6_1 ? 1U : 0U);
  bench.kernel.check();
}

TEST_P(HugeShmemFault, TheModeDecides) {
  const auto is_huge_with = [&](ShmemEnabled mode, VirtAddr start, std::uint64_t bytes, bool advised) {
    bench.kernel.config().thp.shmem_enabled = mode;
    map(start, bytes);
    if (advised) bench.call(KernelBench::advice(task, Advice::hugepage, start, bytes));
    bench.touch(task, start);
    const bool huge = mm.table().pmd_is_huge(start);
    bench.call(KernelBench::request(Op::munmap, task, start, bytes));
    return huge;
  };
  EXPECT_FALSE(is_huge_with(ShmemEnabled::never, kBase, kHugeBytes, true));
  EXPECT_FALSE(is_huge_with(ShmemEnabled::deny, kBase, kHugeBytes, true));
  EXPECT_FALSE(is_huge_with(ShmemEnabled::advise, kBase, kHugeBytes, false));
  EXPECT_TRUE(is_huge_with(ShmemEnabled::advise, kBase, kHugeBytes, true));
  EXPECT_TRUE(is_huge_with(ShmemEnabled::force, kBase, kHugeBytes, false));
  EXPECT_TRUE(is_huge_with(ShmemEnabled::within_size, kBase, kHugeBytes, false));
  EXPECT_FALSE(is_huge_with(ShmemEnabled::within_size, kBase, kHugeBytes - kPageBytes, false));
}

INSTANTIATE_TEST_SUITE_P(Versions, HugeShmemFault, testing::Values("6.1", "6.12"));

}  // namespace
}  // namespace collapsar::test
