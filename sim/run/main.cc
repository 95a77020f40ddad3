// The program: chooses the command, prints every error on one line of standard error, and gives the exit status.
#include <cstdio>
#include <new>

#include "sim/core/error.h"
#include "sim/run/cli_completion.h"
#include "sim/run/cli_help.h"
#include "sim/run/cli_options.h"

namespace collapsar {

namespace {

constexpr const char* kAbout =
    "Replays a memory trace on a simulated machine with Linux's khugepaged inside, and tells what huge pages would "
    "change: TLB misses, walk cycles, memory, stalls, and why each 2 MiB range did or did not become huge.";

constexpr const char* kLicense =
    "Copyright (C) 2026 the collapsar developers\n"
    "This is free software under the 3-clause BSD license; there is no warranty, as far as the law permits.\n";

constexpr Command kCommands[] = {
    {"run", "replays a trace once per variant and compares", run_run, options_of_run},
    {"capture", "runs a program and writes the trace of its memory references", run_capture, options_of_capture},
    {"sweep", "runs a config at every combination of some keys' values", run_sweep_command, options_of_sweep},
    {"tune", "looks for the knobs of khugepaged that get most at the least cost", run_tune, options_of_tune},
    {"scenario", "plays scripted histories on the simulated kernel", run_scenario, options_of_scenario},
    {"trace", "tells about traces and writes new ones: info, head, cut, convert, generate", run_trace, nullptr,
     trace_commands},
    {"validate", "holds the simulator against measured and published figures", run_validate, options_of_validate},
    {"config", "explains configs: check, show, keys, presets", run_config, nullptr, config_commands},
    {"completion", "prints the completion script of a shell", run_completion, options_of_completion},
};

// As --color says, wherever it stands before a `--`; the command line need not be right.
std::string color_of(const Arguments& arguments) {
  std::string when = "auto";
  for (std::size_t i = 0; i < arguments.size() && arguments[i] != "--"; ++i)
    for (const char* known : {"auto", "never", "always"})
      if (arguments[i] == fmt::format("--color={}", known) ||
          (i > 0 && arguments[i - 1] == "--color" && arguments[i] == known))
        when = known;
  return when;
}

int report_error(const Arguments& arguments, const char* message, int status) {
  const std::string line = fmt::format("{} {}\n", Paint(color_of(arguments), stderr).bad("collapsar:"), message);
  std::fputs(line.c_str(), stderr);  // throws nothing, where standard error cannot be written either
  return status;
}

// What was printed has arrived, or the run was for nothing.
int flushed(const Arguments& arguments, int status) {
  if (std::fflush(stdout) == 0 && std::ferror(stdout) == 0) return status;
  return report_error(arguments, "standard output cannot be written", kSimulationFailed);
}

int run_program(const Arguments& arguments) {
  if (!arguments.empty() && arguments.front() == "--version") {
    fmt::print("collapsar {}\n\n{}", COLLAPSAR_VERSION, kLicense);
    return kDone;
  }
  if (!arguments.empty() && arguments.front() == "complete")
    return run_complete(kCommands, {arguments.begin() + 1, arguments.end()});
  return run_command({kCommands, "collapsar", kAbout, program_help()}, arguments);
}

}  // namespace

}  // namespace collapsar

int main(int argc, char** argv) {
  using namespace collapsar;
  const Arguments arguments(argv + 1, argv + argc);
  try {
    return flushed(arguments, run_program(arguments));
  } catch (const std::invalid_argument& error) {  // ConfigError, TraceError, UsageError
    return report_error(arguments, error.what(), kInputWrong);
  } catch (const std::bad_alloc&) {
    return report_error(arguments, "this computer has not enough memory for the run; fewer --jobs need less",
                        kSimulationFailed);
  } catch (const std::exception& error) {
    return report_error(arguments, error.what(), kSimulationFailed);
  }
}
