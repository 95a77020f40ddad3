#include "models/mmu/assoc_cache.h"

namespace collapsar {

AssocCache::AssocCache(std::uint32_t sets, std::uint32_t ways, Replacement policy, Random random)
    : sets_(sets),
      ways_(ways),
      reciprocal_(std::has_single_bit(sets) ? 0 : ~0ULL / std::max(1U, sets) + 1),
      policy_(policy),
      random_(random),
      stride_(align_up(ways, 8)) {
  SIM_ASSERT(sets > 0 && sets <= kMostSets && ways > 0 && ways <= kMostWays, "store of {} sets x {} ways", sets, ways);
  keys_.resize(std::size_t{sets} * ways);
  values_.resize(keys_.size());
  tags_.resize(std::size_t{sets} * stride_);
  last_use_.resize(keys_.size());
  if (policy == Replacement::plru) tree_.resize(std::size_t{sets} * tree_words());
}

std::uint32_t AssocCache::insert(std::uint32_t set, std::uint64_t key, std::uint64_t value, std::uint32_t ways) {
  const std::uint32_t way = victim(set, ways), slot = set * ways_ + way;
  keys_[slot] = key, values_[slot] = value, tags_[set * stride_ + way] = tag_of(key);
  touch(slot);
  return slot;
}

std::uint32_t AssocCache::victim(std::uint32_t set, std::uint32_t ways) {
  if (policy_ == Replacement::lru) return oldest(set, ways);
  const std::uint64_t* const keys = keys_.data() + set * ways_;
  const std::uint64_t* const free = std::find(keys, keys + ways, 0);
  if (free != keys + ways) return std::uint32_t(free - keys);
  return policy_ == Replacement::plru ? pointed_at(set, ways) : std::uint32_t(random_.below(ways));
}

// A free way has the oldest time of use.
std::uint32_t AssocCache::oldest(std::uint32_t set, std::uint32_t ways) const {
  static_assert(kMostWays == 1U << 12);
  const std::uint64_t* const used = last_use_.data() + set * ways_;
  std::uint64_t oldest = used[0] << 12;  // with the way in the low bits: the least of all, found without branches
  for (std::uint32_t way = 1; way < ways; ++way) oldest = std::min(oldest, used[way] << 12 | way);
  return std::uint32_t(oldest) & (kMostWays - 1);
}

void AssocCache::point_away(std::uint32_t slot) {
  const std::uint32_t set = slot / ways_;
  for (std::uint32_t node = leaves() + slot % ways_; node > 1; node /= 2) {
    const std::uint32_t parent = node / 2;
    const std::uint64_t bit = 1ULL << parent % 64;
    const bool came_from_right = node % 2 == 1;
    if (came_from_right) tree_word(set, parent) &= ~bit;
    else tree_word(set, parent) |= bit;
  }
}

std::uint32_t AssocCache::pointed_at(std::uint32_t set, std::uint32_t ways) {
  std::uint32_t node = 1, first = 0;
  for (std::uint32_t half = leaves() / 2; half > 0; half /= 2) {
    const bool right = (tree_word(set, node) >> node % 64 & 1) && first + half < ways;
    node = 2 * node + right, first += right ? half : 0;
  }
  return first;
}

}  // namespace collapsar
