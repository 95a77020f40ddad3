#include "sim/run/report_series.h"

#include <array>

namespace collapsar {

namespace {

using P = TimePoint;
using Value = std::optional<double>;

// The share that `part` grew by of what `whole` grew by, times `scale`.
Value growth(const P& before, const P& now, std::uint64_t P::*part, std::uint64_t P::*whole, double scale) {
  const std::uint64_t base = now.*whole - before.*whole;
  if (base == 0) return {};
  return scale * double(now.*part - before.*part) / double(base);
}

Value mebibytes(std::uint64_t bytes) { return double(bytes) / double(1ULL << 20); }

constexpr std::array kCurves{
    Curve{"tlb_misses", "TLB misses", "per 1,000 references", "look-ups that missed every level", misses_per_thousand},
    Curve{"walk_share", "Walk cycles", "% of cycles", "walks that overlap count each: more than 100 % is possible",
          [](const P& a, const P& b) { return growth(a, b, &P::walk_cycles, &P::cycles, 100); }},
    Curve{"coverage", "Huge-page coverage", "% of anonymous memory", "anonymous memory mapped by huge pages",
          coverage_percent},
    Curve{"rss", "Resident memory (RSS)", "MiB", "of all processes",
          [](const P&, const P& b) { return mebibytes(b.rss_bytes); }},
    Curve{"free", "Free memory", "MiB", "of the machine", [](const P&, const P& b) { return mebibytes(b.free_bytes); }},
    Curve{"khugepaged_cpu", "khugepaged CPU", "% of one CPU", "CPU time per simulated time",
          [](const P& a, const P& b) { return growth(a, b, &P::khugepaged_cpu_ns, &P::time_ns, 100); }},
    Curve{"collapse_stall", "Waits behind a collapse", "% of time", "summed over all who wait",
          [](const P& a, const P& b) { return growth(a, b, &P::collapse_stall_ns, &P::time_ns, 100); }},
};

}  // namespace

Timeline thinned(const Timeline& timeline, std::size_t most) {
  const std::size_t step = std::max<std::size_t>(1, (timeline.size() + most - 1) / most);
  if (step == 1) return timeline;
  Timeline out;
  for (std::size_t i = 0; i < timeline.size(); i += step) out.push_back(timeline[i]);
  if (out.back().time_ns != timeline.back().time_ns) out.push_back(timeline.back());
  return out;
}

std::span<const Curve> curves() { return kCurves; }

std::optional<double> misses_per_thousand(const TimePoint& before, const TimePoint& now) {
  return growth(before, now, &P::l2_misses, &P::refs, 1000);
}

std::optional<double> coverage_percent(const TimePoint&, const TimePoint& now) {
  if (now.anon_bytes == 0) return {};
  return 100 * double(now.anon_huge_bytes) / double(now.anon_bytes);
}

}  // namespace collapsar
