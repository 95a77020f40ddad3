// CacheArray: the tags of one cache, sets x ways, with a replacement policy.
//
// Models:      LRU or tree-PLRU; any number of sets; a dirty mark for each way.
// Time:        none of its own; CacheHierarchy adds the latency of the level.
// Owns:        tags and ages. Knows nothing of levels.
//
// Hot path:    a hit compares all ways of the set at once, without a branch for each, and writes one word: the way's time of
//              use and whether it is dirty. The search for the oldest is left to the rarer insert(). What belongs to a set
//              lies side by side: with 8 ways in one cache line of the host, with 16 in two.
#pragma once

#ifdef __SSE2__
#include <emmintrin.h>
#endif

#include <array>
#include <bit>
#include <cstdint>
#include <new>
#include <utility>
#include <vector>

#include "sim/core/config.h"

namespace collapsar {

enum class CacheReplacement : std::uint8_t { lru, plru };
template <>
struct EnumNames<CacheReplacement> {
  static constexpr std::array<std::pair<std::string_view, CacheReplacement>, 2> names{
      {{"lru", CacheReplacement::lru}, {"plru", CacheReplacement::plru}}};
};

class CacheArray {
 public:
  static constexpr std::uint64_t kNoLine = ~0ULL;
  static constexpr std::uint32_t kMostWays = 64;  // bits in the masks of a set
  static constexpr std::uint64_t kLineBytes = 64;
  static constexpr std::uint64_t kMostLines = 1ULL << 44;  // of memory; with kMostSets, what set_of() is exact for
  static constexpr std::uint64_t kMostSets = 1ULL << 20;
  enum class Removed : std::uint8_t { absent, clean, dirty };
  struct Victim {
    std::uint64_t line;  // kNoLine: there was room
    bool dirty;
  };

  CacheArray(std::uint64_t sets, std::uint32_t ways, CacheReplacement replacement);

  // Whether `line` is here; if so it becomes most recent, and dirty if `write`.
  bool touch(std::uint64_t line, bool write) {
    const std::uint64_t set = set_of(line), hits = ways_with(set, tag_of(line));
    if (hits == 0) return false;
    used(set, static_cast<std::uint32_t>(std::countr_zero(hits)), write);
    return true;
  }
  // Marks `line` dirty and leaves its age alone. False if it is not here.
  bool mark_dirty(std::uint64_t line);
  // Puts `line` in as the most recent. Requires: it is not here.
  Victim insert(std::uint64_t line, bool dirty);
  Removed remove(std::uint64_t line);
  // Lets the host bring in what insert() will read beyond what a missed touch() has.
  void prefetch(std::uint64_t line) const { __builtin_prefetch(states_of(set_of(line))); }
  // The same for touch() and, with it, for insert().
  void prefetch_all(std::uint64_t line) const {
    const std::uint32_t* const tags = tags_of(set_of(line));
    for (std::uint32_t way = 0; way < 2 * stride_; way += 16) __builtin_prefetch(tags + way);
  }
  // For tests: the next use is the last that fits before ages are counted anew.
  void age_to_the_end() { uses_ = kMostUses; }

