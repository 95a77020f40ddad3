// --check finds nothing on traces of real programs: TLBs against page tables as of the last completed flush, frames conserved,
// I/O balanced, the kernel's books.
//
//   COLLAPSAR_TRACES=DIR COLLAPSAR_RANDOM_MACHINES=200 build/release/tests/laws_tests --gtest_filter='*CheckedTraces*:*RandomMachines*'
//
// goes over every trace of a folder, whole, and 200 random machines. Without the variable: the first references of
// traces/quickstart.ctr.
#include <gtest/gtest.h>

#include "sim/run/experiment.h"
#include "sim/trace/trace.h"
#include "tests/laws/recordings.h"

namespace collapsar::test {
namespace {

constexpr std::uint64_t kCheckedReferences = 300'000;

class CheckedTraces : public ::testing::TestWithParam<std::pair<const std::string, std::vector<std::string>>> {};

// khugepaged is kept busy: it has far more to do than by default.
TEST_P(CheckedTraces, KeepTheLaws) {
  RunOptions options;
  options.check = true;
  options.open_trace = [] {
    std::unique_ptr<TraceSource> trace = open_trace(GetParam().second);
    return has_trace_folder() ? std::move(trace) : make_window(std::move(trace), 0, kCheckedReferences);
  };
  const ExperimentResult result = run_experiment(
      parse_yaml("kernel.khugepaged: {scan_sleep: 1ms, pages_to_scan: 4096}\ncpu.count: 4\n", "checked"), options);
  ASSERT_EQ(result.variants.size(), 3U);
  for (const VariantResult& variant : result.variants) EXPECT_GT(variant.stats.value("refs"), 0) << variant.name;
  EXPECT_GT(result.variants[1].stats.value("khugepaged.wakeups"), 1);
}

INSTANTIATE_TEST_SUITE_P(Recorded, CheckedTraces, ::testing::ValuesIn(recordings()),
                         [](const auto& p) { return p.param.first; });

}  // namespace
}  // namespace collapsar::test
