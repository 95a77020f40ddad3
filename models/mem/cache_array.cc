#include "models/mem/cache_array.h"

#include <algorithm>

#include "sim/core/error.h"
#include "sim/core/units.h"

namespace collapsar {

CacheArray::CacheArray(std::uint64_t sets, std::uint32_t ways, CacheReplacement replacement, ColdLines cold)
    : sets_(sets),
      reciprocal_(std::has_single_bit(sets) ? 0 : ~0ULL / sets + 1),
      all_ways_(~0ULL >> (kMostWays - ways)),
      set_bytes_(align_up(std::size_t{4} * ways + align_up(ways, 16), kLineBytes)),
      ways_(ways),
      tag_shift_(unsigned(std::bit_width(sets)) - 1),
      most_lines_(std::min(kMostLines, std::uint64_t{kEmpty} << tag_shift_)),
      is_lru_(replacement == CacheReplacement::lru),
      replacement_(replacement),
      cold_(cold) {
  sets_at_.resize(sets * set_bytes_);
  for (std::uint64_t i = 0; i < sets; ++i) {
    std::byte* const set = set_number(i);
    std::fill_n(tags_of(set), ways, kEmpty);
    std::uint8_t* const states = states_of(set);
    std::fill_n(states, align_up(ways, 16), kNoWay);
    for (std::uint32_t way = 0; way < ways; ++way) states[way] = has_two_bits() ? kCold : std::uint8_t(2 * way);
  }
  if (replacement == CacheReplacement::plru) trees_.assign(sets, 0);
}

// The one line of the set among those that share `tag`.
std::uint64_t CacheArray::line_of(std::uint64_t set, std::uint32_t tag) const {
  const std::uint64_t first = std::uint64_t{tag} << tag_shift_;
  if (reciprocal_ == 0) return first + set;
  const std::uint64_t first_set = set_of(first);
  return first + (set >= first_set ? set - first_set : set + sets_ - first_set);
}

bool CacheArray::mark_dirty(std::uint64_t line) {
  std::byte* const set = set_at(line);
  const std::uint64_t hits = ways_with(set, tag_of(line));
  if (hits == 0) return false;
  states_of(set)[std::countr_zero(hits)] |= kDirty;
  return true;
}

// The oldest way becomes the youngest, all others a step older.
CacheArray::Replaced CacheArray::replace_oldest(std::uint8_t* states, bool dirty) const {
  const std::uint8_t oldest = age_of_oldest();
#ifdef __SSE2__
  if (ways_ <= 16) [[likely]] {
    auto* const all = reinterpret_cast<__m128i*>(states);
    const __m128i old = _mm_loadu_si128(all), ages = _mm_andnot_si128(in_each_byte(kDirty), old);
    const __m128i is_oldest = _mm_cmpeq_epi8(ages, in_each_byte(oldest));
    const auto way = std::uint32_t(std::countr_zero(unsigned(_mm_movemask_epi8(is_oldest))));
    const bool was_dirty = states[way] & kDirty;
    const __m128i older = _mm_adds_epi8(old, in_each_byte(2));  // what is no way stays kNoWay
    _mm_storeu_si128(all,
                     _mm_or_si128(_mm_andnot_si128(is_oldest, older), _mm_and_si128(is_oldest, in_each_byte(dirty))));
    return {way, was_dirty};
  }
#endif
  std::uint32_t way = 0;
  while ((states[way] & ~kDirty) != oldest) ++way;
  const bool was_dirty = states[way] & kDirty;
  make_youngest(states, oldest, dirty);
  return {way, was_dirty};
}

CacheArray::Victim CacheArray::insert(std::uint64_t line, bool dirty) { return insert(set_of(line), line, dirty); }

CacheArray::Victim CacheArray::bring(std::uint64_t line, bool dirty) {
  const std::uint64_t index = set_of(line);
  const std::uint64_t hits = ways_with(set_number(index), tag_of(line));
  if (hits == 0) [[likely]]
    return insert(index, line, dirty);
  use(index, static_cast<std::uint32_t>(std::countr_zero(hits)), dirty);
  return {kNoLine, false};
}

// Apart, since what it says would crowd the registers of insert().
void CacheArray::refuse(std::uint64_t line) const {
  SIM_ASSERT(line < most_lines_, "address {:#x} too high for a cache of {} sets", line * kLineBytes, sets_);
}

// `index`: of the line's set.
CacheArray::Victim CacheArray::insert(std::uint64_t index, std::uint64_t line, bool dirty) {
  if (line >= most_lines_) [[unlikely]]
    refuse(line);
  std::byte* const set = set_number(index);
  const Replaced replaced = is_lru_ ? replace_oldest(states_of(set), dirty) : replace(index, dirty);
  const std::uint32_t tag = std::exchange(tags_of(set)[replaced.way], tag_of(line));
  if (tag == kEmpty) return {kNoLine, false};
  return {line_of(index, tag), replaced.was_dirty};
}

CacheArray::Removed CacheArray::remove(std::uint64_t line) {
  std::byte* const set = set_at(line);
  const std::uint64_t hits = ways_with(set, tag_of(line));
  if (hits == 0) return Removed::absent;
  const int removed = std::countr_zero(hits);
  tags_of(set)[removed] = kEmpty;
  std::uint8_t* const states = states_of(set);
  const std::uint8_t state = states[removed];
  for (std::uint32_t way = 0; way < ways_ && is_lru_; ++way)
    if (states[way] > (state | kDirty)) states[way] = std::uint8_t(states[way] - 2);
  states[removed] = has_two_bits() ? kCold : age_of_oldest();
  return state & kDirty ? Removed::dirty : Removed::clean;
}

}  // namespace collapsar
