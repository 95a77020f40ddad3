#include "sim/run/scan_outlook.h"

#include "models/kernel/memory_calls.h"
#include "tests/support/layout.h"

namespace collapsar::test {
namespace {

using namespace std::chrono_literals;

BenchConfig config_for(ThpEnabled enabled) {
  BenchConfig config;
  config.kernel.thp.enabled = enabled;
  config.kernel.thp.at_fault = false;
  return config;
}

class Outlook : public testing::Test {
 protected:
  explicit Outlook(ThpEnabled enabled = ThpEnabled::always) : bench(config_for(enabled)) {}
  Obstacle at(VirtAddr base) { return of(base).obstacle; }
  RangeOutlook of(VirtAddr base) { return ScanOutlook(bench.kernel).of(bench.mm(task), base); }

  KernelBench bench;
  TaskId task = bench.process();
  Layout layout{bench, task};
};
class OutlookMadvise : public Outlook {
 protected:
  OutlookMadvise() : Outlook(ThpEnabled::madvise) { bench.kernel.start(); }
};

TEST_F(Outlook, NobodyRunsBeforeTheStart) {
  layout.vma(kBase, kHugeBytes);
  EXPECT_EQ(at(kBase), Obstacle::thp_off);
}

TEST_F(Outlook, NamesTheTestThatSaysNo) {
  bench.kernel.start();
  EXPECT_EQ(at(kBase), Obstacle::no_vma);
  layout.vma(kBase + kMiB, 3 * kMiB);  // ends at a border of 2 MiB
  EXPECT_EQ(at(kBase), Obstacle::cut_by_vma);
  EXPECT_EQ(at(kBase + kHugeBytes), Obstacle::none);
  const VirtAddr next = kBase + 16 * kMiB;
  layout.vma(next, kHugeBytes, Vma::kRead | Vma::kNoHugePage);
  EXPECT_EQ(at(next), Obstacle::nohugepage);
  bench.map(task, next + 16 * kMiB, kHugeBytes);
  EXPECT_EQ(at(next + 16 * kMiB), Obstacle::no_anon_vma);
  layout.vma(next + 32 * kMiB, kMiB);
  EXPECT_EQ(at(next + 32 * kMiB), Obstacle::cut_by_vma);
  bench.mm(task).thp = AddressSpace::Disabled::completely;
  EXPECT_EQ(at(kBase + kHugeBytes), Obstacle::thp_disabled);
}

TEST_F(OutlookMadvise, WithoutTheAdviceNothingHappens) {
  layout.vma(kBase, kHugeBytes);
  EXPECT_EQ(at(kBase), Obstacle::not_madvised);
  layout.vma(kBase + 16 * kMiB, kHugeBytes, Vma::kRead | Vma::kHugePage);
  EXPECT_EQ(at(kBase + 16 * kMiB), Obstacle::none);
}

TEST_F(Outlook, AnEligibleVmaInAnUnregisteredProcess) {
  bench.kernel.start();
  Vma vma{.range = {kBase, kBase + kHugeBytes}, .flags = Vma::kRead, .mapping = kUnnamed};
  bench.kernel.rmap().prepare_anon_vma(bench.mm(task), *bench.mm(task).add(vma));
  EXPECT_EQ(at(kBase), Obstacle::not_registered);
}

TEST_F(Outlook, CountsWhatLiesBeforeItInTheOrderOfTheDaemon) {
  bench.kernel.start();
  layout.vma(kBase, 4 * kHugeBytes);
  layout.vma(kBase + 16 * kMiB, kPageBytes);  // passed over
  layout.vma(kBase + 32 * kMiB, kHugeBytes);
  EXPECT_EQ(of(kBase).pages_ahead, 1U);  // the process is taken up
  EXPECT_EQ(of(kBase + 3 * kHugeBytes).pages_ahead, 1 + 3 * kHugePages);
  EXPECT_EQ(of(kBase + 32 * kMiB).pages_ahead, 1 + 4 * kHugePages + 1);
}

// What is foretold comes true: the daemon scans the range in that wake-up.
TEST_F(Outlook, ForetellsTheWakeup) {
  layout.vma(kBase, 12 * kHugeBytes);
  for (std::uint64_t i = 0; i < 12; ++i) layout.page(kBase + i * kHugeBytes, Layout::kOld);
  bench.kernel.start();
  const VirtAddr last = kBase + 11 * kHugeBytes;
  const std::uint64_t budget = bench.kernel.config().khugepaged.pages_to_scan;
  ASSERT_EQ(of(last).pages_ahead / budget + 1, 2U);
  const auto is_scanned = [&] {
    const RangeRecord* record = bench.kernel.history().find(bench.mm(task).asid(), last);
    return record && record->times_scanned > 0;
  };
  bench.wait(1s);
  EXPECT_EQ(bench.stats().khugepaged.wakeups, 1U);
  EXPECT_FALSE(is_scanned());
  EXPECT_EQ(of(last).pages_ahead / budget + 1, 1U);
  bench.wait(10s);
  EXPECT_EQ(bench.stats().khugepaged.wakeups, 2U);
  EXPECT_TRUE(is_scanned());
}

}  // namespace
}  // namespace collapsar::test
