// Hindsight: what each 2 MiB range would be worth as a huge page, from a run in which none was huge: the cycles of its page
// walks. For policy oracle.
//
// Simplified:  a walk of a huge page is not free, and small pages that stay take other ways through caches and TLBs once others
//              are huge: the sum is an upper bound of what a range saves. With a warm-up, cycles count from its end.
#pragma once

#include <map>
#include <tuple>

#include "models/kernel/process.h"
#include "models/kernel/range_ranking.h"
#include "sim/run/ranges.h"

namespace collapsar {

struct Variant;

class Hindsight {
 public:
  explicit Hindsight(const std::vector<RangeRow>& rows);
  // `space`: which address space of the process, from 0.
  std::uint64_t walk_cycles(std::uint32_t pid, std::uint32_t space, VirtAddr base) const;

 private:
  std::map<std::tuple<std::uint32_t, std::uint32_t, std::uint64_t>, std::uint64_t> cycles_;
};

// The variant with huge pages off: the run that Hindsight looks back on.
Variant first_pass(const Variant& variant);

// Hindsight for the kernel of another run: an address space is known by its process and how many that process had before.
class HindsightWeights : public RangeWeights {
 public:
  HindsightWeights(const Hindsight& hindsight, Processes& processes) : hindsight_(hindsight), processes_(processes) {}
  std::uint64_t weight(const AddressSpace& mm, VirtAddr base) const override;

 private:
  std::uint32_t space_of(const AddressSpace& mm) const;
  const Hindsight& hindsight_;
  Processes& processes_;
};

}  // namespace collapsar
