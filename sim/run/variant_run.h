// VariantRun: one variant from the empty machine to its result: warm up, measure, stop.
#pragma once

#include "sim/run/experiment.h"
#include "sim/run/hindsight.h"
#include "sim/run/machine.h"

namespace collapsar {

class VariantRun {
 public:
  VariantRun(const Variant& variant, std::unique_ptr<TraceSource> source, const RunOptions& options);
  VariantRun(const VariantRun&) = delete;
  VariantRun& operator=(const VariantRun&) = delete;
  ~VariantRun();

  // What khugepaged is told of the ranges (policy oracle); must outlive this. Before run().
  void follow(const Hindsight& hindsight);
  VariantResult run();

  // The same in steps: begin(), run_until() until it says that the trace has ended, finish(). The steps do not change the
  // result.
  void begin();
  // Runs what is due at or before `until`. True: the trace has ended, the clock stands at its end.
  bool run_until(Time until);
  VariantResult finish();
  Machine& machine() { return machine_; }

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
  std::optional<HindsightWeights> weights_;
  Event sample_ = event<&VariantRun::sample>(this, "experiment.sample", Phase::observe);
  Timeline timeline_;
  StatTable at_warmup_;
  bool is_warm_ = false, has_ended_ = false;
};

}  // namespace collapsar
