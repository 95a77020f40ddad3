// The choice between commands, and what is said to a name that is none.
#include <fmt/format.h>

#include <cstdio>
#include <filesystem>

#include "sim/core/config_node.h"
#include "sim/run/cli_help.h"
#include "sim/run/cli_options.h"

namespace collapsar {

namespace {

std::vector<std::string> names_of(std::span<const Command> commands) {
  std::vector<std::string> names;
  for (const Command& command : commands) names.emplace_back(command.name);
  return names;
}

// What may have been meant by `name`, to be written in its place; "" if nothing comes to mind.
std::string guess(const CommandGroup& group, const std::string& name) {
  if (const std::string near = closest(name, names_of(group.commands)); !near.empty()) return near;
  for (const Command& command : group.commands)
    if (command.commands)
      for (const Command& below : command.commands())
        if (below.name == name) return fmt::format("{} {}", command.name, name);
  std::error_code error;
  const bool is_file = std::filesystem::is_regular_file(name, error);
  return is_file && group.commands.front().options ? fmt::format("{} {}", group.commands.front().name, name) : "";
}

[[noreturn]] void unknown(const CommandGroup& group, const std::string& name) {
  const std::string meant = guess(group, name);
  throw UsageError(fmt::format("unknown command {} (known here: {}){}", name, fmt::join(names_of(group.commands), ", "),
                               meant.empty() ? "" : "; did you mean " + meant + "?"));
}

// Of options only these stand before a command.
[[noreturn]] void unknown_option(const CommandGroup& group, const std::string& option) {
  const std::string meant = closest(option, {"--help", "--version"});
  throw UsageError(fmt::format("unknown option {} (options of a command stand behind it: {} COMMAND {}){}", option,
                               group.path, option, meant.empty() ? "" : "; did you mean " + meant + "?"));
}

// "help trace cut" is "trace cut --help".
Arguments asking_for_help(const Arguments& arguments) {
  Arguments asking(arguments.begin() + 1, arguments.end());
  asking.emplace_back("--help");
  return asking;
}

}  // namespace

int run_command(const CommandGroup& group, const Arguments& arguments) {
  if (arguments.empty())
    throw UsageError(fmt::format("no command; choose one of {}, or write {} --help",
                                 fmt::join(names_of(group.commands), ", "), group.path));
  const std::string& name = arguments.front();
  if (name == "help" && arguments.size() > 1) return run_command(group, asking_for_help(arguments));
  if (name == "--help" || name == "-h" || name == "help") {
    fmt::print("{}", group_help(group));
    return kDone;
  }
  for (const Command& command : group.commands)
    if (command.name == name) return command.run({arguments.begin() + 1, arguments.end()});
  if (name.starts_with('-')) unknown_option(group, name);
  unknown(group, name);
}

}  // namespace collapsar
