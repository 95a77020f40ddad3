// Joining byte planes: 16 references at a time with SSE2, one at a time where there is none.
//
// Models:      nothing. Shared by `.ctr` blocks and the captured plane format.
// Fast:        no branch and no table of addresses per reference: three rounds of unpack instructions turn eight planes
//              of 16 bytes into 16 words; the second word of a Record comes from a table of 256 shapes.
// Source:      Intel Intrinsics Guide, _mm_unpacklo_epi8 and its family (SSE2, part of every x86-64).
#pragma once

#include <array>
#include <cstdint>
#include <cstring>

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

#include "sim/trace/trace.h"

namespace collapsar {

// Eight byte planes of one column of 64-bit words. A plane with step 0 is one byte that holds for all words.
struct Planes {
  std::array<const std::uint8_t*, 8> at{};
  std::array<std::uint8_t, 8> step{};  // 1 or 0
};

inline std::uint64_t join_word(const Planes& planes, std::size_t i) {
  std::uint64_t word = 0;
  for (unsigned p = 0; p < 8; ++p) word |= static_cast<std::uint64_t>(planes.at[p][i * planes.step[p]]) << (8 * p);
  return word;
}

#if defined(__SSE2__)
inline constexpr std::size_t kJoinStep = 16;

// Planes whose constant ones are 16 bytes wide, so that every plane is loaded in the same way.
struct WidePlanes {
  explicit WidePlanes(const Planes& planes) {
    for (unsigned p = 0; p < 8; ++p) {
      std::memset(constant[p], *planes.at[p], sizeof constant[p]);
      at[p] = planes.step[p] ? planes.at[p] : constant[p];
      mask[p] = planes.step[p] ? ~std::size_t{0} : 0;
    }
  }
  __m128i load(unsigned p, std::size_t i) const {
    return _mm_loadu_si128(reinterpret_cast<const __m128i*>(at[p] + (i & mask[p])));
  }
  std::uint8_t constant[8][16];
  const std::uint8_t* at[8];
  std::size_t mask[8];
};

// pairs[k] = words i + 2k and i + 2k + 1.
inline void join_16(const WidePlanes& planes, std::size_t i, __m128i pairs[8]) {
  __m128i half[8];  // 16-bit pieces: [2q] of words 0-7 and [2q + 1] of words 8-15, planes 2q and 2q + 1
#pragma GCC unroll 4
  for (unsigned q = 0; q < 4; ++q) {
    const __m128i low = planes.load(2 * q, i), high = planes.load(2 * q + 1, i);
    half[2 * q] = _mm_unpacklo_epi8(low, high);
    half[2 * q + 1] = _mm_unpackhi_epi8(low, high);
  }
#pragma GCC unroll 2
  for (unsigned side = 0; side < 2; ++side) {
    const __m128i a = half[side], b = half[side + 2], c = half[side + 4], d = half[side + 6];
    const __m128i ab0 = _mm_unpacklo_epi16(a, b), ab1 = _mm_unpackhi_epi16(a, b);
    const __m128i cd0 = _mm_unpacklo_epi16(c, d), cd1 = _mm_unpackhi_epi16(c, d);
    pairs[4 * side] = _mm_unpacklo_epi32(ab0, cd0);
    pairs[4 * side + 1] = _mm_unpackhi_epi32(ab0, cd0);
    pairs[4 * side + 2] = _mm_unpacklo_epi32(ab1, cd1);
    pairs[4 * side + 3] = _mm_unpackhi_epi32(ab1, cd1);
  }
}

inline void store_records(__m128i addresses, __m128i shapes, Record* out) {
  _mm_storeu_si128(reinterpret_cast<__m128i*>(out), _mm_unpacklo_epi64(addresses, shapes));
  _mm_storeu_si128(reinterpret_cast<__m128i*>(out + 1), _mm_unpackhi_epi64(addresses, shapes));
}
#endif

inline void store_record(std::uint64_t va, std::uint64_t shape, Record* out) {
  const std::uint64_t words[2] = {va, shape};
  std::memcpy(static_cast<void*>(out), words, sizeof words);
}

// out[0..n) = the words; `n` bytes of every plane with step 1 are readable.
inline void join_planes(const Planes& planes, std::size_t n, std::uint64_t* out) {
  std::size_t i = 0;
#if defined(__SSE2__)
  const WidePlanes wide(planes);
  for (; i + kJoinStep <= n; i += kJoinStep) {
    __m128i pairs[8];
    join_16(wide, i, pairs);
#pragma GCC unroll 8
    for (unsigned k = 0; k < 8; ++k) _mm_storeu_si128(reinterpret_cast<__m128i*>(out + i + 2 * k), pairs[k]);
  }
#endif
  for (; i < n; ++i) out[i] = join_word(planes, i);
}

// Where references end: no reference made by a pass lies above `bits`, which are those of every address and of what is 64 KiB
// behind it.
class Reach {
 public:
  void add(std::uint64_t va) { bits_ |= va | (va + kLongest); }
  std::uint64_t bits() const {
#if defined(__SSE2__)
    std::uint64_t lanes[2];
    _mm_storeu_si128(reinterpret_cast<__m128i*>(lanes), wide_);
    return bits_ | lanes[0] | lanes[1];
#else
    return bits_;
#endif
  }
#if defined(__SSE2__)
  void add(__m128i pair) {
    wide_ = _mm_or_si128(wide_, _mm_or_si128(pair, _mm_add_epi64(pair, _mm_set1_epi64x(kLongest))));
  }
#endif

