// How long a collapse takes, and how long it stops the program, held against measurements on real machines.
#include <cmath>

#include "sim/run/experiment_config.h"
#include "tests/flow/collapse_flow.h"

namespace collapsar::test {
namespace {

double us_of(Duration d) { return double(d.count()) / 1e6; }

// --- MADV_COLLAPSE on Zen 5: 121 us + 0.735 us per present page (docs/hardware.md 4.1) ---

const Experiment& validation() {
  static const Experiment experiment = [] {
    const std::string folder = std::string(COLLAPSAR_SOURCE_DIR) + "/configs/validation";
    return resolve_experiment(load_experiment(folder + "/collapse-cost.yaml", {}, {folder}), {}, {folder});
  }();
  return experiment;
}

TEST(CollapseCost, OfMadvCollapseMeetsTheMeasuredLine) {
  ASSERT_EQ(validation().variants.size(), 5U);
  for (const Variant& variant : validation().variants) {
    const std::uint32_t present = variant.config.trace.synthetic[0].pages_per_range;
    BenchConfig config;
    config.memory = variant.config.memory.size;
    config.dram = variant.config.dram;
    config.kernel = variant.config.kernel;
    KernelBench bench(config);
    const TaskId task = bench.process();
    bench.map(task, kBase, kHugeBytes);
    bench.touch_all(task, {kBase, kBase + present * kPageBytes});
    SyscallRequest call = KernelBench::advice(task, Advice::collapse, kBase, kHugeBytes);
    const double took = us_of(bench.call(call));
    ASSERT_EQ(call.error, 0);
    const double measured = 121 + 0.735 * present;
    const double error = took / measured - 1;
    fmt::print("[    INFO  ] MADV_COLLAPSE of {} pages: {:.1f} us, measured {:.1f} us, {:+.1f} %\n", present, took,
               measured, 100 * error);
    EXPECT_LE(std::abs(error), 0.20) << fmt::format("{} present pages: {:.1f} us instead of {:.1f}", present, took,
                                                    measured);
  }
}

// --- the stop that a program sees, on a Core i5: 523, 421, 376, 233 us (docs/hardware.md 4.2) ---

struct Stop {
  std::int64_t none;
  double us;
};
constexpr std::array<Stop, 4> kMeasured{{{511, 233}, {384, 376}, {256, 421}, {128, 523}}};

// From the moment khugepaged has mmap_lock for write to the moment it gives it back.
double stop_with(const KernelCosts& costs, std::int64_t none) {
  BenchConfig config = config_of_flow("6.1");
  config.kernel.costs = costs;
  KernelBench bench(config);
  const TaskId task = bench.process();
  Layout layout(bench, task);
  layout.vma(kBase, kHugeBytes);
  layout.pages(kBase, std::uint64_t(512 - none));
  AddressSpace& mm = bench.mm(task);
  Signal done(bench.queue, Phase::kernel);
  Collapse::Request request;
  request.mm = &mm;
  request.base = kBase;
  request.done = &done.event;
  EXPECT_TRUE(mm.mmap_lock().try_read());
  bench.kernel.collapse().scan_and_collapse(request);
  while (!mm.mmap_lock().write_locked()) EXPECT_TRUE(bench.queue.run_one());
  const Time locked = bench.queue.now();
  while (mm.mmap_lock().write_locked()) EXPECT_TRUE(bench.queue.run_one());
  EXPECT_EQ(request.result, ScanResult::SUCCEED);
  return us_of(bench.queue.now() - locked);
}

// Two constants, what a collapse costs at all (collapse_flush) and what each present page does (release_page), make the
// first and the last row right; the two between them are then the model's word.
TEST(CollapseCost, OfTheStopFollowsFromTwoConstants) {
  const auto moved = [](Duration d, double by) { return d + Duration(std::llround(by * 1e6)); };
  KernelCosts costs;
  const Stop &first = kMeasured.front(), &last = kMeasured.back();
  const double pages = double(first.none - last.none);
  const double slope = (stop_with(costs, last.none) - stop_with(costs, first.none)) / pages;
  costs.release_page = moved(costs.release_page, (last.us - first.us) / pages - slope);
  costs.collapse_flush = moved(costs.collapse_flush, first.us - stop_with(costs, first.none));
  ASSERT_GT(costs.release_page, Duration::zero());
  ASSERT_GT(costs.collapse_flush, Duration::zero());
  for (const Stop& row : kMeasured) {
    const double us = stop_with(costs, row.none), error = us / row.us - 1;
    const bool is_fitted = row.none == first.none || row.none == last.none;
    EXPECT_LE(std::abs(error), is_fitted ? 0.001 : 0.15)
        << fmt::format("{} empty entries: {:.1f} us instead of {:.0f}", row.none, us, row.us);
    fmt::print("[    INFO  ] stop at {} empty entries: {:.1f} us, measured {:.0f} us, {:+.1f} %\n", row.none, us,
               row.us, 100 * error);
  }
}

}  // namespace
}  // namespace collapsar::test
