// DramTiming: what each memory standard takes, and its clock.
//
// Models:      the JEDEC timings that dram_channel keeps, for x8 devices.
// Time:        memory-clock cycles, counted from time 0; a cycle is an exact fraction, so edges never drift.
// Source:      JEDEC speed bins; see dram_timing.cc.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "sim/core/units.h"

namespace collapsar {

// What one standard takes, in memory-clock cycles.
struct DramTiming {
  std::string_view standard;
  std::int64_t period_ps, period_divisor;  // a cycle is period_ps / period_divisor picoseconds, exactly
  std::int64_t cl, rcd, rp, ras, cwl, ccd_s, ccd_l, rrd_s, rrd_l, faw, wr, rtp, wtr_s, wtr_l;
  std::int64_t burst;  // data bus cycles of one 64-byte line
  std::uint32_t bank_groups, banks_per_group;
  std::uint32_t lines_per_row;  // of one rank of one (sub-)channel
  std::uint32_t sub_channels;   // independent data buses of a channel

  // nullptr: no such standard.
  static const DramTiming* find(std::string_view standard);
  static std::string known();  // the standards, with commas
  std::uint32_t banks() const { return bank_groups * banks_per_group; }
  // The moment of clock edge `cycle`, rounded to the nearest tick; the first edge not before `t`. Both from time 0.
  Time time_of(std::int64_t cycle) const;
  std::int64_t cycle_not_before(Time t) const;
};

}  // namespace collapsar
