// The DRAM of most tests: DDR4-2400, one channel with one rank.
#pragma once

#include "models/mem/dram.h"

namespace collapsar {

inline constexpr std::uint64_t kRowBytes = 8 * kKiB, kBanks = 16;

// From high to low row, bank, column.
inline DramConfig one_rank() {
  DramConfig config;
  config.standard = "DDR4-2400";
  config.channels = config.ranks = 1;
  return config;
}

}  // namespace collapsar
