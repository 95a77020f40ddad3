#include "sim/run/tune.h"

#include <algorithm>
#include <tuple>

namespace collapsar {

namespace {

class Tuner {
 public:
  Tuner(const Trial& baseline, const Measure& measure, std::uint64_t max_rss) : measure_(measure), max_rss_(max_rss) {
    tuning_.baseline = baseline;
  }

  Tuning run() {
    std::vector<Knobs> eager;
    for (const std::uint64_t none : kMaxPtesNone) eager.push_back({none, 0});
    measure(eager);
    for (const Trial& trial : tuning_.trials)
      if (is_within(trial)) tuning_.attainable = std::max(tuning_.attainable, reduction(trial));
    tuning_.goal = kShare * tuning_.attainable;
    if (tuning_.attainable > 0) slow_down();
    choose();
    return std::move(tuning_);
  }

 private:
  // The slowest rung known to reach the goal, and the first known, or taken, not to.
  struct Search {
    std::uint64_t none;
    std::size_t reaches = 0, fails = kRungCount;
    std::size_t middle() const { return (reaches + fails) / 2; }
    bool is_done() const { return fails - reaches <= 1; }
  };

  // All values of max_ptes_none go on side by side.
  void slow_down() {
    std::vector<Search> searches;
    for (std::size_t i = 0; i < tuning_.trials.size(); ++i)
      if (reduction(tuning_.trials[i]) >= tuning_.goal && !is_repetition(i))
        searches.push_back({tuning_.trials[i].knobs.max_ptes_none});
    while (!searches.empty()) {
      std::vector<Knobs> next;
      for (const Search& search : searches) next.push_back({search.none, search.middle()});
      const std::size_t first = tuning_.trials.size();
      measure(next);
      for (std::size_t i = 0; i < searches.size(); ++i) {
        const bool reaches = reduction(tuning_.trials[first + i]) >= tuning_.goal;
        (reaches ? searches[i].reaches : searches[i].fails) = searches[i].middle();
      }
      std::erase_if(searches, [](const Search& search) { return search.is_done(); });
    }
  }

  // Of equals the slower, then the one that is tried first.
  void choose() {
    for (const Trial& trial : tuning_.trials) {
      if (tuning_.attainable <= 0 || reduction(trial) < tuning_.goal || !is_within(trial)) continue;
      const auto cost = [](const Trial& t) { return std::pair(t.cpu_ns, kRungCount - t.knobs.rung); };
      if (!tuning_.chosen || cost(trial) < cost(*tuning_.chosen)) tuning_.chosen = trial;
    }
  }

  void measure(const std::vector<Knobs>& knobs) {
    for (Trial& trial : measure_(knobs)) tuning_.trials.push_back(trial);
  }
  // A limit that changes nothing at the most eager rate is taken to change nothing at slower ones.
  bool is_repetition(std::size_t trial) const {
    const auto figures = [](const Trial& t) { return std::tuple(t.misses, t.peak_rss, t.cpu_ns); };
    const auto end = tuning_.trials.begin() + std::ptrdiff_t(trial);
    return std::any_of(tuning_.trials.begin(), end, [&](const Trial& t) { return figures(t) == figures(*end); });
  }
  double reduction(const Trial& trial) const { return tuning_.baseline.misses - trial.misses; }
  bool is_within(const Trial& trial) const { return max_rss_ == 0 || trial.peak_rss <= double(max_rss_); }

  Tuning tuning_;
  const Measure& measure_;
  std::uint64_t max_rss_;
};

}  // namespace

Tuning tune(const Trial& baseline, const Measure& measure, std::uint64_t max_rss) {
  return Tuner(baseline, measure, max_rss).run();
}

}  // namespace collapsar
