// Tune: which knobs of khugepaged get most of what it can get, at the least CPU time of its own.
//
// Attainable:  the largest reduction of L2 TLB misses, against no huge pages, that khugepaged reaches at its most eager
//              (kRungs[0]) with any value of max_ptes_none tried, within the memory bound.
// Wanted:      kShare of it, within the memory bound, with the least khugepaged.cpu_ns. Memory: the highest RSS of the run, as sampled every output.interval.
// Search:      for each max_ptes_none, the slowest rung of a ladder of scan rates that still reaches the goal, by bisection:
//              a slower daemon is taken to reach less. A max_ptes_none with the same figures as another at the most eager
//              rung is not followed. What is chosen has been run; that no cheaper one lies between is not proven.
// Simplified:  max_ptes_swap, max_ptes_shared, alloc_sleep and defrag stay as they are configured.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "sim/core/units.h"

namespace collapsar {

struct Knobs {
  std::uint64_t max_ptes_none = 511;
  std::size_t rung = 0;
  bool operator==(const Knobs&) const = default;
};

// A scan rate. From the most eager to the slowest.
struct Rung {
  std::uint64_t pages_to_scan;
  std::uint64_t scan_sleep_ms;
};
// The kernel's default is 4096 pages every 10 s. Beyond it: slower by 2 and 6; before it: 1, 2, 5 a decade down to ten
// wake-ups a second, then more pages at a time, up to 64 GiB.
inline constexpr Rung kRungs[] = {{16'777'216, 100}, {262'144, 100}, {65'536, 100}, {16'384, 100}, {4096, 100},
                                  {4096, 200},       {4096, 500},    {4096, 1000},  {4096, 2000},  {4096, 5000},
                                  {4096, 10'000},    {4096, 20'000}, {4096, 60'000}};
inline constexpr std::size_t kRungCount = sizeof kRungs / sizeof kRungs[0];
// All, three quarters, half, a quarter, an eighth of a range may be empty, or nothing (khugepaged.md 8.2: 511 is the default).
inline constexpr std::uint64_t kMaxPtesNone[] = {511, 384, 255, 127, 63, 0};
inline constexpr double kShare = 0.9;

struct Trial {
  Knobs knobs;
  double misses = 0;    // of the L2 TLB
  double peak_rss = 0;  // bytes
  double cpu_ns = 0;    // of khugepaged
  double simulated_ns = 0;
};

// Runs all of these, side by side if it can. Trials in the same order.
using Measure = std::function<std::vector<Trial>(const std::vector<Knobs>&)>;

struct Tuning {
  Trial baseline;
  std::vector<Trial> trials;        // as they were run
  double attainable = 0, goal = 0;  // misses fewer than in the baseline; 0: nothing to be gained
  std::optional<Trial> chosen;
};

// `max_rss`: bytes, 0 for no bound.
Tuning tune(const Trial& baseline, const Measure& measure, std::uint64_t max_rss);

// The trials, what was attainable, and the lines that set the chosen knobs. `enabled`: what /sys/.../enabled is set to.
std::string tuning_report(const Tuning& tuning, std::uint64_t max_rss, const std::string& enabled);

}  // namespace collapsar
