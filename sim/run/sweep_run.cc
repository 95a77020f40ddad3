// Runs the points of a sweep side by side.
#include <atomic>
#include <exception>
#include <thread>

#include "sim/run/sweep.h"

namespace collapsar {

namespace {

class SweepRunner {
 public:
  SweepRunner(const Sweep& sweep, const PointStore& store, const RunOptions& options, const PointWatcher& on_finished)
      : sweep_(sweep), store_(store), options_(options), on_finished_(on_finished), outcomes_(sweep.points.size()) {}

  std::vector<PointOutcome> run() {
    find_kept();
    const std::size_t workers = std::min<std::size_t>(std::max(1U, options_.jobs), to_run_.size());
    if (workers > 0) jobs_of_point_ = unsigned(options_.jobs / workers);
    {
      std::vector<std::jthread> threads;
      for (std::size_t i = 1; i < workers; ++i) threads.emplace_back([this] { work(); });
      work();
    }
    if (error_) std::rethrow_exception(error_);
    return std::move(outcomes_);
  }

 private:
  void find_kept() {
    for (std::size_t i = 0; i < sweep_.points.size(); ++i) {
      if (store_.has(sweep_.points[i].identity)) finish(i, {PointOutcome::State::kept, {}});
      else to_run_.push_back(i);
    }
  }

  void work() {
    for (std::size_t i = next_++; i < to_run_.size() && !stopped_; i = next_++) {
      try {
        finish(to_run_[i], run_point(to_run_[i]));
      } catch (...) {
        const std::lock_guard lock(mutex_);
        if (!error_) error_ = std::current_exception();
        stopped_ = true;
      }
    }
  }

  PointOutcome run_point(std::size_t point) {
    RunOptions options = options_;
    options.jobs = std::max(1U, jobs_of_point_);
    if (options_.on_progress) options.on_progress = [this, point](const Progress& p) { pass_on(point, p); };
    try {
      store_.put(sweep_.points[point].identity, files_of(run_experiment(sweep_.points[point].config, options)));
      return {};
    } catch (const SimulationError& error) {
      return {PointOutcome::State::failed, error.what()};
    }
  }

  // Variants of different points have the same names.
  void pass_on(std::size_t point, Progress progress) {
    const std::string name = fmt::format("point {} {}", point + 1, progress.variant);
    progress.variant = name;
    options_.on_progress(progress);
  }

  void finish(std::size_t point, PointOutcome outcome) {
    const std::lock_guard lock(mutex_);
    outcomes_[point] = std::move(outcome);
    if (on_finished_) on_finished_(point, outcomes_[point]);
  }

  const Sweep& sweep_;
  const PointStore& store_;
  const RunOptions& options_;
  const PointWatcher& on_finished_;
  std::vector<PointOutcome> outcomes_;
  std::vector<std::size_t> to_run_;
  unsigned jobs_of_point_ = 1;
  std::atomic<std::size_t> next_ = 0;
  std::atomic<bool> stopped_ = false;
  std::mutex mutex_;
  std::exception_ptr error_;
};

}  // namespace

std::vector<PointOutcome> run_sweep(const Sweep& sweep, const PointStore& store, const RunOptions& options,
                                    const PointWatcher& on_finished) {
  return SweepRunner(sweep, store, options, on_finished).run();
}

}  // namespace collapsar
