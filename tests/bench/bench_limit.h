// BareTlb: two levels of TLB and nothing else, as fast as it can be written: the limit that replays are measured against.
//
// Models:      L1 of 64 entries, 4-way; L2 of 1,536 entries, 12-way; exact LRU, 4 KiB pages, one address space. No walk, no time.
// Owns:        its entries, each set in order of use.
#pragma once

#ifdef __SSE2__
#include <emmintrin.h>
#endif

#include <bit>
#include <cstdint>
#include <cstring>

namespace collapsar {

class BareTlb {
 public:
  BareTlb() { std::memset(l1_, 0xff, sizeof l1_), std::memset(l2_, 0xff, sizeof l2_); }

  // Returns whether L1 missed.
  bool access(std::uint32_t page) {
    std::uint32_t* const set = l1_[page % kSets1];
    if (set[0] == page) [[likely]]
      return false;
    std::uint32_t way = 1;
    while (way < kWays1 && set[way] != page) ++way;
    const bool is_miss = way == kWays1;
    to_front(set, is_miss ? kWays1 - 1 : way, page);
    if (is_miss) access_l2(page);
    return is_miss;
  }
  std::uint64_t l2_misses() const { return l2_misses_; }

 private:
  static constexpr std::uint32_t kSets1 = 16, kWays1 = 4, kSets2 = 128, kWays2 = 12;

  static void to_front(std::uint32_t* set, std::uint32_t way, std::uint32_t page) {
    for (; way > 0; --way) set[way] = set[way - 1];
    set[0] = page;
  }
  void access_l2(std::uint32_t page) {
    std::uint32_t* const set = l2_[page % kSets2];
    std::uint32_t way = 0;
#ifdef __SSE2__
    const __m128i wanted = _mm_set1_epi32(int(page));
    unsigned found = 1U << kWays2;
    for (std::uint32_t i = 0; i < kWays2; i += 4) {
      const __m128i four = _mm_load_si128(reinterpret_cast<const __m128i*>(set + i));
      found |= unsigned(_mm_movemask_ps(_mm_castsi128_ps(_mm_cmpeq_epi32(four, wanted)))) << i;
    }
    way = std::uint32_t(std::countr_zero(found));
#else
    while (way < kWays2 && set[way] != page) ++way;
#endif
    if (way == kWays2) ++l2_misses_, --way;
    std::memmove(set + 1, set, way * sizeof *set);
    set[0] = page;
  }

  alignas(64) std::uint32_t l1_[kSets1][kWays1];
  alignas(64) std::uint32_t l2_[kSets2][16];
  std::uint64_t l2_misses_ = 0;
};

}  // namespace collapsar
