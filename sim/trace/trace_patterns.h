// Patterns: the addresses of synthetic traces, as offsets into a region.
//
// Models:      a cursor per entry that fills blocks of references; the same seed gives the same offsets on every
//              machine.
// Simplified:  zipf is exact per group of ranks (16 groups per doubling), even within a group; ranks are spread over
//              the pages by a multiplication, so that neighbours in rank are far apart in memory.
// Source:      Gray et al., "Quickly Generating Billion-Record Synthetic Databases", 1994 (zipf over ranks); Walker's
//              alias method (Vose, 1991); full-period congruential generators: Knuth, TAOCP vol. 2, 3.2.1.2.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "sim/core/random.h"
#include "sim/trace/trace.h"

namespace collapsar {

// The usable offsets of a region: all of it, or the first so many pages of every 2 MiB.
class Spread {
 public:
  Spread(std::uint64_t footprint, std::uint32_t pages_per_range);
  std::uint64_t bytes() const { return bytes_; }  // usable
  std::uint64_t offset(std::uint64_t n) const {   // of usable byte `n`
    if (is_dense_) return n;
    return n / range_bytes_ * kHugeBytes + n % range_bytes_;
  }

 private:
  std::uint64_t bytes_, range_bytes_;
  bool is_dense_;
};

// A cyclic order of 0 .. n-1 that looks random, without a table: a full-period generator over the next power of two
// whose states are mixed; states from n on are passed over.
class RandomCycle {
 public:
  RandomCycle(std::uint64_t n, Random& random);
  std::uint64_t next() {
    std::uint64_t mixed;
    do {
      state_ = (state_ * multiplier_ + increment_) & mask_;
      mixed = state_ ^ (state_ >> shift_);
      mixed = (mixed * kOdd) & mask_;
      mixed ^= mixed >> shift_;
    } while (mixed >= n_);
    return mixed;
  }

 private:
  static constexpr std::uint64_t kOdd = 0x9E3779B97F4A7C15ULL;  // 2^64 over the golden ratio; any odd number would do
  std::uint64_t n_, mask_;
  unsigned shift_;
  std::uint64_t multiplier_, increment_, state_;
};

// Members 0 .. n-1, member of rank r with weight r^-theta. Two random numbers each, never a rejection.
class Zipf {
 public:
  Zipf(std::uint64_t n, double theta);
  std::uint64_t next(Random& random) const {
    const std::uint64_t bits = random.next();
    std::size_t group = bits >> 32 & (groups_.size() - 1);
    if ((bits & 0xffffffff) >= groups_[group].own) group = groups_[group].alias;
    const std::uint64_t rank = groups_[group].first + random.below(groups_[group].count);
    return rank * step_ % n_;
  }

 private:
  struct Group {
    std::uint64_t first = 0, count = 1;  // ranks, from 0
    std::uint64_t own = 0;               // of 2^32: how often the group itself, not its alias, is meant
    std::size_t alias = 0;
  };
  std::uint64_t n_, step_;
  std::vector<Group> groups_;  // a power of two many; the last ones may have no ranks and are never meant
};

// x^y for x > 0 from additions and multiplications only: std::pow may differ in the last bit between C libraries.
double power(double x, double y);

// One entry of a synthetic trace, at some point of its references.
class PatternCursor {
 public:
  PatternCursor(const SyntheticPattern& pattern, std::uint64_t base, std::uint64_t seed, std::size_t number);
  std::uint64_t left() const { return left_; }
  void fill(std::span<Record> out);  // Requires: not more than left()
  static std::uint64_t count(const SyntheticPattern& pattern);

 private:
  template <class Next>
  void fill_with(std::span<Record> out, Next next);
  std::uint64_t step(std::uint64_t by, std::uint64_t limit);

  SyntheticPattern pattern_;
  std::uint64_t base_, left_;
  Spread spread_;
  Random random_;
  RandomCycle cycle_;
  Zipf zipf_;
  Record record_;
  std::uint64_t at_ = 0;
};

}  // namespace collapsar
