// VariantRun: one variant from the empty machine to its result: warm up, measure, stop.
#pragma once

#include "sim/run/experiment.h"
#include "sim/run/machine.h"

namespace collapsar {

class VariantRun {
 public:
  VariantRun(const Variant& variant, std::unique_ptr<TraceSource> source, const RunOptions& options);
  VariantRun(const VariantRun&) = delete;
  VariantRun& operator=(const VariantRun&) = delete;
  ~VariantRun();

  VariantResult run();

 private:
  class WatchedSource;  // the trace, with a look at how far it is

  void sample();
  void warmed_up();
  void ended();
  void check_laws(const StatTable& total) const;
  HonestTime honest_time(const StatTable& measured);
  RunFacts facts();
  void report_progress(bool finished);

  const Variant& variant_;
  const RunOptions& options_;
  std::unique_ptr<WatchedSource> source_;
  Machine machine_;
  Event sample_ = event<&VariantRun::sample>(this, "experiment.sample", Phase::observe);
  Timeline timeline_;
  StatTable at_warmup_;
  bool is_warm_ = false;
};

}  // namespace collapsar
