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
#include <span>
#include <utility>
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

  // A key is in one set, always the same; 0: empty.
  struct Entry {  // side by side: a hit needs all of it
    std::uint64_t key = 0, value = 0;
    std::uint64_t last_use = 0;  // LRU; 0: empty
  };

  // The entry of `key` in `set`, or nullptr; good until something else is put in its place. Recency does not change.
  [[gnu::always_inline]] inline Entry* find(std::uint32_t set, std::uint64_t key) {
    Entry* const entries = entries_.data() + std::size_t{set} * ways_;
#ifdef __SSE2__
    const std::uint16_t* const tags = tags_.data() + std::size_t{set} * stride_;
    const __m128i wanted = _mm_set1_epi16(static_cast<short>(tag_of(key)));
    // Sixteen ways at a time, without a branch on where in them the tag is; then those whose tags are equal. Beyond the last
    // way are those of the next set, which do not have the key.
    for (std::uint32_t way = 0; way < stride_; way += 16) {
      unsigned equal = equal_tags(tags + way, wanted);
      if (way + 8 < stride_) equal |= equal_tags(tags + way + 8, wanted) << 16;
      for (; equal != 0; equal &= equal - 1, equal &= equal - 1)
        if (Entry& entry = entries[way + unsigned(std::countr_zero(equal)) / 2]; entry.key == key) return &entry;
    }
#else
    for (Entry* entry = entries; entry < entries + ways_; ++entry)
      if (entry->key == key) return entry;
#endif
    return nullptr;
  }
  // Makes the entry most recent. `use`: of this use; greater than that of every one before.
  void touch(Entry& entry, std::uint64_t use) {
    if (policy_ == Replacement::lru) [[likely]]
      entry.last_use = use;
    else if (policy_ == Replacement::plru) point_away(std::uint32_t(&entry - entries_.data()));
  }
  std::span<Entry> entries() { return {entries_.data(), std::size_t{sets_} * ways_}; }

  struct Inserted {
    Entry* entry;
    std::uint64_t evicted;  // the key that had to go; 0: there was room
  };
  // Puts `key` in and makes it most recent (touch()): in a free way, else in that of the policy's victim, among the first `ways`
  // ways. Requires: `key` is not there.
  Inserted insert(std::uint32_t set, std::uint64_t key, std::uint64_t value, std::uint32_t ways, std::uint64_t use) {
    const std::uint32_t way = policy_ == Replacement::lru ? oldest(set, ways) : victim(set, ways);
    Entry& entry = entries_[std::size_t{set} * ways_ + way];
    tags_[std::size_t{set} * stride_ + way] = tag_of(key);
    entry.value = value;
    touch(entry, use);
    return {&entry, std::exchange(entry.key, key)};
  }
  // Tags stay: find() asks the keys.
  void erase(Entry& entry) { entry.key = 0, entry.last_use = 0; }
  void clear() {
    for (Entry& entry : entries()) erase(entry);
  }

 private:
  __extension__ typedef unsigned __int128 Wide;

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
    const Entry* const entries = entries_.data() + std::size_t{set} * ways_;
    // The least age with its way in the low bits, without branches; values, which stay in registers.
    const auto age = [&](std::uint32_t way) { return entries[way].last_use << 12 | way; };
    const auto least = [](std::uint64_t a, std::uint64_t b) { return a < b ? a : b; };
    std::uint64_t oldest = age(0);
    if (ways == 4) [[likely]]  // of most first levels
      oldest = least(least(oldest, age(1)), least(age(2), age(3)));
    else
      for (std::uint32_t way = 1; way < ways; ++way) oldest = least(oldest, age(way));
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
  std::vector<Entry> entries_;       // and some beyond the last set, never used, that find() may look at
  std::uint32_t stride_;             // of a set in tags_: ways, rounded up
  std::vector<std::uint16_t> tags_;  // of the keys
  std::vector<std::uint64_t> tree_;  // PLRU
};

}  // namespace collapsar
