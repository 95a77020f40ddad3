// KernelContext: the neighbours every part of the kernel needs, as one bundle of references.
#pragma once

#include "models/kernel/kernel_config.h"
#include "models/kernel/kernel_stats.h"
#include "models/kernel/rules.h"
#include "models/mem/bulk_copy.h"
#include "models/mem/dram.h"
#include "models/mem/page_table.h"
#include "models/mem/physical_memory.h"
#include "models/mem/swap_device.h"
#include "models/mmu/kernel_port.h"
#include "sim/core/span.h"

namespace collapsar {

class HugeZeroPage;
class KernelObserver;
class Memcgs;
class PageCache;
class RangeHistory;

struct KernelContext {
  EventQueue& queue;
  PhysicalMemory& memory;
  Dram& dram;
  SwapDevice& swap;
  TlbShootdown& shootdown;
  CpuPort& cpus;
  const KernelConfig& config;
  const Rules& rules;
  KernelStats& stats;
  Memcgs& memcgs;
  unsigned page_table_levels = 4;
  Pfn zero_page{};  // the shared 4 KiB zero page; allocated by Kernel
  // Frames say whether they hold data (Frame::kData). Simplified: only where somebody sees every write, as the player of
  // scenarios does; in traced runs a TLB hit hides writes, and every page counts as data.
  bool follows_contents = false;
  bool is_zero_filled(Pfn pfn) const { return follows_contents && !memory.frame(pfn).is(Frame::kData); }
  KernelObserver* observer = nullptr;  // optional (observer.h)
  SpanSink* spans = nullptr;           // nullptr: nobody draws
  PageCache* page_cache = nullptr;     // set by Kernel: VMA eligibility asks it about files
  RangeHistory* history = nullptr;     // set by Kernel
  HugeZeroPage* huge_zero = nullptr;   // set by Kernel
};

// Whether khugepaged runs: huge pages of anonymous memory, read-only files (which follow `enabled`) or shared memory.
inline bool hugepage_pmd_enabled(const KernelConfig& config, const Rules& rules) {
  const ShmemEnabled shmem = config.thp.shmem_enabled;
  const bool for_shmem = shmem != ShmemEnabled::never && shmem != ShmemEnabled::deny;
  return config.thp.enabled != ThpEnabled::never || config.anon_enabled() != ThpEnabled::never ||
         (rules.shmem_starts_daemon && for_shmem);
}

}  // namespace collapsar
