// Departures: the known departures from a real machine, and which of them a run has touched.
//
// Each stands as `Simplified:` at the head of the model that makes it; this is the list for reports.
#pragma once

#include <string>
#include <vector>

#include "sim/core/stats.h"
#include "sim/run/experiment_config.h"

namespace collapsar {

std::vector<std::string> departures_in(const ExperimentConfig& config, const StatTable& stats);

}  // namespace collapsar
