// CacheArray: the tags of one cache, sets x ways, with a replacement policy.
//
// Models:      LRU, tree-PLRU, or ages of two bits (qlru), also with sets that duel over the age of new lines
//              (adaptive); any number of sets; a dirty mark for each way.
// Time:        none of its own; CacheHierarchy adds the latency of the level.
// Owns:        tags and ages. Knows nothing of levels.
// Source:      qlru: QLRU_H00_M1_R0_U1 of Abel and Reineke, "nanoBench", ISPASS 2020, found in an Ice Lake's L2 and,
//              adaptive, in its L3 (uops.info/cache.html); sets that duel: Qureshi et al., "Adaptive Insertion
//              Policies", ISCA 2007.
//
// Hot path:    a hit compares all ways of the set at once, without a branch for each; a use of the most recent way writes
//              nothing, another moves the ages of the set at once. A set lies in whole cache lines of the host: in one with
//              up to 12 ways, in two with 16. Arrays of megabytes ask the host for huge pages.
#pragma once

#ifdef __SSE2__
#include <emmintrin.h>
#endif

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <utility>
#include <vector>

#include "sim/core/config.h"
#include "sim/core/host_pages.h"
#include "sim/core/random.h"

namespace collapsar {

enum class CacheReplacement : std::uint8_t { lru, plru, qlru, adaptive };
template <>
struct EnumNames<CacheReplacement> {
  static constexpr std::array<std::pair<std::string_view, CacheReplacement>, 4> names{
      {{"lru", CacheReplacement::lru},
       {"plru", CacheReplacement::plru},
       {"qlru", CacheReplacement::qlru},
       {"adaptive", CacheReplacement::adaptive}}};
};

// Of an adaptive cache: the lines that come in as those that leave first.
struct ColdLines {
  double share = 15.0 / 16;  // of new lines; all but one of 16 in the random policies of nanoBench's simulator (MR31)
  Random random{0, "cold lines"};
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

  // Adaptive: of so many sets one is always warm, and one always cold. Ours: uops.info found 16 of the 1,024 sets of an Ice
  // Lake's slice always warm, some of them 33 apart, and does not say what the others go by.
  static constexpr std::uint64_t kLeaders = 33;

  CacheArray(std::uint64_t sets, std::uint32_t ways, CacheReplacement replacement, ColdLines cold = {});

  // Whether `line` is here; if so it becomes most recent, and dirty if `write`.
  bool touch(std::uint64_t line, bool write) {
    const std::uint64_t index = set_of(line), hits = ways_with(set_number(index), tag_of(line));
    if (hits == 0) return false;
    use(index, static_cast<std::uint32_t>(std::countr_zero(hits)), write);
    return true;
  }
  // touch(), or insert() if it is not here.
  Victim bring(std::uint64_t line, bool dirty);
  // Marks `line` dirty and leaves its age alone. False if it is not here.
  bool mark_dirty(std::uint64_t line);
  // Puts `line` in as the most recent. Requires: it is not here.
  Victim insert(std::uint64_t line, bool dirty);
  Removed remove(std::uint64_t line);
  // Lets the host bring in what touch() and insert() will read.
  void prefetch(std::uint64_t line) const {
    const std::byte* const set = set_at(line);
    for (std::size_t at = 0; at < set_bytes_; at += kLineBytes) __builtin_prefetch(set + at);
  }

 private:
  static constexpr std::uint32_t kEmpty = ~0U;
  static constexpr std::uint8_t kDirty = 1;  // in a state, below the age
  static constexpr std::uint8_t kHot = 0, kWarm = 2,
                                kCold = 6;     // of two bits: of a line hit, of a new one, of who leaves
  static constexpr std::uint8_t kNoWay = 127;  // the state of what is no way of the set: older than all
  static_assert(2 * (kMostWays - 1) + kDirty <= kNoWay, "ages compare as signed bytes");
  __extension__ typedef unsigned __int128 Wide;
  // line modulo sets. Without a division: the quotient is the high half of line * ceil(2^64 / sets), exact while
  // line * sets < 2^64 (Granlund and Montgomery, PLDI 1994), so for addresses below 2^50 and 2^20 sets.
  std::uint64_t set_of(std::uint64_t line) const {
    if (reciprocal_ == 0) return line & (sets_ - 1);
    return line - std::uint64_t((Wide{line} * reciprocal_) >> 64) * sets_;
  }
  // Lines of one set lie at least `sets` apart, so without their low log2(sets) bits they still differ. insert()
  // refuses a line whose tag does not fit: with 64 sets from 16 TiB of memory on.
  std::uint32_t tag_of(std::uint64_t line) const { return static_cast<std::uint32_t>(line >> tag_shift_); }
  std::uint64_t line_of(std::uint64_t set, std::uint32_t tag) const;

  // A set: its tags, then a state for each way: its age, and whether it is dirty. LRU: ages are 0 to ways - 1, each once; an
  // empty way is older than all that are not. qlru and adaptive: 0 to 3.
  std::byte* set_number(std::uint64_t index) { return sets_at_.data() + index * set_bytes_; }
  const std::byte* set_number(std::uint64_t index) const { return sets_at_.data() + index * set_bytes_; }
  std::byte* set_at(std::uint64_t line) { return set_number(set_of(line)); }
  const std::byte* set_at(std::uint64_t line) const { return set_number(set_of(line)); }
  static std::uint32_t* tags_of(std::byte* set) { return reinterpret_cast<std::uint32_t*>(set); }
  std::uint8_t* states_of(std::byte* set) const {
    return reinterpret_cast<std::uint8_t*>(set) + std::size_t{4} * ways_;
  }

