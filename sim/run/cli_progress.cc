#include "sim/run/cli_progress.h"

#include <unistd.h>

#include <algorithm>
#include <cstdio>

#include "sim/run/report_format.h"

namespace collapsar {

namespace {

constexpr auto kBetweenLines = std::chrono::milliseconds(200);

std::string millions(double n) { return fmt::format("{:.1f} M", n / 1e6); }

}  // namespace

ProgressLine::ProgressLine(std::size_t variants, bool wanted)
    : variants_(variants), is_on_(wanted && ::isatty(STDERR_FILENO) == 1) {}

ProgressLine::~ProgressLine() {
  if (is_on_ && shown_ != Clock::time_point{}) std::fputs("\r\033[K", stderr);
}

void ProgressLine::update(const Progress& progress) {
  const std::lock_guard lock(mutex_);
  auto it = states_.find(progress.variant);
  if (it == states_.end()) it = states_.emplace(std::string(progress.variant), State{}).first;
  it->second = {progress.references, progress.total, progress.huge_pages, progress.simulated, progress.finished};
  const Clock::time_point now = Clock::now();
  if (!is_on_ || now - shown_ < kBetweenLines) return;
  shown_ = now;
  std::fputs(("\r\033[K" + line(std::chrono::duration<double>(now - start_).count())).c_str(), stderr);
  std::fflush(stderr);
}

std::string ProgressLine::line(double seconds) const {
  double done = 0, total = 0;
  std::size_t finished = 0;
  std::string running;
  bool is_total_known = true;
  for (const auto& [name, state] : states_) {
    done += double(state.references), total += double(std::max(state.total, state.references));
    is_total_known = is_total_known && state.total > 0;
    if (state.finished) {
      ++finished;
      continue;
    }
    running += fmt::format("  {}: {} simulated, {} huge pages", name, readable_time(to_ns(state.simulated)),
                           with_separators(state.huge_pages));
  }
  total *= double(variants_) / double(states_.size());
  std::string out = fmt::format("{}/{} variants  {} refs  {}/s", finished, variants_, millions(done),
                                millions(seconds > 0 ? done / seconds : 0));
  if (is_total_known && done > 0)
    out += fmt::format("  {:.0f} %  {:.0f} s left", 100 * done / total, seconds * (total - done) / done);
  return (out + running).substr(0, 118);
}

}  // namespace collapsar
