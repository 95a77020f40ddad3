// Machine::collect and sample: the counts of all models under the names of the result.
#include <map>

#include "sim/run/machine.h"

namespace collapsar {

namespace {

struct RefStats {
  const CpuStats& cpu;
  const SchedulerStats& scheduler;
  Duration elapsed;
  std::uint64_t by(RefKind kind) const { return cpu.refs_by[std::size_t(kind)]; }
  template <class V>
  void describe(V& v) {
    v("refs", cpu.refs(), "references", "of the trace; one that crosses a page counts once");
    v("refs.read", by(RefKind::load), "references", "loads");
    v("refs.write", by(RefKind::store) + by(RefKind::modify), "references",
      "stores, and loads that store to the same place");
    v("refs.fetch", by(RefKind::fetch), "references", "instruction fetches");
    v("refs.kernel", by(RefKind::kernel_read) + by(RefKind::kernel_write), "references",
      "of the kernel, on the program's behalf");
    v("refs.outside_vma", scheduler.outside_vma, "references", "to addresses that no VMA covers; skipped");
    v("instructions", cpu.instructions, "instructions", "of all threads");
    v("cycles", std::uint64_t(cpu.busy_subcycles) / Clock::kSubcycles, "cycles",
      "in which a CPU ran a thread, idle pace left out; summed over CPUs");
    v("time_ns", elapsed, "ns", "simulated time");
  }
};

struct ShootdownCounts {
  const ShootdownStats& stats;
  template <class V>
  void describe(V& v) {
    v("shootdowns", stats.shootdowns, "count", "TLB flushes that interrupted another CPU");
    v("shootdown.ipis", stats.ipis, "interrupts", "received for TLB flushes");
  }
};

struct SchedulerCounts {
  const SchedulerStats& stats;
  template <class V>
  void describe(V& v) {
    v("context_switches", stats.context_switches, "count", "threads put on a CPU that had another");
    v("events", stats.events, "count", "address-space events of the trace done");
  }
};

struct FreeMemory {
  std::uint64_t pages, in_huge_blocks;
  template <class V>
  void describe(V& v) {
    v.gauge("free_bytes", pages * kPageBytes, "bytes", "free memory at the end");
    v.gauge("free_huge_bytes", in_huge_blocks * kPageBytes, "bytes", "of it, in free blocks of 2 MiB or more");
    v.gauge_ratio("fragmentation", pages - in_huge_blocks, pages, "share of free memory that no huge page fits into");
  }
};

struct PeakMemory {
  std::uint64_t pages;
  template <class V>
  void describe(V& v) {
    v.gauge("peak_rss_bytes", pages * kPageBytes, "bytes", "the most that was resident");
  }
};

// One mapping of one process, over all address spaces the process has had.
struct MappingStats {
  std::uint64_t minor = 0, major = 0, huge_faults = 0, collapsed = 0, l1_misses = 0, l2_misses = 0, walks = 0,
                walk_cycles = 0;
  MappingUse use;
  bool is_blank() const { return !(minor | major | huge_faults | collapsed | walks | use.anon | use.file); }
  template <class V>
  void describe(V& v) {
    v("faults.minor", minor, "faults", "in this mapping");
    v("faults.major", major, "faults", "in this mapping");
    v("faults.huge", huge_faults, "faults", "in this mapping, resolved with a 2 MiB page");
    v("mmu.l1.misses", l1_misses, "look-ups", "in either L1 TLB for addresses of this mapping");
    v("mmu.l2.misses", l2_misses, "look-ups", "for addresses of this mapping");
    v("mmu.walks", walks, "walks", "for addresses of this mapping");
    v("mmu.walk_cycles", walk_cycles, "cycles", "in walks for addresses of this mapping");
    v("khugepaged.pages_collapsed", collapsed, "ranges", "of this mapping collapsed");
    v.gauge("memory.rss_bytes", (use.anon + use.file) * kPageBytes, "bytes", "of this mapping resident at the end");
    v.gauge("memory.anon_huge_bytes", use.huge * kHugeBytes, "bytes", "of this mapping mapped by huge PMDs");
    v.gauge_ratio("memory.coverage", use.huge * kHugePages, use.anon,
                  "anonymous huge memory / anonymous resident memory");
  }
};

struct ProcessStats {
  ProcessUsage usage;
  MemoryUse memory;
  std::map<std::string, MappingStats> mappings;
};

template <class T, std::size_t N>
void add_all(std::array<T, N>& to, const std::array<T, N>& from) {
  for (std::size_t i = 0; i < N; ++i) to[i] += from[i];
}

void add(TlbStats& to, const TlbStats& from) {
  to.hits += from.hits, to.misses += from.misses;
  add_all(to.hits_by, from.hits_by);
  add_all(to.misses_by, from.misses_by);
}

void add(MmuStats& to, const MmuStats& from) {
  add(to.l1i, from.l1i), add(to.l1d, from.l1d);
  add(to.l2, from.l2), add(to.l2i, from.l2i), add(to.l2d, from.l2d);
  to.split = from.split;
  to.walks += from.walks, to.walks_merged += from.walks_merged, to.walks_repeated += from.walks_repeated;
  to.walk_refs += from.walk_refs, to.walk_cycles += from.walk_cycles;
  to.walk_active_cycles += from.walk_active_cycles, to.stall_cycles += from.stall_cycles;
  add_all(to.cache_hits, from.cache_hits);
  to.flushes += from.flushes, to.flushed_pages += from.flushed_pages;
}

// What the queues of a component hold, counted one by one.
struct Held {
  std::uint64_t requests;
  template <class V>
  void describe(V& v) {
    v.gauge("in_flight", requests, "requests", "submitted and not answered");
  }
};

void add(MappingStats& to, const Mapping& mapping, const WalkCount& walks, const MappingUse& use) {
  to.minor += mapping.faults_minor, to.major += mapping.faults_major, to.huge_faults += mapping.faults_huge;
  to.collapsed += mapping.collapsed;
  to.l1_misses += walks.l1_misses, to.l2_misses += walks.l2_misses;
  to.walks += walks.walks, to.walk_cycles += walks.cycles();
  to.use.anon += use.anon, to.use.file += use.file, to.use.huge += use.huge;
}

}  // namespace

CpuStats Machine::sum_cpus() {
  CpuStats sum;
  for (auto& cpu : cpus_) {
    const CpuStats& stats = cpu->stats();
    add_all(sum.refs_by, stats.refs_by);
    sum.instructions += stats.instructions;
    sum.busy_subcycles += stats.busy_subcycles;
  }
  return sum;
}

MmuStats Machine::sum_mmus() {
  MmuStats sum;
  for (auto& mmu : mmus_) add(sum, mmu->stats());
  return sum;
}

StatTable Machine::collect() {
  StatTable table;
  const CpuStats cpu = sum_cpus();
  RefStats refs{cpu, scheduler_.stats(), queue_.now() - kTimeZero};
  table.collect("", refs);
  MmuStats mmu = sum_mmus();
  table.collect("mmu", mmu);
  static constexpr std::array<const char*, 4> kLevels{"caches.l1i", "caches.l1d", "caches.l2", "caches.l3"};
  for (std::uint32_t level = 0; caches_ && level < kLevels.size(); ++level)
    if (caches_->has_level(level)) table.collect(kLevels[level], caches_->stats(level));
  table.collect("dram", dram_.stats());
  Held dram{dram_.held()};
  table.collect("dram", dram);
  table.collect("", kernel_->stats());
  ShootdownCounts shootdowns{shootdown_.stats()};
  table.collect("", shootdowns);
  SchedulerCounts scheduler{scheduler_.stats()};
  table.collect("scheduler", scheduler);
  MemoryUse memory = ledger_->total();
  table.collect("memory", memory);
  FreeMemory free_memory{memory_.free_pages(), memory_.free_pages_in_blocks(kHugeOrder)};
  table.collect("memory", free_memory);
  table.collect("buddy", memory_.stats());
  table.collect("swap", swap_.stats());
  Held swap{swap_.held()};
  table.collect("swap", swap);
  collect_processes(table);
  return table;
}

void Machine::collect_processes(StatTable& table) {
  std::map<std::uint32_t, ProcessStats> by_pid;
  for (const auto& [pid, usage] : scheduler_.usage()) by_pid[pid].usage = usage;
  for (const auto& mm : kernel_->processes().address_spaces()) {
    ProcessStats& process = by_pid[mm->pid()];
    process.memory.add(ledger_->of(*mm));
    const std::vector<MappingUse> uses = ledger_->mappings_of(*mm);
    for (MappingId id = 0; id < mm->mappings().size(); ++id) {
      Mapping& mapping = mm->mappings()[id];
      const WalkCount walks = walks_->of_mapping(mm->asid(), id);
      mapping.walks = walks.walks, mapping.walk_cycles = walks.cycles();
      add(process.mappings[mapping.name], mapping, walks, id < uses.size() ? uses[id] : MappingUse{});
    }
  }
  for (auto& [pid, process] : by_pid) {
    const std::string prefix = fmt::format("processes.{}", pid);
    table.collect(prefix, process.usage);
    table.collect(prefix + ".memory", process.memory);
    PeakMemory peak{process.memory.peak};
    table.collect(prefix + ".memory", peak);
  }
  for (auto& [pid, process] : by_pid)
    for (auto& [name, mapping] : process.mappings)
      if (!mapping.is_blank()) table.collect(fmt::format("vmas.{}.{}", pid, name), mapping);
}

TimePoint Machine::sample() {
  const CpuStats cpu = sum_cpus();
  const MmuStats mmu = sum_mmus();
  const KernelStats& kernel = kernel_->stats();
  const MemoryUse memory = ledger_->total();
  TimePoint point;
  point.time_ns = rounded_ns(queue_.now() - kTimeZero);
  point.refs = cpu.refs(), point.instructions = cpu.instructions;
  point.cycles = std::uint64_t(cpu.busy_subcycles) / Clock::kSubcycles;
  point.l1i_misses = mmu.l1i.misses, point.l1d_misses = mmu.l1d.misses;
  point.l2_misses = mmu.l2.misses + mmu.l2i.misses + mmu.l2d.misses;
  point.walks = mmu.walks, point.walk_cycles = mmu.walk_cycles, point.tlb_stall_cycles = mmu.stall_cycles;
  point.faults_minor = kernel.faults.minor, point.faults_major = kernel.faults.major;
  point.faults_huge = kernel.faults.huge, point.faults_cow = kernel.faults.cow;
  point.rss_bytes = memory.rss() * kPageBytes, point.anon_bytes = memory.anon * kPageBytes;
  point.anon_huge_bytes = memory.huge * kHugeBytes, point.page_tables_bytes = memory.tables * kPageBytes;
  point.swapped_bytes = memory.swapped * kPageBytes, point.free_bytes = memory_.free_pages() * kPageBytes;
  point.free_huge_bytes = memory_.free_pages_in_blocks(kHugeOrder) * kPageBytes;
  point.wakeups = kernel.khugepaged.wakeups, point.full_scans = kernel.khugepaged.full_scans;
  point.ptes_scanned = kernel.khugepaged.ptes_scanned;
  point.pages_collapsed = kernel.khugepaged.pages_collapsed;
  point.khugepaged_cpu_ns = rounded_ns(kernel.khugepaged.cpu);
  point.thp_fault_alloc = kernel.vmstat.thp_fault_alloc, point.thp_collapse_alloc = kernel.vmstat.thp_collapse_alloc;
  point.thp_split_pmd = kernel.vmstat.thp_split_pmd, point.thp_split_page = kernel.vmstat.thp_split_page;
  point.lock_stalls = kernel.stall.mmap_lock_ns.count(), point.lock_stall_ns = kernel.stall.mmap_lock_ns.sum();
  point.collapse_stalls = kernel.stall.collapse_ns.count(), point.collapse_stall_ns = kernel.stall.collapse_ns.sum();
  point.compaction_cpu_ns = rounded_ns(kernel.compaction.cpu);
  point.shootdown_ipis = shootdown_.stats().ipis;
  point.swap_reads = swap_.stats().reads, point.swap_writes = swap_.stats().writes;
  point.dram_reads = dram_.lines_read(), point.dram_writes = dram_.lines_written();
  return point;
}

}  // namespace collapsar
