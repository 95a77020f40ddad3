// ExperimentConfig: everything a run depends on, as the design's config tree.
//
// Order:       layers, later wins: defaults, `base:`, the file, --set, the variant.
// Owns:        the sections of all models; each section's rules stand beside its own struct, rules between sections
//              here.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "models/cpu/scheduler.h"
#include "models/kernel/kernel_config.h"
#include "models/mem/cache.h"
#include "models/mem/dram.h"
#include "models/mem/physical_memory.h"
#include "models/mem/swap_device.h"
#include "models/mmu/mmu_config.h"
#include "sim/core/config.h"
#include "sim/trace/trace.h"

namespace collapsar {

struct TraceConfig {
  std::vector<FilePath> file;
  std::vector<SyntheticPattern> synthetic;
  ReplayConfig replay;
  std::uint64_t skip = 0, limit = 0;
  template <class V>
  void describe(V& v) {
    v("file", file, "trace file, or a list of them (one per process); the format is recognised");
    v("synthetic", synthetic, "generated references in place of a file: a list of patterns, one after the other");
    v("repeat", replay.repeat, "how often the references are replayed; address-space events only the first time");
    v("warmup", replay.warmup, "references before counting starts");
    v("skip", skip, "references left out at the start; their address-space events are kept");
    v("limit", limit, "references replayed at most; 0 = all");
    v("prefault", replay.prefault, "touched | vmas | none: pages put in place, free of cost, before time 0");
  }
  void validate() const;
  bool empty() const { return file.empty() && synthetic.empty(); }
};

struct OutputConfig {
  Duration interval = std::chrono::milliseconds(100);
  std::uint64_t events = 20'000;  // about 3 MB of events.json for each kind of track that is full
  template <class V>
  void describe(V& v) {
    v("interval", interval, "step of the time series, in simulated time");
    v("events", events,
      "slices in events.json at most, for each variant and kind of track (CPUs, khugepaged, swap device, ...); the "
      "shortest are left out first; 0 = only counters");
  }
  void validate() const;
};

struct ExperimentConfig {
  std::string name;
  TraceConfig trace;
  TimeConfig time;
  CpuConfig cpu;
  MmuConfig mmu;
  std::optional<CachesConfig> caches = CachesConfig{};
  DramConfig dram;
  MemoryConfig memory;
  SwapConfig swap;
  KernelConfig kernel;
  ConfigNode variants = default_variants();
  std::string baseline;
  OutputConfig output;
  std::uint64_t seed = 1;

  template <class V>
  void describe(V& v) {
    v("name", name, "of the experiment, for reports");
    v("trace", trace, "what is replayed");
    v("time", time, "when the references start");
    v("cpu", cpu, "cores");
    v("mmu", mmu, "TLBs and page walkers");
    v("caches", caches, "data caches, or none");
    v("dram", dram, "main memory; {ideal: 80ns} for a fixed latency");
    v("memory", memory, "how much main memory there is");
    v("swap", swap, "swap device");
    v("kernel", kernel, "the simulated kernel: version, knobs, costs");
    v("variants", variants, "name -> what it changes; one run each");
    v("baseline", baseline, "the variant that differences are taken to; default: never, else the first");
    v("output", output, "what is written");
    v("seed", seed, "of every random choice");
  }
  void validate() const;

  // never, khugepaged, always: as in the design.
  static ConfigNode default_variants();
};

// One variant: the whole config it runs with.
struct Variant {
  std::string name;
  ExperimentConfig config;
  ConfigNode changes;  // what differs from the config without variant
};

struct Experiment {
  ExperimentConfig config;  // without variant
  std::vector<Variant> variants;
  std::string baseline;

  // The map for results: every key, and under `variants` what each variant changes; no absolute paths.
  ConfigNode effective() const;
  // The same for running elsewhere: a map that needs no other config; trace files by absolute path.
  ConfigNode portable() const;
};

// Reads a config file with its bases, puts the assignments of --set on top, and names it after the file if it has no name.
// A `validation:` is checked and left out: it says what the result is held against, not what is run.
ConfigNode load_experiment(const std::string& file, const std::vector<std::string>& sets,
                           const std::vector<std::string>& search_dirs);
// The config that replays one trace (one file, or one per process) on the default machine.
ConfigNode experiment_of_trace(const std::vector<std::string>& files, const std::vector<std::string>& sets,
                               const std::vector<std::string>& search_dirs);
// Lays the assignments of --set (or of another option, for errors) over `config`.
void apply_sets(ConfigNode& config, const std::vector<std::string>& sets, const std::vector<std::string>& search_dirs,
                const std::string& option = "--set");

// parse_set() for an assignment that was given with `option`. Throws ConfigError.
ConfigNode parse_assignment(const std::string& text, const std::string& option);

// Checks everything and builds the variants; `only` picks some of them, in the order of the config (empty: all).
// Throws ConfigError.
Experiment resolve_experiment(const ConfigNode& config, const std::vector<std::string>& only,
                              const std::vector<std::string>& search_dirs);

// The keys of `changed` whose values differ from `base`, both written by write_config.
ConfigNode config_difference(const ConfigNode& base, const ConfigNode& changed);

}  // namespace collapsar
