#include "models/mem/cache_array.h"

#include <algorithm>
#include <numeric>

#include "sim/core/error.h"
#include "sim/core/units.h"

namespace collapsar {

CacheArray::CacheArray(std::uint64_t sets, std::uint32_t ways, CacheReplacement replacement)
    : sets_(sets),
      reciprocal_(std::has_single_bit(sets) ? 0 : ~0ULL / sets + 1),
      ways_(ways),
      stride_(std::uint32_t(align_up(ways, 8))),
      tag_shift_(unsigned(std::bit_width(sets)) - 1),
      is_lru_(replacement == CacheReplacement::lru) {
  words_.assign(sets * 2 * stride_, 0);
  for (std::uint64_t set = 0; set < sets; ++set) {
    std::fill_n(tags_of(set), stride_, kEmpty);
    std::fill_n(states_of(set) + ways_, stride_ - ways_, 2 * kMostUses + 1);  // no way of the set: never the oldest
  }
  if (!is_lru_) trees_.assign(sets, 0);
}

// The one line of the set among those that share `tag`.
std::uint64_t CacheArray::line_of(std::uint64_t set, std::uint32_t tag) const {
  const std::uint64_t first = std::uint64_t{tag} << tag_shift_, first_set = set_of(first);
  return first + (set >= first_set ? set - first_set : set + sets_ - first_set);
}

bool CacheArray::mark_dirty(std::uint64_t line) {
  const std::uint64_t set = set_of(line), hits = ways_with(set, tag_of(line));
  if (hits == 0) return false;
  states_of(set)[std::countr_zero(hits)] |= kDirty;
  return true;
}

CacheArray::Victim CacheArray::insert(std::uint64_t line, bool dirty) {
  SIM_ASSERT(line >> tag_shift_ < kEmpty && line < kMostLines, "address {:#x} too high for a cache of {} sets",
             line * kLineBytes, sets_);
  const std::uint64_t set = set_of(line);
  const std::uint32_t way = victim_way(set);
  std::uint32_t& tag = tags_of(set)[way];
  std::uint32_t& state = states_of(set)[way];
  const Victim victim{tag == kEmpty ? kNoLine : line_of(set, tag), tag != kEmpty && (state & kDirty) != 0};
  tag = tag_of(line);
  state = 0;
  used(set, way, dirty);
  return victim;
}

CacheArray::Removed CacheArray::remove(std::uint64_t line) {
  const std::uint64_t set = set_of(line), hits = ways_with(set, tag_of(line));
  if (hits == 0) return Removed::absent;
  const int way = std::countr_zero(hits);
  tags_of(set)[way] = kEmpty;
  const bool was_dirty = (std::exchange(states_of(set)[way], 0) & kDirty) != 0;
  return was_dirty ? Removed::dirty : Removed::clean;
}

// The times of use are used up: each way gets its rank in its set instead.
void CacheArray::count_anew() {
  std::array<std::uint32_t, kMostWays> order;
  for (std::uint64_t set = 0; set < sets_; ++set) {
    std::uint32_t* const states = states_of(set);
    std::iota(order.begin(), order.begin() + ways_, 0);
    std::sort(order.begin(), order.begin() + ways_,
              [&](std::uint32_t a, std::uint32_t b) { return states[a] < states[b]; });
    for (std::uint32_t rank = 0; rank < ways_; ++rank) {
      std::uint32_t& state = states[order[rank]];
      state = state < 2 ? state : (kLeastUse + rank) << 1 | (state & kDirty);
    }
  }
  uses_ = kLeastUse + kMostWays;
}

void CacheArray::point_away(std::uint64_t set, std::uint32_t way) {
  std::uint32_t node = 1;
  for (std::uint32_t half = ways_ / 2; half > 0; half /= 2) {
    const bool upper = (way & half) != 0;
    const std::uint64_t bit = 1ULL << node;
    trees_[set] = upper ? trees_[set] & ~bit : trees_[set] | bit;
    node = 2 * node + upper;
  }
}

// The way with the least state, which is that of an empty one if there is one. Each state is 0 or the pattern of a normal
// positive float: those are in the order of the floats, whose minimum SSE2 has, as it has none of words.
std::uint32_t CacheArray::oldest(const std::uint32_t* states) const {
#ifdef __SSE2__
  const auto four = [&](std::uint32_t i) { return _mm_loadu_ps(reinterpret_cast<const float*>(states + i)); };
  __m128 all = _mm_min_ps(four(0), four(4));
  for (std::uint32_t i = 8; i < stride_; i += 8) all = _mm_min_ps(all, _mm_min_ps(four(i), four(i + 4)));
  all = _mm_min_ps(all, _mm_shuffle_ps(all, all, _MM_SHUFFLE(1, 0, 3, 2)));
  all = _mm_min_ps(all, _mm_shuffle_ps(all, all, _MM_SHUFFLE(2, 3, 0, 1)));  // in all four words
  const auto least = static_cast<std::uint32_t>(_mm_cvtsi128_si32(_mm_castps_si128(all)));
#else
  const std::uint32_t least = *std::min_element(states, states + stride_);
#endif
  return std::uint32_t(std::countr_zero(equal_to(least, states)));
}

// Tree-PLRU: an empty way if there is one.
std::uint32_t CacheArray::pointed_at(std::uint64_t set) const {
  const std::uint32_t* const tags = tags_of(set);
  const std::uint32_t* const empty = std::find(tags, tags + ways_, kEmpty);
  if (empty != tags + ways_) return std::uint32_t(empty - tags);
  std::uint32_t node = 1;
  while (node < ways_) node = 2 * node + ((trees_[set] >> node) & 1);
  return node - ways_;
}

}  // namespace collapsar
