// The command line: options and arguments of one command, its help, and the choice between commands.
//
// Errors:      UsageError, printed by main.cc on one line; the program leaves with status 2.
#pragma once

#include <boost/program_options.hpp>
#include <span>
#include <stdexcept>
#include <string>
#include <vector>

namespace collapsar {

struct UsageError : std::invalid_argument {
  using std::invalid_argument::invalid_argument;
};

using Arguments = std::vector<std::string>;

// Exit status of the program: design 2.
enum ExitStatus : int { kDone = 0, kSimulationFailed = 1, kInputWrong = 2 };

struct Command {
  const char* name;
  const char* summary;
  int (*run)(const Arguments& arguments);
};

// Runs the command that the first argument names, with the others. `path` is what stands before it: "collapsar trace".
int run_command(std::span<const Command> commands, const std::string& path, const char* about,
                const Arguments& arguments);

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

 private:
  [[noreturn]] void usage_error(const std::string& message) const;
  [[noreturn]] void unknown_option(const std::string& option) const;
  std::string help() const;

  std::string name_, usage_, about_, examples_;
  boost::program_options::options_description options_{"options"};
  boost::program_options::variables_map parsed_;
  Arguments arguments_;
};

// Where installed configs lie, beside the program or in ../share; only directories that exist.
std::vector<std::string> installed_configs();
std::vector<std::string> installed_capture_tool();  // the same for the source of the capture tool

// The commands of the other files.
int run_run(const Arguments& arguments);
int run_capture(const Arguments& arguments);
int run_sweep_command(const Arguments& arguments);
int run_tune(const Arguments& arguments);
int run_scenario(const Arguments& arguments);
int run_trace(const Arguments& arguments);
int run_validate(const Arguments& arguments);
int run_config(const Arguments& arguments);

}  // namespace collapsar
