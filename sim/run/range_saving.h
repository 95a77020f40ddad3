// RangeSaving: what a range's huge page has saved in page walks, and when that has paid for the collapse.
//
// Two estimates, of which the first is better where it can be had:
//
//   baseline     walk cycles of the range in the baseline variant minus those here. Same trace, measured. Wanted: the range was
//                never huge in the baseline. Assumes: what differs between the variants before the collapse is little.
//   rate_before  walk cycles per second while the range was small x time while it was huge - walk cycles while it was huge.
//                Wanted: a collapse made it huge; it was seen small (from its first walk on) for at least a tenth of the
//                time it was huge. Assumes: the program would have gone on using the range as it did before.
//
// Both count from the end of the warm-up. Rate of saving = saved / time while huge. Cost = CPU time of its collapses + time
// that others waited for their locks, at the frequency of the CPUs. Break-even = cost / rate of saving, counted from the moment
// it became huge. A walk cycle counts as a cycle: where walks overlap with other work, less is saved and break-even comes later.
#pragma once

#include <optional>
#include <string_view>

#include "sim/run/ranges.h"

namespace collapsar {

struct RangeSaving {
  enum class Basis : std::uint8_t { baseline, rate_before } basis = Basis::baseline;
  double saved = 0;       // walk cycles; negative: more were spent
  double per_second = 0;  // saved per second while it was huge
};

// Seen small for less than this part of the time it was huge, a range tells too little: a judgement.
inline constexpr int kLongestReach = 10;

// `base`: the range in the baseline variant, nullptr: nothing happened there.
std::optional<RangeSaving> saving_to_baseline(const RangeRow& row, const RangeRow* base);
std::optional<RangeSaving> saving_by_rate_before(const RangeRow& row);
// The better one. `base_is_other`: false in the baseline itself, which has nothing to be compared with.
std::optional<RangeSaving> best_saving(const RangeRow& row, const RangeRow* base, bool base_is_other);

enum class BreakEven : std::uint8_t { reached, not_yet, never };
struct BreakEvenTime {
  BreakEven state = BreakEven::never;
  Duration after{};  // while huge; not for never
};
double collapse_cycles(const RangeRow& row, Frequency frequency);  // the cost
// Nothing where no collapse made the range huge, or the cost is not known.
std::optional<BreakEvenTime> break_even(const RangeRow& row, const RangeSaving& saving, Frequency frequency);

std::string_view name_of(RangeSaving::Basis basis);
std::string_view name_of(BreakEven state);

}  // namespace collapsar
