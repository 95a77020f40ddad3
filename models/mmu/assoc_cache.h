// AssocCache: a set-associative store of translations with a replacement policy.
//
// Models:      sets x ways, any number of sets; LRU, tree-PLRU or random replacement; a key may be confined to the
//              first few ways of its set.
// Simplified:  an erased entry leaves the PLRU tree as it is.
// Time:        none.
// Owns:        keys and values. A key is never 0.
// Source:      true LRU by time of use; tree-PLRU as Intel SDM Vol. 3A, "Cache Control", calls pseudo-LRU, extended to
//              any number of ways by leaving out the branches that lead beyond the last way.
#pragma once

#ifdef __SSE2__
#include <emmintrin.h>
#endif

#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>
#include <vector>

#include "sim/core/config.h"
#include "sim/core/error.h"
#include "sim/core/random.h"

namespace collapsar {

enum class Replacement : std::uint8_t { lru, plru, random };
template <>
struct EnumNames<Replacement> {
  static constexpr std::array<std::pair<std::string_view, Replacement>, 3> names{
      {{"lru", Replacement::lru}, {"plru", Replacement::plru}, {"random", Replacement::random}}};
};

class AssocCache {
 public:
  static constexpr std::uint32_t kMiss = ~0U;
  static constexpr std::uint32_t kMostSets = 1U << 16;  // what set_of() is exact for
  static constexpr std::uint32_t kMostWays = 1U << 12;

  AssocCache(std::uint32_t sets, std::uint32_t ways, Replacement policy, Random random);

  std::uint32_t sets() const { return sets_; }
  std::uint32_t ways() const { return ways_; }
  // number modulo sets. Without a division: the quotient is the high half of number * ceil(2^64 / sets), exact while
  // number * sets < 2^64 (Granlund and Montgomery, PLDI 1994), so for page numbers below 2^48.
  std::uint32_t set_of(std::uint64_t number) const {
    if (reciprocal_ == 0) return std::uint32_t(number & (sets_ - 1));
    return std::uint32_t(number - std::uint64_t((Wide{number} * reciprocal_) >> 64) * sets_);
  }

  // The slot of `key` in `set`, or kMiss. Recency does not change.
  [[gnu::always_inline]] inline std::uint32_t find(std::uint32_t set, std::uint64_t key) const {
    const Entry* const entries = entries_.data() + set * ways_;
#ifdef __SSE2__
    const std::uint16_t* const tags = tags_.data() + set * stride_;
    const __m128i wanted = _mm_set1_epi16(static_cast<short>(tag_of(key)));
    // Sixteen ways at a time, without a branch on where in them the tag is; then those whose tags are equal.
    for (std::uint32_t way = 0; way < stride_; way += 16) {
      unsigned equal = equal_tags(tags + way, wanted);
      if (way + 8 < stride_) equal |= equal_tags(tags + way + 8, wanted) << 16;
      for (; equal != 0; equal &= equal - 1, equal &= equal - 1) {
        const std::uint32_t at = way + unsigned(std::countr_zero(equal)) / 2;
        if (at < ways_ && entries[at].key == key) return set * ways_ + at;
      }
    }
#else
    for (std::uint32_t way = 0; way < ways_; ++way)
      if (entries[way].key == key) return set * ways_ + way;
#endif
    return kMiss;
  }
  bool holds(std::uint32_t slot, std::uint64_t key) const { return entries_[slot].key == key; }
  // Makes the entry most recent.
  void touch(std::uint32_t slot) {
    if (policy_ == Replacement::lru) [[likely]]
      entries_[slot].last_use = ++uses_;
    else if (policy_ == Replacement::plru) point_away(slot);
  }
  std::uint64_t& value(std::uint32_t slot) { return entries_[slot].value; }
  std::uint64_t key(std::uint32_t slot) const { return entries_[slot].key; }  // 0: empty
  std::uint32_t slots() const { return std::uint32_t(entries_.size()); }

  // Puts `key` in and makes it most recent: in a free way, else in that of the policy's victim, among the first `ways`
  // ways. Returns its slot. Requires: `key` is not there.
  std::uint32_t insert(std::uint32_t set, std::uint64_t key, std::uint64_t value, std::uint32_t ways) {
    const std::uint32_t way = policy_ == Replacement::lru ? oldest(set, ways) : victim(set, ways);
    const std::uint32_t slot = set * ways_ + way;
    entries_[slot].key = key, entries_[slot].value = value, tags_[set * stride_ + way] = tag_of(key);
    touch(slot);
    return slot;
  }
  // Tags stay: find() asks the keys.
  void erase(std::uint32_t slot) { entries_[slot].key = 0, entries_[slot].last_use = 0; }
  void clear() {
    for (std::uint32_t slot = 0; slot < slots(); ++slot) erase(slot);
  }

 private:
  __extension__ typedef unsigned __int128 Wide;
  struct Entry {  // side by side: a hit needs all of it
    std::uint64_t key = 0, value = 0;
    std::uint64_t last_use = 0;  // LRU; 0: empty
  };

#ifdef __SSE2__
  // Two bits for each of eight tags.
  static unsigned equal_tags(const std::uint16_t* tags, __m128i wanted) {
    const __m128i eight = _mm_loadu_si128(reinterpret_cast<const __m128i*>(tags));
    return unsigned(_mm_movemask_epi8(_mm_cmpeq_epi16(eight, wanted)));
  }
#endif
  // A few bits of a key, of which all count: Fibonacci hashing, by 2^64 over the golden ratio (Knuth, TAOCP vol. 3, 6.4).
  static std::uint16_t tag_of(std::uint64_t key) { return std::uint16_t((key * 0x9E3779B97F4A7C15ULL) >> 48); }
  std::uint32_t victim(std::uint32_t set, std::uint32_t ways);
  // A free way has the oldest time of use.
  std::uint32_t oldest(std::uint32_t set, std::uint32_t ways) const {
    static_assert(kMostWays == 1U << 12);
    const Entry* const entries = entries_.data() + set * ways_;
    std::uint64_t oldest = entries[0].last_use << 12;  // with the way in the low bits: the least, without branches
    for (std::uint32_t way = 1; way < ways; ++way) oldest = std::min(oldest, entries[way].last_use << 12 | way);
    return std::uint32_t(oldest) & (kMostWays - 1);
  }
  // Tree-PLRU: node n (root 1, children 2n and 2n + 1) over the next power of two of ways holds one bit: the half to
  // evict from next.
  std::uint32_t leaves() const { return std::bit_ceil(ways_); }
  std::uint32_t tree_words() const { return (leaves() + 63) / 64; }
  std::uint64_t& tree_word(std::uint32_t set, std::uint32_t node) { return tree_[set * tree_words() + node / 64]; }
  void point_away(std::uint32_t slot);
  std::uint32_t pointed_at(std::uint32_t set, std::uint32_t ways);

  std::uint32_t sets_, ways_;
  std::uint64_t reciprocal_;  // 0: a power of two
  Replacement policy_;
  Random random_;
  std::uint64_t uses_ = 0;
  std::vector<Entry> entries_;
  std::uint32_t stride_;             // of a set in tags_: ways, rounded up
  std::vector<std::uint16_t> tags_;  // of the keys
  std::vector<std::uint64_t> tree_;  // PLRU
};

}  // namespace collapsar
