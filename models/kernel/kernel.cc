#include "models/kernel/kernel.h"

#include "models/kernel/fragmentation.h"

namespace collapsar {

namespace {

const Rules& rules_of(const KernelConfig& config) {
  config.validate();
  return *find_rules(config.version);
}

Pfn make_zero_page(PhysicalMemory& memory) {
  const auto page = memory.allocate(0, MigrateType::unmovable, FrameUse::zero_page, AllocLevel::reserve);
  if (!page)
    throw SimulationError("out of simulated memory: no frame for the zero page; a larger memory.size would help");
  return *page;
}

}  // namespace

Kernel::Kernel(EventQueue& queue, PhysicalMemory& memory, Dram& dram, SwapDevice& swap, TlbShootdown& shootdown,
               CpuPort& cpus, const KernelConfig& config, unsigned page_table_levels)
    : config_(config),
      context_{queue,
               memory,
               dram,
               swap,
               shootdown,
               cpus,
               config_,
               rules_of(config_),
               stats_,
               memcgs_,
               page_table_levels,
               make_zero_page(memory)},
      page_cache_(context_),
      huge_zero_(context_),
      rmap_(context_, page_cache_),
      locks_(context_),
      swap_cache_(context_, rmap_, locks_),
      reclaim_(context_, rmap_, swap_cache_, locks_),
      compaction_(context_, rmap_, reclaim_, swap_cache_, locks_),
      split_(context_, rmap_, reclaim_),
      history_(queue),
      processes_(context_),
      faults_(context_, processes_, rmap_, swap_cache_, locks_, reclaim_, compaction_, split_, entry_),
      collapse_(context_, rmap_, faults_, locks_, reclaim_, compaction_, split_),
      file_tables_(context_, rmap_, entry_),
      file_collapse_(context_, rmap_, faults_, locks_, reclaim_, compaction_, file_tables_),
      khugepaged_(context_, collapse_, file_collapse_, reclaim_.batches()),
      syscalls_(context_, processes_, rmap_, swap_cache_, reclaim_, split_, faults_, collapse_, file_collapse_,
                entry_) {
  context_.page_cache = &page_cache_;
  context_.history = &history_;
  context_.huge_zero = &huge_zero_;
  rmap_.set_reclaim(reclaim_);
  rmap_.set_split(split_);
  rmap_.set_swap_cache(swap_cache_);
  reclaim_.set_split(split_);
  entry_.to = &khugepaged_;
  if (hugepage_pmd_enabled(config_, context_.rules))
    memory.raise_min_free_for_thp();  // set_recommended_min_free_kbytes
}

void Kernel::fragment(const FragmentationConfig& config, std::uint64_t seed) {
  if (config.any()) fragment_memory(context_, reclaim_, config, seed);
}

void Kernel::thp_switched() {
  if (hugepage_pmd_enabled(config_, context_.rules)) context_.memory.raise_min_free_for_thp();
  khugepaged_.start_or_stop();
}

void Kernel::cut_spans() {
  collapse_.cut_spans();
  file_collapse_.cut_spans();
  khugepaged_.cut_spans();
  reclaim_.cut_spans();
  compaction_.cut_spans();
}

Kernel::~Kernel() = default;

}  // namespace collapsar
