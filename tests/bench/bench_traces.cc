// How fast references replay: streams made here, and whole traces from their files, in four depths, each beside the bare loop.
//
//   tlb     TLBs alone, with the kernel that maps pages: walks take no time, no caches
//   walks   the same, each walk takes 30 cycles
//   memory  caches, DRAM and page-table reads through them
//   full    the same, with khugepaged
//
// items_per_second: references (fetches included) per second of CPU time of all threads. of_limit: the same as a share of what the
// bare two-level TLB loop (bench_limit.h) does with these references in memory, measured in the same run.
//
// Streams: `hot` 32 pages and `l1full` 64 pages at random, lines that fit L1D; `l2` 1,024 pages at random; `stride` 64 bytes on
// over 1 GiB; `rand4G` 4 GiB at random. Traces: every `.ctr` file of the folder that the environment variable COLLAPSAR_TRACES
// names (without it: of traces/).
#include <benchmark/benchmark.h>
#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "sim/core/random.h"
#include "sim/run/experiment.h"
#include "tests/bench/bench_clock.h"
#include "tests/bench/bench_limit.h"

namespace collapsar {
namespace {

namespace fs = std::filesystem;

// --- depths ---

struct Depth {
  const char* name;
  const char* settings;
};
constexpr Depth kDepths[] = {{"tlb",
                              "caches: none\ndram: {ideal: 80ns}\nmmu: {fixed_walk: 0, l2_latency: 0}\n"
                              "variants: {never: {kernel.thp.enabled: never}}\n"},
                             {"walks",
                              "caches: none\ndram: {ideal: 80ns}\nmmu: {fixed_walk: 30}\n"
                              "variants: {never: {kernel.thp.enabled: never}}\n"},
                             {"memory", "variants: {never: {kernel.thp.enabled: never}}\n"},
                             {"full",
                              "variants: {khugepaged: {kernel.thp.enabled: always, kernel.thp.at_fault: false}}\n"
                              "baseline: khugepaged\n"}};

// --- streams ---

constexpr std::uint64_t kReferences = 4 << 20;
constexpr std::uint64_t kStart = 1ULL << 32;
struct Stream {
  const char* name;
  std::uint64_t pages;
  bool is_sequential, keeps_in_l1d;
};
constexpr Stream kStreams[] = {{"hot", 32, false, true},
                               {"l1full", 64, false, true},
                               {"l2", 1024, false, false},
                               {"stride", kGiB / kPageBytes, true, false},
                               {"rand4G", 4 * kGiB / kPageBytes, false, false}};

// Eight lines of each page, spread over all sets: 64 pages just fit in 32 KiB.
std::uint64_t in_l1d(std::uint64_t offset) {
  const std::uint64_t page = offset / kPageBytes, line = (page * 8 + offset / 64 % 8) % 64;
  return page * kPageBytes + line * 64 + offset % 64;
}

std::vector<Record> records_of(const Stream& stream) {
  Random random(1, "bench");
  std::vector<Record> records;
  records.reserve(kReferences);
  const std::uint64_t bytes = stream.pages * kPageBytes;
  for (std::uint64_t i = 0; i < kReferences; ++i) {
    std::uint64_t offset = stream.is_sequential ? i * 64 % bytes : random.below(bytes / 8) * 8;
    if (stream.keeps_in_l1d) offset = in_l1d(offset);
    records.push_back({kStart + offset, 3, 8, i % 4 == 3 ? RefKind::store : RefKind::load, 0});
  }
  return records;
}

// The same trace from memory for every run: it is not made anew while time is taken.
class Again : public TraceSource {
 public:
  explicit Again(std::shared_ptr<TraceSource> source) : source_(std::move(source)) { source_->rewind(); }
  const TraceInfo& info() const override { return source_->info(); }
  std::optional<TraceItem> next() override { return source_->next(); }
  void rewind() override { source_->rewind(); }

