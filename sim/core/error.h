// Errors: the user's, the simulated machine's, and ours.
//
// ConfigError and TraceError say where, what was found and what would be right; the program prints them on one line and
// leaves with status 2. SimulationError is an outcome the run cannot go on from (out of simulated memory): status 1.
// SIM_ASSERT guards our own invariants, in release builds too.
#pragma once

#include <fmt/format.h>

#include <stdexcept>
#include <string>

namespace collapsar {

struct ConfigError : std::invalid_argument {
  using std::invalid_argument::invalid_argument;
};
struct TraceError : std::invalid_argument {
  using std::invalid_argument::invalid_argument;
};
struct SimulationError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

// Prints message, simulated time and event name to standard error, and aborts.
[[noreturn]] void assertion_failed(const char* file, int line, const char* condition, const std::string& message);

}  // namespace collapsar

// SIM_ASSERT(condition, "fmt string", values...): a broken invariant of ours. The message is built only on failure.
#define SIM_ASSERT(condition, ...)                                                               \
  do {                                                                                           \
    if (!(condition)) [[unlikely]]                                                               \
      ::collapsar::assertion_failed(__FILE__, __LINE__, #condition, ::fmt::format(__VA_ARGS__)); \
  } while (false)
