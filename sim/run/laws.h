// Laws: what must hold between the counts of any run, whatever the machine and the trace.
#pragma once

#include <string>
#include <vector>

#include "sim/core/stats.h"

namespace collapsar {

// The laws that a table from time 0 to the end of a run breaks, each as "name: left side n, right side m". `ideal_tlb`:
// look-ups that never miss.
std::vector<std::string> broken_laws(const StatTable& table, bool ideal_tlb);

}  // namespace collapsar
