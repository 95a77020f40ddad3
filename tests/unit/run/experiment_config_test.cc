#include "sim/run/experiment_config.h"

#include <gtest/gtest.h>

namespace collapsar {
namespace {

Experiment resolve(const std::string& yaml, const std::vector<std::string>& sets = {},
                   const std::vector<std::string>& only = {}) {
  ConfigNode config = parse_yaml(yaml, "test.yaml");
  apply_sets(config, sets, {});
  return resolve_experiment(config, only, {});
}

std::string experiment_refusal(const std::string& yaml, const std::vector<std::string>& sets = {},
                               const std::vector<std::string>& only = {}) {
  try {
    resolve(yaml, sets, only);
  } catch (const ConfigError& error) {
    return error.what();
  }
  return "accepted";
}

std::vector<std::string> names(const Experiment& experiment) {
  std::vector<std::string> names;
  for (const Variant& variant : experiment.variants) names.push_back(variant.name);
  return names;
}

constexpr const char* kTrace = "trace: {synthetic: [{pattern: touch, footprint: 4MiB}]}\n";

TEST(ExperimentConfig, WithoutVariantsRunsNeverKhugepagedAlways) {
  const Experiment experiment = resolve(kTrace);
  EXPECT_EQ(names(experiment), (std::vector<std::string>{"never", "khugepaged", "always"}));
  EXPECT_EQ(experiment.baseline, "never");
  EXPECT_EQ(experiment.variants[0].config.kernel.thp.enabled, ThpEnabled::never);
  EXPECT_FALSE(experiment.variants[1].config.kernel.thp.at_fault);
  EXPECT_TRUE(experiment.variants[2].config.kernel.thp.at_fault);
}

TEST(ExperimentConfig, TheLaterLayerWins) {
  const std::string yaml = std::string(kTrace) + "seed: 2\ncpu.count: 2\nvariants: {a: {seed: 4}, b: {cpu.count: 4}}\n";
  const Experiment experiment = resolve(yaml, {"seed=3"});
  EXPECT_EQ(experiment.config.seed, 3U);
  EXPECT_EQ(experiment.variants[0].config.seed, 4U);
  EXPECT_EQ(experiment.variants[0].config.cpu.count, 2U);
  EXPECT_EQ(experiment.variants[1].config.seed, 3U);
  EXPECT_EQ(experiment.variants[1].config.cpu.count, 4U);
}

TEST(ExperimentConfig, ASetMayAddToTheDefaultVariants) {
  const Experiment experiment = resolve(kTrace, {"variants.fast.kernel.khugepaged.scan_sleep=1s"});
  EXPECT_EQ(names(experiment), (std::vector<std::string>{"never", "khugepaged", "always", "fast"}));
  EXPECT_EQ(experiment.variants[3].config.kernel.khugepaged.scan_sleep, std::chrono::seconds(1));
}

TEST(ExperimentConfig, TheChangesOfAVariantAreTheKeysThatDiffer) {
  const Experiment experiment = resolve(std::string(kTrace) + "variants: {a: {seed: 1, kernel.thp.enabled: never}}\n");
  EXPECT_EQ(to_yaml_line(experiment.variants[0].changes), "{kernel: {thp: {enabled: never}}}");
}

TEST(ExperimentConfig, TheEffectiveConfigReadsBackToTheSameExperiment) {
  const Experiment experiment = resolve(std::string(kTrace) + "caches: none\nvariants: {a: {caches: {l2: none}}}\n");
  const ConfigNode effective = experiment.effective();
  const Experiment again = resolve_experiment(effective, {}, {});
  EXPECT_EQ(to_yaml(again.effective()), to_yaml(effective));
  EXPECT_FALSE(again.config.caches.has_value());
  EXPECT_TRUE(again.variants[0].config.caches.has_value());
}

TEST(ExperimentConfig, TheEffectiveConfigNamesFilesWithoutTheirFolders) {
  const Experiment experiment = resolve("trace.file: /somewhere/app.ctr\n");
  EXPECT_EQ(experiment.effective().find("trace.file")->children.at(0).text, "app.ctr");
}

TEST(ExperimentConfig, OneOfTheVariantsIsTheBaseline) {
  const std::string yaml = std::string(kTrace) + "variants: {a: {}, b: {}}\n";
  EXPECT_EQ(resolve(yaml).baseline, "a");
  EXPECT_EQ(resolve(yaml + "baseline: b\n").baseline, "b");
  EXPECT_EQ(resolve(yaml + "baseline: b\n", {}, {"a"}).baseline, "a");
  EXPECT_EQ(experiment_refusal(yaml + "baseline: c\n"),
            "test.yaml:3:11: baseline: found c; choose one of the variants: a, b");
}

TEST(ExperimentConfig, RefusesWhatCannotBe) {
  EXPECT_EQ(experiment_refusal("kernel.khugepaged.cpu: 3\n"),
            "test.yaml:1:24: kernel.khugepaged.cpu: 3; there are 1 CPUs, numbered from 0; or write dedicated");
  EXPECT_EQ(experiment_refusal("trace: {file: a.ctr, synthetic: [{pattern: idle, time: 1s}]}\n"),
            "test.yaml:1:33: trace.synthetic: the trace has a file already; choose one of the two");
  EXPECT_EQ(experiment_refusal("output.interval: 0s\n"), "test.yaml:1:18: output.interval: 0; a step needs a length");
  EXPECT_EQ(experiment_refusal("variants: {a: {baseline: a}}\n"),
            "test.yaml:1:16: variants.a.baseline: belongs to the whole experiment; a variant cannot change it");
  EXPECT_EQ(experiment_refusal(kTrace, {}, {"alwyas"}),
            "--variant alwyas: unknown variant (known here: never, khugepaged, always); did you mean always?");
}

// Each rule names the key that breaks it, where it was written.
TEST(ExperimentConfig, RefusesAMachineThatContradictsItself) {
  const auto refused = [](const std::string& key_value) { return experiment_refusal("seed: 1\n" + key_value + "\n"); };
  EXPECT_EQ(refused("cpu.outstanding: 0"), "test.yaml:2:18: cpu.outstanding: 0; 1 to 256");
  EXPECT_EQ(refused("cpu.window: 0"), "test.yaml:2:13: cpu.window: 0; 1 to 65536");
  EXPECT_EQ(refused("cpu.store_buffer: 2000"), "test.yaml:2:19: cpu.store_buffer: 2000; 0 to 1024");
  EXPECT_EQ(refused("mmu.walkers: 0"), "test.yaml:2:14: mmu.walkers: 0; 1 to 64");
  EXPECT_EQ(refused("mmu.levels: 3"), "test.yaml:2:13: mmu.levels: 3; a page table has 4 or 5");
  EXPECT_EQ(refused("mmu:\n  l2: [{pages: [4K], sets: 0, ways: 8}]"), "test.yaml:3:28: mmu.l2[0].sets: 0; 1 to 65536");
  EXPECT_EQ(refused("mmu:\n  l2: [{pages: [4K], sets: 8, ways: 0}]"),
            "test.yaml:3:37: mmu.l2[0].ways: none for 4k; every page size of an array needs at least 1");
  EXPECT_EQ(
      refused("mmu:\n  l1d: [{pages: [4K], sets: 8, ways: 4}, {pages: [4K], sets: 4, ways: 4}]"),
      "test.yaml:3:8: mmu.l1d: sets: 8 and 4 in arrays that both take 4k pages; they act as one, so both need the "
      "same");
  EXPECT_EQ(refused("mmu.l1d: [{pages: [2M], sets: 8, ways: 4}]"),
            "test.yaml:2:10: mmu.l1d: no array takes 4K pages of load references");
  EXPECT_EQ(refused("caches:\n  l2: {size: 100KiB, ways: 12, latency: 14}"),
            "test.yaml:3:14: caches.l2.size: found 100KiB, expected a multiple of ways x line = 12 x 64 bytes");
  EXPECT_EQ(refused("caches:\n  l2: {size: 1MiB, ways: 16, latency: 3}"),
            "test.yaml:3:39: caches.l2.latency: 3; latencies are total, so at least the 4 of l1d");
  EXPECT_EQ(refused("caches:\n  l3: {size: 512KiB, ways: 16, latency: 50, inclusive: true}"),
            "test.yaml:3:14: caches.l3.size: 512KiB; inclusive, it holds what the levels above hold: at least 1MiB");
  EXPECT_EQ(refused("caches.l2: none\nmmu.walk_entry: l2"),
            "test.yaml:3:17: mmu.walk_entry: l2, but there is no caches.l2; write l1d");
}

TEST(ExperimentConfig, AWrongKeyInAVariantIsFoundInItsPlace) {
  EXPECT_TRUE(experiment_refusal(std::string(kTrace) + "variants:\n  a: {kernel.thp.enable: never}\n")
                  .starts_with("test.yaml:3:7: kernel.thp.enable: unknown key"));
}

}  // namespace
}  // namespace collapsar
