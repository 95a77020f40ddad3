#include "tests/support/fuzz_targets.h"

#include <fmt/format.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <memory>
#include <stdexcept>
#include <string>

#include "sim/core/config.h"
#include "sim/run/experiment_config.h"
#include "sim/run/scenario_script.h"
#include "sim/trace/trace_readers.h"

namespace collapsar::testing {

namespace {

// A file in memory with a name, since readers open theirs by name.
class MemoryFile {
 public:
  explicit MemoryFile(std::span<const std::uint8_t> bytes) : descriptor_(::memfd_create("fuzz", MFD_CLOEXEC)) {
    for (std::size_t done = 0; done < bytes.size();) {
      const ssize_t n = ::write(descriptor_, bytes.data() + done, bytes.size() - done);
      if (n <= 0) throw std::runtime_error("a file in memory cannot be written");
      done += static_cast<std::size_t>(n);
    }
  }
  ~MemoryFile() { ::close(descriptor_); }
  MemoryFile(const MemoryFile&) = delete;
  MemoryFile& operator=(const MemoryFile&) = delete;
  std::string name() const { return fmt::format("/proc/self/fd/{}", descriptor_); }

 private:
  int descriptor_;
};

// All of a trace, and a second reading that must say the same number of things. A small packed file may hold very many
// references: those behind the first million are not asked for.
void read(TraceSource& source) {
  constexpr std::uint64_t kEnough = 1'000'000;
  for (int pass = 0; pass < 2; ++pass) {
    std::uint64_t references = 0, events = 0;
    bool has_all = true;
    while (const std::optional<TraceItem> item = source.next()) {
      if (const auto* run = std::get_if<TraceRun>(&*item)) references += run->records.size();
      else ++events;
      if (references + events > kEnough) {
        has_all = false;
        break;
      }
    }
    if (has_all && (references != source.info().references || events != source.info().events))
      throw std::runtime_error("a trace holds other counts than it says");
    source.rewind();
  }
}

// Errors of the input are what readers are for: TraceError, ConfigError and ScenarioError.
template <class F>
void refuse_or_read(F f) {
  try {
    f();
  } catch (const std::invalid_argument&) {
  }
}

template <std::unique_ptr<TraceSource> (*open)(const std::string& file)>
void trace(std::span<const std::uint8_t> bytes) {
  const MemoryFile file(bytes);
  refuse_or_read([&] { read(*open(file.name())); });
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
    {"ctr", trace<open_ctr>},   {"lackey", trace<open_lackey>},     {"drmemtrace", trace<open_drmem>},
    {"perf", trace<open_perf>}, {"champsim", trace<open_champsim>}, {"din", trace<open_din>},
    {"text", trace<open_text>}, {"any", trace<open_any>},           {"scenario", scenario},
    {"config", config},
};

}  // namespace

std::span<const FuzzTarget> fuzz_targets() { return kTargets; }

const FuzzTarget* find_fuzz_target(std::string_view name) {
  const auto* found =
      std::find_if(std::begin(kTargets), std::end(kTargets), [&](const FuzzTarget& t) { return t.name == name; });
  return found == std::end(kTargets) ? nullptr : found;
}

}  // namespace collapsar::testing
