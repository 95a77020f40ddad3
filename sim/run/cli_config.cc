// collapsar config: what a config means, which keys there are, which machines are installed.
#include <cstdio>
#include <filesystem>
#include <fstream>

#include "sim/run/cli_options.h"
#include "sim/run/experiment_config.h"

namespace collapsar {

namespace fs = std::filesystem;

namespace {

CommandOptions options_of_check() {
  CommandOptions options("config check", "config check CONFIG.yaml... [--set KEY=VALUE]...",
                         "Reads configs as a run would, every variant included, and says what is wrong.",
                         "  collapsar config check configs/quickstart.yaml\n");
  options.values("set", "KEY=VALUE", "changes the config first");
  return options;
}

int check(const Arguments& arguments) {
  CommandOptions options = options_of_check();
  if (!options.parse(arguments, 1, 10'000)) return kDone;
  for (const std::string& file : options.arguments()) {
    const ConfigNode config = load_experiment(file, options.all("set"), installed_configs());
    const Experiment experiment = resolve_experiment(config, {}, installed_configs());
    std::string names;
    for (const Variant& variant : experiment.variants) names += (names.empty() ? "" : ", ") + variant.name;
    fmt::print("{}: good; variants {}; baseline {}{}\n", file, names, experiment.baseline,
               experiment.config.trace.empty() ? "; names no trace" : "");
  }
  return kDone;
}

CommandOptions options_of_show() {
  CommandOptions options(
      "config show", "config show [CONFIG.yaml] [--variant VARIANT] [--set KEY=VALUE]...",
      "Prints the effective config: defaults, bases, file and --set together; with --variant, that too.",
      "  collapsar config show configs/quickstart.yaml --variant khugepaged\n");
  options.value("variant", "VARIANT", "the config that this variant runs with");
  options.values("set", "KEY=VALUE", "changes the config first");
  return options;
}

int show(const Arguments& arguments) {
  CommandOptions options = options_of_show();
  if (!options.parse(arguments, 0, 1)) return kDone;
  const std::vector<std::string> dirs = installed_configs();
  ConfigNode config = ConfigNode::map();
  if (!options.arguments().empty()) config = load_experiment(options.arguments().front(), options.all("set"), dirs);
  else apply_sets(config, options.all("set"), dirs);
  if (!options.has("variant")) {
    const Experiment experiment = resolve_experiment(config, {}, dirs);
    fmt::print("{}", to_yaml(write_config(experiment.config)));
    return kDone;
  }
  const Experiment experiment = resolve_experiment(config, {options.get("variant", "")}, dirs);
  ConfigNode effective = write_config(experiment.variants.front().config);
  effective.erase("variants");
  effective.erase("baseline");
  fmt::print("{}", to_yaml(effective));
  return kDone;
}

CommandOptions options_of_keys() {
  CommandOptions options("config keys", "config keys [WORD]",
                         "Lists every key of a config with its default, what may be written and what it means.",
                         "  collapsar config keys\n  collapsar config keys khugepaged\n");
  return options;
}

int keys(const Arguments& arguments) {
  CommandOptions options = options_of_keys();
  if (!options.parse(arguments, 0, 1)) return kDone;
  const std::string word = options.arguments().empty() ? "" : options.arguments().front();
  bool is_any = false;
  for (const KeyInfo& key : list_keys<ExperimentConfig>()) {
    if (key.path.find(word) == std::string::npos) continue;
    is_any = true;
    fmt::print("{}: {}\n    {} ({})\n", key.path, key.default_value, key.help, key.type);
  }
  if (!is_any) throw UsageError(fmt::format("config keys: no key contains {}", word));
  return kDone;
}

// The first line of comment says what a preset is.
std::string first_comment(const fs::path& file) {
  std::ifstream stream(file);
  std::string line;
  while (std::getline(stream, line))
    if (line.starts_with("# ")) return line.substr(2);
  return "";
}

CommandOptions options_of_presets() {
  CommandOptions options("config presets", "config presets", "Lists the installed machines, for `base:`.",
                         "  collapsar config presets\n  collapsar run trace.ctr --set base=machines/zen4.yaml\n");
  return options;
}

int presets(const Arguments& arguments) {
  CommandOptions options = options_of_presets();
  if (!options.parse(arguments, 0, 0)) return kDone;
  const std::map<std::string, std::string> found = installed_machines();
  for (const auto& [name, comment] : found) fmt::print("{:<32} {}\n", name, comment);
  if (found.empty()) throw UsageError("config presets: no configs are installed beside the program");
  return kDone;
}

constexpr Command kConfigCommands[] = {
    {"check", "says whether configs are good", check, options_of_check},
    {"show", "prints the effective config", show, options_of_show},
    {"keys", "lists every key with default and meaning", keys, options_of_keys},
    {"presets", "lists the installed machines", presets, options_of_presets},
};

}  // namespace

std::map<std::string, std::string> installed_machines() {
  std::map<std::string, std::string> found;
  for (const std::string& dir : installed_configs()) {
    std::error_code error;
    for (const auto& entry : fs::directory_iterator(fs::path(dir) / "machines", error))
      if (entry.path().extension() == ".yaml")
        found.emplace("machines/" + entry.path().filename().string(), first_comment(entry.path()));
  }
  return found;
}

std::span<const Command> config_commands() { return kConfigCommands; }

int run_config(const Arguments& arguments) {
  return run_command(
      {kConfigCommands, "collapsar config", "Explains configs: what may stand in one, and what one means.",
       "\nExamples:\n"
       "  collapsar config check configs/quickstart.yaml\n"
       "  collapsar config keys khugepaged\n"},
      arguments);
}

}  // namespace collapsar
