#include "models/kernel/huge_copy.h"

#include <algorithm>

namespace collapsar {

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
      kernel_.dram.count_ideal_pages(copied, /*is_write=*/false);
      kernel_.dram.count_ideal_pages(kHugePages, /*is_write=*/true);
    }
    return kernel_.queue.schedule(*std::exchange(done_, nullptr), kernel_.queue.now());
  }
  const std::uint32_t first = next_;
  next_ += kSlice;
  parts_left_ = 1;
  kernel_.cpus.run_kernel(cpu_, cost_of(*sources_, first, next_), cpu_done_);
  if (kernel_.dram.is_ideal()) return;
  ++parts_left_;
  bulk_.start(std::span(*sources_).subspan(first, next_ - first), target_ + first, Duration::zero(), dram_done_);
}

void HugeCopy::part_done() {
  if (--parts_left_ == 0) next_slice();
}

Duration HugeCopy::cost_of(const Sources& sources, std::uint32_t first, std::uint32_t end) const {
  const KernelCosts& costs = kernel_.config.costs;
  const auto clears = std::count(sources.begin() + first, sources.begin() + end, kNoPfn);
  return costs.clear_page * clears + costs.copy_page * (std::int64_t(end - first) - clears);
}

}  // namespace collapsar
