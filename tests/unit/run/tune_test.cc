// The search of tune, on a daemon whose outcome is a formula.
#include "sim/run/tune.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

namespace collapsar {
namespace {

using ::testing::HasSubstr;

constexpr double kMiBytes = 1 << 20;

// Every rung slower loses 2 % of what is attainable, and costs less; a smaller max_ptes_none reaches less, and needs less memory.
Trial outcome(const Knobs& knobs) {
  const double reach = 0.8 + 0.2 * double(knobs.max_ptes_none) / 511;
  return {.knobs = knobs,
          .misses = 1e6 * (1 - 0.5 * reach * (1 - 0.02 * double(knobs.rung))),
          .peak_rss = (100 + double(knobs.max_ptes_none) / 10) * kMiBytes,
          .cpu_ns = 1e9 * (1 + double(knobs.max_ptes_none) / 1000) / double(knobs.rung + 1),
          .simulated_ns = 1e10};
}

const Trial kBaseline{.knobs = {}, .misses = 1e6, .peak_rss = 100 * kMiBytes, .cpu_ns = 0, .simulated_ns = 1e10};

struct Counted {
  std::size_t runs = 0;
  Measure measure = [this](const std::vector<Knobs>& knobs) {
    std::vector<Trial> trials;
    for (const Knobs& each : knobs) trials.push_back(outcome(each)), ++runs;
    return trials;
  };
};

// What an exhaustive search finds.
std::optional<Trial> best_of_all(double goal, double max_rss) {
  std::optional<Trial> best;
  for (const std::uint64_t none : kMaxPtesNone)
    for (std::size_t rung = 0; rung < kRungCount; ++rung) {
      const Trial trial = outcome({none, rung});
      const bool is_good = kBaseline.misses - trial.misses >= goal && (max_rss == 0 || trial.peak_rss <= max_rss);
      if (is_good && (!best || trial.cpu_ns < best->cpu_ns)) best = trial;
    }
  return best;
}

TEST(Tune, FindsWhatAnExhaustiveSearchFinds) {
  Counted counted;
  const Tuning tuning = tune(kBaseline, counted.measure, 0);
  EXPECT_DOUBLE_EQ(tuning.attainable, 5e5);
  EXPECT_DOUBLE_EQ(tuning.goal, kShare * 5e5);
  ASSERT_TRUE(tuning.chosen);
  const Trial best = *best_of_all(tuning.goal, 0);
  EXPECT_EQ(tuning.chosen->knobs, best.knobs);
  EXPECT_LT(counted.runs, std::size(kMaxPtesNone) * kRungCount / 2);
}

TEST(Tune, StaysWithinTheMemoryBound) {
  Counted counted;
  const auto max_rss = std::uint64_t(130 * kMiBytes);
  const Tuning tuning = tune(kBaseline, counted.measure, max_rss);
  EXPECT_LT(tuning.attainable, 5e5) << "what needs more memory is not attainable";
  ASSERT_TRUE(tuning.chosen);
  EXPECT_LE(tuning.chosen->peak_rss, double(max_rss));
  EXPECT_EQ(tuning.chosen->knobs, best_of_all(tuning.goal, double(max_rss))->knobs);
}

TEST(Tune, ChoosesNothingWhereNothingIsGained) {
  const Measure useless = [](const std::vector<Knobs>& knobs) {
    std::vector<Trial> trials;
    for (const Knobs& each : knobs) trials.push_back({.knobs = each, .misses = 1e6, .peak_rss = 1, .cpu_ns = 5});
    return trials;
  };
  const Tuning tuning = tune(kBaseline, useless, 0);
  EXPECT_FALSE(tuning.chosen);
  EXPECT_EQ(tuning.trials.size(), std::size(kMaxPtesNone));
  EXPECT_THAT(tuning_report(tuning, 0, "always"), HasSubstr("nothing to be gained"));
}

TEST(Tune, FollowsALimitWithoutEffectOnce) {
  std::size_t runs = 0;
  const Measure indifferent = [&runs](const std::vector<Knobs>& knobs) {
    std::vector<Trial> trials;
    for (const Knobs& each : knobs) trials.push_back(outcome({511, each.rung})), trials.back().knobs = each, ++runs;
    return trials;
  };
  const Tuning tuning = tune(kBaseline, indifferent, 0);
  EXPECT_EQ(tuning.chosen->knobs, best_of_all(tuning.goal, 0)->knobs);
  EXPECT_LE(runs, std::size(kMaxPtesNone) + 4) << "one bisection of 13 rungs";
}

TEST(Tune, ABoundBelowEverythingLeavesNothing) {
  Counted counted;
  const Tuning tuning = tune(kBaseline, counted.measure, 1);
  EXPECT_FALSE(tuning.chosen);
  EXPECT_THAT(tuning_report(tuning, 1, "always"),
              HasSubstr("no knobs keep within 1 B: the program alone takes 100 MiB"));
}

TEST(Tune, PrintsTheLinesThatSetTheKnobs) {
  Counted counted;
  const Tuning tuning = tune(kBaseline, counted.measure, 0);
  const std::string report = tuning_report(tuning, 0, "madvise");
  const Rung& rung = kRungs[tuning.chosen->knobs.rung];
  constexpr const char* kDir = "/sys/kernel/mm/transparent_hugepage";
  EXPECT_THAT(report, HasSubstr(fmt::format("  echo madvise > {}/enabled\n", kDir)));
  EXPECT_THAT(report, HasSubstr(fmt::format("  echo {} > {}/khugepaged/pages_to_scan\n", rung.pages_to_scan, kDir)));
  EXPECT_THAT(report,
              HasSubstr(fmt::format("  echo {} > {}/khugepaged/scan_sleep_millisecs\n", rung.scan_sleep_ms, kDir)));
  EXPECT_THAT(report, HasSubstr(fmt::format("  echo {} > {}/khugepaged/max_ptes_none\n",
                                            tuning.chosen->knobs.max_ptes_none, kDir)));
}

}  // namespace
}  // namespace collapsar
