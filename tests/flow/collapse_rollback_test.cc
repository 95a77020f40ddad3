// A collapse whose pages cannot be had after all: everything goes back as it was (khugepaged.md 5.4, 5.6).
#include <utility>

#include "tests/flow/collapse_flow.h"

namespace collapsar::test {
namespace {

class Rollback : public CollapseFlow {
 protected:
  explicit Rollback(BenchConfig config = config_of_flow(GetParam())) : CollapseFlow(config) {}
  // Every fourth page looks different, so that a lost bit shows.
  void SetUp() override {
    CollapseFlow::SetUp();
    layout.pages(kBase, 512);
    ptes = &mm().table().pte_table(kBase);
    for (std::uint64_t i = 0; i < 512; ++i) {
      if (i % 4 == 1) (*ptes)[i].clear(Pte::kAccessed);
      if (i % 4 == 2) (*ptes)[i].clear(Pte::kWritable);
      if (i % 4 == 3) (*ptes)[i].clear(Pte::kDirty);
    }
  }
  // Until the page table is out.
  void detach() {
    start();
    run_to(rechecked() + kTick);
    ASSERT_TRUE(mm().table().pmd(kBase)->none());
  }
  void expect_rollback(ScanResult why, std::int64_t pages_taken) {
    const auto before = *ptes;
    const Duration back = isolated() + cost().isolate_page * pages_taken;
    run_to(back - kTick);
    EXPECT_TRUE(mm().table().pmd(kBase)->none());
    EXPECT_TRUE(mm().mmap_lock().write_locked());
    run_to(back);
    EXPECT_TRUE(done.arrived());
    EXPECT_EQ(request.result, why);
    ASSERT_TRUE(mm().table().pmd_is_table(kBase));
    EXPECT_EQ(&mm().table().pte_table(kBase), ptes) << "the same table";
    EXPECT_EQ(*ptes, before);
    EXPECT_FALSE(mm().mmap_lock().write_locked());
    EXPECT_EQ(bench.shootdown.flushes.size(), 1U) << "one has been paid; no second one";
    EXPECT_EQ(bench.stats().khugepaged.cpu_rollback, cost().isolate_page * pages_taken);
    for (std::uint64_t i = 0; i < 512; ++i)
      if (i != kSpoilt) expect_unharmed((*ptes)[i]);
  }
  void expect_unharmed(Pte pte) {
    if (!pte.present() || pte.zero_page()) return;
    const Frame& page = bench.memory.frame(pte.pfn());
    EXPECT_TRUE(page.is(Frame::kLru) && !page.is(Frame::kLocked) && !page.is(Frame::kIsolated));
  }
  static constexpr std::uint64_t kSpoilt = 100;
  Pte& entry() { return (*ptes)[kSpoilt]; }
  Frame& frame() { return bench.memory.frame(entry().pfn()); }

  std::array<Pte, 512>* ptes = nullptr;
};

TEST_P(Rollback, OfAPageLockedMeanwhile) {
  detach();
  frame().set(Frame::kLocked);
  expect_rollback(ScanResult::PAGE_LOCK, kSpoilt);
}

TEST_P(Rollback, OfAPagePinnedMeanwhile) {
  detach();
  ++frame().pins;
  expect_rollback(ScanResult::PAGE_COUNT, kSpoilt);
  EXPECT_FALSE(frame().is(Frame::kLocked));
}

TEST_P(Rollback, OfAPageTakenOffTheLruMeanwhile) {
  detach();
  ASSERT_TRUE(bench.kernel.reclaim().isolate(entry().pfn()));
  expect_rollback(ScanResult::DEL_PAGE_LRU, kSpoilt);
  EXPECT_FALSE(frame().is(Frame::kLocked));
}

TEST_P(Rollback, OfAnEntrySwappedOutMeanwhile) {
  detach();
  const Pte old = std::exchange(entry(), Pte::make_swap(*bench.swap.allocate()));
  ++mm().swap_entries;
  bench.kernel.rmap().drop_mapping(mm(), old);
  --present;
  expect_rollback(ScanResult::PTE_NON_PRESENT, kSpoilt);
}

TEST_P(Rollback, OfARangeThatNobodyReferencedAfterAll) {
  detach();
  for (Pte& pte : *ptes) pte.clear(Pte::kAccessed);
  expect_rollback(ScanResult::LACK_REFERENCED_PAGE, 512);
}

TEST_P(Rollback, OfARangeWithoutAWritablePage) {
  detach();
  for (Pte& pte : *ptes) pte.clear(Pte::kWritable);
  expect_rollback(ScanResult::PAGE_RO, 512);
}

// From 6.12 on all pages are copied before any is given up. Up to the poisoned one, that is.
TEST_P(Rollback, OfACopyThatMeetsPoison) {
  detach();
  frame().set(Frame::kPoisoned);
  const auto before = *ptes;
  if (is_6_1()) {
    EXPECT_EQ(finish(), ScanResult::SUCCEED) << "copying cannot fail there";
    return;
  }
  const std::uint64_t rss = mm().anon_rss;
  const Duration copied = isolated() + cost().copy_page * std::int64_t(kSpoilt + 1);
  const Duration back = copied + cost().isolate_page * 512;
  run_to(copied - kTick);
  EXPECT_TRUE(frame().is(Frame::kIsolated));
  run_to(back - kTick);
  EXPECT_FALSE(done.arrived());
  EXPECT_TRUE(mm().table().pmd(kBase)->none());
  run_to(back);
  EXPECT_TRUE(done.arrived());
  EXPECT_EQ(request.result, ScanResult::COPY_MC);
  ASSERT_TRUE(mm().table().pmd_is_table(kBase));
  EXPECT_EQ(&mm().table().pte_table(kBase), ptes);
  EXPECT_EQ(*ptes, before);
  EXPECT_EQ(mm().anon_rss, rss);
  EXPECT_EQ(bench.shootdown.flushes.size(), 1U);
  for (const Pte pte : *ptes) expect_unharmed(pte);
  bench.kernel.check();
}

TEST_P(Rollback, GivesTheHugePageBack) {
  const std::uint64_t free = bench.memory.free_pages();
  detach();
  frame().set(Frame::kLocked);
  EXPECT_EQ(finish(), ScanResult::PAGE_LOCK);
  EXPECT_EQ(bench.memory.free_pages(), free);
  frame().clear(Frame::kLocked);
  bench.kernel.check();
}

TEST_P(Rollback, CountsALimitExceededOnlyInTheIsolation) {
  const TaskId other = bench.process(2);
  Layout theirs(bench, other);
  theirs.vma(kBase, kHugeBytes);
  detach();
  for (std::uint64_t i = 0; i < 257; ++i) theirs.share(at(i), (*ptes)[i].pfn());
  EXPECT_EQ(finish(), ScanResult::EXCEED_SHARED_PTE);
  EXPECT_EQ(bench.stats().vmstat.thp_scan_exceed_share_pte, 1U);
  EXPECT_EQ(bench.stats().khugepaged.cpu_rollback, cost().isolate_page * 256);
}

INSTANTIATE_TEST_SUITE_P(Kernels, Rollback, testing::Values("6.1", "6.12"));

}  // namespace
}  // namespace collapsar::test
