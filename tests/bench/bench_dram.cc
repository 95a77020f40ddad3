// How fast the memory controller serves reads on its own. items_per_second is requests.
//
// Names: the stream, and `saturated` (more waiting than the queues hold) or `sparse` (one read every 100 memory cycles). DDR4-2400,
// one channel, one rank. `idle`: one read a simulated second, so that 128,000 refreshes lie between two.
#include <benchmark/benchmark.h>

#include "models/mem/dram_stream.h"

namespace collapsar {
namespace {

constexpr std::uint64_t kReads = 200'000;
constexpr std::uint32_t kSecond = 1'200'000'000;  // in cycles of DDR4-2400

void dram(benchmark::State& state, DramStream stream, std::uint32_t interval, std::uint64_t reads = kReads) {
  for (auto _ : state)
    benchmark::DoNotOptimize(run_dram_stream(dram_reference_config(), stream, reads, interval).latency);
  state.SetItemsProcessed(std::int64_t(state.iterations() * reads));
}

BENCHMARK_CAPTURE(dram, seq_saturated, DramStream::seq, 0);
BENCHMARK_CAPTURE(dram, rand_saturated, DramStream::rand, 0);
BENCHMARK_CAPTURE(dram, stride4096_saturated, DramStream::stride4096, 0);
BENCHMARK_CAPTURE(dram, seq_sparse, DramStream::seq, 100);
BENCHMARK_CAPTURE(dram, rand_sparse, DramStream::rand, 100);
BENCHMARK_CAPTURE(dram, idle, DramStream::rand, kSecond, 1000);

}  // namespace
}  // namespace collapsar