 private:
  std::shared_ptr<TraceSource> source_;
};

TraceMaker maker_of(const Stream& stream) {
  return [stream, made = std::make_shared<std::shared_ptr<TraceSource>>()]() -> std::unique_ptr<TraceSource> {
    if (!*made) *made = make_memory_trace(records_of(stream), {}, stream.name);
    return std::make_unique<Again>(*made);
  };
}

// --- the limit ---

// References per second of the bare loop, the best of three; at most the first 20 M of a trace, as addresses in memory.
double limit_of(const std::string& name, const TraceMaker& open) {
  static std::map<std::string, double> known;
  if (const auto found = known.find(name); found != known.end()) return found->second;
  constexpr std::size_t kMost = 20'000'000;
  std::vector<std::uint64_t> addresses;
  const std::unique_ptr<TraceSource> source = open();
  while (addresses.size() < kMost) {
    const std::optional<TraceItem> item = source->next();
    if (!item) break;
    if (const auto* run = std::get_if<TraceRun>(&*item))
      for (const Record& r : run->records) addresses.push_back(r.va);
  }
  double best = 0;
  for (int i = 0; i < 3; ++i) {
    const double start = cpu_seconds();
    BareTlb tlb;
    std::uint64_t misses = 0;
    for (const std::uint64_t va : addresses) misses += tlb.access(std::uint32_t(va >> kPageShift));
    benchmark::DoNotOptimize(misses += tlb.l2_misses());
    best = std::max(best, double(addresses.size()) / std::max(cpu_seconds() - start, 1e-6));
  }
  return known[name] = best;
}

// --- benchmarks ---

struct Run {
  double seconds;
  std::uint64_t references;
};
Run replay(const std::string& name, const TraceMaker& open, const Depth& depth, unsigned repeat) {
  ConfigNode config = experiment_of_trace({name}, {}, {});
  config.merge(parse_yaml(fmt::format("{}trace: {{repeat: {}}}\n", depth.settings, repeat), "benchmark"));
  RunOptions options;
  options.open_trace = open;
  const double start = cpu_seconds();
  const std::uint64_t references = run_experiment(config, options).trace.references * repeat;
  return {cpu_seconds() - start, references};
}

// A stream without its first pass, in which the simulated kernel faults every page in.
void measure(benchmark::State& state, const std::string& name, const TraceMaker& open, const Depth& depth,
             bool is_stream) {
  const double limit = limit_of(name, open);
  for (auto _ : state) {
    Run run = replay(name, open, depth, is_stream ? 3 : 1);
    if (is_stream) {
      const Run first = replay(name, open, depth, 1);
      run.seconds = std::max(run.seconds - first.seconds, 1e-6), run.references -= first.references;
    }
    state.SetIterationTime(run.seconds);
    state.SetItemsProcessed(std::int64_t(run.references));
    state.counters["of_limit"] = double(run.references) / run.seconds / limit;
  }
}

void add(const std::string& name, const TraceMaker& open, bool is_stream) {
  for (const Depth& depth : kDepths)
    benchmark::RegisterBenchmark((name + "/" + depth.name).c_str(),
                                 [=](benchmark::State& state) { measure(state, name, open, depth, is_stream); })
        ->Iterations(1)
        ->UseManualTime()
        ->Unit(benchmark::kMillisecond);
}

void add_all() {
  for (const Stream& stream : kStreams) add(std::string("stream/") + stream.name, maker_of(stream), true);
  const char* named = std::getenv("COLLAPSAR_TRACES");
  const fs::path folder = named ? fs::path(named) : fs::path(COLLAPSAR_SOURCE_DIR) / "traces";
  std::vector<fs::path> files;
  for (const auto& entry : fs::directory_iterator(folder))
    if (entry.path().extension() == ".ctr") files.push_back(entry.path());
  std::sort(files.begin(), files.end());
  for (const fs::path& file : files)
    add(
        "trace/" + file.stem().string(), [path = file.string()] { return open_trace({path}); }, false);
}

const bool kAdded = (add_all(), true);

}  // namespace
}  // namespace collapsar