 private:
  static constexpr std::uint64_t kLongest = 0xffff;  // bytes of a reference
  std::uint64_t bits_ = 0;
#if defined(__SSE2__)
  __m128i wide_ = _mm_setzero_si128();
#endif
};

// Records whose second words are shapes[codes[i]]. Calls done(i, count) when records i to i + count are there; count is 1 or
// kJoinStep. Returns their reach.
template <class Done>
inline std::uint64_t join_records(const Planes& planes, const std::uint8_t* codes, const std::uint64_t* shapes,
                                  std::size_t n, Record* out, Done&& done) {
  Reach reach;
  std::size_t i = 0;
#if defined(__SSE2__)
  const WidePlanes wide(planes);
  for (; i + kJoinStep <= n; i += kJoinStep) {
    __m128i pairs[8];
    join_16(wide, i, pairs);
#pragma GCC unroll 8
    for (unsigned k = 0; k < 8; ++k) {
      const std::uint8_t* code = codes + i + 2 * k;
      const __m128i first = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(shapes + code[0]));
      const __m128i second = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(shapes + code[1]));
      store_records(pairs[k], _mm_unpacklo_epi64(first, second), out + i + 2 * k);
      reach.add(pairs[k]);
    }
    done(i, kJoinStep);
  }
#endif
  for (; i < n; ++i) {
    const std::uint64_t va = join_word(planes, i);
    store_record(va, shapes[codes[i]], out + i);
    reach.add(va);
    done(i, std::size_t{1});
  }
  return reach.bits();
}

// What a plane of codes holds: the largest code but 255, and how often 255.
struct CodeCensus {
  std::size_t largest = 0, escapes = 0;
};
inline CodeCensus take_census(const std::uint8_t* codes, std::size_t n) {
  CodeCensus census;
  std::size_t i = 0;
#if defined(__SSE2__)
  __m128i largest = _mm_setzero_si128(), escapes = _mm_setzero_si128();
  const __m128i escape = _mm_set1_epi8(-1), one = _mm_set1_epi8(1);
  for (; i + kJoinStep <= n; i += kJoinStep) {
    const __m128i code = _mm_loadu_si128(reinterpret_cast<const __m128i*>(codes + i));
    const __m128i escaped = _mm_cmpeq_epi8(code, escape);
    largest = _mm_max_epu8(largest, _mm_andnot_si128(escaped, code));
    escapes = _mm_add_epi64(escapes, _mm_sad_epu8(_mm_and_si128(escaped, one), _mm_setzero_si128()));
  }
  std::uint8_t lanes[16];
  std::uint64_t sums[2];
  _mm_storeu_si128(reinterpret_cast<__m128i*>(lanes), largest);
  _mm_storeu_si128(reinterpret_cast<__m128i*>(sums), escapes);
  for (const std::uint8_t lane : lanes) census.largest = lane > census.largest ? lane : census.largest;
  census.escapes = sums[0] + sums[1];
#endif
  for (; i < n; ++i) {
    if (codes[i] == 255) ++census.escapes;
    else if (codes[i] > census.largest) census.largest = codes[i];
  }
  return census;
}

}  // namespace collapsar
