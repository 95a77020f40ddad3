#include "models/mem/dram_timing.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <initializer_list>
#include <stdexcept>

namespace collapsar {
namespace {

using Cycle = DramTiming::Cycle;

// x8 devices with 1 KiB pages; DDR4 of 8 Gb, DDR5 of 16 Gb.
//   2400R, 3200AA, 4800BN, 5600AN: Ramulator 2 @c5b1c3a, ddr4.py and ddr5.py.
//   2666: JESD79-4, bin 2666V (19-19-19, tRAS 32 ns, tCCD_L 5 ns, tRRD_S 3 ns, tRRD_L 4.9 ns, tFAW 21 ns, tWR 15 ns, tRTP
//     7.5 ns; CWL 14), rounded up; DRAMsim3, DDR4_8Gb_x8_2666.ini has the same.
//   tRRD and tFAW of 5600: 5 ns and 20 ns (JESD79-5). tWTR_S 2.5 ns, tWTR_L 7.5 ns (JESD79-4) or 10 ns (JESD79-5).
//   tRC: tRAS + tRP.  tCCD_L_WR: DDR4 has one tCCD_L; DDR5 10 ns where no read-modify-write is needed (JESD79-5,
//     tCCD_L_WR2; Ramulator 2 has the same 10 ns, 16 cycles, in its DDR5-3200).
//   tRTRS: one preamble (JESD79-4), as DRAMsim3's DDR4 files; two for DDR5 (JESD79-5, two-cycle read preamble; nCS of
//     Ramulator 2).
//   tRFC: 350 ns (JESD79-4, tRFC1, 8 Gb; DRAMsim3), 295 ns (JESD79-5, tRFC1, 16 Gb; Ramulator 2).  tREFI: 7.8 us, 3.9 us.
// clang-format off
constexpr std::array<DramTiming, 5> kTimings{{
    // standard   tCK ps   CL RCD RP RAS  RC CWL CCD_S/L/L_WR RRD_S/L FAW WR RTP WTR_S/L RTRS RFC  REFI burst groups banks lines subs
    {"DDR4-2400", 2500, 3, 16, 16, 16, 39,  55, 12, 4,  6,  6,  4,  6, 26, 18,  9, 3,  9, 1, 420,  9360, 4, 4, 4, 128, 1},
    {"DDR4-2666",  750, 1, 19, 19, 19, 43,  62, 14, 4,  7,  7,  4,  7, 28, 20, 10, 4, 10, 1, 467, 10400, 4, 4, 4, 128, 1},
    {"DDR4-3200",  625, 1, 22, 22, 22, 52,  74, 16, 4,  8,  8,  4,  8, 34, 24, 12, 4, 12, 1, 560, 12480, 4, 4, 4, 128, 1},
    {"DDR5-4800", 1250, 3, 36, 36, 36, 77, 113, 34, 8, 12, 24,  8, 12, 48, 72, 18, 6, 24, 2, 708,  9360, 8, 8, 4,  64, 2},
    {"DDR5-5600", 2500, 7, 40, 40, 40, 90, 130, 38, 8, 12, 28, 14, 14, 56, 84, 20, 7, 28, 2, 826, 10920, 8, 8, 4,  64, 2},
}};
// clang-format on

struct NamedValue {
  const char* name;
  Cycle value;
  bool is_set;
};

// `left` must be at least the sum of `right`. The message begins with the first that the user set.
void at_least(NamedValue left, std::initializer_list<NamedValue> right, const char* why) {
  Cycle sum = 0;
  std::string rule, found = fmt::format("{} = {}", left.name, left.value);
  const char* key = left.is_set ? left.name : nullptr;
  for (const NamedValue& r : right) {
    sum += r.value;
    rule += fmt::format("{}{}", rule.empty() ? "" : " + ", r.name);
    const std::string value = fmt::format(", {} = {}", r.name, r.value);
    if (!found.ends_with(value)) found += value;
    if (!key && r.is_set) key = r.name;
  }
  if (left.value >= sum) return;
  throw std::invalid_argument(fmt::format("timing.{}: rule {} >= {} is broken ({}): {}; expected {} of at least {}",
                                          key ? key : left.name, left.name, rule, found, why, left.name, sum));
}

}  // namespace

const DramTiming* DramTiming::find(std::string_view standard) {
  const auto found = std::find_if(kTimings.begin(), kTimings.end(),
                                  [&](const DramTiming& timing) { return timing.standard == standard; });
  return found == kTimings.end() ? nullptr : &*found;
}

std::string DramTiming::known() {
  std::string all;
  for (const DramTiming& timing : kTimings) all.append(all.empty() ? "" : ", ").append(timing.standard);
  return all;
}

Time DramTiming::time_of(Cycle cycle) const {
  const std::int64_t whole = cycle / period_divisor, rest = cycle % period_divisor;
  return Time(Duration(whole * period_ps + (2 * rest * period_ps + period_divisor) / (2 * period_divisor)));
}

DramTiming::Cycle DramTiming::cycle_not_before(Time t) const {
  const std::int64_t ps = t.time_since_epoch().count();
  const std::int64_t whole = ps / period_ps, rest = ps % period_ps;
  if (rest == 0) return whole * period_divisor;
  // The smallest n with round(n * period_ps / period_divisor) >= rest.
  return whole * period_divisor + (period_divisor * (2 * rest - 1) + 2 * period_ps - 1) / (2 * period_ps);
}

DramTiming DramTimingConfig::applied_to(const DramTiming& standard) const {
  DramTiming t = standard;
  const auto set = [](Cycle& to, const Value& from) { to = from ? Cycle{*from} : to; };
  set(t.cl, cl), set(t.rcd, rcd), set(t.rp, rp), set(t.ras, ras), set(t.rc, rc), set(t.cwl, cwl);
  set(t.ccd_s, ccd_s), set(t.ccd_l, ccd_l), set(t.ccd_l_wr, ccd_l_wr);
  set(t.rrd_s, rrd_s), set(t.rrd_l, rrd_l), set(t.faw, faw);
  set(t.wr, wr), set(t.rtp, rtp), set(t.wtr_s, wtr_s), set(t.wtr_l, wtr_l), set(t.rtrs, rtrs);
  set(t.rfc, rfc), set(t.refi, refi);
  return t;
}

void validate_timing(const DramTiming& t, const DramTimingConfig& set) {
  const NamedValue cl{"tCL", t.cl, set.cl.has_value()}, rcd{"tRCD", t.rcd, set.rcd.has_value()};
  const NamedValue rp{"tRP", t.rp, set.rp.has_value()}, ras{"tRAS", t.ras, set.ras.has_value()};
  const NamedValue rc{"tRC", t.rc, set.rc.has_value()}, cwl{"tCWL", t.cwl, set.cwl.has_value()};
  const NamedValue ccd_s{"tCCD_S", t.ccd_s, set.ccd_s.has_value()}, ccd_l{"tCCD_L", t.ccd_l, set.ccd_l.has_value()};
  const NamedValue ccd_l_wr{"tCCD_L_WR", t.ccd_l_wr, set.ccd_l_wr.has_value()};
  const NamedValue rrd_s{"tRRD_S", t.rrd_s, set.rrd_s.has_value()}, rrd_l{"tRRD_L", t.rrd_l, set.rrd_l.has_value()};
  const NamedValue wtr_s{"tWTR_S", t.wtr_s, set.wtr_s.has_value()}, wtr_l{"tWTR_L", t.wtr_l, set.wtr_l.has_value()};
  const NamedValue faw{"tFAW", t.faw, set.faw.has_value()}, rtp{"tRTP", t.rtp, set.rtp.has_value()};
  const NamedValue rfc{"tRFC", t.rfc, set.rfc.has_value()}, refi{"tREFI", t.refi, set.refi.has_value()};
  const NamedValue burst{"the burst", t.burst, false}, one{"one cycle", 1, false};
  for (const NamedValue& value : {cl, rcd, rp, cwl, rrd_s, rtp, rfc}) at_least(value, {one}, "a command takes a cycle");
  at_least(cl, {cwl}, "write data comes no later after its command than read data");
  at_least(ras, {rcd, cl}, "a row stays open until its first data has come");
  at_least(ras, {rcd, rtp}, "a row stays open until a read of it allows the precharge");
  at_least(rc, {ras, rp}, "an activate needs the row before it open for tRAS and the bank closed for tRP");
  at_least(ccd_s, {burst}, "bursts would overlap on the data bus");
  at_least(ccd_l, {ccd_s}, "one bank group is no faster than two");
  at_least(ccd_l_wr, {ccd_s}, "one bank group is no faster than two");
  at_least(rrd_l, {rrd_s}, "one bank group is no faster than two");
  at_least(wtr_l, {wtr_s}, "one bank group is no faster than two");
  at_least(faw, {rrd_s, rrd_s, rrd_s, rrd_s}, "four activates in a row take that long already");
  at_least(refi, {rfc, rp, rc}, "a rank would do nothing but refresh");
}

}  // namespace collapsar
