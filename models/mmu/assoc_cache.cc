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
  entries_.resize(std::size_t{sets} * ways + stride_);
  tags_.resize(std::size_t{sets} * stride_);
  if (policy == Replacement::plru) tree_.resize(std::size_t{sets} * tree_words());
}

// Requires: not LRU.
std::uint32_t AssocCache::victim(std::uint32_t set, std::uint32_t ways) {
  const Entry* const entries = entries_.data() + set * ways_;
  const Entry* const free = std::find_if(entries, entries + ways, [](const Entry& e) { return e.key == 0; });
  if (free != entries + ways) return std::uint32_t(free - entries);
  return policy_ == Replacement::plru ? pointed_at(set, ways) : std::uint32_t(random_.below(ways));
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
