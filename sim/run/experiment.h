// Experiment: runs the variants of a config on the same trace and brings their results together.
//
// Models:      nothing. Each variant has a machine and a trace source of its own, so that variants run side by side and
//              the results do not depend on how many do.
// Errors:      ConfigError and TraceError are the user's; SimulationError names the variant that could not go on.
#pragma once

#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "sim/core/stats.h"
#include "sim/run/experiment_config.h"
#include "sim/run/ranges.h"
#include "sim/run/span_log.h"
#include "sim/run/timeline.h"

namespace collapsar {

// What must be said beside the numbers of a variant: design, "Honest time".
struct HonestTime {
  Duration simulated{};  // after the warm-up
  double scale = 1;      // time.scale
  std::uint64_t wakeups = 0, ranges_per_wakeup = 0;
  std::uint64_t candidates = 0;  // ranges collapsed, and those that could have been next
  std::uint64_t collapsible_at_most = 0;
  std::uint64_t collapsed = 0;
};

// What the story of a range refers to.
struct RunFacts {
  Duration end{};  // from time 0, the warm-up included
  bool has_warmup = false;
  Frequency frequency;
  double scale = 1;  // time.scale
  ThpConfig thp;
  KhugepagedConfig khugepaged;
};

struct VariantResult {
  std::string name;
  TraceInfo trace;
  StatTable stats;
  Timeline timeline;
  std::vector<RangeRow> ranges;
  SpanRecord spans;  // empty if nothing is recorded
  HonestTime honest_time;
  RunFacts facts;
  std::vector<std::string> simplified;  // known departures from a real machine that this run touched
};

struct ExperimentResult {
  std::string name;
  ConfigNode config;  // effective; `variants` holds what each changes
  TraceInfo trace;
  std::string baseline;
  std::vector<VariantResult> variants;  // in the order of the config

  const VariantResult& base() const;
};

// How far one variant is.
struct Progress {
  std::string_view variant;
  std::uint64_t references = 0, total = 0;  // read from the trace; 0: not known
  Duration simulated{};
  std::uint64_t huge_pages = 0;
  bool finished = false;
};

using TraceMaker = std::function<std::unique_ptr<TraceSource>()>;

struct RunOptions {
  std::vector<std::string> variants;     // run only these; empty: all
  std::vector<std::string> search_dirs;  // installed configs
  unsigned jobs = 1;                     // variants side by side
  bool one_event_per_step = false;
  bool check = false;
  bool record = false;  // what the report directory shows beside the numbers: events.json, the map of the address space
  // Called now and then, from the thread that runs the variant; what it throws ends the run.
  std::function<void(const Progress&)> on_progress;
  std::vector<VirtAddr> why;  // addresses whose ranges get a row even if nothing happens there
  // In place of what `trace:` names; called once per variant, one call at a time.
  TraceMaker open_trace;
};

// Throws ConfigError, TraceError, SimulationError. A variant whose khugepaged follows the oracle is preceded by a run without
// huge pages, which counts what each range is worth.
ExperimentResult run_experiment(const ConfigNode& config, const RunOptions& options);

// The trace that a config names. Throws ConfigError, TraceError.
std::unique_ptr<TraceSource> open_trace_of(const ExperimentConfig& config, const RunOptions& options);

}  // namespace collapsar
