// CompactionBench: a kernel whose memory is in pieces, and compaction asked for by hand.
#pragma once

#include "models/kernel/compaction.h"
#include "tests/support/layout.h"

namespace collapsar::test {

inline constexpr VirtAddr kHeap{0x40000000};

inline BenchConfig machine(Bytes memory = Bytes{64 * kMiB}) {
  BenchConfig config;
  config.memory = memory;
  config.kernel.compaction.proactiveness = 0;
  return config;
}

struct CompactionBench : KernelBench {
  explicit CompactionBench(const BenchConfig& config = machine()) : KernelBench(config) {}
  explicit CompactionBench(const FragmentationConfig& pieces, const BenchConfig& config = machine())
      : KernelBench(config) {
    kernel.fragment(pieces, /*seed=*/1);
  }
  Compaction& compaction() { return kernel.compaction(); }
  VmStat& vm() { return stats().vmstat; }
  std::uint64_t huge_blocks() const { return memory.free_blocks(kHugeOrder); }
  Compaction::Request compact(Compaction::Priority priority = Compaction::Priority::async) {
    Signal done(queue);
    Compaction::Request request{.done = &done.event, .priority = priority};
    compaction().direct(request);
    run_until(done);
    return request;
  }
  Pfn frame_of(TaskId task, VirtAddr va) { return entry(task, va).pfn(); }
};

// Every second page of a mapping that fills the memory but for `left`: no 2 MiB block is free, and any page may move.
inline VirtRange checkered(CompactionBench& b, TaskId task, std::uint64_t left = 4 * kMiB) {
  Layout layout(b, task);
  const std::uint64_t bytes = align_down(b.memory.free_pages() * kPageBytes - left, kHugeBytes);
  layout.vma(kHeap, bytes);
  layout.pages(kHeap, bytes / kPageBytes);
  std::vector<Pfn> rest;
  while (auto page = b.memory.allocate(0, MigrateType::movable, FrameUse::kernel, AllocLevel::reserve))
    rest.push_back(*page);
  for (VirtAddr va = kHeap; va < kHeap + bytes; va += 2 * kPageBytes)
    b.kernel.rmap().zap_pte(b.mm(task), va, *b.mm(task).table().pte(va));
  EXPECT_EQ(b.huge_blocks(), 0U);
  return {kHeap, kHeap + bytes};
}

}  // namespace collapsar::test
