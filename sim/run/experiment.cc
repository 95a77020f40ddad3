#include "sim/run/experiment.h"

#include <atomic>
#include <exception>
#include <optional>
#include <thread>

#include "sim/run/hindsight.h"
#include "sim/run/variant_run.h"

namespace collapsar {

namespace {

// Runs the variants on `jobs` threads. What goes wrong is kept in its variant's place, so that the first in the order of
// the config is reported, whichever thread was faster.
class Runner {
 public:
  Runner(const Experiment& experiment, const RunOptions& options)
      : experiment_(experiment),
        options_(options),
        results_(experiment.variants.size()),
        errors_(experiment.variants.size()) {}

  std::vector<VariantResult> run() {
    const std::size_t workers = std::min<std::size_t>(std::max(1U, options_.jobs), results_.size());
    {
      std::vector<std::jthread> threads;
      for (std::size_t i = 1; i < workers; ++i) threads.emplace_back([this] { work(); });
      work();
    }
    for (const std::exception_ptr& error : errors_)
      if (error) std::rethrow_exception(error);
    std::vector<VariantResult> results;
    for (auto& result : results_) results.push_back(std::move(*result));
    return results;
  }

 private:
  void work() {
    for (std::size_t i = next_++; i < results_.size() && !failed_; i = next_++) {
      try {
        results_[i] = run_variant(experiment_.variants[i]);
      } catch (...) {
        errors_[i] = std::current_exception();
        failed_ = true;
      }
    }
  }

  VariantResult run_variant(const Variant& variant) {
    try {
      if (variant.config.kernel.khugepaged.policy != CollapsePolicy::oracle) return replay(variant, nullptr);
      const Hindsight hindsight(replay(first_pass(variant), nullptr).ranges);
      return replay(variant, &hindsight);
    } catch (const SimulationError& error) {
      throw SimulationError(fmt::format("variant {}: {}", variant.name, error.what()));
    }
  }

  VariantResult replay(const Variant& variant, const Hindsight* hindsight) {
    VariantRun run(variant, open(variant), options_);
    if (hindsight) run.follow(*hindsight);
    return run.run();
  }

  std::unique_ptr<TraceSource> open(const Variant& variant) {
    const std::lock_guard lock(opening_);
    return open_trace_of(variant.config, options_);
  }

  const Experiment& experiment_;
  const RunOptions& options_;
  std::vector<std::optional<VariantResult>> results_;
  std::vector<std::exception_ptr> errors_;
  std::atomic<std::size_t> next_ = 0;
  std::atomic<bool> failed_ = false;
  std::mutex opening_;
};

}  // namespace

const VariantResult& ExperimentResult::base() const {
  for (const VariantResult& variant : variants)
    if (variant.name == baseline) return variant;
  SIM_ASSERT(false, "the baseline {} is not among the results", baseline);
  __builtin_unreachable();
}

std::unique_ptr<TraceSource> open_trace_of(const ExperimentConfig& config, const RunOptions& options) {
  const TraceConfig& trace = config.trace;
  std::unique_ptr<TraceSource> source;
  if (options.open_trace) {
    source = options.open_trace();
  } else if (!trace.synthetic.empty()) {
    source = make_synthetic(trace.synthetic, config.seed);
  } else {
    if (trace.empty()) throw ConfigError("trace: nothing to replay; write trace.file or trace.synthetic");
    std::vector<std::string> files;
    for (const FilePath& file : trace.file) files.push_back(file.resolved());
    source = open_trace(files);
  }
  if (trace.skip == 0 && trace.limit == 0) return source;
  return make_window(std::move(source), trace.skip, trace.limit);
}

ExperimentResult run_experiment(const ConfigNode& config, const RunOptions& options) {
  const Experiment experiment = resolve_experiment(config, options.variants, options.search_dirs);
  ExperimentResult result;
  result.name = experiment.config.name;
  result.config = experiment.effective();
  result.baseline = experiment.baseline;
  result.variants = Runner(experiment, options).run();
  result.trace = result.base().trace;
  return result;
}

}  // namespace collapsar
