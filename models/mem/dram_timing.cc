#include "models/mem/dram_timing.h"

#include <algorithm>
#include <array>

namespace collapsar {
namespace {

// 2400R, 3200AA, 4800BN, 5600AN: Ramulator 2 @c5b1c3a, ddr4.py and ddr5.py; x8 devices, 1 KiB pages. Derived here from
// nanoseconds, rounded up: the row of 2666 (JESD79-4, bin 2666V: 19-19-19, tRAS 32 ns, tCCD_L 5 ns, tRRD_S 3 ns, tRRD_L
// 4.9 ns, tFAW 21 ns, tWR 15 ns, tRTP 7.5 ns; CWL 14); tRRD and tFAW of 5600 (5 ns, 20 ns); tWTR_S 2.5 ns and tWTR_L
// 7.5 ns (JESD79-4) or 10 ns (JESD79-5). tRC is tRAS + tRP in all of them.
constexpr std::array<DramTiming, 5> kTimings{{
    // standard    tCK ps    CL RCD RP RAS CWL CCD_S/L RRD_S/L FAW WR RTP WTR_S/L burst groups banks lines subs
    {"DDR4-2400", 2500, 3, 16, 16, 16, 39, 12, 4, 6, 4, 6, 26, 18, 9, 3, 9, 4, 4, 4, 128, 1},
    {"DDR4-2666", 750, 1, 19, 19, 19, 43, 14, 4, 7, 4, 7, 28, 20, 10, 4, 10, 4, 4, 4, 128, 1},
    {"DDR4-3200", 625, 1, 22, 22, 22, 52, 16, 4, 8, 4, 8, 34, 24, 12, 4, 12, 4, 4, 4, 128, 1},
    {"DDR5-4800", 1250, 3, 36, 36, 36, 77, 34, 8, 12, 8, 12, 48, 72, 18, 6, 24, 8, 8, 4, 64, 2},
    {"DDR5-5600", 2500, 7, 40, 40, 40, 90, 38, 8, 12, 14, 14, 56, 84, 20, 7, 28, 8, 8, 4, 64, 2},
}};

}  // namespace

const DramTiming* DramTiming::find(std::string_view standard) {
  const auto found = std::find_if(kTimings.begin(), kTimings.end(),
                                  [&](const DramTiming& timing) { return timing.standard == standard; });
  return found == kTimings.end() ? nullptr : &*found;
}

Time DramTiming::time_of(std::int64_t cycle) const {
  const std::int64_t whole = cycle / period_divisor, rest = cycle % period_divisor;
  return Time(Duration(whole * period_ps + (2 * rest * period_ps + period_divisor) / (2 * period_divisor)));
}

std::int64_t DramTiming::cycle_not_before(Time t) const {
  const std::int64_t ps = t.time_since_epoch().count();
  const std::int64_t whole = ps / period_ps, rest = ps % period_ps;
  if (rest == 0) return whole * period_divisor;
  // The smallest n with round(n * period_ps / period_divisor) >= rest.
  return whole * period_divisor + (period_divisor * (2 * rest - 1) + 2 * period_ps - 1) / (2 * period_ps);
}

std::string DramTiming::known() {
  std::string all;
  for (const DramTiming& timing : kTimings) all.append(all.empty() ? "" : ", ").append(timing.standard);
  return all;
}

}  // namespace collapsar
