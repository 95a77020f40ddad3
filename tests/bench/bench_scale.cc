// Whether a reference costs the same on a larger machine and among more processes.
//
//   scale/memory/GIB    64 MiB at random, on machines of so much memory
//   scale/processes/N   64 regions of 8 MiB, 16,384 references at random in one, then in the next; they belong to N processes in turn.
//                       The order is the trace's on one CPU, so that N changes neither the references nor what misses.
//
// Everything is on: caches, DRAM, khugepaged. items_per_second: references per second of CPU time, without the first pass, in which the
// pages are faulted in. l2_misses: of the TLB, per reference, over all passes.
#include <benchmark/benchmark.h>
#include <fmt/format.h>

#include <vector>

#include "sim/core/random.h"
#include "sim/run/experiment.h"
#include "tests/bench/bench_clock.h"

namespace collapsar {
namespace {

constexpr std::uint64_t kRuns = 64, kRunLength = 16'384;
constexpr std::uint64_t kStart = 1ULL << 32;

// 64 runs, each in a region of its own (or all in the first), of `processes` processes in turn.
class Runs : public TraceSource {
 public:
  Runs(std::uint64_t processes, std::uint64_t regions, std::uint64_t bytes) : processes_(processes) {
    Random random(1, "bench_scale");
    for (std::uint64_t run = 0; run < kRuns; ++run)
      for (std::uint64_t i = 0; i < kRunLength; ++i) {
        const std::uint64_t va = kStart + run % regions * bytes + random.below(bytes / 8) * 8;
        records_.push_back({va, 3, 8, i % 4 == 3 ? RefKind::store : RefKind::load, 0});
      }
    for (std::uint64_t pid = 1; pid <= processes; ++pid) {
      add(TraceEvent::Op::process, pid, 0);
      add(TraceEvent::Op::mmap, pid, regions * bytes);
    }
    info_.name = "runs", info_.references = records_.size(), info_.resident.emplace();
    info_.records = info_.references + events_.size(), info_.events = events_.size();
  }
  const TraceInfo& info() const override { return info_; }
  void rewind() override { next_ = 0; }
  std::optional<TraceItem> next() override {
    const std::uint64_t at = next_++;
    if (at < events_.size()) return events_[at];
    const std::uint64_t number = at - events_.size();
    if (number >= kRuns) return std::nullopt;
    TraceRun run;
    run.pid = std::uint32_t(1 + number % processes_), run.tid = 1, run.first_index = number * kRunLength;
    run.records = std::span(records_).subspan(number * kRunLength, kRunLength);
    return run;
  }

 private:
  void add(TraceEvent::Op op, std::uint64_t pid, std::uint64_t length) {
    TraceEvent e;
    e.op = op, e.pid = std::uint32_t(pid), e.tid = 1, e.name = "runs";
    e.address = kStart, e.length = length, e.prot = 3, e.map_flags = 0x22;
    events_.push_back(e);
  }

  std::uint64_t processes_, next_ = 0;
  std::vector<Record> records_;
  std::vector<TraceEvent> events_;
  TraceInfo info_;
};

struct Replay {
  double seconds, references, l2_misses;
};
Replay replay(const TraceMaker& open, const std::string& settings, unsigned repeat) {
  RunOptions options;
  options.open_trace = open;
  const std::string text = fmt::format(
      "{}trace: {{repeat: {}}}\ncpu: {{count: 1, interleave: trace}}\n"
      "variants: {{khugepaged: {{kernel.thp.enabled: always, kernel.thp.at_fault: false}}}}\nbaseline: khugepaged\n",
      settings, repeat);
  const double start = cpu_seconds();
  const ExperimentResult result = run_experiment(parse_yaml(text, "benchmark"), options);
  const StatTable& stats = result.variants.front().stats;
  return {cpu_seconds() - start, stats.value("refs"), stats.value("mmu.l2.misses")};
}

void measure(benchmark::State& state, const TraceMaker& open, const std::string& settings) {
  for (auto _ : state) {
    const Replay first = replay(open, settings, 1), all = replay(open, settings, 5);
    state.SetIterationTime(all.seconds - first.seconds);
    state.SetItemsProcessed(std::int64_t(all.references - first.references));
    state.counters["l2_misses"] = all.l2_misses / all.references;
  }
}

void scale_memory(benchmark::State& state) {
  const TraceMaker open = [] { return std::make_unique<Runs>(1, 1, 64 * kMiB); };
  measure(state, open, fmt::format("memory.size: {}GiB\n", state.range(0)));
}

void scale_processes(benchmark::State& state) {
  const TraceMaker open = [&state] { return std::make_unique<Runs>(std::uint64_t(state.range(0)), kRuns, 8 * kMiB); };
  measure(state, open, "memory.size: 4GiB\n");
}

void once(benchmark::internal::Benchmark* b) {
  b->Iterations(1)->Repetitions(3)->UseManualTime()->Unit(benchmark::kMillisecond);
}
BENCHMARK(scale_memory)->Name("scale/memory")->Arg(1)->Arg(32)->Arg(1024)->Apply(once);
BENCHMARK(scale_processes)->Name("scale/processes")->Arg(1)->Arg(8)->Arg(64)->Apply(once);

}  // namespace
}  // namespace collapsar
