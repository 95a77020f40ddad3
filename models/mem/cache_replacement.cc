// The replacement policies of a CacheArray other than LRU.
#include <algorithm>

#include "models/mem/cache_array.h"

namespace collapsar {
namespace {

constexpr std::uint64_t kWarmLeader = 0, kColdLeader = CacheArray::kLeaders / 2;  // index of the set modulo kLeaders
constexpr std::int32_t kMostVotes = 512;  // a counter of ten bits (Qureshi et al.)

}  // namespace

void CacheArray::renew(std::uint64_t set, std::uint32_t way) {
  if (replacement_ == CacheReplacement::plru) return point_away(set, way);
  std::uint8_t* const states = states_of(set_number(set));
  states[way] = kHot | (states[way] & kDirty);
  age_others(states, way);
}

// An empty way if there is one.
CacheArray::Replaced CacheArray::replace(std::uint64_t set, bool dirty) {
  return replacement_ == CacheReplacement::plru ? replace_pointed_at(set, dirty) : replace_coldest(set, dirty);
}

// ---- CacheArray: tree-PLRU

void CacheArray::point_away(std::uint64_t set, std::uint32_t way) {
  std::uint32_t node = 1;
  for (std::uint32_t half = ways_ / 2; half > 0; half /= 2) {
    const bool upper = (way & half) != 0;
    const std::uint64_t bit = 1ULL << node;
    trees_[set] = upper ? trees_[set] & ~bit : trees_[set] | bit;
    node = 2 * node + upper;
  }
}

CacheArray::Replaced CacheArray::replace_pointed_at(std::uint64_t set, bool dirty) {
  const std::uint64_t empty = ways_with(set_number(set), kEmpty);
  std::uint32_t node = 1;
  while (node < ways_) node = 2 * node + ((trees_[set] >> node) & 1);
  const std::uint32_t way = empty ? std::uint32_t(std::countr_zero(empty)) : node - ways_;
  point_away(set, way);
  return {way, bool(std::exchange(states_of(set_number(set))[way], dirty) & kDirty)};
}

// ---- CacheArray: qlru and adaptive

// Until another way is cold, too.
void CacheArray::age_others(std::uint8_t* states, std::uint32_t way) const {
  std::uint8_t oldest = kHot;
  for (std::uint32_t other = 0; other < ways_; ++other)
    if (other != way) oldest = std::max(oldest, std::uint8_t(states[other] & ~kDirty));
  for (std::uint32_t other = 0; other < ways_; ++other)
    if (other != way) states[other] = std::uint8_t(states[other] + kCold - oldest);
}

std::uint8_t CacheArray::age_of_new(std::uint64_t set) {
  return replacement_ == CacheReplacement::adaptive && comes_in_cold(set) ? kCold : kWarm;
}

bool CacheArray::comes_in_cold(std::uint64_t set) {
  const std::uint64_t place = set % kLeaders;
  if (place == kWarmLeader) {
    cold_votes_ = std::min(cold_votes_ + 1, kMostVotes - 1);
    return false;
  }
  if (place == kColdLeader) cold_votes_ = std::max(cold_votes_ - 1, -kMostVotes);
  else if (cold_votes_ <= 0) return false;
  return cold_.random.chance(cold_.share);
}

// The first of the coldest ways; one is cold since age_others().
CacheArray::Replaced CacheArray::replace_coldest(std::uint64_t set, bool dirty) {
  std::uint8_t* const states = states_of(set_number(set));
  const std::uint64_t empty = ways_with(set_number(set), kEmpty);
  std::uint32_t way = 0;
  if (empty) way = std::uint32_t(std::countr_zero(empty));
  else
    while (way + 1 < ways_ && states[way] < kCold) ++way;
  const bool was_dirty = states[way] & kDirty;
  states[way] = std::uint8_t(age_of_new(set) | dirty);
  age_others(states, way);
  return {way, was_dirty};
}

}  // namespace collapsar
