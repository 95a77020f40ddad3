// RangeRanking: which ranges a policy other than Linux's would collapse, best first.
//
// Models:      utilization: a range is taken once a share of its pages is present, in order of address space and address,
//              from where the last activation ended. coverage: ranges with most accessed pages first; the accessed bits are
//              counted and cleared at each activation, and a moving average is kept. oracle: ranges with most page-walk
//              cycles first, among those that would pass Linux's scan; the cycles come from outside, with hindsight.
// Simplified:  Ingens counts present pages at faults: here the count is had for nothing. Ingens and HawkEye share out huge
//              pages among processes; neither does here. HawkEye samples for 1 s every 30 s, and drops ranges into ten
//              buckets; here a sample is as long as the sleep between activations, and the order is exact. A cleared
//              accessed bit sets PG_referenced, so that reclaim and the scan still know. The oracle knows the sum over the
//              whole run, not when the walks come.
// Time:        coverage: costs.scan_pte per entry counted. The others: none.
// Owns:        the moving averages.
// Source:      Kwon et al., "Coordinated and Efficient Huge Page Management with Ingens", OSDI 2016; Panwar et al.,
//              "HawkEye: Efficient Fine-grained OS Support for Huge Pages", ASPLOS 2019.
#pragma once

#include <map>
#include <vector>

#include "models/kernel/collapse.h"

namespace collapsar {

struct RankedRange {
  AddressSpace* mm = nullptr;
  VirtAddr base{};
};

// What a range is worth, known from elsewhere; 0: nothing.
class RangeWeights {
 public:
  virtual ~RangeWeights() = default;
  virtual std::uint64_t weight(const AddressSpace& mm, VirtAddr base) const = 0;
};

class RangeRanking {
 public:
  RangeRanking(KernelContext& kernel, Collapse& collapse) : kernel_(kernel), collapse_(collapse) {}
  void set_weights(const RangeWeights* weights) { weights_ = weights; }

  // The ranges of these address spaces (in khugepaged's order) that the policy would collapse now, best last. Adds the time
  // that finding them takes to `cost`.
  std::vector<RankedRange> rank(const std::vector<AddressSpace*>& spaces, Duration& cost);
  // What came of a range.
  void tried(const RankedRange& range, ScanResult result);

 private:
  struct Candidate {
    RankedRange range;
    std::uint64_t worth = 0;
  };
  using Key = std::pair<Asid, std::uint64_t>;  // asid, base
  // Every range with a page table in an anonymous VMA that may have huge pages, in address order.
  std::vector<RankedRange> with_tables(const std::vector<AddressSpace*>& spaces) const;
  bool is_utilized(const RankedRange& range) const;
  std::uint64_t accessed(const RankedRange& range);
  std::uint64_t hindsight(const RankedRange& range) const;
  std::vector<RankedRange> by_utilization(std::vector<RankedRange> ranges) const;
  std::vector<RankedRange> by_coverage(const std::vector<RankedRange>& ranges, Duration& cost);
  std::vector<RankedRange> by_hindsight(const std::vector<RankedRange>& ranges) const;
  static std::vector<RankedRange> best_last(std::vector<Candidate> candidates);

  KernelContext& kernel_;
  Collapse& collapse_;
  const RangeWeights* weights_ = nullptr;
  std::map<Key, std::uint64_t> averages_;  // coverage: accessed pages, in 1/256
  Key last_{};                             // utilization: tried last
};

}  // namespace collapsar