  std::uint8_t age_of_oldest() const { return std::uint8_t(2 * (ways_ - 1)); }
  bool has_two_bits() const {
    return replacement_ == CacheReplacement::qlru || replacement_ == CacheReplacement::adaptive;
  }

#ifdef __SSE2__
  static __m128i in_each_byte(std::uint8_t value) { return _mm_set1_epi32(static_cast<int>(value * 0x01010101U)); }
  // Eight bytes, then eight more: of those ways that hold `wanted`, all bits are set.
  static __m128i equal_in_eight(const __m128i* tags, __m128i wanted) {
    const __m128i low = _mm_cmpeq_epi32(_mm_load_si128(tags), wanted);
    return _mm_packs_epi32(low, _mm_cmpeq_epi32(_mm_load_si128(tags + 1), wanted));
  }
  static unsigned bits_of(__m128i low, __m128i high) { return unsigned(_mm_movemask_epi8(_mm_packs_epi16(low, high))); }
#endif
  // Bit w: way w of the set holds `tag`.
  std::uint64_t ways_with(const std::byte* set, std::uint32_t tag) const {
    std::uint64_t hits = 0;
#ifdef __SSE2__
    const auto* tags = reinterpret_cast<const __m128i*>(set);  // what is read beyond the tags is masked out
    const __m128i wanted = _mm_set1_epi32(static_cast<int>(tag));
    if (ways_ <= 8) {
      hits = bits_of(equal_in_eight(tags, wanted), _mm_setzero_si128());
    } else {
      hits = bits_of(equal_in_eight(tags, wanted), equal_in_eight(tags + 2, wanted));
      for (std::uint32_t way = 16; way < ways_; way += 16) {
        tags += 4;
        hits |= std::uint64_t{bits_of(equal_in_eight(tags, wanted), equal_in_eight(tags + 2, wanted))} << way;
      }
    }
#else
    for (std::uint32_t way = 0; way < ways_; ++way) {
      std::uint32_t at;
      std::memcpy(&at, set + std::size_t{4} * way, sizeof at);
      hits |= std::uint64_t{at == tag} << way;
    }
#endif
    return hits & all_ways_;
  }
  // Keeps a dirty way dirty.
  void use(std::uint64_t index, std::uint32_t way, bool write) {
    std::uint8_t* const states = states_of(set_number(index));
    const std::uint8_t state = states[way];
    const bool dirty = (state & kDirty) | write;
    if (is_lru_ && state > kDirty) [[likely]]
      return make_youngest(states, state & ~kDirty, dirty);
    if (write) states[way] = state | kDirty;
    if (!is_lru_) renew(index, way);
  }
  // The way of this age becomes the youngest, dirty or not, and those that were younger a step older. No state is written by
  // itself: the host would wait for that before it reads all of them.
  void make_youngest(std::uint8_t* states, std::uint8_t age, bool dirty) const {
#ifdef __SSE2__
    const __m128i used = in_each_byte(age), state = in_each_byte(dirty), dirty_bits = in_each_byte(kDirty);
    for (std::uint32_t way = 0; way < ways_; way += 16) {
      auto* const sixteen = reinterpret_cast<__m128i*>(states + way);
      const __m128i old = _mm_loadu_si128(sixteen);
      const __m128i is_younger = _mm_cmpgt_epi8(used, old);  // -1; an age is counted in twos
      const __m128i is_used = _mm_cmpeq_epi8(used, _mm_andnot_si128(dirty_bits, old));
      const __m128i aged = _mm_sub_epi8(_mm_sub_epi8(old, is_younger), is_younger);
      _mm_storeu_si128(sixteen, _mm_or_si128(_mm_andnot_si128(is_used, aged), _mm_and_si128(is_used, state)));
    }
#else
    for (std::uint32_t way = 0; way < ways_; ++way) {
      if (states[way] < age) states[way] = std::uint8_t(states[way] + 2);
      else if ((states[way] & ~kDirty) == age) states[way] = dirty;
    }
#endif
  }
  Victim insert(std::uint64_t index, std::uint64_t line, bool dirty);
  [[gnu::cold, gnu::noinline]] void refuse(std::uint64_t line) const;
  void renew(std::uint64_t set, std::uint32_t way);
  void point_away(std::uint64_t set, std::uint32_t way);
  void age_others(std::uint8_t* states, std::uint32_t way) const;
  std::uint8_t age_of_new(std::uint64_t set);
  bool comes_in_cold(std::uint64_t set);
  struct Replaced {
    std::uint32_t way;
    bool was_dirty;
  };
  [[gnu::always_inline]] inline Replaced replace_oldest(std::uint8_t* states, bool dirty) const;
  Replaced replace(std::uint64_t set, bool dirty);
  Replaced replace_pointed_at(std::uint64_t set, bool dirty);
  Replaced replace_coldest(std::uint64_t set, bool dirty);

  std::vector<std::byte, HostPages<std::byte>> sets_at_;
  std::vector<std::uint64_t> trees_;  // PLRU, by set: bit n is node n, root 1; it points to the older half
  std::uint64_t sets_;
  std::uint64_t reciprocal_;  // 0: a power of two
  std::uint64_t all_ways_;    // a bit for each
  std::size_t set_bytes_;
  std::uint32_t ways_;
  unsigned tag_shift_;
  std::uint64_t most_lines_;
  bool is_lru_;
  CacheReplacement replacement_;
  std::int32_t cold_votes_ = 0;  // misses of warm leaders less those of cold ones; above 0 the other sets are cold
  ColdLines cold_;
};

}  // namespace collapsar
