// A tuning as people read it; and what a kept point tells of its one variant.
#include <algorithm>
#include <nlohmann/json.hpp>
#include <sstream>

#include "sim/run/report_format.h"
#include "sim/run/tune_run.h"

namespace collapsar {

namespace {

constexpr const char* kSysfs = "/sys/kernel/mm/transparent_hugepage";

// The largest number in one column of a CSV without quoted fields in front of it.
double largest(const std::string& csv, std::string_view wanted) {
  std::istringstream lines(csv);
  std::string line, field;
  std::getline(lines, line);
  std::istringstream names(line);
  std::size_t column = 0;
  while (std::getline(names, field, ',') && field != wanted) ++column;
  double most = 0;
  while (std::getline(lines, line)) {
    std::istringstream fields(line);
    for (std::size_t i = 0; i <= column; ++i) std::getline(fields, field, ',');
    most = std::max(most, std::stod(field));
  }
  return most;
}

std::vector<std::string> cells_of(const Trial& trial, const Tuning& tuning) {
  const Rung& rung = kRungs[trial.knobs.rung];
  const double fewer = tuning.baseline.misses - trial.misses;
  return {std::to_string(trial.knobs.max_ptes_none),
          std::to_string(rung.pages_to_scan),
          fmt::format("{} ms", rung.scan_sleep_ms),
          with_separators(std::uint64_t(trial.misses)),
          tuning.attainable > 0 ? readable_share(fewer / tuning.attainable) : "-",
          readable_bytes(std::uint64_t(trial.peak_rss)),
          readable_time(trial.cpu_ns),
          tuning.chosen && tuning.chosen->knobs == trial.knobs ? "chosen" : ""};
}

std::string table(const Tuning& tuning) {
  std::vector<std::vector<std::string>> rows{{"max_ptes_none", "pages_to_scan", "scan_sleep", "L2 TLB misses",
                                              "of attainable", "highest RSS", "khugepaged", ""}};
  std::vector<Trial> trials = tuning.trials;
  std::stable_sort(trials.begin(), trials.end(), [](const Trial& a, const Trial& b) {
    return std::pair(b.knobs.max_ptes_none, a.knobs.rung) < std::pair(a.knobs.max_ptes_none, b.knobs.rung);
  });
  for (const Trial& trial : trials) rows.push_back(cells_of(trial, tuning));
  return aligned(rows, ">>>>>>>>", "  ");
}

std::string nothing_gained(const Tuning& tuning, std::uint64_t max_rss, const std::string& bound) {
  const Trial& base = tuning.baseline;
  if (max_rss > 0 && base.peak_rss > double(max_rss))
    return fmt::format("no knobs keep within {}: the program alone takes {}\n", readable_bytes(max_rss),
                       readable_bytes(std::uint64_t(base.peak_rss)));
  const auto is_idle = [](const Trial& trial) { return trial.cpu_ns == 0; };
  if (std::all_of(tuning.trials.begin(), tuning.trials.end(), is_idle))
    return fmt::format(
        "nothing can be said: in {} of simulated time khugepaged never came to work; time.scale and trace.repeat make "
        "the run longer\n",
        readable_time(base.simulated_ns));
  return fmt::format("nothing to be gained: no knobs tried give fewer misses{}\n", bound);
}

std::string setting(const char* file, const std::string& value) {
  return fmt::format("  echo {} > {}/{}\n", value, kSysfs, file);
}

std::string settings(const Knobs& knobs, const std::string& enabled) {
  const Rung& rung = kRungs[knobs.rung];
  return setting("enabled", enabled) + setting("khugepaged/pages_to_scan", std::to_string(rung.pages_to_scan)) +
         setting("khugepaged/scan_sleep_millisecs", std::to_string(rung.scan_sleep_ms)) +
         setting("khugepaged/max_ptes_none", std::to_string(knobs.max_ptes_none));
}

}  // namespace

Trial read_trial(const PointStore& store, const SweepPoint& point) {
  const auto result = nlohmann::json::parse(store.read(point.identity, "result.json"));
  const nlohmann::json& stats = *result["variants"].begin();
  Trial trial;
  for (const char* level : {"mmu.l2.misses", "mmu.l2i.misses", "mmu.l2d.misses"})
    trial.misses += stats.value(level, 0.0);
  trial.cpu_ns = stats["khugepaged.cpu_ns"].get<double>();
  trial.simulated_ns = stats["time_ns"].get<double>();
  trial.peak_rss = largest(store.read(point.identity, "timeseries.csv"), "memory.rss_bytes");
  return trial;
}

std::string tuning_report(const Tuning& tuning, std::uint64_t max_rss, const std::string& enabled) {
  const Trial& base = tuning.baseline;
  std::string out = table(tuning);
  out += fmt::format("\nwithout huge pages: {} L2 TLB misses, highest RSS {}, {} simulated\n",
                     with_separators(std::uint64_t(base.misses)), readable_bytes(std::uint64_t(base.peak_rss)),
                     readable_time(base.simulated_ns));
  const std::string bound = max_rss == 0 ? "" : fmt::format(" with RSS of at most {}", readable_bytes(max_rss));
  if (!tuning.chosen) return out + nothing_gained(tuning, max_rss, bound);
  out +=
      fmt::format("attainable, by the most eager khugepaged{}: {} fewer, {} of all\n", bound,
                  with_separators(std::uint64_t(tuning.attainable)), readable_share(tuning.attainable / base.misses));
  return out +
         fmt::format("{} of that at the least CPU time of khugepaged tried, {}:\n\n", readable_share(kShare),
                     readable_time(tuning.chosen->cpu_ns)) +
         settings(tuning.chosen->knobs, enabled);
}

}  // namespace collapsar
