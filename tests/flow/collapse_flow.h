// CollapseFlow: one collapse asked for by hand at time 0, and the moments at which its phases end.
#pragma once

#include <algorithm>

#include "tests/support/layout.h"

namespace collapsar::test {

using namespace std::chrono_literals;

inline constexpr VirtAddr kElsewhere{2ULL << 40};  // another VMA of the same process

inline BenchConfig config_of_flow(const std::string& version) {
  BenchConfig config = config_for(version);
  config.kernel.thp.at_fault = false;
  return config;
}

// When each phase of a collapse by khugepaged ends, counted from its beginning, for so many present pages.
struct CollapseTimes {
  const KernelCosts& cost;
  Duration shootdown;
  std::int64_t present = 0;

  Duration scanned() const { return cost.scan_pte * 512; }
  Duration allocated() const { return scanned() + cost.collapse_alloc; }
  Duration revalidated() const { return allocated() + cost.collapse_lock / 2; }
  Duration rechecked() const { return revalidated() + cost.collapse_lock / 2; }
  Duration flushed() const { return rechecked() + cost.collapse_flush + shootdown; }
  Duration isolated() const { return flushed() + cost.isolate_page * present; }
  Duration copied() const { return isolated() + cost.copy_page * present + cost.clear_page * (512 - present); }
  Duration released() const { return copied() + cost.release_page * present; }
  Duration committed() const { return released() + cost.collapse_commit; }
};

// A collapse of the range at kBase, asked for by hand at time 0 and watched as it runs.
class CollapseFlow : public testing::TestWithParam<const char*> {
 protected:
  explicit CollapseFlow(BenchConfig config = config_of_flow(GetParam())) : bench(config) { bench.shootdown.cost = 3us; }
  void SetUp() override {
    vma = &layout.vma(kBase, kHugeBytes);
    layout.vma(kElsewhere, kHugeBytes);
  }
  // Requires: the layout stands.
  void start(LockOwner owner = LockOwner::khugepaged) {
    const auto& ptes = mm().table().pte_table(kBase);
    present =
        std::int64_t(std::count_if(ptes.begin(), ptes.end(), [](Pte p) { return p.present() && !p.zero_page(); }));
    request.mm = &mm();
    request.base = kBase;
    request.owner = owner;
    request.done = &done.event;
    ASSERT_TRUE(mm().mmap_lock().try_read());
    bench.kernel.collapse().scan_and_collapse(request);
  }
  void run_to(Duration moment) { bench.queue.run_until(kTimeZero + moment); }
  ScanResult finish() {
    bench.run_until(done);
    return request.result;
  }

  // When each phase ends, from time 0.
  const KernelCosts& cost() { return bench.costs(); }
  CollapseTimes times() { return {cost(), bench.shootdown.cost, present}; }
  Duration scanned() { return times().scanned(); }
  Duration allocated() { return times().allocated(); }
  Duration revalidated() { return times().revalidated(); }
  Duration rechecked() { return times().rechecked(); }
  Duration flushed() { return times().flushed(); }
  Duration isolated() { return times().isolated(); }
  Duration copied() { return times().copied(); }
  Duration released() { return times().released(); }
  Duration committed() { return times().committed(); }

  AddressSpace& mm() { return *space; }
  bool is_6_1() const { return std::string(GetParam()) == "6.1"; }

  KernelBench bench;
  TaskId task = bench.process();
  AddressSpace* space = &bench.mm(task);  // outlives the process
  Layout layout{bench, task};
  Vma* vma = nullptr;
  std::int64_t present = 0;
  Signal done{bench.queue, Phase::kernel};
  Collapse::Request request;
};

}  // namespace collapsar::test
