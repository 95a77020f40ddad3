// How fast references go through Cpu, Mmu and caches, on pages that are all mapped. items_per_second is references.
//
// Names: what is touched, and behind what. `tlb`: no caches, ideal DRAM; `caches`: three levels and DDR4.
#include <benchmark/benchmark.h>

#include <optional>

#include "models/cpu/cpu.h"
#include "sim/core/random.h"

namespace collapsar {
namespace {

constexpr std::uint64_t kReferences = 1 << 20;
constexpr VirtAddr kStart{1ULL << 32};

enum class Pattern { hot, l1full, l2, stride, rand };

std::uint64_t footprint(Pattern pattern) {
  switch (pattern) {
    case Pattern::hot: return 32 * kPageBytes;
    case Pattern::l1full: return 64 * kPageBytes;
    case Pattern::l2: return 1024 * kPageBytes;
    case Pattern::stride: return kGiB;
    case Pattern::rand: return 4 * kGiB;
  }
  return 0;
}

// Eight lines of each page, spread over all sets: 64 pages just fit in 32 KiB.
std::uint64_t keep_in_l1d(std::uint64_t offset) {
  const std::uint64_t page = offset / kPageBytes, line = (page * 8 + offset / 64 % 8) % 64;
  return page * kPageBytes + line * 64 + offset % 64;
}

std::vector<Record> references(Pattern pattern) {
  Random random(1, "bench");
  std::vector<Record> records;
  for (std::uint64_t i = 0; i < kReferences; ++i) {
    std::uint64_t offset = random.below(footprint(pattern) / 8) * 8;
    if (pattern == Pattern::stride) offset = i * 64 % footprint(pattern);
    if (pattern == Pattern::hot || pattern == Pattern::l1full) offset = keep_in_l1d(offset);
    const RefKind kind = i % 4 == 3 ? RefKind::store : RefKind::load;
    records.push_back({kStart.value + offset, 3, 8, kind, 0});
  }
  return records;
}

DramConfig memory_behind(bool with_caches) {
  DramConfig config;
  if (!with_caches) config.ideal = std::chrono::nanoseconds(80);
  return config;
}

// One CPU that runs the same records again and again.
class Bench : public CpuClient {
 public:
  Bench(Pattern pattern, bool with_caches)
      : memory_(MemoryConfig{Bytes{64 * kMiB}}),
        table_(memory_, 4),
        dram_(queue_, memory_behind(with_caches)),
        mmu_((with_caches ? void(caches_.emplace(queue_, dram_, CachesConfig{}, 1, clock_)) : void(), queue_),
             mmu_config_, 0, caches(), dram_, clock_, 1),
        cpu_(queue_, cpu_config_, time_config_, 0, mmu_, caches(), clock_, *this),
        records_(references(pattern)) {
    for (std::uint64_t at = 0; at < footprint(pattern); at += kPageBytes) map(kStart + at);
    cpu_.begin(work_, {&table_, 1});
    run();  // warm
  }
  ~Bench() override { queue_.clear(); }

  void run() {
    has_more_ = true;
    cpu_.resume();
    queue_.run();
  }

  bool more(Cpu&) override {
    if (!std::exchange(has_more_, false)) return false;
    work_.begin = work_.next = records_.data(), work_.end = work_.begin + records_.size();
    return true;
  }
  void drained(Cpu&) override { queue_.stop(); }
  void fault(Cpu&, VirtAddr, Access) override { std::abort(); }

 private:
  CacheHierarchy* caches() { return caches_ ? &*caches_ : nullptr; }
  void map(VirtAddr va) {
    constexpr std::uint64_t kFlags = Pte::kPresent | Pte::kWritable | Pte::kAccessed | Pte::kDirty;
    if (!table_.ensure_pte_table(va)) std::abort();
    *table_.pte(va) = Pte::make(Pfn{(va - kStart) / kPageBytes + (1 << 16)}, kFlags);
  }

  CpuConfig cpu_config_;
  TimeConfig time_config_;
  MmuConfig mmu_config_;
  Clock clock_{cpu_config_.frequency};
  EventQueue queue_;
  PhysicalMemory memory_;
  PageTable table_;
  Dram dram_;
  std::optional<CacheHierarchy> caches_;
  Mmu mmu_;
  Cpu cpu_;
  std::vector<Record> records_;
  Work work_;
  bool has_more_ = false;
};

void run_pattern(benchmark::State& state, Pattern pattern, bool with_caches) {
  Bench bench(pattern, with_caches);
  for (auto _ : state) bench.run();
  state.SetItemsProcessed(std::int64_t(state.iterations() * kReferences));
}

// What any replay pays: reading the records.
void bare_loop(benchmark::State& state) {
  const std::vector<Record> records = references(Pattern::hot);
  for (auto _ : state) {
    std::uint64_t sum = 0;
    for (const Record& r : records) sum += r.va + r.instructions + unsigned(r.kind);
    benchmark::DoNotOptimize(sum);
  }
  state.SetItemsProcessed(std::int64_t(state.iterations() * kReferences));
}
BENCHMARK(bare_loop);

BENCHMARK_CAPTURE(run_pattern, hot_tlb, Pattern::hot, false);
BENCHMARK_CAPTURE(run_pattern, l1full_tlb, Pattern::l1full, false);
BENCHMARK_CAPTURE(run_pattern, l2_tlb, Pattern::l2, false);
BENCHMARK_CAPTURE(run_pattern, stride_tlb, Pattern::stride, false);
BENCHMARK_CAPTURE(run_pattern, rand_tlb, Pattern::rand, false);
BENCHMARK_CAPTURE(run_pattern, hot_caches, Pattern::hot, true);
BENCHMARK_CAPTURE(run_pattern, l1full_caches, Pattern::l1full, true);
BENCHMARK_CAPTURE(run_pattern, l2_caches, Pattern::l2, true);
BENCHMARK_CAPTURE(run_pattern, stride_caches, Pattern::stride, true);
BENCHMARK_CAPTURE(run_pattern, rand_caches, Pattern::rand, true);

}  // namespace
}  // namespace collapsar
