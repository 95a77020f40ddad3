#include "sim/run/cli_progress.h"

#include <algorithm>

#include "sim/run/report_format.h"

namespace collapsar {

namespace {

std::string millions(double n) { return fmt::format("{:.1f} M", n / 1e6); }

std::string speed(double references, double seconds) { return millions(seconds > 0 ? references / seconds : 0) + "/s"; }

class WatchedTrace : public TraceSource {
 public:
  WatchedTrace(std::unique_ptr<TraceSource> source, TraceProgress& progress)
      : source_(std::move(source)), progress_(progress) {}
  const TraceInfo& info() const override { return source_->info(); }
  std::optional<TraceItem> next() override {
    std::optional<TraceItem> item = source_->next();
    if (item)
      if (const auto* run = std::get_if<TraceRun>(&*item)) progress_.add(run->records.size());
    return item;
  }
  void rewind() override { source_->rewind(); }

 private:
  std::unique_ptr<TraceSource> source_;
  TraceProgress& progress_;
};

}  // namespace

void ProgressLine::watch(RunOptions& options) {
  if (line_.is_on()) options.on_progress = [this](const Progress& progress) { update(progress); };
}

void ProgressLine::update(const Progress& progress) {
  const std::lock_guard lock(mutex_);
  auto it = states_.find(progress.variant);
  if (it == states_.end()) it = states_.emplace(std::string(progress.variant), State{}).first;
  if (it->second.finished) ++ended_, ended_references_ += it->second.references;
  it->second = {progress.references, progress.total, progress.huge_pages, progress.simulated, progress.finished};
  if (progress.references > 0 && line_.is_due()) line_.show(text());
}

std::string ProgressLine::text() const {
  double done = double(ended_references_), total = done;
  std::size_t finished = ended_;
  std::string running;
  bool is_total_known = true;
  for (const auto& [name, state] : states_) {
    done += double(state.references), total += double(std::max(state.total, state.references));
    is_total_known = is_total_known && state.total > 0;
    if (state.finished) ++finished;
    else
      running += fmt::format("  {}: {} simulated, {} huge pages", name, readable_time(to_ns(state.simulated)),
                             with_separators(state.huge_pages));
  }
  const double begun = double(ended_ + states_.size());
  total *= std::max(double(work_.runs), begun) / begun;
  std::string left = is_total_known && total > 0 ? time_left(done / total, line_.seconds()) : "";
  if (work_.is_bound && !left.empty()) left += " at most";
  return fmt::format("{}{}/{} {}  {} refs  {}{}{}", work_.label, finished, work_.runs, work_.unit, millions(done),
                     speed(done, line_.seconds()), left, running);
}

std::unique_ptr<TraceSource> TraceProgress::watch(std::unique_ptr<TraceSource> source, std::uint64_t total) {
  total_ = total;
  return line_.is_on() ? std::make_unique<WatchedTrace>(std::move(source), *this) : std::move(source);
}

void TraceProgress::add(std::uint64_t references) {
  read_ += references;
  if (line_.is_due()) line_.show(references_done(doing_, read_, total_, line_.seconds()));
}

std::string references_done(const char* doing, std::uint64_t done, std::uint64_t total, double seconds) {
  return fmt::format("{} {} refs  {}{}", doing, millions(double(done)), speed(double(done), seconds),
                     total > 0 ? time_left(double(done) / double(total), seconds) : "");
}

}  // namespace collapsar
