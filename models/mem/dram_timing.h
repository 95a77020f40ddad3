// DramTiming: what each memory standard takes, and its clock.
//
// Models:      the JEDEC timings that dram_gates keeps, for x8 devices; single ones can be replaced (DramTimingConfig).
// Time:        memory-clock cycles, counted from time 0; a cycle is an exact fraction, so edges never drift.
// Source:      JEDEC speed bins; see dram_timing.cc.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "sim/core/units.h"

namespace collapsar {

// What one standard takes, in memory-clock cycles.
struct DramTiming {
  using Cycle = std::int64_t;
  std::string_view standard;
  std::int64_t period_ps, period_divisor;  // a cycle is period_ps / period_divisor picoseconds, exactly
  Cycle cl, rcd, rp, ras, rc, cwl, ccd_s, ccd_l, ccd_l_wr, rrd_s, rrd_l, faw, wr, rtp, wtr_s, wtr_l, rtrs, rfc, refi;
  Cycle burst;  // data bus cycles of one 64-byte line
  std::uint32_t bank_groups, banks_per_group;
  std::uint32_t lines_per_row;  // of one rank of one (sub-)channel
  std::uint32_t sub_channels;   // independent data buses of a channel

  // Data bus turn-round from read to write, beyond the bursts: Ramulator 2, ddr4.py: nCL + nBL + 2 - nCWL.
  static constexpr Cycle kReadToWrite = 2;

  // nullptr: no such standard.
  static const DramTiming* find(std::string_view standard);
  static std::string known();  // the standards, with commas
  std::uint32_t banks() const { return bank_groups * banks_per_group; }
  // The moment of clock edge `cycle`, rounded to the nearest tick; the first edge not before `t`. Both from time 0.
  Time time_of(Cycle cycle) const;
  Cycle cycle_not_before(Time t) const;
};

// Timings that replace those of the standard.
struct DramTimingConfig {
  using Value = std::optional<std::uint32_t>;
  Value cl, rcd, rp, ras, rc, cwl, ccd_s, ccd_l, ccd_l_wr, rrd_s, rrd_l, faw, wr, rtp, wtr_s, wtr_l, rtrs, rfc, refi;
  template <class V>
  void describe(V& v) {
    v("tCL", cl, "memory-clock cycles from a read command to its data; none, here and below = as the standard");
    v("tRCD", rcd, "cycles from an activate to a read or write of its row");
    v("tRP", rp, "cycles from a precharge to the next activate of the bank");
    v("tRAS", ras, "cycles from an activate to the precharge of its row");
    v("tRC", rc, "cycles from an activate to the next of the same bank");
    v("tCWL", cwl, "cycles from a write command to its data");
    v("tCCD_S", ccd_s, "cycles between two reads, or two writes, of different bank groups");
    v("tCCD_L", ccd_l, "cycles between two reads of one bank group");
    v("tCCD_L_WR", ccd_l_wr, "cycles between two writes of one bank group");
    v("tRRD_S", rrd_s, "cycles between activates of different bank groups");
    v("tRRD_L", rrd_l, "cycles between activates of one bank group");
    v("tFAW", faw, "cycles in which a rank takes at most four activates");
    v("tWR", wr, "cycles from the end of written data to the precharge");
    v("tRTP", rtp, "cycles from a read to the precharge");
    v("tWTR_S", wtr_s, "cycles from the end of written data to a read of another bank group");
    v("tWTR_L", wtr_l, "cycles from the end of written data to a read of the same bank group");
    v("tRTRS", rtrs, "idle data bus cycles between bursts of different ranks");
    v("tRFC", rfc, "cycles that a refresh occupies its rank");
    v("tREFI", refi, "cycles between two refreshes of a rank");
  }
  // `standard` with what is set here.
  DramTiming applied_to(const DramTiming& standard) const;
};

// Throws std::invalid_argument if two timings contradict each other; it names the rule and the values. `set` tells which
// of them the user gave, so that the message points there.
void validate_timing(const DramTiming& timing, const DramTimingConfig& set);

}  // namespace collapsar
