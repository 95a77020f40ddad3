#include "models/kernel/range_ranking.h"

#include <algorithm>
#include <cmath>

namespace collapsar {
namespace {

// A moving average moves half way to each new sample: a choice; HawkEye says only that it is exponential.
constexpr std::uint64_t kFraction = 256;

std::uint64_t moved(std::uint64_t average, std::uint64_t sample) { return (average + sample * kFraction) / 2; }

}  // namespace

std::vector<RankedRange> RangeRanking::rank(const std::vector<AddressSpace*>& spaces, Duration& cost) {
  std::vector<RankedRange> ranges = with_tables(spaces);
  switch (kernel_.config.khugepaged.policy) {
    case CollapsePolicy::as_linux: break;  // follows its cursor instead
    case CollapsePolicy::utilization: return by_utilization(std::move(ranges));
    case CollapsePolicy::coverage: return by_coverage(ranges, cost);
    case CollapsePolicy::oracle: return by_hindsight(ranges);
  }
  return {};
}

// A range that was refused must earn its place anew: else it would stand first at every activation.
void RangeRanking::tried(const RankedRange& range, ScanResult result) {
  last_ = {range.mm->asid(), range.base.value};
  if (result != ScanResult::SUCCEED) averages_.erase(last_);
}

std::vector<RankedRange> RangeRanking::with_tables(const std::vector<AddressSpace*>& spaces) const {
  std::vector<RankedRange> ranges;
  for (AddressSpace* mm : spaces)
    for (const auto& [start, vma] : mm->vmas()) {
      if (!vma.is_anonymous() || !thp_vma_allowable(kernel_, *mm, vma, /*enforce_sysfs=*/true, /*in_fault=*/false))
        continue;
      const VirtAddr end = align_down(vma.range.end, kHugeBytes);
      for (VirtAddr base = align_up(vma.range.start, kHugeBytes); base < end; base += kHugeBytes)
        if (mm->table().pmd_is_table(base)) ranges.push_back({mm, base});
    }
  return ranges;
}

// --- utilization ---

bool RangeRanking::is_utilized(const RankedRange& range) const {
  const auto& ptes = range.mm->table().pte_table(range.base);
  const auto present = std::count_if(ptes.begin(), ptes.end(), [](Pte p) { return p.present() && !p.zero_page(); });
  return double(present) >= std::ceil(kernel_.config.khugepaged.utilization * double(kHugePages));
}

// One address space after the other, in address order; from behind the range tried last.
std::vector<RankedRange> RangeRanking::by_utilization(std::vector<RankedRange> ranges) const {
  std::erase_if(ranges, [this](const RankedRange& range) { return !is_utilized(range); });
  const auto key = [](const RankedRange& range) { return Key{range.mm->asid(), range.base.value}; };
  std::sort(ranges.begin(), ranges.end(), [&](const RankedRange& a, const RankedRange& b) { return key(a) < key(b); });
  const auto next = std::find_if(ranges.begin(), ranges.end(), [&](const RankedRange& r) { return key(r) > last_; });
  std::rotate(ranges.begin(), next, ranges.end());
  std::reverse(ranges.begin(), ranges.end());
  return ranges;
}

// --- coverage ---

std::uint64_t RangeRanking::accessed(const RankedRange& range) {
  std::uint64_t count = 0;
  for (Pte& pte : range.mm->table().pte_table(range.base)) {
    if (!pte.present() || !pte.accessed()) continue;
    ++count;
    pte.clear(Pte::kAccessed);
    if (!pte.zero_page()) kernel_.memory.frame(kernel_.memory.head_of(pte.pfn())).set(Frame::kReferenced);
  }
  return count;
}

std::vector<RankedRange> RangeRanking::by_coverage(const std::vector<RankedRange>& ranges, Duration& cost) {
  std::map<Key, std::uint64_t> averages;  // ranges that have gone are forgotten
  std::vector<Candidate> candidates;
  for (const RankedRange& range : ranges) {
    const Key key{range.mm->asid(), range.base.value};
    const auto before = averages_.find(key);
    const std::uint64_t average = moved(before == averages_.end() ? 0 : before->second, accessed(range));
    cost += kernel_.config.costs.scan_pte * std::int64_t(kHugePages);
    averages[key] = average;
    if (average > 0) candidates.push_back({range, average});
  }
  averages_ = std::move(averages);
  return best_last(std::move(candidates));
}

// --- oracle ---

std::uint64_t RangeRanking::hindsight(const RankedRange& range) const {
  const std::uint64_t weight = weights_ ? weights_->weight(*range.mm, range.base) : 0;
  ScanCounts counts;
  if (weight == 0) return 0;
  const ScanResult verdict = collapse_.verdict(*range.mm, range.base, LockOwner::khugepaged, counts);
  return verdict == ScanResult::SUCCEED ? weight : 0;
}

std::vector<RankedRange> RangeRanking::by_hindsight(const std::vector<RankedRange>& ranges) const {
  std::vector<Candidate> candidates;
  for (const RankedRange& range : ranges)
    if (const std::uint64_t worth = hindsight(range); worth > 0) candidates.push_back({range, worth});
  return best_last(std::move(candidates));
}

// Of equals, the first in khugepaged's order comes first.
std::vector<RankedRange> RangeRanking::best_last(std::vector<Candidate> candidates) {
  std::stable_sort(candidates.begin(), candidates.end(),
                   [](const Candidate& a, const Candidate& b) { return a.worth > b.worth; });
  std::vector<RankedRange> ranges;
  for (auto it = candidates.rbegin(); it != candidates.rend(); ++it) ranges.push_back(it->range);
  return ranges;
}

}  // namespace collapsar
