#include "sim/run/departures.h"

namespace collapsar {

namespace {

struct Departure {
  bool (*is_touched)(const ExperimentConfig& config, const StatTable& stats);
  const char* text;
};

bool counted(const StatTable& stats, std::string_view path) {
  const StatRow* row = stats.find(path);
  return row && row->amount > 0;
}

constexpr Departure kDepartures[] = {
    {[](const ExperimentConfig&, const StatTable&) { return true; },
     "cpu: no branch prediction, no prefetchers; stores that hit pass older ones in the store buffer"},
    {[](const ExperimentConfig& c, const StatTable&) { return !c.mmu.ideal; },
     "mmu: no global pages, no next-page prefetch; setting an accessed or dirty bit costs nothing beside the walk"},
    {[](const ExperimentConfig& c, const StatTable&) { return c.mmu.fixed_walk.has_value(); },
     "mmu: every page walk takes mmu.fixed_walk, reads no memory and waits for no walker"},
    {[](const ExperimentConfig& c, const StatTable&) { return c.caches && c.cpu.count > 1; },
     "caches: no coherence traffic between the caches of different CPUs"},
    {[](const ExperimentConfig& c, const StatTable&) { return c.caches.has_value(); },
     "caches: no prefetchers, no port or bank conflicts; copies and clears of the kernel bypass them"},
    {[](const ExperimentConfig& c, const StatTable&) { return !c.caches; },
     "caches: none; every data reference costs a hit, walks read from DRAM"},
    {[](const ExperimentConfig& c, const StatTable&) { return !c.dram.ideal; },
     "dram: refreshes are not postponed; 16 lines of a copy or clear at a time hold their data bus"},
    {[](const ExperimentConfig&, const StatTable&) { return true; }, "memory: one NUMA node and one zone"},
    {[](const ExperimentConfig& c, const StatTable&) { return !c.memory.fragmentation.any(); },
     "memory: unfragmented at the start"},
    {[](const ExperimentConfig&, const StatTable& s) { return counted(s, "vmstat.pgmigrate_success"); },
     "compaction: pages move in the instant their copy ends, so that no task waits for one"},
    {[](const ExperimentConfig&, const StatTable& s) { return counted(s, "swap.reads") || counted(s, "swap.writes"); },
     "swap: one latency distribution whatever the load; no wear; readahead window of fixed size"},
    {[](const ExperimentConfig&, const StatTable& s) {
       return counted(s, "vmstat.pgscan_kswapd") || counted(s, "vmstat.pgscan_direct");
     },
     "reclaim: fixed balance of anonymous and file pages; no memory cgroups; of the multi-generation LRU "
     "only what it does to PG_referenced"},
    {[](const ExperimentConfig&, const StatTable& s) { return counted(s, "khugepaged.ranges_scanned"); },
     "khugepaged: its scan does not disturb the caches"},
    {[](const ExperimentConfig& c, const StatTable& s) {
       return c.kernel.khugepaged.policy != CollapsePolicy::as_linux && counted(s, "khugepaged.wakeups");
     },
     "khugepaged: chooses ranges by another policy than Linux's, and passes over files and shared memory"},
    {[](const ExperimentConfig& c, const StatTable& s) {
       const bool is_short = counted(s, "vmstat.pgscan_kswapd") || counted(s, "vmstat.pgscan_direct");
       return is_short && c.kernel.thp.shrink_underused && c.kernel.khugepaged.max_ptes_none < kHugePages - 1;
     },
     "reclaim: contents of memory are not followed, so that no huge page is found underused"},
    {[](const ExperimentConfig&, const StatTable& s) { return counted(s, "faults.major"); },
     "files: read one page per fault, nothing read ahead, never written back"},
    {[](const ExperimentConfig&, const StatTable& s) { return counted(s, "shootdowns"); },
     "shootdown: a CPU that does not run the address space drops its entries at once and for free"},
    {[](const ExperimentConfig&, const StatTable& s) { return counted(s, "scheduler.context_switches"); },
     "scheduler: no priorities; blocking calls of the program never block the replay"},
    {[](const ExperimentConfig& c, const StatTable&) { return c.time.pace == Pace::model; },
     "time: pace of the program from instruction counts, not from a clock"},
};

}  // namespace

std::vector<std::string> departures_in(const ExperimentConfig& config, const StatTable& stats) {
  std::vector<std::string> touched;
  for (const Departure& departure : kDepartures)
    if (departure.is_touched(config, stats)) touched.emplace_back(departure.text);
  return touched;
}

}  // namespace collapsar
