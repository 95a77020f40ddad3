// The command line: options and arguments of one command, its help, and the choice between commands.
//
// Errors:      UsageError, printed by main.cc on one line; the program leaves with status 2.
#pragma once

#include <boost/program_options.hpp>
#include <map>
#include <span>
#include <stdexcept>
#include <string>
#include <vector>

#include "sim/run/cli_terminal.h"

namespace collapsar {

struct UsageError : std::invalid_argument {
  using std::invalid_argument::invalid_argument;
};

using Arguments = std::vector<std::string>;

// Exit status of the program: design 2. What each means is told once, in cli_help.cc.
enum ExitStatus : int { kDone = 0, kSimulationFailed = 1, kInputWrong = 2 };

class CommandOptions;

struct Command {
  const char* name;
  const char* summary;
  int (*run)(const Arguments& arguments);
  // For completion: what it takes, or the commands below it.
  CommandOptions (*options)() = nullptr;
  std::span<const Command> (*commands)() = nullptr;
};

// Commands that stand behind `path`: "collapsar", "collapsar trace".
struct CommandGroup {
  std::span<const Command> commands;
  std::string path;
  const char* about;
  std::string help = "";  // what else --help tells, below the commands
};

// Runs the command that the first argument names, with the others.
int run_command(const CommandGroup& group, const Arguments& arguments);

struct OptionInfo {
  std::string name;     // "set"
  char letter = 0;      // of the short form
  std::string metavar;  // of its value; "": it has none
  std::string help;
};

// What one command takes.
class CommandOptions {
 public:
  // `usage` is the line after "collapsar "; its first words, up to the first capital, bracket or dash, name the command.
  CommandOptions(std::string name, std::string usage, std::string about, std::string examples);

  void flag(const char* name, const char* help);
  void value(const char* name, const char* metavar, const char* help);   // at most once
  void values(const char* name, const char* metavar, const char* help);  // any number of times

  // False: help was asked for, and has been printed. Throws UsageError.
  bool parse(const Arguments& arguments, std::size_t fewest, std::size_t most);

  bool has(const char* name) const { return parsed_.count(name) > 0; }
  std::string get(const char* name, const std::string& otherwise) const;
  std::vector<std::string> all(const char* name) const;
  // A count given as `--name N`. Throws UsageError.
  std::uint64_t count(const char* name, std::uint64_t otherwise) const;
  const Arguments& arguments() const { return arguments_; }  // those that are no options

  // For what is printed on `stream`, after --color.
  Paint paint(std::FILE* stream) const { return {get("color", "auto"), stream}; }

  const std::vector<OptionInfo>& list() const { return list_; }
  const std::string& usage() const { return usage_; }

 private:
  [[noreturn]] void usage_error(const std::string& message) const;
  [[noreturn]] void unknown_option(const std::string& option) const;
  void add(const char* name, const char* metavar, const char* help,
           const boost::program_options::value_semantic* value);
  void check_color() const;
  std::string help() const;

  std::string name_, usage_, about_, examples_;
  std::vector<OptionInfo> list_;
  boost::program_options::options_description options_;
  boost::program_options::variables_map parsed_;
  Arguments arguments_;
};

// Where installed configs lie, beside the program or in ../share; only directories that exist.
std::vector<std::string> installed_configs();
std::vector<std::string> installed_capture_tool();  // the same for the source of the capture tool

// "machines/zen4.yaml" -> what it is.
std::map<std::string, std::string> installed_machines();
// Names for `collapsar validate`.
std::vector<std::string> installed_validations();

// The commands of the other files.
int run_run(const Arguments& arguments);
int run_capture(const Arguments& arguments);
int run_sweep_command(const Arguments& arguments);
int run_tune(const Arguments& arguments);
int run_scenario(const Arguments& arguments);
int run_trace(const Arguments& arguments);
int run_validate(const Arguments& arguments);
int run_config(const Arguments& arguments);

CommandOptions options_of_run();
CommandOptions options_of_capture();
CommandOptions options_of_sweep();
CommandOptions options_of_tune();
CommandOptions options_of_scenario();
CommandOptions options_of_validate();
std::span<const Command> trace_commands();
std::span<const Command> config_commands();

}  // namespace collapsar
