#include "models/cpu/scheduler.h"

#include <gtest/gtest.h>

#include "tests/unit/cpu/one_thread.h"

namespace collapsar::test {
namespace {

using Op = TraceEvent::Op;
using Call = SyscallRequest::Op;
constexpr Duration kCall = ns(500);

// A perfect TLB and no caches: n references take n ns, but for faults.
CpuBenchConfig machine(std::uint32_t cpus) {
  CpuBenchConfig config;
  config.mmu.ideal = true;
  config.cpu.count = cpus;
  config.cpu.time_slice = ns(1'000'000);
  return config;
}

std::vector<Record> hits(std::size_t count, std::uint64_t at = 0) { return std::vector<Record>(count, load(page(at))); }

struct SchedulerBench : CpuBench {
  SchedulerBench(const CpuBenchConfig& c, PaperTrace t) : CpuBench(c, std::move(t)) {
    kernel.fault_cost = kFault, kernel.call_cost = kCall;
  }
  // Ready to run, with the first pages of these processes in place.
  SchedulerBench& start(std::vector<std::uint32_t> pids = {1}) {
    prepare();
    for (const std::uint32_t pid : pids) kernel.map_range(kernel.process(pid), kBase, 8 * kPageBytes);
    return *this;
  }
  Duration start_of(Call op, unsigned nth = 0) {
    for (const auto& call : kernel.calls)
      if (call.op == op && nth-- == 0) return call.start - kTimeZero;
    ADD_FAILURE() << "no such call";
    return {};
  }
  std::uint64_t refs(CpuId cpu) { return cpus[cpu]->stats().refs(); }
};

// A process with so many announced threads.
PaperTrace threads(std::uint32_t count) {
  PaperTrace t;
  t.process(1);
  for (std::uint32_t tid = 2; tid <= count; ++tid) t.thread(1, tid);
  return t;
}

// --- barriers ---

TEST(Scheduler, ThreadsRunOnTheirOwnCpusAtTheirOwnPace) {
  PaperTrace t = threads(3);
  t.run(1, 1, hits(100)), t.run(1, 2, hits(300)), t.run(1, 3, hits(200));
  SchedulerBench bench(machine(3), t);
  EXPECT_EQ(bench.start().run(), ns(300));
  for (CpuId cpu = 0; cpu < 3; ++cpu) EXPECT_EQ(bench.refs(cpu), (cpu == 0 ? 100U : cpu == 1 ? 300U : 200U));
}

TEST(Scheduler, AnEventWaitsForAllEarlierReferencesOfItsProcess) {
  PaperTrace t = threads(2);
  t.run(1, 1, hits(100)), t.run(1, 2, hits(10));
  t.event(Op::madvise, 1, 2);
  SchedulerBench bench(machine(2), t);
  EXPECT_EQ(bench.start().run(), ns(100) + kCall);
  EXPECT_EQ(bench.start_of(Call::madvise), ns(100));
}

TEST(Scheduler, NoLaterReferenceOfTheProcessStartsBeforeTheEventIsDone) {
  PaperTrace t = threads(2);
  t.run(1, 2, hits(10));
  t.event(Op::madvise, 1, 2);
  t.run(1, 1, hits(50)), t.run(1, 2, hits(20));
  SchedulerBench bench(machine(2), t);
  EXPECT_EQ(bench.start().run(), ns(10) + kCall + ns(50));
}

TEST(Scheduler, ARunThatStillHasMissesUnderWayIsNotDone) {
  CpuBenchConfig config = machine(2);
  config.caches = CachesConfig{};
  config.caches->l2.reset(), config.caches->l3.reset();
  config.cpu.window = 100'000;
  PaperTrace t = threads(2);
  t.run(1, 1, {load(page(0))});                         // misses
  t.run(1, 1, {load(page(0), 20), load(page(0, 64))});  // goes on while it does
  t.event(Op::madvise, 1, 2);
  t.run(1, 1, hits(1));
  SchedulerBench bench(config, t);
  bench.start().run();
  const Duration miss = ns(config.caches->l1d.latency) + *config.dram.ideal;
  EXPECT_EQ(bench.start_of(Call::madvise), ns(22) + miss);
}

TEST(Scheduler, OtherProcessesTakeNoNoticeOfAnEvent) {
  PaperTrace t;
  t.process(1), t.process(2);
  t.run(1, 1, hits(10)), t.event(Op::madvise, 1), t.run(2, 1, hits(300)), t.run(1, 1, hits(10));
  SchedulerBench bench(machine(2), t);
  EXPECT_EQ(bench.start({1, 2}).run(), ns(10) + kCall + ns(10));
  EXPECT_EQ(bench.refs(1), 300U);
}

TEST(Scheduler, EventsOfAProcessKeepTheirOrder) {
  PaperTrace t = threads(3);
  t.run(1, 1, hits(30));
  t.event(Op::madvise, 1, 2), t.event(Op::munmap, 1, 3), t.event(Op::madvise, 1, 1);
  SchedulerBench bench(machine(3), t);
  bench.start().run();
  EXPECT_EQ(bench.start_of(Call::madvise), ns(30));
  EXPECT_EQ(bench.start_of(Call::munmap), ns(30) + kCall);
  EXPECT_EQ(bench.start_of(Call::madvise, 1), ns(30) + 2 * kCall);
}

TEST(Scheduler, TheOrderOfTheFileIsKeptOnDemand) {
  PaperTrace t = threads(2);
  for (unsigned i = 0; i < 5; ++i) t.run(1, 1, hits(100)), t.run(1, 2, hits(100));
  CpuBenchConfig config = machine(2);
  SchedulerBench timed(config, t);
  EXPECT_EQ(timed.start().run(), ns(500));
  config.cpu.interleave = Interleave::trace;
  SchedulerBench in_order(config, t);
  EXPECT_EQ(in_order.start().run(), ns(1000));
}

TEST(Scheduler, RunsOfOneThreadNeedNotDrainInBetween) {
  CpuBenchConfig config = machine(1);
  config.caches = CachesConfig{};
  config.caches->l2.reset(), config.caches->l3.reset();
  const Duration miss = ns(config.caches->l1d.latency) + *config.dram.ideal;
  for (const Interleave interleave : {Interleave::timed, Interleave::trace}) {
    config.cpu.interleave = interleave;
    PaperTrace t;
    t.process(1);
    for (unsigned i = 0; i < 5; ++i) t.run(1, 1, {load(page(0, 64 * i))});
    EXPECT_EQ(SchedulerBench(config, t).start().run(), ns(5) + miss);
  }
}

// --- more threads than CPUs ---

TEST(Scheduler, ThreadsThatOutnumberCpusTakeTurns) {
  CpuBenchConfig config = machine(1);
  config.cpu.time_slice = ns(100), config.context_switch = ns(7);
  PaperTrace t = threads(2);
  t.run(1, 1, hits(250)), t.run(1, 2, hits(250));
  SchedulerBench bench(config, t);
  const Duration time = bench.start().run();
  // Slices of 100: 1 2 1 2 1 2; each thread's last is shorter, and the first needs no switch.
  EXPECT_EQ(bench.scheduler.stats().context_switches, 5U);
  EXPECT_EQ(time, ns(500) + 5 * config.context_switch);
}

TEST(Scheduler, ASliceEndsAfterTheReferenceThatIsDue) {
  CpuBenchConfig config = machine(1);
  config.cpu.time_slice = ns(10);
  PaperTrace t = threads(2);
  for (const std::uint32_t tid : {1, 2}) t.run(1, tid, std::vector<Record>(4, load(page(0), 1000)));
  SchedulerBench bench(config, t);
  EXPECT_EQ(bench.start().run(), ns(8000)) << "gaps longer than a slice are not lost with the CPU";
}

TEST(Scheduler, ASliceStartsWhenTheSwitchIsOver) {
  CpuBenchConfig config = machine(1);
  config.cpu.time_slice = ns(10), config.context_switch = ns(100);
  PaperTrace t = threads(2);
  t.run(1, 1, hits(50)), t.run(1, 2, hits(50));
  SchedulerBench bench(config, t);
  bench.start().run();
  EXPECT_LE(bench.scheduler.stats().context_switches, 10U);
}

TEST(Scheduler, AThreadThatSleepsInTheKernelGivesItsCpuAway) {
  CpuBenchConfig config = machine(1);
  for (const bool sleeps : {false, true}) {
    PaperTrace t;
    t.process(1), t.process(2);
    t.run(1, 1, {load(page(20))}), t.run(2, 1, hits(600));
    SchedulerBench bench(config, t);
    bench.kernel.faults_sleep = sleeps;
    EXPECT_EQ(bench.start({1, 2}).run(), sleeps ? ns(1) + kFault : ns(1) + kFault + ns(600));
  }
}

TEST(Scheduler, AThreadThatWakesWaitsForACpu) {
  PaperTrace t;
  t.process(1), t.process(2);
  t.run(1, 1, {load(page(20)), load(page(0))}), t.run(2, 1, hits(3000));
  SchedulerBench bench(machine(1), t);
  bench.kernel.faults_sleep = true;
  EXPECT_EQ(bench.start({1, 2}).run(), ns(1) + ns(3000) + ns(1));
}

// Wants CPU 0 for 40 ns at a moment.
struct Daemon {
  Daemon(CpuBench& bench, Duration at) : scheduler(bench.scheduler), queue(bench.queue) {
    queue.schedule(wake_, kTimeZero + at);
  }
  ~Daemon() { queue.cancel(wake_), queue.cancel(done_); }
  void wake() { scheduler.run_kernel(0, ns(40), done_); }
  void done() { finished = queue.now(); }
  Scheduler& scheduler;
  EventQueue& queue;
  Time finished{};
  Event wake_ = event<&Daemon::wake>(this, "test.wake", Phase::kernel);
  Event done_ = event<&Daemon::done>(this, "test.done", Phase::kernel);
};

TEST(Scheduler, AKernelThreadTakesTimeFromItsCpu) {
  PaperTrace t;
  t.process(1);
  t.run(1, 1, hits(100));
  SchedulerBench bench(machine(1), t);
  bench.start();
  Daemon daemon(bench, ns(10));
  EXPECT_EQ(bench.run(), ns(140));
  EXPECT_EQ(daemon.finished, kTimeZero + ns(50));
}

// MADV_COLLAPSE: the work is the call, which the thread waits for.
TEST(Scheduler, WhatAThreadDoesInItsOwnCallIsNotTakenFromItAgain) {
  constexpr std::uint32_t kDontNeed = 4, kCollapse = 25;
  for (const std::uint32_t advice : {kDontNeed, kCollapse}) {
    PaperTrace t;
    t.process(1);
    t.run(1, 1, hits(10));
    TraceEvent& call = t.event(TraceEvent::Op::madvise);
    call.address = (kBase + kMiB).value, call.length = kPageBytes, call.advice = advice;
    t.run(1, 1, hits(10));
    SchedulerBench bench(machine(1), t);
    bench.kernel.call_cost = ns(100);
    bench.start();
    Daemon daemon(bench, ns(50));
    EXPECT_EQ(bench.run(), ns(10 + 100 + 10) + (advice == kCollapse ? ns(0) : ns(40)));
    EXPECT_EQ(daemon.finished, kTimeZero + ns(90));
  }
}

// --- processes and threads come and go ---

TEST(Scheduler, AForkedChildRunsAfterTheFork) {
  PaperTrace t;
  t.process(1);
  t.run(1, 1, hits(10)), t.fork(1, 2);
  t.run(2, 1, hits(200, 5)), t.run(1, 1, hits(100));
  SchedulerBench bench(machine(2), t);
  // The child's page is its own, and not there yet.
  EXPECT_EQ(bench.start().run(), ns(10) + kCall + ns(1) + kFault + ns(199));
  EXPECT_EQ(bench.refs(0), 110U);
  EXPECT_EQ(bench.refs(1), 200U);
}

TEST(Scheduler, ExecReplacesTheAddressSpace) {
  PaperTrace t;
  t.process(1);
  t.run(1, 1, hits(10)), t.event(Op::exec, 1), t.map(1, kBase, kGiB);
  t.run(1, 1, hits(10));
  SchedulerBench bench(machine(1), t);
  EXPECT_EQ(bench.start().run(), ns(10) + 2 * kCall + ns(1) + kFault + ns(9));
  EXPECT_EQ(bench.kernel.faults.size(), 1U);
}

TEST(Scheduler, AThreadThatWasNeverAnnouncedIsCreatedWhenItsTurnComes) {
  PaperTrace t;
  t.process(1);
  t.run(1, 1, hits(10)), t.run(1, 7, hits(100)), t.event(Op::madvise, 1, 1);
  t.run(1, 9, hits(30)), t.event(Op::madvise, 1, 8);
  SchedulerBench bench(machine(2), t);
  EXPECT_EQ(bench.start().run(), ns(10) + ns(100) + kCall + ns(30) + kCall) << "met when thread 1 reads on";
}

TEST(Scheduler, AProcessMayAppearInTheMiddleOfTheTrace) {
  PaperTrace t;
  t.process(1);
  t.run(1, 1, hits(10));
  t.process(5);
  t.run(5, 1, hits(100));
  SchedulerBench bench(machine(2), t);
  EXPECT_EQ(bench.start().run(), ns(10) + kCall + ns(1) + kFault + ns(99)) << "met when process 1 reads on";
  EXPECT_EQ(bench.kernel.process(5).mappings.size(), 1U);
}

TEST(Scheduler, ThreadsAndProcessesExitButTheLastStaysForTheReport) {
  PaperTrace t = threads(2);
  t.process(2);
  t.run(1, 1, hits(10)), t.run(1, 2, hits(10)), t.event(Op::thread_exit, 1, 2);
  t.event(Op::exit, 1), t.run(2, 1, hits(3000)), t.event(Op::exit, 2);
  SchedulerBench bench(machine(2), t);
  bench.start({1, 2}).run();
  EXPECT_TRUE(bench.kernel.process(1).has_exited);
  EXPECT_FALSE(bench.kernel.process(2).has_exited);
}

TEST(Scheduler, APidMayBeUsedAgain) {
  PaperTrace t;
  t.process(1);
  t.run(1, 1, hits(1)), t.fork(1, 2), t.run(2, 1, hits(10)), t.event(Op::exit, 2);
  t.run(1, 1, hits(9000)), t.fork(1, 2), t.run(2, 1, hits(10));
  SchedulerBench bench(machine(2), t);
  bench.start().run();
  EXPECT_EQ(bench.refs(0) + bench.refs(1), 1U + 10 + 9000 + 10);
  EXPECT_EQ(bench.kernel.faults.size(), 2U);
}

TEST(Scheduler, RefusesReferencesOfNobody) {
  PaperTrace after_exit;
  after_exit.process(1), after_exit.process(2);
  after_exit.run(1, 1, hits(1)), after_exit.event(Op::exit, 1), after_exit.run(1, 1, hits(1));
  EXPECT_THROW(SchedulerBench(machine(1), after_exit).start({1, 2}).run(), TraceError);
  PaperTrace unknown;
  unknown.process(1), unknown.run(1, 1, hits(1)), unknown.run(9, 1, hits(1));
  EXPECT_THROW(SchedulerBench(machine(1), unknown).start().run(), TraceError);
  PaperTrace gone = threads(2);  // what thread 1 does next waits for it
  gone.run(1, 2, hits(1)), gone.event(Op::thread_exit, 1, 2), gone.run(1, 2, hits(1)), gone.event(Op::madvise, 1);
  EXPECT_THROW(SchedulerBench(machine(2), gone).start().run(), TraceError);
}

TEST(Scheduler, ATruncatedTraceLeavesItsProcessAlive) {
  PaperTrace t;
  t.process(1);
  t.run(1, 1, hits(10)), t.event(Op::truncated, 1);
  SchedulerBench bench(machine(1), t);
  EXPECT_EQ(bench.start().run(), ns(10));
  EXPECT_FALSE(bench.kernel.process(1).has_exited);
}

// --- time ---

TEST(Scheduler, IdleThreadsSleepAndCostNoCycles) {
  PaperTrace t;
  t.process(1);
  t.run(1, 1, hits(10)), t.event(Op::idle, 1).value = 5000;
  t.run(1, 1, hits(10));
  SchedulerBench bench(machine(1), t);
  EXPECT_EQ(bench.start().run(), ns(5020));
  EXPECT_EQ(bench.scheduler.usage().at(1).cycles, 20U);
}

TEST(Scheduler, FixedPaceStartsAnewAfterIdleTimeAndForAChild) {
  CpuBenchConfig config = machine(2);
  config.time.pace = Pace::fixed, config.time.fixed = ns(10);
  PaperTrace t;
  t.process(1);
  t.run(1, 1, hits(10)), t.event(Op::idle, 1).value = 5000;
  t.run(1, 1, hits(10));
  EXPECT_EQ(SchedulerBench(config, t).start().run(), ns(90) + ns(5000) + ns(90));
  PaperTrace forks;
  forks.process(1);
  forks.run(1, 1, hits(100)), forks.fork(1, 2), forks.run(2, 1, hits(100));
  SchedulerBench bench(config, forks);
  bench.kernel.fault_cost = {};
  EXPECT_EQ(bench.start().run(), ns(990) + kCall + ns(990));
}

TEST(Scheduler, WithTimestampsAnEventWaitsForItsStamp) {
  CpuBenchConfig config = machine(1);
  config.time.pace = Pace::timestamps, config.time.scale = 2;
  PaperTrace t;
  t.process(1);
  TraceRun& run = t.run(1, 1, hits(10));
  run.begin_ns = 0, run.end_ns = 100;
  t.event(Op::madvise, 1).stamp_ns = 3000;
  SchedulerBench bench(config, t);
  EXPECT_EQ(bench.start().run(), ns(6000) + kCall);
}

TEST(Scheduler, StampsGoOnFromOnePassToTheNext) {
  CpuBenchConfig config = machine(1);
  config.time.pace = Pace::timestamps;
  config.replay.repeat = 3;
  PaperTrace t;
  t.process(1);
  TraceRun& run = t.run(1, 1, hits(10));
  run.begin_ns = 0, run.end_ns = 1000;
  EXPECT_EQ(SchedulerBench(config, t).start().run(), ns(2 * 1000 + 900));
}

// --- repetitions, warm-up ---

TEST(Scheduler, RepeatsReferencesButNotEvents) {
  CpuBenchConfig config = machine(1);
  config.replay.repeat = 3;
  PaperTrace t;
  t.process(1);
  t.run(1, 1, hits(10)), t.event(Op::madvise, 1), t.event(Op::idle, 1).value = 100;
  t.run(1, 1, hits(10)), t.event(Op::exit, 1);
  SchedulerBench bench(config, t);
  EXPECT_EQ(bench.start().run(), 3 * ns(20 + 100) + kCall);
  EXPECT_EQ(bench.kernel.calls.size(), 1U);
  EXPECT_EQ(bench.refs(0), 60U);
  EXPECT_FALSE(bench.kernel.process(1).has_exited);
}

TEST(Scheduler, TheWarmUpEndsBetweenTwoReferences) {
  for (const std::uint64_t warmup : {1U, 99U, 100U, 101U, 350U}) {
    CpuBenchConfig config = machine(2);
    config.replay.warmup = warmup;
    PaperTrace t = threads(2);
    t.run(1, 1, hits(100)), t.run(1, 2, hits(200)), t.run(1, 1, hits(100));
    SchedulerBench bench(config, t);
    unsigned calls = 0;
    bench.scheduler.on_warmup = [&] {
      ++calls;
      EXPECT_EQ(bench.refs(0) + bench.refs(1), warmup);
    };
    bench.start().run();
    EXPECT_EQ(calls, 1U) << warmup;
    EXPECT_EQ(bench.refs(0) + bench.refs(1), 400U);
  }
}

TEST(Scheduler, WithoutReferencesTheEndComesAtOnce) {
  PaperTrace t;
  t.process(1);
  SchedulerBench bench(machine(1), t);
  bool ended = false;
  bench.scheduler.on_end = [&] { ended = true; };
  bench.prepare();
  EXPECT_TRUE(ended && bench.scheduler.finished());
}

// --- before time 0 ---

TEST(Scheduler, EventsBeforeTheFirstReferenceTakeNoTime) {
  PaperTrace t = threads(2);
  t.fork(1, 2), t.fork(1, 3), t.event(Op::exit, 3);
  t.run(2, 1, {load(page(0))});
  SchedulerBench bench(machine(1), t);
  EXPECT_EQ(bench.start().run(), ns(1) + kFault);
  EXPECT_TRUE(bench.kernel.process(3).has_exited);
  EXPECT_TRUE(bench.kernel.calls.empty());
}

TEST(Scheduler, PutsWhatWasTouchedInPlace) {
  CpuBenchConfig config = machine(1);
  config.replay.prefault = Prefault::touched;
  PaperTrace t;
  t.process(1);
  t.edit_info().resident->emplace(1, std::vector<VirtRange>{{page(2), page(4)}});
  t.run(1, 1, {load(page(2)), load(page(3)), load(page(4))});
  SchedulerBench bench(config, t);
  bench.prepare();
  EXPECT_EQ(bench.run(), ns(3) + kFault);
}

TEST(Scheduler, PutsWholeMappingsInPlaceOnDemand) {
  CpuBenchConfig config = machine(1);
  config.replay.prefault = Prefault::vmas;
  PaperTrace t;
  t.process(1, kBase, 16 * kPageBytes);
  t.fork(1, 2);
  t.run(1, 1, hits(5, 15)), t.run(2, 1, hits(5, 7));
  SchedulerBench bench(config, t);
  bench.prepare();
  EXPECT_EQ(bench.run(), ns(10));
  EXPECT_TRUE(bench.kernel.faults.empty());
}

// --- accounts ---

TEST(Scheduler, EachProcessIsChargedWhatItsThreadsUsed) {
  CpuBenchConfig config = machine(1);
  config.cpu.time_slice = ns(50);
  config.mmu.ideal = false;
  PaperTrace t;
  t.process(1), t.process(2);
  t.run(1, 1, hits(300)), t.run(2, 1, {load(page(0)), load(page(1)), load(page(2), 500)});
  SchedulerBench bench(config, t);
  bench.start({1, 2}).run();
  const auto usage = bench.scheduler.usage();
  const MmuStats& mmu = bench.mmus[0]->stats();
  EXPECT_EQ(usage.at(1).refs, 300U);
  EXPECT_EQ(usage.at(2).refs, 3U);
  EXPECT_EQ(usage.at(2).instructions, 502U);
  EXPECT_EQ(usage.at(1).walks, 1U);
  EXPECT_EQ(usage.at(2).walks, 3U);
  EXPECT_EQ(usage.at(1).walk_cycles + usage.at(2).walk_cycles, mmu.walk_cycles);
  EXPECT_EQ(usage.at(1).cycles + usage.at(2).cycles,
            std::uint64_t(bench.cpus[0]->stats().busy_subcycles) / Clock::kSubcycles);
}

}  // namespace
}  // namespace collapsar::test
