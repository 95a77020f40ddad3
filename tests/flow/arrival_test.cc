// A fault, an unmap, an mprotect or an exit arrives in the middle of each phase of a collapse: who waits until when, and
// what becomes of the collapse (khugepaged.md 5.2, 5.8).
#include <tuple>

#include "tests/flow/collapse_flow.h"

namespace collapsar::test {
namespace {

enum class Step : std::uint8_t { scan, alloc, revalidate, recheck, flush, isolate, copy, release, commit };
constexpr const char* kStepNames[] = {"scan",    "alloc", "revalidate", "recheck", "flush",
                                      "isolate", "copy",  "release",    "commit"};
constexpr std::uint64_t kHole = 511;

class Arrival : public testing::TestWithParam<std::tuple<const char*, Step>> {
 protected:
  // The collapse of a range of 511 pages and a hole, asked for at time 0.
  void SetUp() override {
    layout.vma(kBase, kHugeBytes);
    layout.vma(kElsewhere, kHugeBytes);
    layout.pages(kBase, kHole);
    request.mm = &mm;
    request.base = kBase;
    request.done = &done.event;
    ASSERT_TRUE(mm.mmap_lock().try_read());
    bench.kernel.collapse().scan_and_collapse(request);
  }
  ~Arrival() override { bench.kernel.check(); }
  bool is_6_1() const { return std::string(std::get<0>(GetParam())) == "6.1"; }
  Step step() const { return std::get<1>(GetParam()); }
  bool is_before(Step s) const { return step() < s; }

  // The middle of the step.
  Duration moment() const {
    const auto middle = [](Duration a, Duration b) { return (a + b) / 2; };
    switch (step()) {
      case Step::scan: return times.scanned() / 2;
      case Step::alloc: return middle(times.scanned(), times.allocated());
      case Step::revalidate: return middle(times.allocated(), times.revalidated());
      case Step::recheck: return middle(times.revalidated(), times.rechecked());
      case Step::flush: return middle(times.rechecked(), times.flushed());
      case Step::isolate: return middle(times.flushed(), times.isolated());
      case Step::copy: return middle(times.isolated(), times.copied());
      case Step::release: return middle(times.copied(), times.released());
      case Step::commit: return middle(times.released(), times.committed());
    }
    return {};
  }
  void arrive() { bench.queue.run_until(kTimeZero + moment()); }
  Duration now() { return bench.queue.now() - kTimeZero; }
  ScanResult finish() {
    bench.run_until(done);
    return request.result;
  }
  // One exception; whether the reference then succeeds is not asked.
  Duration fault_at(VirtAddr va) {
    Signal resolved(bench.queue);
    FaultRequest fault{.task = task, .cpu = 0, .va = va, .access = Access::write, .done = &resolved.event};
    arrive();
    bench.kernel.faults().handle_fault(fault);
    bench.run_until(resolved);
    return resolved.at - kTimeZero;
  }
  ScanResult call(SyscallRequest r) {
    arrive();
    bench.call(r);
    return finish();
  }

