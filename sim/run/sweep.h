// Sweep: a config run at every combination of some keys' values.
//
// Points:      one per combination, the first key slowest; every variant of the config runs at each. All are checked before
//              the first one runs. Two points that come to the same experiment are refused.
// Errors:      ConfigError and TraceError end the sweep. A simulation that cannot go on (out of simulated memory) is the
//              outcome of its point; the others go on.
// Finished:    points are kept in a PointStore and not run again.
#pragma once

#include "sim/run/point_store.h"

namespace collapsar {

// "a.b.c=v1,v2,[x, y]": values are separated by commas outside of brackets and quotes, each as --set takes it.
struct SweepAxis {
  std::string key;
  std::vector<std::string> values;
};
// Throws ConfigError, placed at "--vary a.b.c=...".
SweepAxis parse_axis(const std::string& text);

struct SweepPoint {
  std::vector<std::string> values;  // one per axis
  ConfigNode config;
  PointIdentity identity;
  std::size_t variants = 0;  // that run
};

// More are a slip of the keyboard: at a second each they take a day.
inline constexpr std::size_t kMostPoints = 100'000;

struct Sweep {
  std::vector<SweepAxis> axes;
  std::vector<SweepPoint> points;
};
// Throws ConfigError, TraceError.
Sweep make_sweep(const ConfigNode& config, const std::vector<SweepAxis>& axes, const RunOptions& options);

struct PointOutcome {
  enum class State : std::uint8_t { done, kept, failed } state = State::done;  // kept: finished before this sweep
  std::string error;                                                           // failed
};

// Runs what the store does not have, on options.jobs threads. Outcomes in the order of the points. `on_finished` is called
// for each point, one call at a time.
using PointWatcher = std::function<void(std::size_t point, const PointOutcome& outcome)>;
std::vector<PointOutcome> run_sweep(const Sweep& sweep, const PointStore& store, const RunOptions& options,
                                    const PointWatcher& on_finished = {});

// One line per point and variant, and the same as CSV with every number of result.json; histograms as .count, .sum, .max,
// .p50, .p90 and .p99. Both read what the store has.
std::string sweep_table(const Sweep& sweep, const std::vector<PointOutcome>& outcomes, const PointStore& store);
std::string sweep_csv(const Sweep& sweep, const std::vector<PointOutcome>& outcomes, const PointStore& store);

}  // namespace collapsar
