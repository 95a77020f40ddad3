// HugeCopy: fills a huge page from 512 places, slice by slice, as a collapse does.
//
// Time:        a slice lasts the longer of its cost-table time, taken from the CPU, and its DRAM service.
// Source:      khugepaged.md 5.5, 5.9.
#pragma once

#include "models/kernel/kernel_context.h"

namespace collapsar {

class HugeCopy {
 public:
  using Sources = std::array<Pfn, kHugePages>;  // kNoPfn: cleared
  static constexpr std::uint32_t kSlice = 16;   // pages copied or cleared in one step; ours: 32 steps a huge page
  explicit HugeCopy(KernelContext& kernel) : kernel_(kernel), bulk_(kernel.queue, kernel.dram) {}
  HugeCopy(const HugeCopy&) = delete;
  HugeCopy& operator=(const HugeCopy&) = delete;

  // `done` comes at the end. Requires: the copy before is done; `sources` stays as it is.
  void start(const Sources& sources, Pfn target, CpuId cpu, Event& done);
  Duration cost(const Sources& sources) const { return cost_of(sources, 0, kHugePages); }  // CPU time of all slices

 private:
  void next_slice();
  void part_done();
  Duration cost_of(const Sources& sources, std::uint32_t first, std::uint32_t end) const;

  KernelContext& kernel_;
  BulkCopy bulk_;
  const Sources* sources_ = nullptr;
  Pfn target_{};
  CpuId cpu_ = kNoCpu;
  Event* done_ = nullptr;
  std::uint32_t next_ = 0, parts_left_ = 0;
  Event cpu_done_ = event<&HugeCopy::part_done>(this, "huge_copy.slice", Phase::kernel);
  Event dram_done_ = event<&HugeCopy::part_done>(this, "huge_copy.dram", Phase::kernel);
};

}  // namespace collapsar
