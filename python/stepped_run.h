// SteppedRun: one variant, run step by step, looked at and changed in between.
//
// Errors:      ConfigError and TraceError as of a run. After an interrupt the machine stands in the middle of an event: every
//              further step is refused.
#pragma once

#include <memory>
#include <optional>

#include "python/beside.h"
#include "sim/run/variant_run.h"

namespace collapsar {

class SteppedRun {
 public:
  // `variant`: its name; "" for the first one of the config.
  SteppedRun(const ConfigNode& config, const ArrayTrace* trace, const std::string& variant,
             const std::vector<std::string>& search_dirs);
  SteppedRun(const SteppedRun&) = delete;
  SteppedRun& operator=(const SteppedRun&) = delete;

  // Runs up to `until_ns`; nothing: to the end of the trace. True: the trace has ended.
  bool run_until(std::optional<std::int64_t> until_ns);
  // Requires: the trace has ended; once.
  ExperimentResult finish();

  // Writes to a file below /sys/kernel/mm/transparent_hugepage.
  void write_sysfs(const std::string& file, const std::string& value);

  const std::string& name() const { return experiment_.variants.front().name; }
  bool ended() const { return ended_; }
  std::int64_t now_ns();
  // What there is to look at. Throws std::runtime_error once finish() has been called or a step was interrupted.
  Machine& machine();

 private:
  static RunOptions options_of(const ArrayTrace* trace, const std::vector<std::string>& search_dirs);

  RunOptions options_;
  std::function<void()> stop_;  // of the step under way
  Experiment experiment_;
  std::optional<VariantRun> run_;
  std::vector<std::string> changes_;  // for the notes of the result
  bool ended_ = false, interrupted_ = false;
};

}  // namespace collapsar
