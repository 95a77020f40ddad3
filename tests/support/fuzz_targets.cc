#include "tests/support/fuzz_targets.h"

#include <algorithm>
#include <memory>
#include <string>

#include "sim/core/config.h"
#include "sim/run/experiment_config.h"
#include "sim/run/scenario_script.h"
#include "sim/trace/trace_readers.h"
#include "tests/support/fuzz_reading.h"

namespace collapsar::testing {

namespace {

template <std::unique_ptr<TraceSource> (*open)(const std::string& file)>
void trace(std::span<const std::uint8_t> bytes) {
  const MemoryFile file(bytes);
  refuse_or_read([&] { read_trace(*open(file.name())); });
}

std::unique_ptr<TraceSource> open_any(const std::string& file) { return open_trace({file}); }
std::unique_ptr<TraceSource> open_drmem(const std::string& file) { return open_drmemtrace({file}); }

std::string as_text(std::span<const std::uint8_t> bytes) { return {bytes.begin(), bytes.end()}; }

void scenario(std::span<const std::uint8_t> bytes) {
  refuse_or_read([&] { parse_scenario(as_text(bytes), "fuzz.scn"); });
}

void config(std::span<const std::uint8_t> bytes) {
  refuse_or_read([&] { resolve_experiment(parse_yaml(as_text(bytes), "fuzz.yaml"), {}, {}); });
}

constexpr FuzzTarget kTargets[] = {
    {"ctr", trace<open_ctr>},
    {"lackey", trace<open_lackey>},
    {"drmemtrace", trace<open_drmem>},
    {"perf", trace<open_perf>},
    {"champsim", trace<open_champsim>},
    {"din", trace<open_din>},
    {"text", trace<open_text>},
    {"any", trace<open_any>},
    {"scenario", scenario},
    {"config", config},
    {"parts", fuzz_parts},
    {"capture", fuzz_capture},
};

}  // namespace

std::span<const FuzzTarget> fuzz_targets() { return kTargets; }

const FuzzTarget* find_fuzz_target(std::string_view name) {
  const auto* found =
      std::find_if(std::begin(kTargets), std::end(kTargets), [&](const FuzzTarget& t) { return t.name == name; });
  return found == std::end(kTargets) ? nullptr : found;
}

}  // namespace collapsar::testing
