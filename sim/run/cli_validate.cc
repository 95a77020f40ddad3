// collapsar validate: the published figures, ours beside them.
#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <thread>

#include "sim/run/cli_options.h"
#include "sim/run/cli_progress.h"
#include "sim/run/validation.h"

namespace collapsar {

namespace fs = std::filesystem;

namespace {

std::vector<fs::path> folders() {
  std::vector<fs::path> found;
  for (const std::string& dir : installed_configs())
    if (fs::is_directory(fs::path(dir) / "validation")) found.push_back(fs::path(dir) / "validation");
  return found;
}

// In order of name; a file of an earlier folder hides one of the same name.
std::map<std::string, std::string> installed() {
  std::map<std::string, std::string> files;
  for (const fs::path& folder : folders())
    for (const auto& entry : fs::directory_iterator(folder))
      if (entry.path().extension() == ".yaml") files.emplace(entry.path().stem(), entry.path());
  return files;
}

std::vector<std::string> names_of(const std::map<std::string, std::string>& files) {
  std::vector<std::string> names;
  for (const auto& [name, file] : files) names.push_back(name);
  return names;
}

std::string file_of(const std::string& name, const std::map<std::string, std::string>& known) {
  if (name.ends_with(".yaml") || name.ends_with(".yml")) return name;
  if (const auto found = known.find(name); found != known.end()) return found->second;
  const std::vector<std::string> names = names_of(known);
  const std::string guess = closest(name, names);
  throw UsageError(fmt::format("validate: unknown name {} (known here: {}){}", name, fmt::join(names, ", "),
                               guess.empty() ? "" : "; did you mean " + guess + "?"));
}

std::vector<std::string> files_of(const Arguments& names) {
  const std::map<std::string, std::string> known = installed();
  std::vector<std::string> files;
  for (const std::string& name : names) files.push_back(file_of(name, known));
  if (!names.empty()) return files;
  for (const auto& [name, file] : known) files.push_back(file);
  if (files.empty()) throw UsageError("validate: no configs are installed beside the program; name a file");
  return files;
}

ValidationResult run_with_progress(const std::string& file, const std::string& label, RunOptions run, bool quiet) {
  const Experiment experiment = resolve_experiment(load_experiment(file, {}, run.search_dirs), {}, run.search_dirs);
  ProgressLine line({experiment.variants.size(), "variants", label}, !quiet);
  line.watch(run);
  return run_validation(file, run);
}

// What was missed stands out.
std::string painted(std::string text, const Paint& paint) {
  for (const std::string word : {"MISSED", "missed:"})
    for (std::size_t at = text.find(word); paint.is_on() && at != text.npos; at = text.find(word, at)) {
      const std::string bad = paint.bad(word);
      text.replace(at, word.size(), bad);
      at += bad.size();
    }
  return text;
}

}  // namespace

std::vector<std::string> installed_validations() { return names_of(installed()); }

CommandOptions options_of_validate() {
  CommandOptions options(
      "validate", "validate [NAME | FILE.yaml]... [OPTION]...",
      "Runs experiments whose outcome was measured on real machines or published, and prints both\n"
      "values, the error, the mark that was set before, and the source. Without a NAME: all that are\n"
      "installed. Leaves with 1 if a mark is missed.",
      "  collapsar validate\n  collapsar validate random-reads\n");
  options.value("jobs", "N", "variants that run side by side (default: one per CPU of this computer)");
  options.flag("quiet", "no progress line");
  return options;
}

int run_validate(const Arguments& arguments) {
  CommandOptions options = options_of_validate();
  if (!options.parse(arguments, 0, 1000)) return kDone;
  RunOptions run;
  run.search_dirs = installed_configs();
  run.jobs = unsigned(std::clamp<std::uint64_t>(options.count("jobs", std::thread::hardware_concurrency()), 1, 1024));
  std::vector<ValidationResult> results;
  bool is_met = true;
  const Paint paint = options.paint(stdout);
  const std::vector<std::string> files = files_of(options.arguments());
  for (const std::string& file : files) {
    const std::string label =
        fmt::format("{}/{} {}: ", results.size() + 1, files.size(), fs::path(file).stem().string());
    const ValidationResult& result = results.emplace_back(run_with_progress(file, label, run, options.has("quiet")));
    for (const QuantityRow& row : result.rows) is_met &= row.is_met.value_or(true);
    fmt::print("{}\n", painted(paint.table(validation_table(result), 1), paint));
    std::fflush(stdout);
  }
  fmt::print("{}", painted(validation_summary(results), paint));
  return is_met ? kDone : kSimulationFailed;
}

}  // namespace collapsar
