// What holds for any machine and any trace, whatever the CPUs, TLBs and walkers do.
#include <gtest/gtest.h>

#include "tests/support/random_machine.h"

namespace collapsar::test {
namespace {

// Looks at all counts now and then, as the time series does.
struct Sampler {
  explicit Sampler(CpuBench& b) : bench(b) { bench.queue.schedule_after(look_, kInterval); }
  ~Sampler() { bench.queue.cancel(look_); }
  void look() {
    seen += bench.counts();
    std::int64_t busy = 0;
    for (const auto& cpu : bench.cpus) busy += cpu->stats().busy_subcycles;
    EXPECT_GE(busy, last_busy) << "cycles go back at " << bench.queue.now().time_since_epoch().count() << " ps";
    last_busy = busy;
    if (++looks < 200) bench.queue.schedule_after(look_, kInterval);
  }
  static constexpr Duration kInterval = std::chrono::nanoseconds(1777);
  CpuBench& bench;
  std::string seen;
  std::int64_t last_busy = 0;
  unsigned looks = 0;
  Event look_ = event<&Sampler::look>(this, "test.look", Phase::observe);
};

struct Outcome {
  std::string counts, at_warmup, samples;
  std::uint64_t references = 0, events = 0;
};

Outcome play(std::uint64_t seed, bool one_event_per_step, std::uint32_t cpus = 0) {
  RandomMachine random(seed);
  CpuBenchConfig config = random.config();
  if (cpus > 0) config.cpu.count = cpus;
  config.one_event_per_step = one_event_per_step;
  CpuBench bench(config, random.trace());
  random.set_up(bench.kernel);
  Outcome outcome;
  bench.scheduler.on_warmup = [&] {
    outcome.at_warmup = bench.counts();
    for (const auto& cpu : bench.cpus) outcome.references += cpu->stats().refs();
    EXPECT_EQ(outcome.references, config.replay.warmup) << "seed " << seed;
  };
  bench.prepare();
  Sampler sampler(bench);
  bench.run();
  outcome.counts = bench.counts(), outcome.samples = sampler.seen, outcome.events = bench.queue.events_run();
  return outcome;
}

TEST(CpuLaws, OneEventPerStepGivesTheSameCountsAndTimesAtAnyMoment) {
  std::uint64_t inlined = 0;
  for (std::uint64_t seed = 1; seed <= 300; ++seed) {
    const Outcome going_on = play(seed, false), stepping = play(seed, true);
    ASSERT_EQ(going_on.counts, stepping.counts) << "seed " << seed;
    ASSERT_EQ(going_on.at_warmup, stepping.at_warmup) << "seed " << seed;
    ASSERT_TRUE(going_on.samples == stepping.samples) << "seed " << seed;
    inlined += stepping.events - going_on.events;
  }
  EXPECT_GT(inlined, 100'000U);
}

class ManyCpus : public ::testing::TestWithParam<std::uint32_t> {};

TEST_P(ManyCpus, GiveTheSameCountsAgainAndWithOneEventPerStep) {
  for (std::uint64_t seed = 2001; seed <= 2012; ++seed) {
    const Outcome first = play(seed, false, GetParam());
    ASSERT_EQ(first.counts, play(seed, false, GetParam()).counts) << "seed " << seed;
    const Outcome stepping = play(seed, true, GetParam());
    ASSERT_EQ(first.counts, stepping.counts) << "seed " << seed;
    ASSERT_TRUE(first.samples == stepping.samples) << "seed " << seed;
  }
}

INSTANTIATE_TEST_SUITE_P(CpuLaws, ManyCpus, ::testing::Values(1, 2, 8, 64));

TEST(CpuLaws, EveryReferenceAndLookUpIsAccountedFor) {
  for (std::uint64_t seed = 1001; seed <= 1200; ++seed) {
    RandomMachine random(seed);
    const CpuBenchConfig config = random.config();
    CpuBench bench(config, random.trace());
    random.set_up(bench.kernel);
    bench.prepare();
    bench.run();
    std::uint64_t in_trace = 0, refs = 0;
    for (const TraceItem& item : bench.trace.items())
      if (const auto* run = std::get_if<TraceRun>(&item)) in_trace += run->records.size();
    for (CpuId id = 0; id < config.cpu.count; ++id) {
      refs += bench.cpus[id]->stats().refs();
      const MmuStats& m = bench.mmus[id]->stats();
      EXPECT_EQ(config.mmu.ideal ? 0 : m.l1i.misses + m.l1d.misses, m.l2.hits + m.l2.misses) << "seed " << seed;
      EXPECT_EQ(m.walks + m.walks_merged, m.l2.misses + m.walks_repeated) << "seed " << seed;
      EXPECT_GE(m.l1i.hits + m.l1i.misses + m.l1d.hits + m.l1d.misses, bench.cpus[id]->stats().refs());
      EXPECT_LE(m.walk_active_cycles, m.walk_cycles + 1);
    }
    EXPECT_EQ(refs, in_trace * config.replay.repeat) << "seed " << seed;
  }
}

}  // namespace
}  // namespace collapsar::test
