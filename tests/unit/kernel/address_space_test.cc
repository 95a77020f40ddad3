#include "models/kernel/address_space.h"

#include <gtest/gtest.h>

#include "tests/support/kernel_bench.h"

namespace collapsar::test {
namespace {

using std::chrono::nanoseconds;

Vma anon(VirtAddr start, std::uint64_t pages, std::uint32_t flags = Vma::kRead | Vma::kWrite) {
  Vma vma;
  vma.range = {start, start + pages * kPageBytes};
  vma.flags = flags;
  vma.pgoff = start.value >> kPageShift;
  vma.mapping = kUnnamed;
  return vma;
}

struct AddressSpaces : testing::Test {
  KernelBench bench;
  AddressSpace& mm = bench.mm(bench.process());
};

TEST_F(AddressSpaces, FindsTheVmaThatContainsOrFollows) {
  mm.add(anon(kBase, 2));
  EXPECT_EQ(mm.find(kBase - 1), nullptr);
  EXPECT_NE(mm.find(kBase), nullptr);
  EXPECT_NE(mm.find(kBase + 2 * kPageBytes - 1), nullptr);
  EXPECT_EQ(mm.find(kBase + 2 * kPageBytes), nullptr);
  EXPECT_EQ(mm.first_ending_above({0})->range.start, kBase);
  EXPECT_EQ(mm.first_ending_above(kBase + 2 * kPageBytes), nullptr);
}

TEST_F(AddressSpaces, AdjacentEqualMappingsMerge) {
  bool merged = true;
  mm.add(anon(kBase, 1), &merged);
  EXPECT_FALSE(merged);
  mm.add(anon(kBase + 2 * kPageBytes, 1), &merged);
  EXPECT_FALSE(merged);
  Vma* all = mm.add(anon(kBase + kPageBytes, 1), &merged);
  EXPECT_TRUE(merged);
  EXPECT_EQ(mm.vmas().size(), 1U);
  EXPECT_EQ(all->range, (VirtRange{kBase, kBase + 3 * kPageBytes}));
  EXPECT_EQ(mm.mappings()[all->mapping].name, "anon-100000000");
}

TEST_F(AddressSpaces, WhatDiffersDoesNotMerge) {
  mm.add(anon(kBase, 1));
  Vma other_flags = anon(kBase + kPageBytes, 1, Vma::kRead);
  mm.add(other_flags);
  Vma moved = anon(kBase + 2 * kPageBytes, 1, Vma::kRead);
  moved.pgoff += 5;
  mm.add(moved);
  Vma file = anon(kBase + 3 * kPageBytes, 1, Vma::kRead);
  file.file = 7;
  mm.add(file);
  EXPECT_EQ(mm.vmas().size(), 4U);
}

TEST_F(AddressSpaces, DifferentAnonVmasStayApartAndOneOfThemIsTakenOver) {
  Vma a = anon(kBase, 1), b = anon(kBase + kPageBytes, 1), c = anon(kBase + 2 * kPageBytes, 1);
  a.anon_vma = a.own_anon_vma = 1, c.anon_vma = c.own_anon_vma = 2;
  mm.add(a), mm.add(c);
  Vma* joined = mm.add(b);
  EXPECT_EQ(mm.vmas().size(), 2U);
  EXPECT_EQ(joined->anon_vma, joined->range.start == kBase ? 1U : 2U);
}

TEST_F(AddressSpaces, NamedMappingsStayApart) {
  Vma a = anon(kBase, 1), b = anon(kBase + kPageBytes, 1);
  a.mapping = mm.mapping_named("index"), b.mapping = mm.mapping_named("log");
  mm.add(a), mm.add(b);
  EXPECT_EQ(mm.vmas().size(), 2U);
}

TEST_F(AddressSpaces, FlagsCutAndMergeAgain) {
  mm.add(anon(kBase, 10));
  const VirtRange middle{kBase + 3 * kPageBytes, kBase + 5 * kPageBytes};
  Vma& whole = *mm.find(middle.start);
  const std::uint32_t flags = whole.flags;
  EXPECT_FALSE(mm.change_flags(whole, middle, flags | Vma::kHugePage).merged);
  ASSERT_EQ(mm.vmas().size(), 3U);
  EXPECT_EQ(mm.find(middle.start)->pgoff, middle.start.value >> kPageShift);
  EXPECT_TRUE(mm.change_flags(*mm.find(middle.start), middle, flags).merged);
  EXPECT_EQ(mm.vmas().size(), 1U);
}

// The whole point of list_is_singular: what came by a fork takes nothing new in.
TEST_F(AddressSpaces, AVmaThatCameByAForkDoesNotTakeNewMemoryIn) {
  Vma forked = anon(kBase, 1);
  forked.anon_vma = forked.own_anon_vma = 1;
  forked.shares_anon_vmas = true;
  mm.add(forked);
  mm.add(anon(kBase + kPageBytes, 1));
  EXPECT_EQ(mm.vmas().size(), 2U);
}

TEST_F(AddressSpaces, AnUntouchedVmaDoesNotTakeATouchedPartIn) {
  Vma touched = anon(kBase + kPageBytes, 1, Vma::kRead);
  touched.anon_vma = touched.own_anon_vma = 1;
  mm.add(anon(kBase, 1)), mm.add(touched);
  Vma& part = *mm.find(kBase + kPageBytes);
  EXPECT_FALSE(mm.change_flags(part, part.range, mm.find(kBase)->flags).merged);
  EXPECT_EQ(mm.vmas().size(), 2U);
}

// brk_flags of a fresh heap next to what lies above it.
TEST_F(AddressSpaces, TheHeapGrowsUpwardsOnly) {
  mm.add(anon(kBase + kPageBytes, 1));
  bool merged = true;
  mm.add(anon(kBase, 1), &merged, AddressSpace::Adding::brk);
  EXPECT_FALSE(merged);
  mm.add(anon(kBase + 2 * kPageBytes, 1), &merged, AddressSpace::Adding::brk);
  EXPECT_TRUE(merged);
  EXPECT_EQ(mm.vmas().size(), 2U);
}

TEST_F(AddressSpaces, TheStackGrowsWithinItsRoom) {
  mm.stack_room = {kBase, kBase + 100 * kPageBytes};
  mm.add(anon(kBase + 98 * kPageBytes, 2, Vma::kRead | Vma::kWrite | Vma::kGrowsDown));
  EXPECT_EQ(mm.expand_stack(kBase - 1), nullptr);
  Vma* stack = mm.expand_stack(kBase + 50 * kPageBytes + 8);
  ASSERT_NE(stack, nullptr);
  EXPECT_EQ(stack->range, (VirtRange{kBase + 50 * kPageBytes, kBase + 100 * kPageBytes}));
  EXPECT_EQ(stack->pgoff, stack->range.start.value >> kPageShift);
  EXPECT_EQ(mm.find(kBase + 60 * kPageBytes), stack);
}

TEST_F(AddressSpaces, OnlyAGrowingVmaGrows) {
  mm.stack_room = {kBase, kBase + 100 * kPageBytes};
  mm.add(anon(kBase + 98 * kPageBytes, 2));
  EXPECT_EQ(mm.expand_stack(kBase + 50 * kPageBytes), nullptr);
}

TEST_F(AddressSpaces, FreeRoomIsFoundFromTheTop) {
  const VirtAddr top = mm.find_free(kPageBytes, kPageBytes);
  mm.add(anon(top, 1));
  EXPECT_EQ(mm.find_free(kPageBytes, kPageBytes), top - kPageBytes);
  EXPECT_EQ(mm.find_free(kPageBytes, kHugeBytes).value % kHugeBytes, 0U);
}

// --- locks ---

TEST_F(AddressSpaces, AVmaWriterWaitsForItsReadersAndKeepsNewOnesOut) {
  Vma& vma = *mm.add(anon(kBase, 1));
  Signal drained(bench.queue);
  ASSERT_TRUE(mm.vma_start_read(vma));
  ASSERT_TRUE(mm.mmap_lock().try_write(LockOwner::syscall));
  EXPECT_FALSE(mm.vma_start_write(vma, drained.event));
  EXPECT_FALSE(mm.vma_start_read(vma));
  bench.wait(nanoseconds(5));
  EXPECT_FALSE(drained.arrived());
  mm.vma_end_read(vma);
  bench.wait(nanoseconds(1));
  EXPECT_EQ(drained.at, Time(nanoseconds(5)));
  mm.vma_end_write_all();
  mm.mmap_lock().release_write();
  EXPECT_TRUE(mm.vma_start_read(vma));
  mm.vma_end_read(vma);
}

TEST_F(AddressSpaces, WaitsForAPageTableCountAsStallsOfTheCollapse) {
  mm.lock_pte_table(kBase, LockOwner::khugepaged);
  EXPECT_TRUE(mm.pte_table_locked(kBase + kHugeBytes - 1));
  EXPECT_FALSE(mm.pte_table_locked(kBase + kHugeBytes));
  EXPECT_EQ(mm.locked_pte_table_in({kBase - kPageBytes, kBase + kPageBytes}), kBase);
  EXPECT_FALSE(mm.locked_pte_table_in({kBase - kPageBytes, kBase}));
  Signal granted(bench.queue);
  TimedRwLock::Waiter waiter{.granted = &granted.event, .owner = LockOwner::fault};
  mm.wait_pte_table(kBase + 8, waiter);
  bench.wait(nanoseconds(9));
  mm.unlock_pte_table(kBase);
  bench.wait(nanoseconds(1));
  EXPECT_EQ(granted.at, Time(nanoseconds(9)));
  EXPECT_EQ(bench.stats().stall.collapse_ns.sum(), 9U);
  EXPECT_EQ(bench.stats().stall.mmap_lock_ns.count(), 0U);
}

// --- eligibility, khugepaged.md 3 ---

struct Eligibility : testing::TestWithParam<const char*> {
  bool allowed(const Vma& vma, ThpEnabled enabled = ThpEnabled::always, bool enforce = true, bool in_fault = false,
               bool disabled = false) {
    BenchConfig config;
    config.kernel.version = GetParam();
    config.kernel.thp.enabled = enabled;
    KernelBench bench(config);
    AddressSpace& mm = bench.mm(bench.process());
    mm.thp = disabled ? AddressSpace::Disabled::completely : AddressSpace::Disabled::no;
    return thp_vma_allowable(bench.kernel.context(), mm, vma, enforce, in_fault);
  }
  static Vma good() {
    Vma vma = anon(kBase, kHugePages);
    vma.anon_vma = 1;
    return vma;
  }
  static Vma with(std::uint32_t flag) {
    Vma vma = good();
    vma.flags |= flag;
    return vma;
  }
};

TEST_P(Eligibility, SysfsDecidesUnlessForced) {
  EXPECT_TRUE(allowed(good()));
  EXPECT_FALSE(allowed(good(), ThpEnabled::madvise));
  EXPECT_TRUE(allowed(with(Vma::kHugePage), ThpEnabled::madvise));
  EXPECT_FALSE(allowed(with(Vma::kHugePage), ThpEnabled::never));
  EXPECT_TRUE(allowed(good(), ThpEnabled::never, /*enforce=*/false));
}

TEST_P(Eligibility, NoHugePageAndTheProcessSwitchAlwaysBlock) {
  EXPECT_FALSE(allowed(with(Vma::kNoHugePage), ThpEnabled::always, false));
  EXPECT_FALSE(allowed(good(), ThpEnabled::always, false, false, /*disabled=*/true));
}

TEST_P(Eligibility, SpecialMappingsAreRefused) {
  EXPECT_FALSE(allowed(with(Vma::kIo)));
  EXPECT_FALSE(allowed(with(Vma::kHugetlb)));
  EXPECT_FALSE(allowed(with(Vma::kTempStack)));
}

// 6.1 wants a regular file to be executable; both, that nobody may write to it.
TEST_P(Eligibility, RegularFilesNeedABlockOfTheFileAtABlockOfMemory) {
  Vma file = good();
  file.file = 3;
  file.anon_vma = 0;
  file.pgoff = 0;
  const bool any_mapping = std::string(GetParam()) != "6.1";
  EXPECT_EQ(allowed(file), any_mapping);
  file.flags |= Vma::kExec;
  EXPECT_TRUE(allowed(file));
  EXPECT_FALSE(allowed(file, ThpEnabled::never));
  EXPECT_TRUE(allowed(file, ThpEnabled::never, /*enforce=*/false));
  EXPECT_FALSE(allowed(file, ThpEnabled::always, true, /*in_fault=*/true));
  file.pgoff = 1;
  EXPECT_FALSE(allowed(file));
}

TEST_P(Eligibility, AWholeAlignedBlockMustFitExceptInAFault) {
  Vma askew = good();
  askew.range = {kBase + kPageBytes, kBase + kHugeBytes + kPageBytes};
  EXPECT_FALSE(allowed(askew));
  askew.range.end += kHugeBytes;
  EXPECT_TRUE(allowed(askew));
  Vma small = good();
  small.range.end = small.range.start + kPageBytes;
  EXPECT_FALSE(allowed(small));
  EXPECT_TRUE(allowed(small, ThpEnabled::always, true, /*in_fault=*/true));
}

TEST_P(Eligibility, AnAnonVmaIsNeededExceptInAFault) {
  Vma untouched = good();
  untouched.anon_vma = 0;
  EXPECT_FALSE(allowed(untouched));
  EXPECT_TRUE(allowed(untouched, ThpEnabled::always, true, /*in_fault=*/true));
}

INSTANTIATE_TEST_SUITE_P(Versions, Eligibility, testing::Values("6.1", "6.12"));

}  // namespace
}  // namespace collapsar::test
