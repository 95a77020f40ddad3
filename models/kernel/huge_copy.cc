#include "models/kernel/huge_copy.h"

#include <algorithm>

namespace collapsar {
namespace {

// Pages copied or cleared in one step where memory takes no time of its own: 32 steps per huge page, as in Collapse.
constexpr std::uint32_t kSlice = 16;
constexpr std::uint64_t kLinesPerPage = kPageBytes / 64;

}  // namespace

void HugeCopy::start(const Sources& sources, Pfn target, CpuId cpu, Event& done) {
  sources_ = &sources;
  target_ = target;
  cpu_ = cpu;
  done_ = &done;
  next_ = 0;
  next_slice();
}

void HugeCopy::next_slice() {
  if (next_ == kHugePages) {
    const auto copied = kHugePages - std::uint64_t(std::ranges::count(*sources_, kNoPfn));
    if (kernel_.dram.is_ideal()) {
      kernel_.dram.count_ideal_bulk(copied * kLinesPerPage, /*is_write=*/false);
      kernel_.dram.count_ideal_bulk(kHugePages * kLinesPerPage, /*is_write=*/true);
    }
    return kernel_.queue.schedule(*std::exchange(done_, nullptr), kernel_.queue.now());
  }
  const std::uint32_t first = next_;
  next_ += slice_length(first);
  parts_left_ = 1;
  kernel_.cpus.run_kernel(cpu_, cost_of(*sources_, first, next_), cpu_done_);
  if (kernel_.dram.is_ideal()) return;
  ++parts_left_;
  const Pfn source = (*sources_)[first];
  bulk_.start(source == kNoPfn ? nullptr : &source, target_ + first, next_ - first, Duration::zero(), dram_done_);
}

void HugeCopy::part_done() {
  if (--parts_left_ == 0) next_slice();
}

// Where DRAM is modelled, a slice is one job for it: all to be cleared, or all to be copied from consecutive frames.
std::uint32_t HugeCopy::slice_length(std::uint32_t first) const {
  const std::uint32_t longest = std::min(kSlice, std::uint32_t(kHugePages) - first);
  if (kernel_.dram.is_ideal()) return longest;
  const Pfn start = (*sources_)[first];
  std::uint32_t length = 1;
  for (; length < longest; ++length) {
    const Pfn source = (*sources_)[first + length];
    if ((source == kNoPfn) != (start == kNoPfn)) break;
    if (source != kNoPfn && source != start + length) break;
  }
  return length;
}

Duration HugeCopy::cost_of(const Sources& sources, std::uint32_t first, std::uint32_t end) const {
  const KernelCosts& costs = kernel_.config.costs;
  const auto clears = std::count(sources.begin() + first, sources.begin() + end, kNoPfn);
  return costs.clear_page * clears + costs.copy_page * (std::int64_t(end - first) - clears);
}

}  // namespace collapsar
