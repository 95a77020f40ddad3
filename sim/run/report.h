// Report: an experiment's result as text for people, JSON and CSV.
//
// JSON and CSV hold the same bytes wherever and whenever a run is made: no clock, no absolute path. Names are those of
// design 4.
#pragma once

#include <string>
#include <vector>

#include "sim/run/experiment.h"

namespace collapsar {

inline constexpr int kResultSchema = 1;

// The comparison table, the honest-time lines, the notes. At most 120 columns wide.
std::string table_report(const ExperimentResult& result);
// When each variant had how much of its anonymous memory in huge pages; empty where no variant had a quarter of it. As fine as
// output.interval.
std::string coverage_report(const ExperimentResult& result);
// What each variant saves of the baseline's page-walk cycles, beside what the oracle saves; empty without a variant that
// follows the oracle.
std::string gain_report(const ExperimentResult& result);
// Lines that say how much simulated time the numbers stand for.
std::string honest_time_report(const ExperimentResult& result);

// result.json. `why`: addresses whose ranges are explained in it.
std::string json_report(const ExperimentResult& result, const std::vector<VirtAddr>& why = {});
// The numbers of one variant, as under `variants` in result.json.
std::string json_of_stats(const StatTable& stats);
std::string timeseries_csv(const ExperimentResult& result);
std::string ranges_csv(const ExperimentResult& result);
// events.json: spans and counters for a trace viewer.
std::string events_report(const ExperimentResult& result);
// One sentence for each kind of track of events.json that shows less than there was.
std::vector<std::string> left_out_notes(const ExperimentResult& result);
// report.html: one page that needs nothing else. Shows what was recorded (RunOptions::record).
std::string html_report(const ExperimentResult& result);

// Why the 2 MiB range of an address is huge or not, in sentences: one answer per process that has it and variant.
struct WhyAnswer {
  std::uint32_t pid = 0;
  std::string variant, text;
};
std::vector<WhyAnswer> explain(const ExperimentResult& result, VirtAddr address);
std::string why_report(const ExperimentResult& result, VirtAddr address);

// Makes `directory` if it is not there and sees that files can be written in it. Throws ConfigError.
void prepare_report_directory(const std::string& directory);
// The same for what is written at the end of a long run: if nothing was, the directories that it made go away with it.
class ReportDirectory {
 public:
  explicit ReportDirectory(const std::string& directory);  // "": none
  ReportDirectory(const ReportDirectory&) = delete;
  ReportDirectory& operator=(const ReportDirectory&) = delete;
  ~ReportDirectory();

 private:
  std::vector<std::string> made_;  // innermost first
};
// Writes one file: under a temporary name, then renamed. Throws ConfigError.
void write_whole_file(const std::string& path, const std::string& text);
// Writes report.html, result.json, timeseries.csv, ranges.csv, events.json: all under temporary names, then renamed, so that a reader never meets
// half a file. Throws ConfigError.
void write_report(const ExperimentResult& result, const std::string& directory, const std::vector<VirtAddr>& why = {});

}  // namespace collapsar
