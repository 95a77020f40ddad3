#include "sim/run/cli_options.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>

#include "sim/core/config_node.h"
#include "sim/core/units.h"
#include "sim/run/cli_help.h"

namespace collapsar {

namespace fs = std::filesystem;
namespace po = boost::program_options;

namespace {

constexpr const char* kRest = "arguments";   // name of what stands without an option
constexpr std::size_t kEveryCommandHas = 2;  // --color and --help

// The option that boost names "--lines" or "lines", as it is written.
std::string dashed(const std::string& name) { return name.starts_with('-') ? name : "--" + name; }

}  // namespace

CommandOptions::CommandOptions(std::string name, std::string usage, std::string about, std::string examples)
    : name_(std::move(name)), usage_(std::move(usage)), about_(std::move(about)), examples_(std::move(examples)) {
  value("color", "auto|never|always", "colour (default: auto, where a terminal shows it; see NO_COLOR)");
  flag("help,h", "this text");
}

void CommandOptions::flag(const char* name, const char* help) { add(name, "", help, nullptr); }

void CommandOptions::value(const char* name, const char* metavar, const char* help) {
  add(name, metavar, help, po::value<std::string>());
}

void CommandOptions::values(const char* name, const char* metavar, const char* help) {
  add(name, metavar, help, po::value<std::vector<std::string>>()->composing());
}

// `name` is "set" or, with a short form, "lines,n". Those that every command has stay last.
void CommandOptions::add(const char* name, const char* metavar, const char* help, const po::value_semantic* value) {
  if (value) options_.add_options()(name, value);
  else options_.add_options()(name, "");
  const std::string names = name;
  const std::size_t comma = names.find(',');
  const OptionInfo option{names.substr(0, comma), comma == names.npos ? '\0' : names[comma + 1], metavar, help};
  list_.insert(list_.size() < kEveryCommandHas ? list_.end() : list_.end() - std::ptrdiff_t(kEveryCommandHas), option);
}

bool CommandOptions::parse(const Arguments& arguments, std::size_t fewest, std::size_t most) {
  po::options_description all;
  all.add(options_).add_options()(kRest, po::value<std::vector<std::string>>());
  po::positional_options_description rest;
  rest.add(kRest, -1);
  constexpr int kStyle = po::command_line_style::unix_style & ~po::command_line_style::allow_guessing;
  try {
    po::store(po::command_line_parser(arguments).options(all).positional(rest).style(kStyle).run(), parsed_);
  } catch (const po::unknown_option& error) {
    unknown_option(error.get_option_name());
  } catch (const po::error& error) {
    usage_error(error.what());
  }
  if (has("help")) return fmt::print("{}", help()), false;
  for (const OptionInfo& option : list_) {
    if (option.metavar.empty() || !has(option.name.c_str()) || parsed_[option.name].defaulted()) continue;
    const auto* const text = boost::any_cast<std::string>(&parsed_[option.name].value());
    if (text && text->empty()) usage_error(fmt::format("--{}: nothing is given", option.name));
  }
  if (has("color")) check_color();
  if (has(kRest)) arguments_ = parsed_[kRest].as<std::vector<std::string>>();
  if (arguments_.size() < fewest) usage_error(fmt::format("too few arguments; usage: collapsar {}", usage_));
  if (arguments_.size() > most)
    usage_error(fmt::format("unexpected argument {}; usage: collapsar {}", arguments_[most], usage_));
  return true;
}

void CommandOptions::check_color() const {
  try {
    paint(stdout);
  } catch (const std::invalid_argument& error) {
    usage_error(error.what());
  }
}

std::string CommandOptions::get(const char* name, const std::string& otherwise) const {
  return has(name) ? parsed_[name].as<std::string>() : otherwise;
}

std::vector<std::string> CommandOptions::all(const char* name) const {
  return has(name) ? parsed_[name].as<std::vector<std::string>>() : std::vector<std::string>{};
}

std::uint64_t CommandOptions::count(const char* name, std::uint64_t otherwise) const {
  if (!has(name)) return otherwise;
  try {
    return parse_count(get(name, ""));
  } catch (const std::invalid_argument& error) {
    usage_error(fmt::format("--{}: {}", name, error.what()));
  }
}

void CommandOptions::usage_error(const std::string& message) const {
  throw UsageError(fmt::format("{}: {}", name_, message));
}

void CommandOptions::unknown_option(const std::string& option) const {
  std::vector<std::string> known;
  for (const OptionInfo& each : list_) known.push_back("--" + each.name);
  const std::string guess = closest(dashed(option), known);
  usage_error(fmt::format("unknown option {} (known here: {}){}", option, fmt::join(known, ", "),
                          guess.empty() ? "" : "; did you mean " + guess + "?"));
}

std::string CommandOptions::help() const {
  return fmt::format("Usage: collapsar {}\n\n{}\nOptions:\n{}\nExamples:\n{}", usage_, filled(about_),
                     option_list(list_), examples_);
}

namespace {

std::vector<std::string> installed(const std::string& folder) {
  std::error_code error;
  const fs::path program = fs::read_symlink("/proc/self/exe", error);
  if (error) return {};
  std::vector<std::string> directories;
  for (const char* share : {"share/collapsar", "../share/collapsar"}) {
    const fs::path directory = (program.parent_path() / share / folder).lexically_normal();
    if (fs::is_directory(directory, error)) directories.push_back(directory);
  }
  return directories;
}

}  // namespace

std::vector<std::string> installed_configs() { return installed("configs"); }
std::vector<std::string> installed_capture_tool() { return installed("traces/capture"); }

}  // namespace collapsar
