#include "sim/run/variant_run.h"

#include <algorithm>

#include "sim/run/departures.h"
#include "sim/run/laws.h"

namespace collapsar {

// Has the run report its progress every so many references, however little happens in simulated time.
class VariantRun::WatchedSource : public TraceSource {
 public:
  WatchedSource(std::unique_ptr<TraceSource> source, VariantRun& run) : source_(std::move(source)), run_(run) {}
  const TraceInfo& info() const override { return source_->info(); }
  std::optional<TraceItem> next() override {
    std::optional<TraceItem> item = source_->next();
    if (const TraceRun* records = item ? std::get_if<TraceRun>(&*item) : nullptr)
      references_ += records->records.size();
    if (references_ >= next_report_) {
      next_report_ = references_ + kBetweenReports;
      run_.report_progress(false);
    }
    return item;
  }
  void rewind() override { source_->rewind(); }
  // The run begins; what was read before does not count as progress.
  void start() { references_ = next_report_ = 0; }
  std::uint64_t references() const { return references_; }

 private:
  std::unique_ptr<TraceSource> source_;
  VariantRun& run_;
  static constexpr std::uint64_t kBetweenReports = 65'536;
  std::uint64_t references_ = 0;
  std::uint64_t next_report_ = ~0ULL;
};

namespace {

MachineSwitches switches_of(const Variant& variant, const RunOptions& options) {
  MachineSwitches switches{.one_event_per_step = options.one_event_per_step, .check = options.check};
  if (options.record) switches.record = variant.config.output.events;
  return switches;
}

}  // namespace

VariantRun::VariantRun(const Variant& variant, std::unique_ptr<TraceSource> source, const RunOptions& options)
    : variant_(variant),
      options_(options),
      source_(std::make_unique<WatchedSource>(std::move(source), *this)),
      machine_(variant.config, *source_, switches_of(variant, options)) {
  machine_.scheduler().on_warmup = [this] { warmed_up(); };
  machine_.scheduler().on_end = [this] { ended(); };
  machine_.ranges().ask_for(options_.why);
}

// The agenda may hold the sample event.
VariantRun::~VariantRun() { machine_.queue().clear(); }

void VariantRun::follow(const Hindsight& hindsight) {
  weights_.emplace(hindsight, machine_.kernel().processes());
  machine_.kernel().khugepaged().set_weights(&*weights_);
}

VariantResult VariantRun::run() {
  begin();
  if (!has_ended_) machine_.queue().run();  // a trace without references ends as it begins
  return finish();
}

void VariantRun::begin() {
  machine_.prepare();
  source_->start();
  sample();
}

bool VariantRun::run_until(Time until) {
  if (!has_ended_) machine_.queue().run_until(until);
  return has_ended_;
}

VariantResult VariantRun::finish() {
  const std::uint64_t warmup = variant_.config.trace.replay.warmup;
  SIM_ASSERT(has_ended_ && machine_.scheduler().finished(),
             "variant {}: nothing left to do before the end of the trace", variant_.name);
  if (warmup > 0 && !is_warm_)
    throw ConfigError(fmt::format("trace.warmup: {} references, but the trace has ended after {}", warmup,
                                  machine_.scheduler().references_started()));
  const StatTable total = machine_.collect();
  check_laws(total);
  machine_.check_kernel();

  VariantResult result;
  result.name = variant_.name;
  result.trace = source_->info();
  result.stats = warmup > 0 ? total.minus(at_warmup_) : total;
  result.timeline = std::move(timeline_);
  result.ranges = machine_.ranges().rows();
  result.spans = machine_.take_spans();
  result.honest_time = honest_time(result.stats);
  result.facts = facts();
  result.simplified = departures_in(variant_.config, result.stats);
  report_progress(true);
  return result;
}

void VariantRun::sample() {
  timeline_.push_back(machine_.sample());
  if (options_.check) machine_.check_kernel();
  report_progress(false);
  machine_.queue().schedule_after(sample_, variant_.config.output.interval);
}

void VariantRun::warmed_up() {
  at_warmup_ = machine_.collect();
  machine_.ranges().warmed_up();
  is_warm_ = true;
}

void VariantRun::ended() {
  const TimePoint last = machine_.sample();
  if (!timeline_.empty() && timeline_.back().time_ns == last.time_ns) timeline_.back() = last;
  else timeline_.push_back(last);
  has_ended_ = true;
  machine_.queue().stop();
}

void VariantRun::check_laws(const StatTable& total) const {
  for (const std::string& law : broken_laws(total, variant_.config.mmu.ideal))
    SIM_ASSERT(false, "variant {}: law broken: {}", variant_.name, law);
}

HonestTime VariantRun::honest_time(const StatTable& measured) {
  const auto count = [&](std::string_view path) { return measured.find(path)->integer(); };
  HonestTime honest;
  honest.simulated = Duration(static_cast<std::int64_t>(measured.find("time_ns")->amount));
  honest.scale = variant_.config.time.scale;
  honest.wakeups = count("khugepaged.wakeups");
  honest.collapsed = count("khugepaged.pages_collapsed");
  if (variant_.config.kernel.thp.enabled != ThpEnabled::never)
    honest.ranges_per_wakeup = machine_.kernel().khugepaged().ranges_per_wakeup();
  honest.candidates = honest.collapsed + machine_.ledger().collapsible();
  honest.collapsible_at_most =
      std::max(honest.collapsed, std::min(honest.wakeups * honest.ranges_per_wakeup, honest.candidates));
  return honest;
}

RunFacts VariantRun::facts() {
  const ExperimentConfig& config = variant_.config;
  return {.end = machine_.queue().now() - kTimeZero,
          .has_warmup = config.trace.replay.warmup > 0,
          .frequency = config.cpu.frequency,
          .scale = config.time.scale,
          .thp = config.kernel.thp,
          .khugepaged = config.kernel.khugepaged};
}

void VariantRun::report_progress(bool finished) {
  if (!options_.on_progress) return;
  Progress progress;
  progress.variant = variant_.name;
  progress.references = source_->references();
  progress.total = source_->info().references * variant_.config.trace.replay.repeat;
  progress.simulated = machine_.queue().now() - kTimeZero;
  progress.huge_pages = machine_.ledger().total().huge;
  progress.finished = finished;
  options_.on_progress(progress);
}

}  // namespace collapsar
