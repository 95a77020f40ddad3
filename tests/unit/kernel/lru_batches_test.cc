#include "models/kernel/lru_batches.h"

#include <gtest/gtest.h>

#include "tests/support/layout.h"
#include "tests/support/versions.h"

namespace collapsar::test {
namespace {

// A process with 1 MiB of memory that faults on whichever CPU is asked for.
class Batches : public testing::TestWithParam<const char*> {
 protected:
  void SetUp() override { bench.map(task, kBase, kHugeBytes); }
  void TearDown() override { bench.kernel.check(); }
  Frame& touch(std::uint64_t page, CpuId cpu = 0, Access access = Access::write) {
    bench.touch(task, at(page), access, cpu);
    return frame(page);
  }
  Frame& frame(std::uint64_t page) { return bench.memory.frame(bench.entry(task, at(page)).pfn()); }
  LruBatches& batches() { return bench.kernel.reclaim().batches(); }
  std::uint64_t full() { return bench.kernel.context().rules.lru_batch_pages; }
  // Multi-generation lists have no second chance by activation.
  bool has_generations() { return bench.kernel.context().rules.multi_gen_lru; }
  std::uint64_t listed() { return bench.kernel.reclaim().lru_pages(); }

  KernelBench bench{config_for(GetParam(), ThpEnabled::never)};
  TaskId task = bench.process();
};

TEST_P(Batches, AreFullWith15PagesAndLaterWith31) { EXPECT_EQ(full(), std::string(GetParam()) == "6.1" ? 15U : 31U); }

TEST_P(Batches, KeepNewPagesUntilTheyAreFull) {
  for (std::uint64_t i = 0; i + 1 < full(); ++i) {
    EXPECT_TRUE(touch(i).in_batch);
    EXPECT_FALSE(frame(i).is(Frame::kLru));
  }
  EXPECT_EQ(batches().pages(), full() - 1);
  EXPECT_EQ(listed(), 0U);
  EXPECT_TRUE(touch(full() - 1).is(Frame::kLru)) << "the one that fills it";
  EXPECT_TRUE(frame(0).is(Frame::kLru) && !frame(0).in_batch);
  EXPECT_EQ(batches().pages(), 0U);
  EXPECT_EQ(listed(), full());
}

TEST_P(Batches, BelongToOneCpuEach) {
  for (std::uint64_t i = 0; i < full(); ++i) touch(i, CpuId(i % 2));
  EXPECT_EQ(batches().pages(), full());
  batches().drain(1);
  EXPECT_EQ(batches().pages(), (full() + 1) / 2);
  EXPECT_TRUE(frame(0).in_batch && frame(1).is(Frame::kLru));
  batches().drain_all();
  EXPECT_EQ(listed(), full());
}

TEST_P(Batches, AreDrainedByAHugePage) {
  test::Layout layout(bench, task);
  Vma& vma = layout.vma(kBase + kGiB, kHugeBytes);
  touch(0);
  const Pfn head = *bench.memory.allocate(kHugeOrder, MigrateType::movable, FrameUse::anon);
  bench.kernel.rmap().map_new_huge(bench.mm(task), vma, vma.range.start, head, Pte::make(head, test::Layout::kWarm));
  bench.kernel.reclaim().add_new(head, 0);
  EXPECT_TRUE(frame(0).is(Frame::kLru) && bench.memory.frame(head).is(Frame::kLru));
  EXPECT_EQ(listed(), 1 + kHugePages);
}

TEST_P(Batches, HaveNothingOfTheTimeBeforeTime0) {
  ASSERT_TRUE(bench.kernel.faults().fault_now(bench.mm(task), at(0), Access::write));
  EXPECT_TRUE(frame(0).is(Frame::kLru));
}

// --- what drains a CPU's own ---

TEST_P(Batches, AreDrainedByAdviceThatLooksAtPages) {
  for (const Advice advice : {Advice::cold, Advice::pageout, Advice::free, Advice::dontneed, Advice::willneed}) {
    touch(0);
    bench.call(KernelBench::advice(task, advice, at(100), kPageBytes));
    EXPECT_EQ(batches().pages(), 0U) << int(advice);
    bench.call(KernelBench::advice(task, Advice::dontneed, kBase, kHugeBytes));
  }
}

TEST_P(Batches, AreDrainedByLockingAndUnlocking) {
  touch(0);
  bench.call(KernelBench::request(KernelBench::Op::mlock, task, at(1), kPageBytes));
  EXPECT_TRUE(frame(0).is(Frame::kLru));
  EXPECT_TRUE(frame(1).in_batch) << "read in afterwards";
  bench.call(KernelBench::request(KernelBench::Op::munlock, task, at(1), kPageBytes));
  EXPECT_TRUE(frame(1).is(Frame::kLru));
}

TEST_P(Batches, OfOtherCpusStay) {
  touch(0, 1);
  bench.call(KernelBench::advice(task, Advice::cold, kBase, kHugeBytes));
  EXPECT_TRUE(frame(0).in_batch);
  bench.call(KernelBench::advice(task, Advice::collapse, kBase, kHugeBytes));
  EXPECT_EQ(batches().pages(), 0U) << "lru_add_drain_all";
}

TEST_P(Batches, AreDrainedByDirectReclaimOfTheirCpu) {
  touch(0, 0), touch(1, 1);
  test::Signal done(bench.queue, Phase::kernel);
  Reclaim::DirectReclaim request{.done = &done.event, .pages_wanted = 1, .cpu = 0};
  bench.kernel.reclaim().direct_reclaim(request);
  bench.run_until(done);
  EXPECT_FALSE(bench.entry(task, at(1)).swap()) << "it is not found";
  EXPECT_TRUE(frame(1).in_batch);
  EXPECT_EQ(batches().pages(), 1U);
}

// --- the reference that a batch holds ---

TEST_P(Batches, KeepThePagesOfAProcessThatIsGone) {
  const std::uint64_t free = bench.memory.free_pages();
  touch(0, 1);
  bench.call(KernelBench::advice(task, Advice::dontneed, kBase, kPageBytes));
  EXPECT_LT(bench.memory.free_pages() + 3, free) << "three page tables, and the page";
  bench.kernel.check();
  batches().drain_all();
  EXPECT_EQ(bench.memory.free_pages() + 3, free);
  EXPECT_EQ(listed(), 0U);
}

TEST_P(Batches, MakeAWriteCopyThatCannotSeeThatItsPageIsItsOwn) {
  for (const CpuId cpu : {0U, 1U}) {
    const Pfn page = bench.memory.pfn_of(touch(cpu, 0));
    const TaskId child = bench.fork(task, 2 + cpu);
    bench.call(KernelBench::request(KernelBench::Op::exit, child));
    batches().drain_all();
    ASSERT_FALSE(bench.entry(task, at(cpu)).writable());
    // As if it had just been read in: known to the LRU by a batch of CPU 0.
    bench.kernel.reclaim().remove(page);
    bench.kernel.reclaim().add_new(page, 0);
    touch(cpu, cpu);
    EXPECT_EQ(bench.entry(task, at(cpu)).pfn() == page, cpu == 0) << "only its own batch is drained";
  }
}

// --- folio_mark_accessed ---

TEST_P(Batches, ActivateOnlyWhatTheirOwnCpuMarks) {
  touch(0, 0), touch(1, 0);
  Reclaim& reclaim = bench.kernel.reclaim();
  const std::pair<std::uint64_t, CpuId> marks[] = {{0, 0}, {1, 1}};
  for (const auto& [page, cpu] : marks) {
    const Pfn pfn = bench.entry(task, at(page)).pfn();
    reclaim.mark_accessed(pfn, cpu);
    EXPECT_TRUE(frame(page).is(Frame::kReferenced));
    reclaim.mark_accessed(pfn, cpu);
    EXPECT_EQ(frame(page).is(Frame::kReferenced), has_generations());
  }
  batches().drain_all();
  EXPECT_EQ(frame(0).is(Frame::kActive), !has_generations());
  EXPECT_FALSE(frame(1).is(Frame::kActive));
  EXPECT_EQ(reclaim.lru().pages(Lru::Kind::anon, true), has_generations() ? 0U : 1U);
}

TEST_P(Batches, AreMarkedByPopulate) {
  for (unsigned times = 1; times <= 2; ++times) {
    bench.call(KernelBench::advice(task, Advice::populate_write, kBase, kPageBytes));
    EXPECT_EQ(frame(0).is(Frame::kReferenced), times == 1 || has_generations());
  }
  EXPECT_TRUE(frame(0).in_batch);
  EXPECT_EQ(frame(0).is(Frame::kActive), !has_generations());
}

INSTANTIATE_TEST_SUITE_P(Kernels, Batches, testing::Values("6.1", "6.12"));

}  // namespace
}  // namespace collapsar::test
