// Random: a named stream of random numbers, the same on every machine.
//
// Models:      nothing. Every model that makes a random choice owns a stream named after itself, so that a draw more
//              here moves nothing there.
// Source:      xoshiro256** 1.0 and SplitMix64, Blackman and Vigna, https://prng.di.unimi.it; FNV-1a (64 bit), Fowler,
//              Noll, Vo; unbiased ranges: Lemire, "Fast Random Integer Generation in an Interval", 2019.
#pragma once

#include <array>
#include <bit>
#include <cstdint>
#include <string_view>

#include "sim/core/error.h"

namespace collapsar {

class Random {
 public:
  Random(std::uint64_t seed, std::string_view name) {
    std::uint64_t mixed = seed ^ fnv1a(name);
    for (std::uint64_t& word : state_) word = split_mix(mixed);
  }

  std::uint64_t next() {
    const std::uint64_t result = std::rotl(state_[1] * 5, 7) * 9;
    const std::uint64_t shifted = state_[1] << 17;
    state_[2] ^= state_[0];
    state_[3] ^= state_[1];
    state_[1] ^= state_[2];
    state_[0] ^= state_[3];
    state_[2] ^= shifted;
    state_[3] = std::rotl(state_[3], 45);
    return result;
  }

  // 0 .. n-1, all equally likely. Requires: n > 0.
  std::uint64_t below(std::uint64_t n) {
    SIM_ASSERT(n > 0, "random number below 0 asked for");
    Wide product = Wide{next()} * n;
    if (static_cast<std::uint64_t>(product) < n) [[unlikely]] {
      const std::uint64_t unfair = (0 - n) % n;  // 2^64 mod n: this many low products would come once too often
      while (static_cast<std::uint64_t>(product) < unfair) product = Wide{next()} * n;
    }
    return static_cast<std::uint64_t>(product >> 64);
  }

  // [0, 1), multiples of 2^-53.
  double uniform() { return static_cast<double>(next() >> 11) * 0x1.0p-53; }
  bool chance(double probability) { return uniform() < probability; }

  // Exponential with the given mean. Von Neumann's method (1951) only compares uniform numbers: std::log may differ in
  // the last bit from one C library to the next.
  double exponential(double mean) {
    for (double whole = 0;; whole += 1) {
      const double first = uniform();
      if (falling_run_is_odd(first)) return mean * (whole + first);
    }
  }

 private:
  __extension__ typedef unsigned __int128 Wide;

  static constexpr std::uint64_t fnv1a(std::string_view text) {
    std::uint64_t hash = 0xCBF29CE484222325ULL;
    for (char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001B3ULL;
    return hash;
  }
  static constexpr std::uint64_t split_mix(std::uint64_t& state) {
    std::uint64_t z = state += 0x9E3779B97F4A7C15ULL;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ULL;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBULL;
    return z ^ (z >> 31);
  }
  // Whether `first`, followed by draws for as long as they fall, makes a run of odd length: chance exp(-first).
  bool falling_run_is_odd(double first) {
    bool odd = true;
    for (double last = first, draw = uniform(); draw < last; last = draw, draw = uniform()) odd = !odd;
    return odd;
  }

  std::array<std::uint64_t, 4> state_;
};

}  // namespace collapsar
