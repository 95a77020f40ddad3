// The parts of report.html. What people read without plots is HTML made here; what is plotted is data for the page's scripts.
//
// Every text that comes from outside (names of traces, variants, processes, mappings; notes; the config) passes
// html_escaped(), or stands in the data, in which no "<" is left.
#pragma once

#include <string>
#include <string_view>

#include "sim/run/experiment.h"

namespace collapsar {

std::string html_escaped(std::string_view text);

// report_html_tables.cc
std::string comparison_html(const ExperimentResult& result);
std::string honest_time_html(const ExperimentResult& result);
std::string stalls_html(const ExperimentResult& result);
std::string notes_html(const ExperimentResult& result);

// report_html_worst.cc
std::string worst_ranges_html(const ExperimentResult& result);

// report_html_data.cc: JSON
std::string plot_data(const ExperimentResult& result);

// The histograms that a report shows.
struct ShownHistogram {
  const char* path;
  const char* title;
};
inline constexpr ShownHistogram kShownHistograms[] = {
    {"faults.stall_ns", "Page faults"},
    {"stall.mmap_lock_ns", "Waits for mmap_lock"},
    {"stall.collapse_ns", "Waits behind a collapse"},
    {"stall.compaction_ns", "Stalls in direct compaction"},
    {"swap.latency", "Swap requests"},
};

}  // namespace collapsar
