#include <algorithm>
#include <functional>

#include "tests/unit/kernel/compaction_bench.h"

namespace collapsar::test {
namespace {

using Result = Compaction::Result;
using Priority = Compaction::Priority;

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

}  // namespace
}  // namespace collapsar::test
