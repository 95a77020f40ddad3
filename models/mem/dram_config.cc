#include "models/mem/dram_config.h"

#include <fmt/format.h>

#include <stdexcept>

#include "models/mem/dram_map.h"

namespace collapsar {
namespace {

void within(const char* key, std::uint64_t value, std::uint64_t least, std::uint64_t most) {
  if (value < least || value > most)
    throw std::invalid_argument(fmt::format("{}: found {}, expected {} to {}", key, value, least, most));
}

}  // namespace

void DramConfig::validate() const {
  constexpr std::uint32_t kMostQueued = 4096;
  if (!DramTiming::find(standard))
    throw std::invalid_argument(fmt::format("standard: unknown \"{}\" (known: {})", standard, DramTiming::known()));
  within("channels", channels, 1, 64);
  within("ranks", ranks, 1, 16);
  within("queue", queue, 1, kMostQueued);
  within("write_queue", write_queue, 1, kMostQueued);
  within("write_high", write_high, 1, write_queue);
  within("write_low", write_low, 0, write_high - 1);
  if (ideal && *ideal < Duration::zero()) throw std::invalid_argument("ideal: found a negative time");
  validate_timing(effective_timing(), timing);
  DramMap::validate(*this);
}

}  // namespace collapsar
