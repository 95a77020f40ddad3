// The training run: replays a config, and prints nothing. Compiled to count what its references pass; see cmake/Profile.cmake.
#include <cstdio>
#include <exception>

#include "sim/core/config.h"
#include "sim/run/experiment.h"

int main(int argc, char** argv) {
  try {
    if (argc != 2) throw collapsar::ConfigError("usage: collapsar_training CONFIG");
    collapsar::run_experiment(collapsar::load_config_layers(argv[1], {}).config, {});
    return 0;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "collapsar_training: %s\n", error.what());
    return 1;
  }
}
