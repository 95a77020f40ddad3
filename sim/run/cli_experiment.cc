#include "sim/run/cli_experiment.h"

#include <cstdio>
#include <thread>

namespace collapsar {

namespace {

bool is_config(const std::string& file) { return file.ends_with(".yaml") || file.ends_with(".yml"); }

}  // namespace

ConfigNode config_of(const CommandOptions& options, const char* command, const std::vector<std::string>& search_dirs) {
  const Arguments& files = options.arguments();
  if (!is_config(files.front())) return experiment_of_trace(files, options.all("set"), search_dirs);
  if (files.size() > 1) throw UsageError(fmt::format("{}: one config at a time; {} is too much", command, files[1]));
  return load_experiment(files.front(), options.all("set"), search_dirs);
}

std::string name_of(const ConfigNode& config) {
  const ConfigNode* name = config.child("name");
  return name && name->is_scalar() && !name->text.empty() ? name->text : "collapsar";
}

void print(const std::string& text) { std::fwrite(text.data(), 1, text.size(), stdout); }

unsigned jobs_of(const CommandOptions& options, const char* command) {
  const std::uint64_t jobs = options.count("jobs", std::max(1U, std::thread::hardware_concurrency()));
  if (jobs == 0 || jobs > 1024) throw UsageError(fmt::format("{}: --jobs {}: 1 to 1024", command, jobs));
  return unsigned(jobs);
}

}  // namespace collapsar
