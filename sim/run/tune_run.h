// The trials of a tuning as points of a sweep: kept on disk, run side by side.
#pragma once

#include "sim/run/sweep.h"
#include "sim/run/tune.h"

namespace collapsar {

class TuneRuns {
 public:
  // `variant` of `config` is tuned. Throws ConfigError if there is none, or if it has huge pages off.
  TuneRuns(const ConfigNode& config, const std::string& variant, const PointStore& store, const RunOptions& options);
  Trial baseline();
  std::vector<Trial> measure(const std::vector<Knobs>& knobs);
  const std::string& enabled() const { return enabled_; }  // thp.enabled of the variant
  bool at_fault() const { return at_fault_; }

 private:
  ConfigNode config_with(const Knobs& knobs) const;
  // Throws SimulationError if a point cannot go on.
  std::vector<Trial> run(const std::vector<ConfigNode>& configs);

  ConfigNode config_, variant_;
  const PointStore& store_;
  const RunOptions& options_;
  PointIdentities identities_;
  std::string enabled_;
  bool at_fault_ = true;
};

// What a kept point of one variant tells. report_tune.cc.
Trial read_trial(const PointStore& store, const SweepPoint& point);

}  // namespace collapsar
