// CollapseFlow: one collapse asked for by hand at time 0, and the moments at which its phases end.
#pragma once

#include <algorithm>

#include "tests/support/layout.h"

namespace collapsar::test {

using namespace std::chrono_literals;

inline constexpr VirtAddr kBase{1ULL << 40};
inline constexpr VirtAddr kElsewhere{2ULL << 40};  // another VMA of the same process
inline constexpr Duration kTick{1};

inline constexpr VirtAddr at(std::uint64_t page) { return kBase + page * kPageBytes; }

inline BenchConfig config_for(const std::string& version) {
  BenchConfig config;
  config.kernel.version = version;
  config.kernel.thp.enabled = ThpEnabled::always;
  config.kernel.thp.at_fault = false;
  return config;
}

// A collapse of the range at kBase, asked for by hand at time 0 and watched as it runs.
class CollapseFlow : public testing::TestWithParam<const char*> {
 protected:
  explicit CollapseFlow(BenchConfig config = config_for(GetParam())) : bench(config) { bench.shootdown.cost = 3us; }
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
  Duration scanned() { return cost().scan_pte * 512; }
  Duration allocated() { return scanned() + cost().collapse_alloc; }
  Duration revalidated() { return allocated() + cost().collapse_lock / 2; }
  Duration rechecked() { return revalidated() + cost().collapse_lock / 2; }
  Duration flushed() { return rechecked() + cost().collapse_flush + bench.shootdown.cost; }
  Duration isolated() { return flushed() + cost().isolate_page * present; }
  Duration copied() { return isolated() + cost().copy_page * present + cost().clear_page * (512 - present); }
  Duration released() { return copied() + cost().release_page * present; }
  Duration committed() { return released() + cost().collapse_commit; }

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
