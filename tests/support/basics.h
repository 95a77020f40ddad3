// What tests of every room say the same way: where they map memory, one tick, nanoseconds.
#pragma once

#include "sim/core/units.h"

namespace collapsar::test {

inline constexpr VirtAddr kBase{1ULL << 32};  // of memory that tests map; aligned to every page size
inline constexpr Duration kTick{1};

constexpr Duration ns(std::int64_t n) { return std::chrono::nanoseconds(n); }

}  // namespace collapsar::test
