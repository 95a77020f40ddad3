#include "models/kernel/syscalls.h"

#include <gtest/gtest.h>

#include "tests/support/syscalls_fixture.h"

namespace collapsar::test {
namespace {

using std::chrono::microseconds;
using Op = KernelBench::Op;

INSTANTIATE_TEST_SUITE_P(Versions, SyscallsHuge, testing::Values("6.1", "6.12"));

// --- mmap, munmap, brk ---

TEST_F(SyscallsTest, MmapCostsItsEntryAndTheVmaTree) {
  SyscallRequest r = request(Op::mmap, kBase, 3 * kPageBytes);
  EXPECT_EQ(bench.call(r), costs.syscall_entry + costs.vma_change);
  const Vma& vma = *mm.find(kBase);
  EXPECT_EQ(vma.range, (VirtRange{kBase, kBase + 3 * kPageBytes}));
  EXPECT_EQ(vma.flags, std::uint32_t(Vma::kRead | Vma::kWrite | Vma::kAccount));
  EXPECT_EQ(mm.mappings()[vma.mapping].name, "anon-100000000");
}

TEST_F(SyscallsTest, MappingsAreNamedAfterTheirFileUnlessTheyHaveAName) {
  SyscallRequest r = request(Op::mmap, kBase, kPageBytes);
  r.map_flags = 2;
  r.file = 5;
  r.name = "/usr/lib/libc.so.6";
  bench.call(r);
  SyscallRequest region = request(Op::mmap, kBase + kPageBytes, kPageBytes);
  region.name = "index";
  bench.call(region);
  EXPECT_EQ(mm.mappings()[mm.find(kBase)->mapping].name, "libc.so.6");
  EXPECT_EQ(mm.mappings()[mm.find(kBase + kPageBytes)->mapping].name, "index");
}

TEST_F(SyscallsTest, MmapOverAMappingReplacesIt) {
  touched(4);
  EXPECT_EQ(bench.call(request(Op::mmap, kBase + kPageBytes, 2 * kPageBytes)),
            costs.syscall_entry + costs.vma_change + 2 * costs.zap_page);
  EXPECT_EQ(mm.anon_rss, 2U);
  EXPECT_TRUE(entry(1).none());
  EXPECT_EQ(bench.shootdown.flushes.size(), 1U);
}

TEST_F(SyscallsTest, AMultipleOf2MiBIsPlacedAligned) {
  SyscallRequest r = request(Op::mmap, {}, 2 * kHugeBytes);
  bench.call(r);
  EXPECT_EQ(r.address % kHugeBytes, 0U);
  EXPECT_NE(mm.find({r.address}), nullptr);
}

TEST_F(SyscallsTest, MunmapZapsThenFlushesThenReturns) {
  touched(10);
  bench.shootdown.cost = microseconds(3);
  const Time start = bench.queue.now();
  const Duration work = costs.syscall_entry + costs.vma_change + 10 * costs.zap_page;
  EXPECT_EQ(bench.call(request(Op::munmap, kBase, 10 * kPageBytes)), work + microseconds(3));
  ASSERT_EQ(bench.shootdown.flushes.size(), 1U);
  EXPECT_EQ(bench.shootdown.flushes[0].at, start + work + microseconds(3));
  EXPECT_TRUE(bench.shootdown.flushes[0].tables_freed);
  EXPECT_TRUE(mm.vmas().empty());
  EXPECT_EQ(mm.table().table_pages(), 1U);
}

TEST_F(SyscallsTest, MunmapChangesNothingBeforeItsTime) {
  touched(10);
  Signal done(bench.queue);
  SyscallRequest r = request(Op::munmap, kBase, 10 * kPageBytes);
  r.done = &done.event;
  const Duration work = costs.syscall_entry + costs.vma_change + 10 * costs.zap_page;
  bench.kernel.syscalls().syscall(r);
  bench.wait(work - Duration(1));
  EXPECT_EQ(mm.anon_rss, 10U);
  bench.wait(Duration(1));
  EXPECT_EQ(mm.anon_rss, 0U);
  EXPECT_TRUE(done.arrived());
}

TEST_F(SyscallsTest, MunmapOfUntouchedMemoryFlushesNothing) {
  bench.map(task, kBase, 10 * kPageBytes);
  EXPECT_EQ(bench.call(request(Op::munmap, kBase, 10 * kPageBytes)), costs.syscall_entry + costs.vma_change);
  EXPECT_TRUE(bench.shootdown.flushes.empty());
}

TEST_F(SyscallsTest, BrkMovesTheEndOfTheHeap) {
  bench.now(request(Op::heap_room, kBase, 64 * kPageBytes));
  bench.call(request(Op::brk, kBase + 10 * kPageBytes, 0));
  EXPECT_EQ(mm.find(kBase)->range.pages(), 10U);
  EXPECT_EQ(mm.mappings()[mm.find(kBase)->mapping].name, "heap");
  bench.call(request(Op::brk, kBase + 20 * kPageBytes + 5, 0));
  EXPECT_EQ(mm.vmas().size(), 1U);
  EXPECT_EQ(mm.find(kBase)->range.pages(), 21U);
  bench.touch_all(task, mm.find(kBase)->range);
  EXPECT_EQ(bench.call(request(Op::brk, kBase + 4 * kPageBytes, 0)),
            costs.syscall_entry + costs.vma_change + 17 * costs.zap_page);
  EXPECT_EQ(mm.anon_rss, 4U);
}

TEST_F(SyscallsTest, TheHeapOfAnImageIsTakenUp) {
  SyscallRequest heap = request(Op::add_vma, kBase, 8 * kPageBytes);
  heap.name = "[heap]";
  bench.now(heap);
  bench.now(request(Op::heap_room, kBase, 64 * kPageBytes));
  bench.call(request(Op::brk, kBase + 9 * kPageBytes, 0));
  EXPECT_EQ(mm.vmas().size(), 1U);
  EXPECT_EQ(mm.find(kBase)->range.pages(), 9U);
}

TEST_F(SyscallsTest, PopulateFaultsEveryPageIn) {
  SyscallRequest r = request(Op::mmap, kBase, 10 * kPageBytes);
  r.map_flags |= 0x8000;  // MAP_POPULATE
  EXPECT_GE(bench.call(r), costs.syscall_entry + costs.vma_change + 10 * (costs.fault_anon + costs.clear_page));
  EXPECT_EQ(mm.anon_rss, 10U);
}

// --- mprotect ---

TEST_F(SyscallsTest, MprotectRewritesEntriesAndFlushes) {
  touched(10);
  SyscallRequest r = request(Op::mprotect, kBase, 10 * kPageBytes);
  r.prot = 1;
  EXPECT_EQ(bench.call(r), costs.syscall_entry + costs.vma_change + 10 * costs.protect_pte);
  EXPECT_FALSE(entry(0).writable());
  EXPECT_EQ(bench.touch(task, kBase).outcome, FaultRequest::Outcome::protection);
  EXPECT_EQ(bench.shootdown.flushes.size(), 1U);
  r.prot = 3;
  bench.call(r);
  EXPECT_TRUE(entry(0).writable());  // exclusive: no fault needed
}

TEST_F(SyscallsTest, ProtNoneHidesPagesFromTheWalkerOnly) {
  touched(2);
  SyscallRequest r = request(Op::mprotect, kBase, 2 * kPageBytes);
  r.prot = 0;
  bench.call(r);
  EXPECT_TRUE(entry(0).present() && !entry(0).hw_present());
  EXPECT_EQ(mm.anon_rss, 2U);
  r.prot = 3;
  bench.call(r);
  EXPECT_TRUE(entry(0).hw_present());
  EXPECT_EQ(bench.touch(task, kBase).faults, 0U);
}

TEST_F(SyscallsTest, ASharedPageBecomesWritableOnlyByItsFault) {
  touched(1);
  bench.fork(task, 2);
  SyscallRequest r = request(Op::mprotect, kBase, kPageBytes);
  r.prot = 1;
  bench.call(r);
  r.prot = 3;
  bench.call(r);
  EXPECT_FALSE(entry(0).writable());
}

TEST_P(SyscallsHuge, MprotectSplitsOnlyWhereItCutsAHugePage) {
  touched(1);
  SyscallRequest whole = request(Op::mmap, kBase, 2 * kHugeBytes);
  bench.call(whole);
  bench.touch(task, kBase);
  bench.touch(task, kBase + kHugeBytes);
  SyscallRequest r = request(Op::mprotect, kBase, kHugeBytes);
  r.prot = 1;
  EXPECT_EQ(bench.call(r), costs.syscall_entry + costs.vma_change + costs.protect_pte);
  EXPECT_EQ(mm.huge_pages, 2U);
  r = request(Op::mprotect, kBase + kHugeBytes, 100 * kPageBytes);
  r.prot = 1;
  bench.call(r);
  EXPECT_EQ(mm.huge_pages, 1U);
  EXPECT_EQ(bench.stats().vmstat.thp_split_pmd, 1U);
  EXPECT_FALSE(entry(kHugePages + 99).writable());
  EXPECT_TRUE(entry(kHugePages + 100).writable());
}

// --- mremap ---

TEST_F(SyscallsTest, MremapGrowsInPlaceAndShrinks) {
  touched(4);
  SyscallRequest r = request(Op::mremap, kBase, 4 * kPageBytes);
  r.new_address = kBase.value;
  r.new_length = 8 * kPageBytes;
  bench.call(r);
  EXPECT_EQ(mm.vmas().size(), 1U);
  EXPECT_EQ(mm.find(kBase)->range.pages(), 8U);
  r.length = 8 * kPageBytes;
  r.new_length = 2 * kPageBytes;
  EXPECT_EQ(bench.call(r), costs.syscall_entry + costs.vma_change + 2 * costs.zap_page);
  EXPECT_EQ(mm.anon_rss, 2U);
}

TEST_F(SyscallsTest, MremapCarriesPagesAndFlushesTheOldPlace) {
  touched(4);
  const Pfn pfn = entry(3).pfn();
  SyscallRequest r = request(Op::mremap, kBase, 4 * kPageBytes);
  r.new_address = (kBase + 16 * kPageBytes).value;
  r.new_length = 6 * kPageBytes;
  EXPECT_EQ(bench.call(r), costs.syscall_entry + costs.vma_change + 4 * costs.protect_pte);
  EXPECT_EQ(entry(19).pfn(), pfn);
  EXPECT_TRUE(entry(3).none());
  EXPECT_EQ(mm.find(kBase), nullptr);
  EXPECT_EQ(mm.find({r.new_address})->range.pages(), 6U);
  ASSERT_EQ(bench.shootdown.flushes.size(), 1U);
  EXPECT_EQ(bench.shootdown.flushes[0].range.start, kBase);
}

TEST_P(SyscallsHuge, MremapMovesAnAlignedHugePageWhole) {
  bench.map(task, kBase, kHugeBytes);
  bench.touch(task, kBase);
  SyscallRequest r = request(Op::mremap, kBase, kHugeBytes);
  r.new_address = (kBase + 8 * kHugeBytes).value;
  r.new_length = kHugeBytes;
  bench.call(r);
  EXPECT_EQ(mm.huge_pages, 1U);
  EXPECT_TRUE(mm.table().pmd_is_huge({r.new_address}));
  EXPECT_EQ(bench.stats().vmstat.thp_split_pmd, 0U);
  r.address = r.new_address;
  r.new_address = (kBase + kPageBytes).value;
  bench.call(r);
  EXPECT_EQ(mm.huge_pages, 0U);
  EXPECT_EQ(bench.stats().vmstat.thp_split_pmd, 1U);
  EXPECT_EQ(mm.anon_rss, kHugePages);
}

// --- locks ---

TEST_F(SyscallsTest, AWriterWaitsForAReaderAndSleeps) {
  bench.map(task, kBase, 4 * kPageBytes);
  ASSERT_TRUE(mm.mmap_lock().try_read());
  Signal done(bench.queue);
  SyscallRequest r = request(Op::munmap, kBase, 4 * kPageBytes);
  r.done = &done.event;
  bench.kernel.syscalls().syscall(r);
  bench.wait(costs.syscall_entry + microseconds(5));
  EXPECT_FALSE(done.arrived());
  mm.mmap_lock().release_read();
  bench.wait(costs.vma_change - Duration(1));
  EXPECT_FALSE(done.arrived());
  bench.wait(Duration(1));
  EXPECT_TRUE(done.arrived());
  EXPECT_EQ(bench.stats().stall.mmap_lock_ns.sum(), 5000U);
  ASSERT_EQ(bench.cpus.sleeps.size(), 2U);
  EXPECT_FALSE(bench.cpus.sleeps[0].wakes);
  EXPECT_EQ(bench.cpus.sleeps[1].at - bench.cpus.sleeps[0].at, microseconds(5));
}

TEST_F(SyscallsTest, DontNeedGoesBesideReaders) {
  touched(4);
  ASSERT_TRUE(mm.mmap_lock().try_read());
  EXPECT_EQ(bench.call(advice(Advice::dontneed, 4)), costs.syscall_entry + 4 * costs.zap_page);
  mm.mmap_lock().release_read();
}

TEST_F(SyscallsTest, DontNeedWaitsForALockedPageTable) {
  touched(4);
  mm.lock_pte_table(kBase, LockOwner::khugepaged);
  Signal done(bench.queue);
  SyscallRequest r = advice(Advice::dontneed, 4);
  r.done = &done.event;
  bench.kernel.syscalls().syscall(r);
  bench.wait(costs.syscall_entry + 4 * costs.zap_page + microseconds(2));
  EXPECT_EQ(mm.anon_rss, 4U);
  mm.unlock_pte_table(kBase);
  bench.wait(Duration(1));
  EXPECT_EQ(mm.anon_rss, 0U);
  EXPECT_EQ(bench.stats().stall.collapse_ns.sum(), 2000U);
  bench.run_until(done);
}

TEST_F(SyscallsTest, ChangingAVmaWaitsForFaultsUnderItsLock) {
  touched(4);
  Vma& vma = *mm.find(kBase);
  ASSERT_TRUE(mm.vma_start_read(vma));
  Signal done(bench.queue);
  SyscallRequest r = request(Op::mprotect, kBase, 4 * kPageBytes);
  r.prot = 1;
  r.done = &done.event;
  bench.kernel.syscalls().syscall(r);
  bench.wait(costs.syscall_entry + microseconds(5));
  EXPECT_TRUE(vma.write_locked);
  mm.vma_end_read(vma);
  bench.wait(costs.vma_change + 4 * costs.protect_pte);
  EXPECT_TRUE(done.arrived());
  EXPECT_FALSE(vma.write_locked);
  EXPECT_EQ(bench.stats().stall.mmap_lock_ns.sum(), 5000U);
}

// --- the rest ---

TEST_F(SyscallsTest, MlockFaultsInAndKeepsPages) {
  bench.map(task, kBase, 4 * kPageBytes);
  bench.touch(task, kBase);
  bench.call(request(Op::mlock, kBase, 4 * kPageBytes));
  EXPECT_EQ(mm.anon_rss, 4U);
  EXPECT_TRUE(frame(0).is(Frame::kUnevictable) && frame(3).is(Frame::kUnevictable));
  SyscallRequest r = advice(Advice::dontneed, 4);
  bench.call(r);
  EXPECT_EQ(r.error, EINVAL);
  bench.call(request(Op::munlock, kBase, 4 * kPageBytes));
  EXPECT_FALSE(frame(0).is(Frame::kUnevictable));
  bench.call(advice(Advice::dontneed, 4));
  EXPECT_EQ(mm.anon_rss, 0U);
}

TEST_F(SyscallsTest, ClearRefsMakesEverythingOld) {
  touched(6);
  frame(2).set(Frame::kReferenced);
  EXPECT_EQ(bench.call(request(Op::clear_refs, {}, 0)), costs.syscall_entry + 6 * costs.protect_pte);
  for (std::uint64_t i = 0; i < 6; ++i) EXPECT_FALSE(entry(i).accessed());
  EXPECT_FALSE(frame(2).is(Frame::kReferenced));
  EXPECT_EQ(bench.shootdown.flushes.size(), 1U);
}

TEST_F(SyscallsTest, ForkPaysForEveryEntryAndFlushesTheParent) {
  touched(6);
  bench.shootdown.cost = microseconds(2);
  SyscallRequest r = request(Op::fork, {}, 0);
  r.value = 2;
  EXPECT_EQ(bench.call(r), costs.syscall_entry + costs.fork_mm + 6 * costs.fork_pte + microseconds(2));
  ASSERT_EQ(bench.shootdown.flushes.size(), 1U);
  EXPECT_EQ(bench.shootdown.flushes[0].asid, mm.asid());
}

TEST_F(SyscallsTest, ExitPaysForWhatItFrees) {
  touched(6);
  EXPECT_EQ(bench.call(request(Op::exit, {}, 0)), costs.syscall_entry + 6 * costs.zap_page);
}

TEST_F(SyscallsTest, ExecPaysForTheOldImage) {
  touched(6);
  EXPECT_EQ(bench.call(request(Op::exec, {}, 0)), costs.syscall_entry + costs.exec_mm + 6 * costs.zap_page);
}

TEST_F(SyscallsTest, HugetlbPagesComeAtTouchAndGoWithTheirMapping) {
  SyscallRequest r = request(Op::mmap, kBase, 2 * kHugeBytes);
  r.map_flags |= 0x40000;  // MAP_HUGETLB
  bench.call(r);
  bench.touch(task, kBase + 5);
  EXPECT_EQ(mm.hugetlb_rss, kHugePages);
  EXPECT_EQ(mm.rss_pages(), 0U);
  bench.call(request(Op::munmap, kBase, 2 * kHugeBytes));
  EXPECT_EQ(mm.hugetlb_rss, 0U);
}

TEST_F(SyscallsTest, BeforeTimeZeroTheSameHappensFreeOfTime) {
  SyscallRequest r = request(Op::mmap, kBase, 10 * kPageBytes);
  r.map_flags |= 0x8000;  // MAP_POPULATE
  bench.now(r);
  EXPECT_EQ(mm.anon_rss, 10U);
  bench.now(request(Op::munmap, kBase, 5 * kPageBytes));
  EXPECT_EQ(mm.anon_rss, 5U);
  EXPECT_TRUE(bench.kernel.syscalls().prefault(task, kBase + 6 * kPageBytes, Access::read));
  EXPECT_FALSE(bench.kernel.syscalls().prefault(task, kBase, Access::read));
  EXPECT_EQ(bench.queue.now(), kTimeZero);
}

}  // namespace
}  // namespace collapsar::test
