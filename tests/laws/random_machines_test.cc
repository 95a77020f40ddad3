// All laws hold on random machines with random traces: run_experiment checks them, --check holds TLBs and kernel to them.
#include <gtest/gtest.h>

#include <cstdlib>

#include "sim/core/random.h"
#include "sim/run/report.h"

namespace collapsar {
namespace {

// Writes the config of a random experiment.
class RandomConfig {
 public:
  explicit RandomConfig(std::uint64_t seed) : random_(seed, "random_machines_test") {}

  std::string text() {
    const std::uint64_t cpus = 1 + random_.below(3), walkers = 1 + random_.below(3);
    std::string out = fmt::format("trace.synthetic:\n{}", patterns());
    out += fmt::format("memory: {{size: {}MiB, fragmentation: {}}}\nseed: {}\n", 4 * (6 + random_.below(12)), pieces(),
                       random_.below(1000));
    out += fmt::format(
        "cpu: {{count: {}, outstanding: {}, window: {}, store_buffer: {}, dependence: {}, interleave: {}, time_slice: "
        "{}us}}\n",
        cpus, pick({"1", "4", "10"}), pick({"1", "64", "224"}), pick({"0", "2", "56"}), pick({"trace", "none", "all"}),
        pick({"timed", "trace"}), 50 + random_.below(500));
    out += fmt::format("mmu:\n  levels: {}\n  walkers: {}\n  asids: {}\n{}", pick({"4", "5"}), walkers,
                       pick({"true", "false"}), tlbs());
    out += fmt::format("  walk_cache: {{pml4: {}, pdpt: {}, pd: {}}}\n", random_.below(4), random_.below(4),
                       random_.below(32));
    out += pick({"caches: none\n",
                 "caches: {l1d: {size: 4KiB, ways: 2}, l2: {size: 24KiB, ways: 3, latency: 14}, l3: none}\n", ""});
    out += pick(
        {"dram.ideal: 80ns\n", "dram: {channels: 1, ranks: 1, standard: DDR5-4800}\n", "dram.page_policy: closed\n",
         "dram: {channels: 2, ranks: 1, mapping: MOP4CLXOR, page_policy: timeout, write_queue: 4, write_high: 3, "
         "write_low: 1}\n"});
    out += fmt::format("swap: {{device: {}, size: 128MiB}}\n", pick({"nvme", "zram", "ideal"}));
    out += fmt::format("kernel:\n  version: \"{}\"\n  thp: {{defrag: {}}}\n", pick({"6.1", "6.12"}),
                       pick({"always", "defer", "defer+madvise", "madvise", "never"}));
    out += fmt::format(
        "  khugepaged: {{scan_sleep: {}us, pages_to_scan: {}, max_ptes_none: {}, max_ptes_swap: {}, cpu: {}}}\n",
        200 + random_.below(3000), 512 * (1 + random_.below(8)), pick({"0", "200", "511"}), pick({"0", "64", "511"}),
        random_.chance(0.3) ? std::to_string(random_.below(cpus)) : "dedicated");
    return out + "output.interval: 2ms\n";
  }

 private:
  std::string pick(const std::vector<std::string>& from) { return from[random_.below(from.size())]; }

  std::string pieces() {
    if (random_.chance(0.5)) return "{}";
    return fmt::format("{{unmovable: 0.{}, movable: 0.{}, hybrid: 0.{}, fill: 0.{}, spread: {}}}", random_.below(3),
                       random_.below(5), random_.below(3), 1 + random_.below(9), pick({"random", "together"}));
  }

  std::string patterns() {
    std::string out;
    for (std::uint64_t i = 0, n = 2 + random_.below(5); i < n; ++i) {
      if (random_.chance(0.2)) {
        out += fmt::format("  - {{pattern: idle, time: {}ms}}\n", 1 + random_.below(20));
        continue;
      }
      const std::string pattern = pick({"touch", "sequential", "stride", "random", "zipf", "chase", "sparse"});
      const std::string size = pick({"1", "8", "64", "4096"});
      out += fmt::format(
          "  - {{pattern: {}, footprint: {}KiB, references: {}, write: {}, size: {}, region: {}, process: {}, "
          "pages_per_range: {}, "
          "madvise: {}, clear_accessed: {}}}\n",
          pattern, 64 * (1 + random_.below(250)), 1000 + random_.below(5000), pick({"true", "false"}), size,
          pick({"a", "b"}), 1 + random_.below(3), pick({"1", "100", "512"}),
          pick({"none", "none", "hugepage", "nohugepage", "collapse"}), pick({"true", "false"}));
    }
    return out;
  }

  std::string array(const char* pages) {
    return fmt::format("{{pages: {}, sets: {}, ways: {}, replacement: {}}}", pages, pick({"1", "3", "8"}),
                       pick({"1", "2", "4"}), pick({"lru", "plru", "random"}));
  }
  std::string tlbs() {
    std::string out = fmt::format("  l1i: [{}, {}]\n", array("[4K]"), array("[2M]"));
    out += random_.chance(0.5) ? fmt::format("  l1d: [{}, {}]\n", array("[4K]"), array("[2M]"))
                               : fmt::format("  l1d: [{}]\n", array("[4K, 2M, 1G]"));
    return out + fmt::format("  l2: [{}]\n", array("[4K, 2M]"));
  }

  Random random_;
};

class RandomMachines : public ::testing::TestWithParam<std::uint64_t> {};

TEST_P(RandomMachines, KeepTheLaws) {
  const std::string text = RandomConfig(GetParam()).text();
  SCOPED_TRACE(text);
  RunOptions options;
  options.check = true;
  try {
    const ExperimentResult result = run_experiment(parse_yaml(text, "random.yaml"), options);
    for (const VariantResult& variant : result.variants) EXPECT_EQ(variant.stats.find("refs.outside_vma")->amount, 0U);
  } catch (const SimulationError& error) {
    EXPECT_NE(std::string(error.what()).find("out of simulated memory"), std::string::npos) << error.what();
  }
}

// COLLAPSAR_RANDOM_MACHINES=1000 looks further.
std::uint64_t machines() {
  const char* asked = std::getenv("COLLAPSAR_RANDOM_MACHINES");
  return asked ? std::strtoull(asked, nullptr, 10) : 40;
}

INSTANTIATE_TEST_SUITE_P(Seeds, RandomMachines, ::testing::Range<std::uint64_t>(1, machines() + 1));

}  // namespace
}  // namespace collapsar
