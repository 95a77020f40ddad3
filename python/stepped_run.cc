#include "python/stepped_run.h"

#include <cerrno>

#include "models/kernel/sysfs.h"
#include "sim/run/report_format.h"

namespace collapsar {

SteppedRun::SteppedRun(const ConfigNode& config, const ArrayTrace* trace, const std::string& variant,
                       const std::vector<std::string>& search_dirs)
    : options_(options_of(trace, search_dirs)) {
  std::vector<std::string> chosen{variant};
  if (variant.empty()) chosen = {resolve_experiment(config, {}, search_dirs).variants.front().name};
  experiment_ = resolve_experiment(config, chosen, search_dirs);
  const Variant& only = experiment_.variants.front();
  if (only.config.kernel.khugepaged.policy == CollapsePolicy::oracle)
    throw ConfigError(fmt::format(
        "variant {}: kernel.khugepaged.policy: oracle needs a run before; it cannot be stepped", only.name));
  options_.on_progress = [this](const Progress&) {
    if (stop_) stop_();
  };
  run_.emplace(only, open_trace_of(only.config, options_), options_);
  run_->begin();
}

RunOptions SteppedRun::options_of(const ArrayTrace* trace, const std::vector<std::string>& search_dirs) {
  RunOptions options;
  options.search_dirs = search_dirs;
  options.open_trace = maker_of(trace);
  return options;
}

bool SteppedRun::run_until(std::optional<std::int64_t> until_ns) {
  const Time until = until_ns ? kTimeZero + std::chrono::nanoseconds(*until_ns) : kNever;
  if (until < machine().queue().now() && !ended_)
    throw std::invalid_argument(fmt::format("time: {} ns has passed; the clock stands at {} ns", *until_ns, now_ns()));
  try {
    ended_ = run_beside<bool>([&](const StopTest& stop) {
      stop_ = stop;
      const bool has_ended = run_->run_until(until);
      stop_ = {};
      return has_ended;
    });
  } catch (...) {
    stop_ = {};
    interrupted_ = true;
    throw;
  }
  return ended_;
}

ExperimentResult SteppedRun::finish() {
  machine();
  if (!ended_) throw std::runtime_error("the trace has not ended; run() goes on to its end");
  ExperimentResult result;
  result.name = experiment_.config.name;
  result.config = experiment_.effective();
  result.baseline = experiment_.baseline;
  result.variants.push_back(run_->finish());
  result.trace = result.variants.front().trace;
  for (const std::string& change : changes_) result.trace.notes.push_back(change);
  run_.reset();
  return result;
}

void SteppedRun::write_sysfs(const std::string& file, const std::string& value) {
  const int error = collapsar::write_sysfs(machine().kernel(), file, value);
  if (error == ENOENT)
    throw std::invalid_argument(
        fmt::format("{}: no such file in /sys/kernel/mm/transparent_hugepage of this kernel", file));
  if (error == EACCES) throw std::invalid_argument(fmt::format("{}: can only be read (EACCES)", file));
  if (error != 0) throw std::invalid_argument(fmt::format("{}: the kernel refuses {} (EINVAL)", file, value));
  const std::string word = value.substr(0, value.find('\n'));
  changes_.push_back(fmt::format("{} set to {} at {}", file, word, readable_time(double(now_ns()))));
}

std::int64_t SteppedRun::now_ns() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(machine().queue().now() - kTimeZero).count();
}

Machine& SteppedRun::machine() {
  if (interrupted_) throw std::runtime_error("a step was interrupted in the middle of an event; make a new Simulation");
  if (!run_) throw std::runtime_error("result() has ended the simulation; make a new Simulation");
  return run_->machine();
}

}  // namespace collapsar
