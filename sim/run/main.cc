// The program: chooses the command, prints every error on one line of standard error, and gives the exit status.
#include <cstdio>
#include <new>

#include "sim/core/error.h"
#include "sim/run/cli_options.h"

namespace collapsar {

namespace {

constexpr const char* kAbout =
    "collapsar: replays a memory trace on a simulated machine with Linux's khugepaged inside, and tells what huge "
    "pages\n"
    "would change: TLB misses, walk cycles, memory, stalls, and why each 2 MiB range did or did not become huge.";

constexpr Command kCommands[] = {
    {"run", "replays a trace once per variant and compares", run_run},
    {"capture", "runs a program and writes the trace of its memory references", run_capture},
    {"sweep", "runs a config at every combination of some keys' values", run_sweep_command},
    {"tune", "looks for the knobs of khugepaged that get most at the least cost", run_tune},
    {"scenario", "plays scripted histories on the simulated kernel and writes what it did", run_scenario},
    {"trace", "info, head, cut, convert, generate", run_trace},
    {"validate", "holds the simulator against measured and published figures", run_validate},
    {"config", "check, show, keys, presets", run_config},
};

int report_error(const char* message, int status) {
  fmt::print(stderr, "collapsar: {}\n", message);
  return status;
}

int run_program(const Arguments& arguments) {
  if (!arguments.empty() && arguments.front() == "--version") {
    fmt::print("collapsar {}\n", COLLAPSAR_VERSION);
    return kDone;
  }
  return run_command(kCommands, "collapsar", kAbout, arguments);
}

}  // namespace

}  // namespace collapsar

int main(int argc, char** argv) {
  using namespace collapsar;
  try {
    return run_program({argv + 1, argv + argc});
  } catch (const std::invalid_argument& error) {  // ConfigError, TraceError, UsageError
    return report_error(error.what(), kInputWrong);
  } catch (const std::bad_alloc&) {
    return report_error("this computer has not enough memory for the run; fewer --jobs need less", kSimulationFailed);
  } catch (const std::exception& error) {
    return report_error(error.what(), kSimulationFailed);
  }
}