  KernelBench bench{config_of_flow(std::get<0>(GetParam()))};
  TaskId task = bench.process();
  AddressSpace& mm = bench.mm(task);
  Layout layout{bench, task};
  CollapseTimes times{bench.costs(), bench.shootdown.cost = 3us, kHole};
  Signal done{bench.queue, Phase::kernel};
  Collapse::Request request;
};

// Of the hole, in the range itself.
TEST_P(Arrival, OfAFaultInTheRange) {
  const Duration entered = moment() + bench.costs().fault_entry;
  const Duration work = bench.costs().fault_anon + bench.costs().clear_page;
  const Duration end = fault_at(at(kHole));
  const bool passes = is_before(Step::recheck) || (step() == Step::recheck && !is_6_1());
  if (step() == Step::scan) {
    EXPECT_EQ(end, times.scanned() + work) << "the scan holds the page table";
  } else if (passes) {
    EXPECT_EQ(end, entered + work);
  } else {
    EXPECT_EQ(end, times.committed() + bench.costs().fault_spurious) << "waits for the huge page, and finds it";
  }
  if (passes) bench.drain_lru();
  EXPECT_EQ(finish(), ScanResult::SUCCEED);
  if (!passes) return;
  // The collapse has one page more to move, and may have waited for the fault to leave: for its mmap_lock when it wants
  // to write, or for its VMA lock.
  CollapseTimes later = times;
  ++later.present;
  const Duration lock_wanted = is_6_1() ? times.revalidated() : times.rechecked();
  const Duration wait = std::max(end - lock_wanted, Duration::zero());
  EXPECT_EQ(done.at - kTimeZero, later.committed() + wait);
}

// The page waits in the LRU batch of the CPU that took the fault, which holds a reference: the isolation gives up.
TEST_P(Arrival, OfAFaultWhosePageIsInABatch) {
  if (!is_before(Step::recheck)) return;
  fault_at(at(kHole));
  EXPECT_EQ(finish(), ScanResult::PAGE_COUNT);
  EXPECT_TRUE(mm.table().pmd_is_table(at(0)));
  bench.kernel.check();
}

TEST_P(Arrival, OfAFaultInAnotherVma) {
  const Duration entered = moment() + bench.costs().fault_entry;
  const Duration work = bench.costs().fault_anon + bench.costs().clear_page;
  const bool waits = is_6_1() && !is_before(Step::recheck);
  EXPECT_EQ(fault_at(kElsewhere), (waits ? times.committed() : entered) + work);
  EXPECT_EQ(finish(), ScanResult::SUCCEED);
}

TEST_P(Arrival, OfAnUnmap) {
  const ScanResult result = call(KernelBench::request(SyscallRequest::Op::munmap, task, kBase, kHugeBytes));
  const bool comes_first = is_before(Step::recheck);
  EXPECT_EQ(result, comes_first ? ScanResult::ADDRESS_RANGE : ScanResult::SUCCEED) << "find_vma() gives the next VMA";
  EXPECT_GE(now(), comes_first ? Duration::zero() : times.committed());
  EXPECT_EQ(mm.anon_rss, 0U);
  EXPECT_EQ(mm.find(kBase), nullptr);
}

TEST_P(Arrival, OfAnMprotect) {
  SyscallRequest protect = KernelBench::request(SyscallRequest::Op::mprotect, task, kBase, kHugeBytes);
  protect.prot = 1;
  const ScanResult result = call(protect);
  const bool comes_first = is_before(Step::recheck);
  EXPECT_EQ(result, comes_first ? ScanResult::PAGE_RO : ScanResult::SUCCEED);
  EXPECT_EQ(mm.huge_pages, comes_first ? 0U : 1U);
  EXPECT_FALSE(bench.entry(task, kBase).writable());
  EXPECT_EQ(mm.anon_rss, comes_first ? kHole : kHugePages);
}

TEST_P(Arrival, OfAnExit) {
  arrive();
  bench.call(KernelBench::request(SyscallRequest::Op::exit, task));
  const bool is_noticed = !(step() > Step::recheck);
  EXPECT_EQ(finish(), is_noticed ? ScanResult::ANY_PROCESS : ScanResult::SUCCEED);
  // At its next look at the process; before the revalidation that waits for the one that unmaps everything.
  const Duration edge = step() == Step::recheck ? times.rechecked() : times.revalidated();
  if (is_before(Step::revalidate)) {
    EXPECT_GT(done.at - kTimeZero, edge);
  } else {
    EXPECT_EQ(done.at - kTimeZero, is_noticed ? edge : times.committed());
  }
  EXPECT_EQ(mm.anon_rss, 0U);
}

INSTANTIATE_TEST_SUITE_P(Kernels, Arrival,
                         testing::Combine(testing::Values("6.1", "6.12"),
                                          testing::Values(Step::scan, Step::alloc, Step::revalidate, Step::recheck,
                                                          Step::flush, Step::isolate, Step::copy, Step::release,
                                                          Step::commit)),
                         [](const auto& test) {
                           const std::string version = std::get<0>(test.param);
                           return "v" + version.substr(0, 1) + "_" + version.substr(2) + "_" +
                                  kStepNames[std::size_t(std::get<1>(test.param))];
                         });

}  // namespace
}  // namespace collapsar::test
