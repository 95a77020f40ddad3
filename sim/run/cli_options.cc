#include "sim/run/cli_options.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>

#include "sim/core/config_node.h"
#include "sim/core/units.h"

namespace collapsar {

namespace fs = std::filesystem;
namespace po = boost::program_options;

namespace {

constexpr const char* kRest = "arguments";  // name of what stands without an option

std::string list_of(std::span<const Command> commands) {
  std::size_t width = 0;
  for (const Command& command : commands) width = std::max(width, std::string_view(command.name).size());
  std::string out;
  for (const Command& command : commands) out += fmt::format("  {:<{}}  {}\n", command.name, width, command.summary);
  return out;
}

std::string names_of(std::span<const Command> commands) {
  std::string names;
  for (const Command& command : commands) names += fmt::format("{}{}", names.empty() ? "" : ", ", command.name);
  return names;
}

}  // namespace

int run_command(std::span<const Command> commands, const std::string& path, const char* about,
                const Arguments& arguments) {
  if (arguments.empty())
    throw UsageError(fmt::format("no command; choose one of {}, or write {} --help", names_of(commands), path));
  const std::string& name = arguments.front();
  if (name == "--help" || name == "-h" || name == "help") {
    if (arguments.size() > 1) return run_command(commands, path, about, {arguments[1], "--help"});
    fmt::print("{}\n\n{}\n{} COMMAND --help tells more.\n", about, list_of(commands), path);
    return kDone;
  }
  std::vector<std::string> known;
  for (const Command& command : commands) {
    if (command.name == name) return command.run({arguments.begin() + 1, arguments.end()});
    known.emplace_back(command.name);
  }
  const std::string guess = closest(name, known);
  throw UsageError(fmt::format("unknown command {} (known here: {}){}", name, names_of(commands),
                               guess.empty() ? "" : "; did you mean " + guess + "?"));
}

CommandOptions::CommandOptions(std::string name, std::string usage, std::string about, std::string examples)
    : name_(std::move(name)), usage_(std::move(usage)), about_(std::move(about)), examples_(std::move(examples)) {
  options_.add_options()("help,h", "this text");
}

void CommandOptions::flag(const char* name, const char* help) { options_.add_options()(name, help); }

void CommandOptions::value(const char* name, const char* metavar, const char* help) {
  options_.add_options()(name, po::value<std::string>()->value_name(metavar), help);
}

void CommandOptions::values(const char* name, const char* metavar, const char* help) {
  options_.add_options()(name, po::value<std::vector<std::string>>()->value_name(metavar)->composing(), help);
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
  if (has(kRest)) arguments_ = parsed_[kRest].as<std::vector<std::string>>();
  if (arguments_.size() < fewest) usage_error(fmt::format("too few arguments; usage: collapsar {}", usage_));
  if (arguments_.size() > most)
    usage_error(fmt::format("unexpected argument {}; usage: collapsar {}", arguments_[most], usage_));
  return true;
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
  for (const auto& described : options_.options()) known.push_back("--" + described->long_name());
  const std::string guess = closest(option, known);
  usage_error(fmt::format("unknown option {} (known here: {}){}", option, fmt::join(known, ", "),
                          guess.empty() ? "" : "; did you mean " + guess + "?"));
}

std::string CommandOptions::help() const {
  std::ostringstream described;
  described << options_;
  return fmt::format("usage: collapsar {}\n\n{}\n\n{}\nexamples:\n{}", usage_, about_, described.str(), examples_);
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