 private:
  static constexpr std::uint32_t kEmpty = ~0U;
  static constexpr std::uint32_t kDirty = 1;                     // in a state word, below the time of use
  static constexpr std::uint32_t kLeastUse = 0x0080'0000U >> 1;  // so that states are normal floats: see oldest()
  static constexpr std::uint32_t kMostUses = (0x7f80'0000U >> 1) - 1;
  __extension__ typedef unsigned __int128 Wide;
  template <class T>
  struct HostLines {  // allocates whole cache lines of the host
    using value_type = T;
    static constexpr std::align_val_t kLine{64};
    T* allocate(std::size_t n) { return static_cast<T*>(::operator new(n * sizeof(T), kLine)); }
    void deallocate(T* at, std::size_t) { ::operator delete(at, kLine); }
    bool operator==(const HostLines&) const { return true; }
  };

  // line modulo sets. Without a division: the quotient is the high half of line * ceil(2^64 / sets), exact while
  // line * sets < 2^64 (Granlund and Montgomery, PLDI 1994), so for addresses below 2^50 and 2^20 sets.
  std::uint64_t set_of(std::uint64_t line) const {
    if (reciprocal_ == 0) return line & (sets_ - 1);
    return line - std::uint64_t((Wide{line} * reciprocal_) >> 64) * sets_;
  }
  // Lines of one set lie at least `sets` apart, so without their low log2(sets) bits they still differ. insert()
  // asserts that the tag fits: with 64 sets up to 16 TiB of memory.
  std::uint32_t tag_of(std::uint64_t line) const { return static_cast<std::uint32_t>(line >> tag_shift_); }
  std::uint64_t line_of(std::uint64_t set, std::uint32_t tag) const;
  std::uint32_t* tags_of(std::uint64_t set) { return words_.data() + set * 2 * stride_; }
  const std::uint32_t* tags_of(std::uint64_t set) const { return words_.data() + set * 2 * stride_; }
  std::uint32_t* states_of(std::uint64_t set) { return tags_of(set) + stride_; }
  const std::uint32_t* states_of(std::uint64_t set) const { return tags_of(set) + stride_; }
  // Bit w: way w of the set holds `tag`.
  std::uint64_t ways_with(std::uint64_t set, std::uint32_t tag) const { return equal_to(tag, tags_of(set)); }
  // Bit i: the word there is `word`, of the `stride_` from `words` on.
  std::uint64_t equal_to(std::uint32_t word, const std::uint32_t* words) const {
    std::uint64_t hits = 0;
#ifdef __SSE2__
    const __m128i wanted = _mm_set1_epi32(static_cast<int>(word));
    for (std::uint32_t way = 0; way < stride_; way += 8) {
      const auto* const eight = reinterpret_cast<const __m128i*>(words + way);
      const __m128i low = _mm_cmpeq_epi32(_mm_loadu_si128(eight), wanted);
      const __m128i high = _mm_cmpeq_epi32(_mm_loadu_si128(eight + 1), wanted);
      const __m128i equal = _mm_packs_epi16(_mm_packs_epi32(low, high), _mm_setzero_si128());  // a byte for each way
      hits |= std::uint64_t(static_cast<unsigned>(_mm_movemask_epi8(equal))) << way;
    }
#else
    for (std::uint32_t way = 0; way < stride_; ++way) hits |= std::uint64_t{words[way] == word} << way;
#endif
    return hits;
  }
  // Keeps a dirty way dirty.
  void used(std::uint64_t set, std::uint32_t way, bool write) {
    std::uint32_t& state = states_of(set)[way];
    if (is_lru_) [[likely]] {
      if (uses_ == kMostUses) [[unlikely]]
        count_anew();
      state = (++uses_ << 1) | (state & kDirty) | std::uint32_t{write};
    } else {
      state |= std::uint32_t{write};
      point_away(set, way);
    }
  }
  void count_anew();
  void point_away(std::uint64_t set, std::uint32_t way);
  std::uint32_t victim_way(std::uint64_t set) const { return is_lru_ ? oldest(states_of(set)) : pointed_at(set); }
  std::uint32_t oldest(const std::uint32_t* states) const;
  std::uint32_t pointed_at(std::uint64_t set) const;

  std::vector<std::uint32_t, HostLines<std::uint32_t>> words_;  // set by set: `stride_` tags, as many states
  std::vector<std::uint64_t> trees_;  // PLRU, by set: bit n is node n, root 1; it points to the older half
  std::uint64_t sets_;
  std::uint64_t reciprocal_;  // 0: a power of two
  std::uint32_t uses_ = kLeastUse - 1;
  std::uint32_t ways_, stride_;
  unsigned tag_shift_;
  bool is_lru_;
};

}  // namespace collapsar
