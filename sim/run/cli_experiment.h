// What the commands that run experiments have in common: CONFIG.yaml or TRACE..., --set, --jobs, what they print.
#pragma once

#include "sim/run/cli_options.h"
#include "sim/run/experiment.h"

namespace collapsar {

// The config that the arguments name: a config file, or trace files on the default machine; --set laid over it.
ConfigNode config_of(const CommandOptions& options, const char* command, const std::vector<std::string>& search_dirs);

// The name of the experiment, for files and headings; "collapsar" where the config has none.
std::string name_of(const ConfigNode& config);
void print(const std::string& text);  // on standard output, as it is

// --jobs; without it, one per CPU of this computer. Throws UsageError.
unsigned jobs_of(const CommandOptions& options, const char* command);

}  // namespace collapsar
